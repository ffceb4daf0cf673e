//! Reasons why a container of a pod is skipped.

use super::{Explanation, explain};

/// Reason why a container of a pod is skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ContainerReason {
    /// The container has a `preStop` hook of its author.
    OwnHook,
    /// The profile says to leave the container alone.
    LeftAloneByProfile,
    /// The delay is 0, and there is no quit and no hold.
    NoDelay,
    /// The pod is for Windows, and the only possible hook would need a program of the image.
    Windows,
    /// The image has no `sleep` program, and the server does not support the sleep action.
    NoSleepProgram,
    /// The container is not an object, or its `lifecycle` is not one.
    Malformed,
}

impl ContainerReason {
    /// Every reason.
    pub const ALL: [Self; 6] = [
        Self::OwnHook,
        Self::LeftAloneByProfile,
        Self::NoDelay,
        Self::Windows,
        Self::NoSleepProgram,
        Self::Malformed,
    ];

    /// Returns the stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.explanation().code
    }

    /// Returns code, sentence and advice.
    #[must_use]
    pub const fn explanation(self) -> Explanation {
        match self {
            Self::OwnHook => explain(
                "own-hook",
                "The container already has a preStop hook; it is not changed.",
                "Annotate prestop.dev/own-hook: extend to extend it, or remove it to get prestop's; sleep: {seconds: 0} declares that no delay is needed.",
            ),
            Self::LeftAloneByProfile => explain(
                "left-alone-by-profile",
                "The profile of the image has no hook: a delay would do harm or have no benefit.",
                "Annotate profile.prestop.dev/CONTAINER: none to inject the delay anyway.",
            ),
            Self::NoDelay => explain(
                "no-delay",
                "The delay is 0 and there is no quit command.",
                "Set a delay above 0 to inject a hook.",
            ),
            Self::Windows => explain(
                "windows-container",
                "The delay would need a sleep program in the image, and Windows images have none.",
                "Use Kubernetes 1.33 or newer, or set sleepAction: always.",
            ),
            Self::NoSleepProgram => explain(
                "no-sleep-program",
                "The image has no sleep program, and this Kubernetes has no sleep action: a hook could not start.",
                "Use Kubernetes 1.30 or newer with sleepAction: auto or always.",
            ),
            Self::Malformed => explain(
                "malformed-container",
                "The container or its lifecycle is not an object, or it has no name.",
                "Correct the manifest; the API server refuses it too.",
            ),
        }
    }
}
