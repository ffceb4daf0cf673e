//! What one container asks for: which settings hold for it, which profile its image has, which quit
//! that gives (`docs/rules.md`, sections 2 to 4 and 6).

use std::borrow::Cow;

use crate::catalogue::{ImageReference, Profile, ProfileHook, QuitWhen, Signal};
use crate::policy::{Policy, QuitPolicy};

use super::hook::plain_delay;
use super::pod::{Container, Keys, Metadata, Spec};
use super::reason::{ContainerReason, Problem, ProblemCode};
use super::settings::{Annotations, AuthorQuit, Level, NamespaceSettings, ProfileChoice};
use super::status::{Status, StatusContainer};
use super::{PreStopParent, Source};
use crate::view::Shape;

/// Everything that is the same for all containers of a pod.
#[derive(Debug)]
pub(super) struct Context<'a> {
    pub(super) spec: &'a Spec<'a>,
    pub(super) policy: &'a Policy,
    pub(super) annotations: Annotations<'a>,
    pub(super) is_for_windows: bool,
    pub(super) problems: Vec<Problem>,
    /// Some application has less time than it asked for.
    pub(super) is_short: bool,
    /// The container that the pod's own quit is for.
    main: usize,
    namespace: Cow<'a, Level>,
    pod: Level,
    /// By place in `spec.containers`; empty where the pod has no annotations for single containers.
    containers: Vec<Level>,
}

/// A regular container on the way to its decision.
#[derive(Debug)]
pub(super) struct Candidate<'a> {
    pub(super) index: usize,
    pub(super) name: &'a str,
    pub(super) container: Option<&'a Container<'a>>,
    pub(super) standing: Standing<'a>,
    pub(super) delay_seconds: i64,
    pub(super) delay_from: Source,
    pub(super) quit_timeout_seconds: Option<i64>,
    pub(super) profile: Option<&'a Profile>,
    pub(super) quit: Option<Quit<'a>>,
}

/// What stands in the container now.
#[derive(Debug, Clone)]
pub(super) enum Standing<'a> {
    /// No hook.
    Free(PreStopParent),
    /// A hook of its author's, with its delay where it does nothing else.
    OwnHook(Option<i64>),
    /// A hook from an earlier pass.
    Earlier(StatusContainer<'a>),
    /// Not to be touched.
    LeftAlone(ContainerReason),
}

/// The quit that a container gets.
#[derive(Debug)]
pub(super) struct Quit<'a> {
    pub(super) command: Cow<'a, [String]>,
    pub(super) signal: Option<Signal>,
    pub(super) process_names: &'a [String],
    pub(super) waits: bool,
    pub(super) from: Source,
}

/// Who decides on the quit, and what they say.
enum Chosen<'a> {
    Author { quit: AuthorQuit, from: Source },
    Profile { profile: &'a Profile, from: Source },
    DelayOnly,
}

impl<'a> Context<'a> {
    pub(super) fn new(
        spec: &'a Spec<'a>,
        metadata: Option<&'a Metadata<'a>>,
        namespace: &'a NamespaceSettings,
        policy: &'a Policy,
    ) -> Self {
        let keys = metadata.and_then(|metadata| metadata.annotations.value());
        let mut problems = Vec::new();
        Self {
            spec,
            policy,
            annotations: Annotations(keys.map_or(&[], |keys| &keys.ours)),
            is_for_windows: spec.is_for_windows(),
            is_short: false,
            main: main_container(spec, keys),
            namespace: namespace.level_under(policy, &mut problems),
            pod: Level::default(),
            containers: Vec::new(),
            problems,
        }
    }

    /// Reads what the pod's author set for the pod, and tells what means nothing.
    pub(super) fn read_pod_annotations(&mut self) {
        if self.annotations.0.is_empty() {
            return;
        }
        self.pod = Level::read(self.annotations.of_pod(), self.policy, &mut self.problems);
        let containers = self.spec.containers();
        let names = || containers.iter().map(|shape| shape.value()?.name.value());
        let known = names().flatten().map(AsRef::as_ref).collect();
        self.annotations.report_strangers(&known, &mut self.problems);
        let settings = self.annotations.by_container();
        if settings.is_empty() {
            return;
        }
        for name in names() {
            let own = name.and_then(|name| settings.get(name.as_ref())).cloned();
            let own = own.unwrap_or_default();
            self.containers.push(Level::read(own, self.policy, &mut self.problems));
        }
    }

    /// Every regular container, with its settings.
    pub(super) fn candidates(&mut self, earlier: Option<&Status<'a>>) -> Vec<Candidate<'a>> {
        let containers = self.spec.containers();
        containers
            .iter()
            .enumerate()
            .map(|(index, container)| self.candidate(index, container, earlier))
            .collect()
    }

    fn candidate(
        &mut self,
        index: usize,
        shape: &'a Shape<Container<'a>>,
        earlier: Option<&Status<'a>>,
    ) -> Candidate<'a> {
        let name = shape.value().and_then(|container| container.name.value());
        let (Some(container), Some(name)) = (shape.value(), name.map(AsRef::as_ref)) else {
            return self.malformed(index, name.map_or("", AsRef::as_ref));
        };
        if container.lifecycle.is_wrong() {
            return self.malformed(index, name);
        }
        let own = self.containers.get_mut(index).map(std::mem::take).unwrap_or_default();
        let mut standing = standing(container, name, earlier);
        let image = container.image.value().and_then(|image| ImageReference::parse(image));
        let (own_delay, own_timeout) = (own.delay_seconds, own.quit_timeout_seconds);
        let chosen = self.choose(own, index, image.as_ref());
        let profile = match &chosen {
            Chosen::Profile { profile, .. } => Some(*profile),
            Chosen::Author { .. } | Chosen::DelayOnly => None,
        };
        if matches!(standing, Standing::Free(_))
            && profile.is_some_and(|profile| profile.hook == ProfileHook::LeaveAlone)
        {
            standing = Standing::LeftAlone(ContainerReason::LeftAloneByProfile);
        }
        let quit = match standing {
            Standing::Free(_) => self.quit(chosen, container, image.as_ref(), name),
            Standing::OwnHook(_) | Standing::Earlier(_) | Standing::LeftAlone(_) => None,
        };
        let (delay_seconds, delay_from) = self.delay(own_delay, profile);
        let quit_timeout_seconds = own_timeout
            .or(self.pod.quit_timeout_seconds)
            .or(self.namespace.quit_timeout_seconds)
            .or(self.policy.default_quit_timeout_seconds);
        let container = Some(container);
        Candidate {
            index,
            name,
            container,
            standing,
            delay_seconds,
            delay_from,
            quit_timeout_seconds,
            profile,
            quit,
        }
    }

    fn malformed(&mut self, index: usize, name: &'a str) -> Candidate<'a> {
        let place = format!("container {index}");
        self.problems.push(Problem::new(ProblemCode::MalformedContainer, place, name));
        Candidate {
            index,
            name,
            container: None,
            standing: Standing::LeftAlone(ContainerReason::Malformed),
            delay_seconds: 0,
            delay_from: Source::Default,
            quit_timeout_seconds: None,
            profile: None,
            quit: None,
        }
    }

    fn delay(&self, own: Option<i64>, profile: Option<&Profile>) -> (i64, Source) {
        let levels = [
            (own, Source::Container),
            (self.pod.delay_seconds, Source::Pod),
            (self.namespace.delay_seconds, Source::Namespace),
            (profile.and_then(|profile| profile.delay_seconds), Source::Profile),
        ];
        let said = levels
            .into_iter()
            .find_map(|(seconds, source)| seconds.map(|seconds| (seconds, source)));
        said.unwrap_or((self.policy.default_delay_seconds, Source::Default))
    }

    /// The first level that says anything about the quit decides.
    fn choose(&self, own: Level, index: usize, image: Option<&ImageReference<'_>>) -> Chosen<'a> {
        if let Some(quit) = own.quit {
            return Chosen::Author { quit, from: Source::Container };
        }
        let is_main = index == self.main;
        if own.profile.is_none()
            && let Some(quit) = self.pod.quit.as_ref().filter(|_| is_main)
        {
            return Chosen::Author { quit: quit.clone(), from: Source::Pod };
        }
        let for_all =
            |choice: &&ProfileChoice| is_main || !matches!(choice, ProfileChoice::Named(_));
        let levels = [
            (own.profile.as_ref(), Source::Container),
            (self.pod.profile.as_ref().filter(for_all), Source::Pod),
            (self.namespace.profile.as_ref().filter(for_all), Source::Namespace),
        ];
        let said =
            levels.into_iter().find_map(|(choice, source)| choice.map(|choice| (choice, source)));
        let catalogue = &self.policy.catalogue;
        let chosen = match said {
            Some((ProfileChoice::DelayOnly, _)) => None,
            Some((ProfileChoice::Named(name), from)) => {
                catalogue.by_name(name).map(|profile| (profile, from))
            }
            Some((ProfileChoice::Auto, _)) | None => image
                .and_then(|image| catalogue.for_image(image))
                .map(|(profile, _)| (profile, Source::Image)),
        };
        chosen.map_or(Chosen::DelayOnly, |(profile, from)| Chosen::Profile { profile, from })
    }

    fn quit(
        &mut self,
        chosen: Chosen<'a>,
        container: &Container<'_>,
        image: Option<&ImageReference<'_>>,
        name: &str,
    ) -> Option<Quit<'a>> {
        match chosen {
            Chosen::DelayOnly => None,
            Chosen::Author { quit, from } => self.author_quit(quit, from, name),
            Chosen::Profile { profile, from } => {
                self.profile_quit(profile, from, container, image, name)
            }
        }
    }

    fn author_quit(&mut self, quit: AuthorQuit, from: Source, name: &str) -> Option<Quit<'a>> {
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
        container: &Container<'_>,
        image: Option<&ImageReference<'_>>,
        name: &str,
    ) -> Option<Quit<'a>> {
        let ProfileHook::Quit(quit) = &profile.hook else {
            return None;
        };
        let is_graceful = stops_gracefully(profile, container, image);
        let only_when_needed =
            self.policy.quit == QuitPolicy::WhenNeeded || quit.when == QuitWhen::Needed;
        let is_dropped = self.policy.quit == QuitPolicy::Never || (only_when_needed && is_graceful);
        if is_dropped || self.is_for_windows {
            return None;
        }
        if !self.spec.has_own_process_namespaces() {
            self.tell(ProblemCode::Pid1IsNotTheApplication, name);
            return None;
        }
        Some(Quit {
            command: Cow::Borrowed(&quit.command),
            signal: quit.signal,
            process_names: &quit.process_names,
            // A signal that the hook sends is over at once, and the kubelet's own would follow.
            waits: !is_graceful || quit.command.is_empty(),
            from,
        })
    }

    fn tell(&mut self, code: ProblemCode, container: &str) {
        self.problems.push(Problem::new(code, format!("container {container}"), ""));
    }
}

/// Sidecars stay until the application's containers have had their delay, and a margin more.
pub(super) fn apply_sidecar_rule(candidates: &mut [Candidate<'_>]) {
    let margin = |candidate: &Candidate<'_>| {
        candidate.profile.and_then(|profile| profile.sidecar_margin_seconds)
    };
    let applications = candidates
        .iter()
        .filter(|candidate| candidate.container.is_some() && margin(candidate).is_none());
    // Alone in its pod a proxy is the application.
    let Some(longest) = applications.map(Candidate::holds_back_for).max() else { return };
    for candidate in candidates {
        if let Some(margin) =
            margin(candidate).filter(|_| candidate.delay_from != Source::Container)
        {
            candidate.delay_seconds = longest.saturating_add(margin);
            candidate.delay_from = Source::Sidecar;
        }
    }
}

impl Candidate<'_> {
    /// How long the container's stop is held back, as far as that can be known.
    fn holds_back_for(&self) -> i64 {
        match &self.standing {
            Standing::Free(_) | Standing::OwnHook(None) => self.delay_seconds,
            Standing::OwnHook(Some(seconds)) => *seconds,
            Standing::Earlier(earlier) => earlier.delay,
            Standing::LeftAlone(_) => 0,
        }
    }
}

fn standing<'a>(
    container: &Container<'_>,
    name: &str,
    earlier: Option<&Status<'a>>,
) -> Standing<'a> {
    let Some(lifecycle) = container.lifecycle.value() else {
        return Standing::Free(PreStopParent::Container);
    };
    match &lifecycle.pre_stop {
        Shape::Absent => Standing::Free(PreStopParent::Lifecycle),
        Shape::Wrong => Standing::OwnHook(None),
        Shape::Value(hook) => match earlier.and_then(|status| status.container(name)) {
            Some(recorded) => Standing::Earlier(recorded.clone()),
            None => Standing::OwnHook(plain_delay(hook)),
        },
    }
}

/// What kubectl calls the default container; else the first.
fn main_container(spec: &Spec<'_>, keys: Option<&Keys<'_>>) -> usize {
    let named = keys.and_then(|keys| keys.default_container.value());
    let containers = spec.containers();
    let is_it = |container: &Shape<Container<'_>>| {
        named
            .is_some_and(|name| container.value().is_some_and(|container| container.is_named(name)))
    };
    containers.iter().position(is_it).unwrap_or(0)
}

/// Whether the stop signal that follows the hook is known to be a graceful one. With a command of
/// its own the container may run anything.
fn stops_gracefully(
    profile: &Profile,
    container: &Container<'_>,
    image: Option<&ImageReference<'_>>,
) -> bool {
    let own_command = match &container.command {
        Shape::Absent => false,
        Shape::Value(command) => !command.is_empty(),
        Shape::Wrong => true,
    };
    !own_command
        && image.is_some_and(|image| {
            profile.images.iter().any(|pattern| pattern.matches(image))
                && profile.stops_gracefully(image.certain_tag())
        })
}
