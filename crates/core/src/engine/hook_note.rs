//! Notes on hooks: why a container gets the hook that it gets, where neither a setting nor a problem
//! says so. For reports only; nobody has to do anything about them.

use std::fmt;

use super::Obstacle;
use crate::catalogue::Signal;
use crate::duration::HumanSeconds;

/// What is worth knowing about a container's hook.
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
    /// It takes the place of a hook of the author.
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
    /// The profile's hold can't be.
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
                "the image has no shell to run the profile's quit in: the delay alone is injected",
            ),
            Self::SleepActionForImage => f.write_str(
                "the image has no sleep program; Kubernetes' own sleep needs kubelets of 1.30 or newer",
            ),
            Self::StopSignal { signal: Some(signal) } => write!(
                f,
                "lifecycle.stopSignal makes {signal} the stop signal; \
                 needs the feature gate ContainerStopSignals"
            ),
            Self::StopSignal { signal: None } => f.write_str(
                "lifecycle.stopSignal is a signal that asks no application to finish",
            ),
            Self::OwnTimeout { seconds, option } => write!(
                f,
                "the application takes up to {} to finish by its own {option}",
                HumanSeconds(*seconds)
            ),
            Self::NotWatched { obstacle } => {
                write!(f, "the delay is the upper bound of its range and is not watched: {obstacle}")
            }
            Self::NoFrontKnown => f.write_str(
                "auto: no front is known that a delay helps with; the configured default is taken (10s without one)",
            ),
            Self::NoHold { obstacle } => {
                write!(f, "the hook does not wait for connections: {obstacle}")
            }
            Self::OutlivesDrain { seconds } => write!(
                f,
                "{} of the delay are for the other containers to finish their requests",
                HumanSeconds(*seconds)
            ),
            Self::CompletesOwnHook { is_kept: true } => f.write_str(
                "completes the author's own hook, which the status annotation keeps",
            ),
            Self::CompletesOwnHook { is_kept: false } => f.write_str(
                "completes the author's own hook, which is too large for the status annotation: \
                 prestop uninject can't restore it",
            ),
            Self::DrainIsLonger { delay_seconds, drained_seconds } => write!(
                f,
                "the other containers may need it for {}, and its delay ends after {}, the longest \
                 that the configuration allows: run it as a native sidecar",
                HumanSeconds(*drained_seconds),
                HumanSeconds(*delay_seconds)
            ),
        }
    }
}
