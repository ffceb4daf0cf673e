//! The quit of a container: the author's, a profile's, or none (`docs/rules.md`, section 4).

use std::borrow::Cow;

use super::{Context, Ending, ImagePrograms};
use crate::catalogue::{FoundBy, ImageReference, Profile, ProfileHook, QuitWhen, Signal};
use crate::engine::Source;
use crate::engine::hook_note::HookNote;
use crate::engine::pod::Container;
use crate::engine::reason::ProblemCode;
use crate::engine::settings::{AuthorQuit, Level, ProfileChoice};
use crate::policy::{KubernetesVersion, QuitPolicy};
use crate::view::Shape;

/// The quit of a container.
#[derive(Debug)]
pub(in crate::engine) struct Quit<'a> {
    pub(in crate::engine) command: Cow<'a, [String]>,
    pub(in crate::engine) signal: Option<Signal>,
    pub(in crate::engine) process_names: &'a [String],
    pub(in crate::engine) waits: bool,
    pub(in crate::engine) from: Source,
}

/// The level that decides on the quit, and its choice.
pub(super) enum Chosen<'a> {
    Author { quit: AuthorQuit, from: Source },
    Profile { profile: &'a Profile, from: Source },
    DelayOnly,
}

/// A container whose quit is being decided on.
pub(super) struct Subject<'c, 'a> {
    pub(super) name: &'a str,
    pub(super) container: &'a Container<'a>,
    pub(super) image: Option<&'c ImageReference<'a>>,
    pub(super) programs: ImagePrograms<'a>,
    /// The chosen profile, else the profile of the image or name.
    pub(super) profile: Option<&'a Profile>,
    pub(super) stop_signal: StopSignal,
}

/// `lifecycle.stopSignal`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StopSignal {
    /// Not set, or not supported by the server: the image's signal is used.
    OfImage,
    /// The container's own signal; `None` for one that does not ask an application to finish.
    Own(Option<Signal>),
}

impl<'a> Context<'a> {
    /// Returns the choice of the first level that sets anything about the quit.
    pub(super) fn choose(
        &self,
        own: Level,
        index: usize,
        found: Option<(&'a Profile, FoundBy<'a>)>,
    ) -> Chosen<'a> {
        if let Some(quit) = own.quit {
            return Chosen::Author { quit, from: Source::Container };
        }
        let is_main = self.main.is_some_and(|main| main.index == index);
        if own.profile.is_none()
            && let Some(quit) = self.pod.quit.as_ref().filter(|_| is_main)
        {
            return Chosen::Author { quit: quit.clone(), from: Source::Pod };
        }
        let for_all = |choice: &&ProfileChoice| is_main || !choice.is_named();
        let levels = [
            (own.profile.as_ref(), Source::Container),
            (self.pod.profile.as_ref().filter(for_all), Source::Pod),
            (self.namespace.profile.as_ref().filter(for_all), Source::Namespace),
        ];
        let said =
            levels.into_iter().find_map(|(choice, source)| choice.map(|choice| (choice, source)));
        let chosen = match said {
            Some((ProfileChoice::DelayOnly, _)) => None,
            Some((ProfileChoice::Named(name), from)) => {
                self.policy.catalogue.by_name(name).map(|profile| (profile, from))
            }
            Some((ProfileChoice::Auto, _)) | None => found.map(|(profile, by)| match by {
                FoundBy::Image(_) => (profile, Source::Image),
                FoundBy::ContainerName => (profile, Source::Name),
            }),
        };
        chosen.map_or(Chosen::DelayOnly, |(profile, from)| Chosen::Profile { profile, from })
    }

    pub(super) fn quit(
        &mut self,
        chosen: Chosen<'a>,
        subject: &Subject<'_, 'a>,
        ending: Ending,
        notes: &mut Vec<HookNote>,
    ) -> Option<Quit<'a>> {
        match chosen {
            Chosen::DelayOnly => None,
            Chosen::Author { quit, from } => self.author_quit(quit, from, subject),
            Chosen::Profile { profile, from } => {
                let quit = self.profile_quit(profile, from, subject, ending, notes)?;
                if let StopSignal::Own(signal) = subject.stop_signal {
                    notes.push(HookNote::StopSignal { signal });
                }
                Some(quit)
            }
        }
    }

    fn author_quit(
        &mut self,
        quit: AuthorQuit,
        from: Source,
        subject: &Subject<'_, 'a>,
    ) -> Option<Quit<'a>> {
        let name = subject.name;
        if self.is_for_windows {
            self.tell(ProblemCode::QuitNotPossibleOnWindows, name);
            return None;
        }
        if self.policy.quit == QuitPolicy::Never {
            self.tell(ProblemCode::QuitDisabled, name);
            return None;
        }
        let mut signal = quit.signal;
        if signal.is_some() && !self.spec.has_own_process_namespaces() {
            self.tell(ProblemCode::Pid1IsNotTheApplication, name);
            signal = None;
        }
        if quit.command.is_empty() && signal.is_none() {
            return None;
        }
        if !subject.can_run_script() {
            self.tell(ProblemCode::QuitNeedsShell, name);
            return None;
        }
        Some(Quit {
            command: Cow::Owned(quit.command),
            signal,
            process_names: &[],
            waits: true,
            from,
        })
    }

    fn profile_quit(
        &mut self,
        profile: &'a Profile,
        from: Source,
        subject: &Subject<'_, 'a>,
        ending: Ending,
        notes: &mut Vec<HookNote>,
    ) -> Option<Quit<'a>> {
        let ProfileHook::Quit(quit) = &profile.hook else {
            return None;
        };
        let is_graceful = ending == Ending::Graceful;
        let only_when_needed =
            self.policy.quit == QuitPolicy::WhenNeeded || quit.when == QuitWhen::Needed;
        let is_dropped = self.policy.quit == QuitPolicy::Never || (only_when_needed && is_graceful);
        if is_dropped || self.is_for_windows {
            return None;
        }
        if !subject.can_run_script() {
            match from {
                Source::Image | Source::Name => notes.push(HookNote::QuitNeedsShell),
                _ => self.tell(ProblemCode::QuitNeedsShell, subject.name),
            }
            return None;
        }
        // A command finds its process by itself; a signal would reach the wrong process.
        let has_own_processes = self.spec.has_own_process_namespaces();
        if !has_own_processes && quit.command.is_empty() {
            self.tell(ProblemCode::Pid1IsNotTheApplication, subject.name);
            return None;
        }
        let signal = quit.signal.filter(|_| has_own_processes);
        Some(Quit {
            command: Cow::Borrowed(&quit.command),
            signal,
            process_names: if signal.is_some() { &quit.process_names } else { &[] },
            // Sending a signal takes no time, and the kubelet's stop signal would follow immediately.
            waits: !is_graceful || quit.command.is_empty(),
            from,
        })
    }

    pub(super) fn stop_signal(&self, container: &Container<'_>) -> StopSignal {
        let version = self.policy.kubernetes_version;
        if version.is_some_and(|version| version < KubernetesVersion::STOP_SIGNALS) {
            return StopSignal::OfImage;
        }
        match container.lifecycle.value().map(|lifecycle| &lifecycle.stop_signal) {
            None | Some(Shape::Absent) => StopSignal::OfImage,
            Some(Shape::Value(name)) => StopSignal::Own(name.parse().ok()),
            Some(Shape::Wrong) => StopSignal::Own(None),
        }
    }
}

impl Subject<'_, '_> {
    /// Returns whether the stop signal that follows the hook is known to be graceful. A container
    /// with its own command may run any program.
    pub(super) fn ending(&self) -> Ending {
        let own_command = match &self.container.command {
            Shape::Absent => false,
            Shape::Value(command) => !command.is_empty(),
            Shape::Wrong => true,
        };
        let Some(profile) = self.profile.filter(|_| !own_command) else {
            return Ending::Uncertain;
        };
        let of_profile = self.image.filter(|image| profile.is_for(image));
        let tag = of_profile.and_then(ImageReference::certain_tag);
        let is_graceful = match self.stop_signal {
            StopSignal::OfImage => {
                of_profile.and_then(|_| profile.stop_signal(tag)).map(|fact| fact.graceful)
            }
            StopSignal::Own(None) => Some(false),
            StopSignal::Own(Some(signal)) => profile.is_graceful_signal(signal, tag),
        };
        match is_graceful {
            Some(true) => Ending::Graceful,
            Some(false) => Ending::Abrupt,
            None => Ending::Uncertain,
        }
    }

    /// Returns whether the image has the programs that the script needs, or is not known to lack
    /// them.
    fn can_run_script(&self) -> bool {
        !self.programs.get().lack_something()
    }
}
