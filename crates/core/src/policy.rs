//! The validated rules of the engine. The code that creates a [`Policy`] (the configuration file, a
//! test) validates it; the engine does not validate it again.

mod owner;

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::catalogue::{Catalogue, Hold, Presence};
use crate::duration::{AskedDelay, Delay};

/// The default delay; also used for `auto` if no front is known.
pub const DELAY_WITHOUT_FRONTS: Delay = Delay::fixed(10);

pub use self::owner::{OWNER_KIND_PATTERN, Owner, OwnerKind, OwnerKindError};

/// Smallest accepted maximum for the grace period: Kubernetes' own default.
pub const LEAST_MAXIMUM_GRACE_PERIOD_SECONDS: i64 = 30;

/// The rules of one installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The default delay; at most `maximum_delay_seconds`.
    pub default_delay: AskedDelay,
    /// Limit for delays in annotations; longer ones are shortened and reported.
    pub maximum_delay_seconds: i64,
    /// Seconds that an application may take to finish after its quit; `None` means the pod's grace
    /// period.
    pub default_quit_timeout_seconds: Option<i64>,
    /// Whether images about which nothing is known have `/bin/sh` and `sleep`.
    pub default_shell: Presence,
    /// Whether hooks wait for connections by default.
    pub default_hold: Hold,
    /// Whether hooks write a report by default.
    pub default_report: HookReport,
    /// The limit to which the grace period may be raised.
    pub maximum_grace_period_seconds: i64,
    /// The images whose quit is used.
    pub quit: QuitPolicy,
    /// Whether a delay uses the native sleep action.
    pub sleep_action: SleepAction,
    /// The API server's version, if it is known.
    pub kubernetes_version: Option<KubernetesVersion>,
    /// The default for existing hooks.
    pub default_own_hook: OwnHookRule,
    /// Whether `prestop.dev/quit-command` is allowed.
    pub allow_quit_command_annotation: bool,
    /// Owners whose pods are skipped, unless the pods opt in by label.
    pub skipped_owners: Vec<OwnerKind>,
    /// The namespaces whose pods are injected.
    pub namespaces: NamespaceRule,
    /// The known facts about images.
    pub catalogue: Catalogue,
}

/// The images whose quit is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuitPolicy {
    /// All images whose profile has a quit.
    Always,
    /// Images that are not known to stop gracefully on their stop signal.
    WhenNeeded,
    /// No image: only the delay is injected.
    Never,
}

/// Whether the delay is Kubernetes' own `sleep` action or the `sleep` program of the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SleepAction {
    /// The action, if every supported kubelet for the server's version knows it.
    Auto,
    /// Always the action. API servers before Kubernetes 1.29 refuse such pods.
    Always,
    /// Always the program.
    Never,
}

/// Treatment of an existing hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnHookRule {
    /// The hook is not changed.
    Keep,
    /// The hook is completed: a delay before it, a wait after a quit.
    Extend,
}

/// Whether hooks write a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookReport {
    /// No report.
    None,
    /// A report in the container's termination message.
    TerminationMessage,
}

/// The namespaces whose pods are injected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamespaceRule {
    /// Namespaces with the label `prestop.dev/inject: enabled`.
    Enabled,
    /// All namespaces except those with the label `prestop.dev/inject: disabled`.
    NotDisabled,
}

/// A version of Kubernetes, with the parts that matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KubernetesVersion {
    /// For example `1`.
    pub major: u32,
    /// For example `33`.
    pub minor: u32,
}

/// Error for a text that is not a version of Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("not a Kubernetes version; write for example 1.33")]
pub struct VersionError;

impl Policy {
    /// Returns the configuration of a new installation, with the built-in catalogue.
    #[must_use]
    pub fn built_in() -> Self {
        Self {
            default_delay: AskedDelay::Of(DELAY_WITHOUT_FRONTS),
            maximum_delay_seconds: 300,
            default_quit_timeout_seconds: None,
            default_shell: Presence::Unknown,
            default_hold: Hold::None,
            default_report: HookReport::None,
            maximum_grace_period_seconds: 600,
            quit: QuitPolicy::Always,
            sleep_action: SleepAction::Auto,
            kubernetes_version: None,
            default_own_hook: OwnHookRule::Keep,
            allow_quit_command_annotation: true,
            skipped_owners: ["Job", "DaemonSet"].map(OwnerKind::of_any_group).to_vec(),
            namespaces: NamespaceRule::Enabled,
            catalogue: Catalogue::built_in().clone(),
        }
    }

    /// Returns whether a delay can use the native sleep action.
    #[must_use]
    pub fn has_sleep_action(&self) -> bool {
        match self.sleep_action {
            SleepAction::Auto => self
                .kubernetes_version
                .is_some_and(|version| version >= KubernetesVersion::EVERY_KUBELET_SLEEPS),
            SleepAction::Always => true,
            SleepAction::Never => false,
        }
    }
}

impl KubernetesVersion {
    /// The newest version with which this release was tested.
    pub const NEWEST: Self = Self { major: 1, minor: 37 };

    /// First version whose oldest supported kubelet (three versions older) has the sleep action
    /// enabled: KEP-3960 enabled it in 1.30.
    pub const EVERY_KUBELET_SLEEPS: Self = Self { major: 1, minor: 33 };

    /// First version in which the server itself has the sleep action enabled; older kubelets may
    /// not.
    pub const SERVER_SLEEPS: Self = Self { major: 1, minor: 30 };

    /// The first version that serves `MutatingAdmissionPolicy` in `v1`.
    pub const MUTATING_POLICIES: Self = Self { major: 1, minor: 36 };

    /// The first version with `lifecycle.stopSignal` (KEP-4960); older servers drop the field.
    pub const STOP_SIGNALS: Self = Self { major: 1, minor: 33 };
}

impl fmt::Display for KubernetesVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for KubernetesVersion {
    type Err = VersionError;

    /// Parses `1.33`, `v1.33.2`, `1.33+` and versions with suffixes of providers
    /// (`v1.33.4-eks-1a2b`).
    fn from_str(text: &str) -> Result<Self, VersionError> {
        let mut parts = text.strip_prefix('v').unwrap_or(text).splitn(3, '.');
        let mut next = || {
            let part = parts.next()?;
            let digits = part.bytes().take_while(u8::is_ascii_digit).count();
            let (number, rest) = part.split_at_checked(digits)?;
            let plain = rest.is_empty() || rest.starts_with(['+', '-']);
            if plain { number.parse().ok() } else { None }
        };
        match (next(), next()) {
            (Some(major), Some(minor)) => Ok(Self { major, minor }),
            _ => Err(VersionError),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(sleep_action: SleepAction, version: Option<&str>) -> Policy {
        let kubernetes_version = version.map(|version| version.parse().unwrap());
        Policy { sleep_action, kubernetes_version, ..Policy::built_in() }
    }

    #[test]
    fn sleep_action_is_taken_from_1_33_on() {
        for (version, expected) in [
            (None, false),
            (Some("1.32"), false),
            (Some("1.33"), true),
            (Some("1.37"), true),
            (Some("2.0"), true),
        ] {
            assert_eq!(
                policy(SleepAction::Auto, version).has_sleep_action(),
                expected,
                "{version:?}"
            );
        }
        assert!(policy(SleepAction::Always, None).has_sleep_action());
        assert!(!policy(SleepAction::Never, Some("1.37")).has_sleep_action());
    }

    #[test]
    fn reads_versions_as_servers_report_them() {
        for text in ["1.33", "v1.33", "1.33+", "v1.33.4-eks-1a2b", "1.33.0-rc.1+build"] {
            assert_eq!(text.parse(), Ok(KubernetesVersion { major: 1, minor: 33 }), "{text}");
        }
        for text in ["", "1", "v", "1.", "1.x", "one.two", "1.33x", "-1.33", "1.99999999999"] {
            assert_eq!(text.parse::<KubernetesVersion>(), Err(VersionError), "{text:?}");
        }
    }
}
