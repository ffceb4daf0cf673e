//! What a policy does not do that the engine does: one table. The policy's own comment and `docs/policy.md` are
//! made from it, and each difference that tests find between policy and engine is one of these.

use super::Source;
use crate::catalogue::{Hold, Profile};
use crate::duration::AskedDelay;
use crate::policy::{HookReport, KubernetesVersion, OwnHookRule, Policy, SleepAction};

macro_rules! differences {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $sentence:literal;)*) => {
        /// Something that a policy does not do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Difference {
            $($(#[$doc])* $name,)*
        }

        impl Difference {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// A stable word.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// What it means for pods.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$name => $sentence,)* }
            }
        }
    };
}

differences! {
    /// No status.
    NoStatus = "no-status",
        "There is no annotation prestop.dev/status, no report of problems, no log line and no metric: mistakes in annotations are skipped silently, prestop uninject does not know the hooks, and prestop check does not see the policy.";
    /// Other quits.
    ProfileNotChosen = "profile-not-chosen",
        "Only the profiles that --profiles names get their quit; images of the others get the delay alone.";
    /// Quits and profiles by annotation.
    QuitOfTheAuthor = "quit-of-the-author",
        "The annotations quit-command and quit-signal are not followed: the container that they are for gets the delay alone. Of a profile that an annotation names and that is not the image's own, facts about stop signals are not used.";
    /// Ranges.
    DelayNotWatched = "delay-not-watched",
        "A range of delays is its upper bound: nothing looks at connections.";
    /// `auto`.
    FrontsNotRead = "fronts-not-read",
        "The delay auto is the configured default: neither readiness gates nor Services are read.";
    /// Holds.
    NoHold = "no-hold",
        "Hooks do not wait until connections are done (hold), and profiles that would hold in place of their quit use the quit.";
    /// Reports of hooks.
    NoHookReport = "no-hook-report", "Hooks write no report into the termination message.";
    /// Hooks of the author.
    OwnHookNotExtended = "own-hook-not-extended",
        "Hooks of the author stay as they are; own-hook: extend is not followed.";
    /// Hooks of the author beside sidecars.
    OwnHookNotRead = "own-hook-not-read",
        "Of hooks of the author only a native sleep is read: another hook counts as the configured delay where a sidecar has to outlive it.";
    /// The application's own timeout.
    TimeoutNotRead = "timeout-not-read",
        "How long an application may take by its own arguments and variables is not read: write prestop.dev/quit-timeout.";
    /// Reinvocation.
    GraceRaisedAgain = "grace-raised-again",
        "If something adds a container after the policy has run, that container gets its hook, and the grace period is raised a second time.";
    /// An earlier pass.
    EarlierStatus = "earlier-status",
        "Hooks of prestop that are in the pod already count as hooks of the author, and the recorded first grace period is not read.";
    /// Absurd durations.
    ManyDigits = "many-digits",
        "Durations of more digits than a year needs (seconds: 9) are no durations, and of a grace period at most 31,000 years count.";
    /// Wrong types.
    WrongTypes = "wrong-types",
        "What the API server would refuse anyway is not looked at: a container without a name, a nameless owner, two containers of one name.";
    /// Old versions.
    OnlyNativeSleep = "only-native-sleep",
        "The delay alone is always Kubernetes' own sleep action: sleepAction: never and older versions have no effect.";
}

impl Difference {
    /// Whether the rules ask for something that the policy does not do.
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
