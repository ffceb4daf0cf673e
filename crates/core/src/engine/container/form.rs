//! The possible forms of a container's hook: whether a script can run in its image, and which hook
//! follows (`docs/rules.md`, sections 2, 4 and 5).

use std::fmt;

use super::{Candidate, Context, Place, Quit, Standing};
use crate::catalogue::{Hold, ImageReference, Presence, Profile, Programs};
use crate::engine::Source;
use crate::engine::hook_note::HookNote;
use crate::engine::pod::Container;
use crate::engine::reason::{ContainerReason, Problem, ProblemCode};
use crate::engine::settings::Level;
use crate::policy::{HookReport, KubernetesVersion, Policy, SleepAction};

/// The default quiet period of a watched delay.
const DEFAULT_QUIET_SECONDS: i64 = 5;
/// Path of the termination message, unless the container sets another one.
pub const DEFAULT_TERMINATION_MESSAGE_PATH: &str = "/dev/termination-log";
/// Length limit for the path of a termination message. Linux accepts a few times as much.
const LONGEST_TERMINATION_MESSAGE_PATH: usize = 1024;

/// How a delay without a script is implemented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum Sleep {
    /// By Kubernetes' `sleep` action.
    Action,
    /// By the image's `sleep` program.
    Program,
    /// Not possible.
    Impossible(ContainerReason),
}

/// Reason why a hook can't observe the pod's connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// Windows has neither `/bin/sh` nor `/proc`.
    Windows,
    /// With the host network, the counters are those of the node.
    HostNetwork,
    /// The image is known or declared to have no `/bin/sh` or no `sleep`.
    NoShell,
    /// It is not known whether the image has `/bin/sh` and `sleep`.
    UnknownShell,
}

/// A requested setting, its level, and whether it is possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) struct Asked {
    pub(in crate::engine) from: Source,
    pub(in crate::engine) obstacle: Option<Obstacle>,
}

impl Asked {
    /// Returns whether the setting is possible.
    pub(in crate::engine) const fn is_possible(self) -> bool {
        self.obstacle.is_none()
    }
}

/// The programs of a container's image, looked up only if a hook needs one of them, which most
/// hooks do not.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) struct ImagePrograms<'a> {
    image: Option<ImageReference<'a>>,
    /// The annotation for the container.
    own: Option<Presence>,
    /// The annotation for all containers of the pod.
    all: Option<Presence>,
    policy: &'a Policy,
}

impl ImagePrograms<'_> {
    /// Returns the programs. In descending precedence: the container's annotation, the facts about
    /// the image, the setting of the pod, namespace or installation.
    pub(in crate::engine) fn get(self) -> Programs {
        let both = |presence| Programs { shell: presence, sleep: presence };
        if let Some(own) = self.own {
            return both(own);
        }
        if self.all == Some(Presence::Absent) {
            return both(Presence::Absent);
        }
        let catalogue = &self.policy.catalogue;
        let known = self.image.map_or(Programs::UNKNOWN, |image| catalogue.programs(&image));
        match self.all {
            // The setting is for all containers, including a sidecar about whose image more is
            // known.
            Some(Presence::Present) if !known.lack_something() => both(Presence::Present),
            _ => known.or(self.policy.default_shell),
        }
    }
}

impl Candidate<'_> {
    /// Returns why the container's new hook can't observe connections, if it can't.
    pub(in crate::engine) fn obstacle(&self, context: &Context<'_>) -> Option<Obstacle> {
        let is_free = matches!(self.standing, Standing::Free(_));
        if is_free && !self.holds() {
            context.obstacle(self.programs, self.quit.as_ref())
        } else {
            None
        }
    }

    /// Reports settings of annotations that the hook can't implement.
    pub(in crate::engine) fn tell_what_is_left_out(&self, context: &mut Context<'_>) {
        // `auto` does not request a range.
        let unwatched = self.unwatched.filter(|_| self.front.is_none());
        let unwatched = unwatched.map(|obstacle| (self.delay_from, obstacle));
        let asked =
            |asked: Option<Asked>| asked.and_then(|asked| Some((asked.from, asked.obstacle?)));
        for (code, left_out) in [
            (ProblemCode::DelayNotWatched, unwatched),
            (ProblemCode::HoldNotPossible, asked(self.hold)),
            (ProblemCode::ReportNotPossible, asked(self.report)),
        ] {
            if let Some((from, obstacle)) = left_out
                && from.is_annotation()
            {
                let place = format!("container {}", self.name);
                context.problems.push(Problem::new(code, place, obstacle));
            }
        }
    }

    /// Adds notes for such settings that come from no annotation: the author does not need to act.
    pub(in crate::engine) fn note_what_is_left_out(&self, notes: &mut Vec<HookNote>) {
        if let Some(obstacle) =
            self.unwatched.filter(|_| self.front.is_some() || !self.delay_from.is_annotation())
        {
            notes.push(HookNote::NotWatched { obstacle });
        }
        let hold = self.hold.filter(|hold| !hold.from.is_annotation());
        if let Some(obstacle) = hold.and_then(|hold| hold.obstacle) {
            notes.push(HookNote::NoHold { obstacle });
        }
    }
}

impl Obstacle {
    /// Stable word for reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Windows => "windows",
            Self::HostNetwork => "host-network",
            Self::NoShell => "no-shell",
            Self::UnknownShell => "unknown-shell",
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Windows => "the pod is for Windows",
            Self::HostNetwork => "hostNetwork: the connections are those of the whole node",
            Self::NoShell => "the image has no /bin/sh or no sleep program",
            Self::UnknownShell => {
                "it is not known whether the image has /bin/sh and sleep; \
                 if so, write prestop.dev/shell: present"
            }
        })
    }
}

impl<'a> Context<'a> {
    pub(super) fn programs(
        &self,
        own: Option<Presence>,
        image: Option<ImageReference<'a>>,
    ) -> ImagePrograms<'a> {
        let all = self.pod.shell.or(self.namespace.shell);
        ImagePrograms { image, own, all, policy: self.policy }
    }

    /// Returns how a delay without a quit can be implemented.
    pub(in crate::engine) fn sleep(
        &self,
        programs: ImagePrograms<'_>,
        quit: Option<&Quit<'_>>,
    ) -> Sleep {
        if self.policy.has_sleep_action() {
            return Sleep::Action;
        }
        if self.is_for_windows {
            return Sleep::Impossible(ContainerReason::Windows);
        }
        if quit.is_some() || programs.get().sleep != Presence::Absent {
            return Sleep::Program;
        }
        // A kubelet that does not know the action fails, but so would the missing program.
        let version = self.policy.kubernetes_version;
        let server_knows = self.policy.sleep_action == SleepAction::Auto
            && version.is_some_and(|version| version >= KubernetesVersion::SERVER_SLEEPS);
        if server_knows {
            Sleep::Action
        } else {
            Sleep::Impossible(ContainerReason::NoSleepProgram)
        }
    }

    /// Returns why the hook can't observe the pod's connections, if it can't. With a quit there is
    /// no further obstacle, because the quit needs the same shell.
    pub(super) fn obstacle(
        &self,
        programs: ImagePrograms<'_>,
        quit: Option<&Quit<'_>>,
    ) -> Option<Obstacle> {
        if self.is_for_windows {
            return Some(Obstacle::Windows);
        }
        if self.spec.is_on_host_network() {
            return Some(Obstacle::HostNetwork);
        }
        if quit.is_some() {
            return None;
        }
        let programs = programs.get();
        if programs.are_there() {
            None
        } else if programs.lack_something() {
            Some(Obstacle::NoShell)
        } else {
            Some(Obstacle::UnknownShell)
        }
    }

    pub(super) fn quiet_seconds(&self, own: Option<i64>) -> i64 {
        let said = own.or(self.pod.quiet_seconds).or(self.namespace.quiet_seconds);
        said.unwrap_or(DEFAULT_QUIET_SECONDS)
    }

    /// The level that requests a hold, if any. A setting for the whole pod applies to its applications.
    pub(super) fn hold(
        &self,
        own: Option<Hold>,
        profile: Option<&Profile>,
        place: Place,
    ) -> Option<Source> {
        let for_all = |hold: Option<Hold>| hold.filter(|_| !matches!(place, Place::Sidecar { .. }));
        let levels = [
            (own, Source::Container),
            (for_all(self.pod.hold), Source::Pod),
            (for_all(self.namespace.hold), Source::Namespace),
            (profile.and_then(|profile| profile.hold), Source::Profile),
            (for_all(Some(self.policy.default_hold)), Source::Default),
        ];
        let (hold, from) = levels.into_iter().find_map(|(hold, from)| Some((hold?, from)))?;
        (hold == Hold::Connections).then_some(from)
    }

    /// Returns the level that requests a report, if any.
    pub(super) fn report(&self, own: &Level) -> Option<Source> {
        let levels = [
            (own.report, Source::Container),
            (self.pod.report, Source::Pod),
            (self.namespace.report, Source::Namespace),
        ];
        let said = levels.into_iter().find_map(|(report, from)| Some((report?, from)));
        let (report, from) = said.unwrap_or((self.policy.default_report, Source::Default));
        (report == HookReport::TerminationMessage).then_some(from)
    }

    /// Number of new connections in the quiet period that do not count as traffic: those of the
    /// readiness probes, which continue while the pod stops, counted twice, because a proxy in the
    /// pod forwards each of them to the application and a redirect causes another one; and two for
    /// other clients, such as a metrics scraper.
    pub(in crate::engine) fn allowed_connections(&self, quiet_seconds: i64) -> i64 {
        let in_quiet_period = |period: i64| {
            let whole = quiet_seconds / period;
            whole.saturating_add(i64::from(quiet_seconds % period > 0))
        };
        let probes = self.spec.probe_periods().map(in_quiet_period);
        let probes = probes.fold(0_i64, i64::saturating_add);
        probes.saturating_mul(2).saturating_add(2)
    }
}

/// Path of the container's termination message; `None` if the path can't be used.
pub(in crate::engine) fn termination_message<'a>(container: &'a Container<'_>) -> Option<&'a str> {
    let own = container.termination_message_path.value().map(AsRef::as_ref);
    let path = own.filter(|path| !path.is_empty()).unwrap_or(DEFAULT_TERMINATION_MESSAGE_PATH);
    (path.len() <= LONGEST_TERMINATION_MESSAGE_PATH && !path.contains('\0')).then_some(path)
}
