//! Why one container of a pod is left as it is.

use super::{Explanation, explain};

/// Why one container of a pod is left as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ContainerReason {
    /// It has a `preStop` of its author's.
    OwnHook,
    /// Its profile wants nothing injected.
    LeftAloneByProfile,
    /// Delay 0 and nothing to run.
    NoDelay,
    /// Windows, where only a program of the image would do.
    Windows,
    /// The image has no `sleep` program, and the server no sleep action.
    NoSleepProgram,
    /// Not an object, or `lifecycle` is not one.
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

    /// The stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.explanation().code
    }

    /// Code, sentence and advice.
    #[must_use]
    pub const fn explanation(self) -> Explanation {
        match self {
            Self::OwnHook => explain(
                "own-hook",
                "The container has a preStop hook of its own; it is not touched.",
                "Annotate prestop.dev/own-hook: extend to have it completed, or remove it to have prestop's; sleep: {seconds: 0} is Kubernetes' way to say no.",
            ),
            Self::LeftAloneByProfile => explain(
                "left-alone-by-profile",
                "The profile of the image leaves it alone: a delay would do harm, or buy nothing.",
                "Annotate delay-only with profile.prestop.dev/CONTAINER: none to have the delay anyway.",
            ),
            Self::NoDelay => explain(
                "no-delay",
                "The delay is 0 and there is no quit command.",
                "Set a delay above 0 to have the hook injected.",
            ),
            Self::Windows => explain(
                "windows-container",
                "Only the image's own sleep program would do, and Windows images have none.",
                "Needs Kubernetes 1.33 or newer, or sleepAction: always.",
            ),
            Self::NoSleepProgram => explain(
                "no-sleep-program",
                "The image has no sleep program, and the server no sleep action: a hook could not start.",
                "Needs Kubernetes 1.30 or newer with sleepAction: auto or always.",
            ),
            Self::Malformed => explain(
                "malformed-container",
                "The container or its lifecycle is not an object, or it has no name.",
                "Correct the manifest; the API server refuses it too.",
            ),
        }
    }
}
