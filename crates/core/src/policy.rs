//! The validated rules of the engine. Whatever creates a [`Policy`] (the configuration file, a test)
//! validates it; the engine does not validate it again.

mod owner;

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::catalogue::{Catalogue, Hold, Presence};
use crate::duration::{AskedDelay, Delay};

/// The default delay; also used for `auto` if no front is known.
pub const DELAY_WITHOUT_FRONTS: Delay = Delay::fixed(10);

pub use self::owner::{OWNER_KIND_PATTERN, Owner, OwnerKind, OwnerKindError};

/// The shortest cap on the grace period that is accepted: Kubernetes' own default.
pub const LEAST_MAXIMUM_GRACE_PERIOD_SECONDS: i64 = 30;

/// The rules of one installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Delay where nothing stronger says otherwise; at most `maximum_delay_seconds`.
    pub default_delay: AskedDelay,
    /// Longer delays in annotations are shortened to this and reported.
    pub maximum_delay_seconds: i64,
    /// How long an application may take to finish after its quit; `None`: the pod's grace period.
    pub default_quit_timeout_seconds: Option<i64>,
    /// Whether images about which nothing is known have `/bin/sh` and `sleep`.
    pub default_shell: Presence,
    /// Whether hooks wait for connections where nothing stronger says otherwise.
    pub default_hold: Hold,
    /// Whether hooks report what they saw where nothing stronger says otherwise.
    pub default_report: HookReport,
    /// The grace period is never raised above this.
    pub maximum_grace_period_seconds: i64,
    /// Which images get their quit command.
    pub quit: QuitPolicy,
    /// Whether the delay is the native sleep action.
    pub sleep_action: SleepAction,
    /// The API server's version, where it is known.
    pub kubernetes_version: Option<KubernetesVersion>,
    /// The default for existing hooks.
    pub default_own_hook: OwnHookRule,
    /// Whether `prestop.dev/quit-command` is obeyed.
    pub allow_quit_command_annotation: bool,
    /// Pods of these owners are skipped, unless they ask for it by label.
    pub skipped_owners: Vec<OwnerKind>,
    /// Which namespaces are taken.
    pub namespaces: NamespaceRule,
    /// What is known about images.
    pub catalogue: Catalogue,
}

/// Which images get their quit command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuitPolicy {
    /// Images whose profile has one.
    Always,
    /// Images that are not known to stop gracefully on their stop signal.
    WhenNeeded,
    /// None: delay only.
    Never,
}

/// Whether the delay is Kubernetes' own `sleep` action or the `sleep` program of the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SleepAction {
    /// The action where every supported kubelet of the server's version knows it.
    Auto,
    /// Always the action. API servers before Kubernetes 1.29 refuse such pods.
    Always,
    /// The program.
    Never,
}

/// What to do with an existing hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnHookRule {
    /// It stays as it is.
    Keep,
    /// It is completed: a delay before it, a wait after a quit.
    Extend,
}

/// Whether hooks report what they saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookReport {
    /// They do not.
    None,
    /// In the container's termination message.
    TerminationMessage,
}

/// Which namespaces are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamespaceRule {
    /// Those labelled `prestop.dev/inject: enabled`.
    Enabled,
    /// All but those labelled `prestop.dev/inject: disabled`.
    NotDisabled,
}

/// A version of Kubernetes, as far as anything depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KubernetesVersion {
    /// `1`.
    pub major: u32,
    /// `33`.
    pub minor: u32,
}

/// The text is not a version of Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("not a Kubernetes version; write for example 1.33")]
pub struct VersionError;

impl Policy {
    /// The configuration of a fresh installation, with the built-in catalogue.
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

    /// Whether a delay can be the native sleep action.
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
    /// The newest version that this release was tried with.
    pub const NEWEST: Self = Self { major: 1, minor: 37 };

    /// From here on the oldest kubelet that may serve the API server (three versions older) has the
    /// sleep action on: KEP-3960 turned it on in 1.30.
    pub const EVERY_KUBELET_SLEEPS: Self = Self { major: 1, minor: 33 };

    /// From here on the server itself has the sleep action on; older kubelets may not.
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

    /// Reads `1.33`, `v1.33.2`, `1.33+` and what providers add behind (`v1.33.4-eks-1a2b`).
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
