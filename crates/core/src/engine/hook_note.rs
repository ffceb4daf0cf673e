//! Notes on hooks: why a container gets its hook, if neither a setting nor a problem explains it. For
//! reports only; no action is needed.

use std::fmt;

use super::Obstacle;
use crate::catalogue::Signal;
use crate::duration::HumanSeconds;

/// A note on a container's hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookNote {
    /// The profile's quit can't run.
    QuitNeedsShell,
    /// The sleep action is taken although some kubelet may not know it.
    SleepActionForImage,
    /// `lifecycle.stopSignal` decides which signal follows the hook.
    StopSignal {
        /// The signal; `None` for one that asks no application to finish.
        signal: Option<Signal>,
    },
    /// The application said how long it takes to finish.
    OwnTimeout {
        /// How long.
        seconds: i64,
        /// The option or variable.
        option: &'static str,
    },
    /// A sidecar or backend stays for the drain of other containers.
    OutlivesDrain {
        /// So much of its delay is for that.
        seconds: i64,
    },
    /// It takes the place of an existing hook.
    CompletesOwnHook {
        /// Whether the status keeps that one, and not only its digest.
        is_kept: bool,
    },
    /// The delay is a range and can't be watched.
    NotWatched {
        /// Why.
        obstacle: Obstacle,
    },
    /// `auto`, and nothing is known that sends to the pod.
    NoFrontKnown,
    /// The profile's hold is not possible.
    NoHold {
        /// Why.
        obstacle: Obstacle,
    },
    /// The other containers may take longer than a sidecar or backend is there.
    DrainIsLonger {
        /// When its delay is over.
        delay_seconds: i64,
        /// When the others may be done.
        drained_seconds: i64,
    },
}

impl fmt::Display for HookNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::QuitNeedsShell => f.write_str(
                "the image has no shell, which the quit of the profile needs: only the delay is injected",
            ),
            Self::SleepActionForImage => f.write_str(
                "the image has no sleep program; the native sleep action needs kubelets of 1.30 or newer",
            ),
            Self::StopSignal { signal: Some(signal) } => write!(
                f,
                "lifecycle.stopSignal makes {signal} the stop signal; \
                 needs the feature gate ContainerStopSignals"
            ),
            Self::StopSignal { signal: None } => f.write_str(
                "lifecycle.stopSignal is a signal that does not ask the application to finish",
            ),
            Self::OwnTimeout { seconds, option } => write!(
                f,
                "the application may take up to {} to finish, according to its {option}",
                HumanSeconds(*seconds)
            ),
            Self::NotWatched { obstacle } => {
                write!(f, "the upper bound of the range is used, because the hook cannot watch connections: {obstacle}")
            }
            Self::NoFrontKnown => f.write_str(
                "auto: no known front that a delay helps with; the configured default is used (10s if there is none)",
            ),
            Self::NoHold { obstacle } => {
                write!(f, "the hook does not wait until connections are closed: {obstacle}")
            }
            Self::OutlivesDrain { seconds } => write!(
                f,
                "{} of the delay give the other containers time to finish their requests",
                HumanSeconds(*seconds)
            ),
            Self::CompletesOwnHook { is_kept: true } => f.write_str(
                "extends the existing hook; the original is kept in the status annotation",
            ),
            Self::CompletesOwnHook { is_kept: false } => f.write_str(
                "extends the existing hook, which is too large for the status annotation: prestop \
                 uninject can't restore it",
            ),
            Self::DrainIsLonger { delay_seconds, drained_seconds } => write!(
                f,
                "the other containers may need it for {}, but its delay ends after {}, the maximum \
                 of the configuration: run it as a native sidecar",
                HumanSeconds(*drained_seconds),
                HumanSeconds(*delay_seconds)
            ),
        }
    }
}
