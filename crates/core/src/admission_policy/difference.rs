//! The differences between a policy and the engine, in one table. The comment in the policy and
//! `docs/policy.md` are generated from it; tests accept no other differences.

use super::Source;
use crate::catalogue::{Hold, Profile};
use crate::duration::AskedDelay;
use crate::policy::{HookReport, KubernetesVersion, OwnHookRule, Policy, SleepAction};

macro_rules! differences {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $sentence:literal;)*) => {
        /// A difference between a policy and the engine.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Difference {
            $($(#[$doc])* $name,)*
        }

        impl Difference {
            /// Every difference.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Stable identifier.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// Consequence for pods, as a sentence.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$name => $sentence,)* }
            }
        }
    };
}

differences! {
    /// There is no status annotation.
    NoStatus = "no-status",
        "There is no annotation prestop.dev/status, no report of problems, no log line and no metric: mistakes in annotations are ignored silently, prestop uninject does not recognise the hooks, and prestop check does not check the policy.";
    /// Quits of profiles that are not selected.
    ProfileNotChosen = "profile-not-chosen",
        "Only the profiles selected with --profiles use their quit; other images get the delay only.";
    /// Quits and profiles set by annotation.
    QuitOfTheAuthor = "quit-of-the-author",
        "The annotations quit-command and quit-signal are ignored: their container gets the delay only. If an annotation names a profile that is not the image's own, its facts about stop signals are not used.";
    /// Ranges of delays.
    DelayNotWatched = "delay-not-watched",
        "For a range of delays the upper bound is used: the hook does not watch connections.";
    /// The delay `auto`.
    FrontsNotRead = "fronts-not-read",
        "The delay auto is the configured default: neither readiness gates nor Services are read.";
    /// Hooks that hold until connections are closed.
    NoHold = "no-hold",
        "Hooks do not wait until connections are closed (hold). Profiles that would hold instead of quitting use their quit.";
    /// Reports written by hooks.
    NoHookReport = "no-hook-report", "Hooks write no report into the termination message.";
    /// Completion of existing hooks.
    OwnHookNotExtended = "own-hook-not-extended",
        "Existing hooks are not changed; own-hook: extend is ignored.";
    /// Evaluation of existing hooks beside sidecars.
    OwnHookNotRead = "own-hook-not-read",
        "Of existing hooks only a native sleep is evaluated: any other hook counts as the configured delay when a sidecar has to outlive it.";
    /// The application's own timeout.
    TimeoutNotRead = "timeout-not-read",
        "Shutdown timeouts in arguments and environment variables of applications are not read: set prestop.dev/quit-timeout.";
    /// Reinvocation after a container was added.
    GraceRaisedAgain = "grace-raised-again",
        "If a container is added after the policy has run, it gets its hook, and the grace period is raised a second time.";
    /// Hooks and status of an earlier pass.
    EarlierStatus = "earlier-status",
        "Hooks that prestop injected earlier are treated as existing hooks, and the recorded original grace period is not used.";
    /// Durations with very many digits.
    ManyDigits = "many-digits",
        "Durations with more digits than a year needs (seconds: 9) are invalid, and grace periods are limited to 31,000 years.";
    /// Pods with fields of wrong types.
    WrongTypes = "wrong-types",
        "Pods that the API server would refuse anyway are not handled: a container or an owner without a name, two containers with the same name.";
    /// Kubernetes versions without the sleep action, and `sleepAction: never`.
    OnlyNativeSleep = "only-native-sleep",
        "A delay without a quit always uses the native sleep action: sleepAction: never and older versions have no effect.";
}

impl Difference {
    /// Returns whether the configuration requires something that the policy does not do.
    #[must_use]
    pub fn matters_to(self, source: &Source<'_>) -> bool {
        let policy = source.policy;
        match self {
            Self::DelayNotWatched => {
                matches!(policy.default_delay, AskedDelay::Of(delay) if delay.is_range())
            }
            Self::FrontsNotRead => policy.default_delay == AskedDelay::Auto,
            Self::NoHold => policy.default_hold == Hold::Connections,
            Self::NoHookReport => policy.default_report == HookReport::TerminationMessage,
            Self::OwnHookNotExtended => policy.default_own_hook == OwnHookRule::Extend,
            Self::OnlyNativeSleep => {
                policy.sleep_action == SleepAction::Never || is_too_old(policy)
            }
            Self::ProfileNotChosen => has_other_quits(source),
            _ => false,
        }
    }
}

fn is_too_old(policy: &Policy) -> bool {
    let version = policy.kubernetes_version;
    version.is_some_and(|version| version < KubernetesVersion::MUTATING_POLICIES)
}

fn has_other_quits(source: &Source<'_>) -> bool {
    let is_chosen =
        |profile: &Profile| source.quits.iter().any(|chosen| chosen.name == profile.name);
    let mut profiles = source.policy.catalogue.profiles().iter();
    profiles.any(|profile| super::tables::quit(profile).is_some() && !is_chosen(profile))
}
