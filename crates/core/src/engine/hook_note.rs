//! Notes on hooks: why a container gets its hook, if neither a setting nor a problem explains it. For
//! reports only; no action is needed.

use std::fmt;

use super::Obstacle;
use crate::catalogue::Signal;
use crate::duration::HumanSeconds;

/// A note on a container's hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookNote {
    /// The profile's quit can't run in the image.
    QuitNeedsShell,
    /// The sleep action is used, although some kubelets may not support it.
    SleepActionForImage,
    /// `lifecycle.stopSignal` decides which signal follows the hook.
    StopSignal {
        /// The signal; `None` for one that does not ask an application to finish.
        signal: Option<Signal>,
    },
    /// The application's settings contain the time that it takes to finish.
    OwnTimeout {
        /// The time, in seconds.
        seconds: i64,
        /// The option or variable that sets it.
        option: &'static str,
    },
    /// A sidecar or backend keeps running for the drain of other containers.
    OutlivesDrain {
        /// Seconds of its delay that are for this drain.
        seconds: i64,
    },
    /// The hook replaces an existing hook.
    CompletesOwnHook {
        /// Whether the status contains the original hook itself, and not only its digest.
        is_kept: bool,
    },
    /// The delay is a range, but it can't be watched.
    NotWatched {
        /// Reason why it can't.
        obstacle: Obstacle,
    },
    /// The delay is `auto`, and no front of the pod is known.
    NoFrontKnown,
    /// The profile's hold is not possible.
    NoHold {
        /// Reason why it is not possible.
        obstacle: Obstacle,
    },
    /// The drain of the other containers may take longer than a sidecar or backend keeps running.
    DrainIsLonger {
        /// Seconds from the deletion to the end of its delay.
        delay_seconds: i64,
        /// Seconds from the deletion to the end of the other containers' drain.
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
