//! Reasons why `inject` does not process an object of a manifest.

use super::{Explanation, explain};

/// Reason why `inject` does not decide on an object of a manifest: it is not a workload as its
/// author wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AsideReason {
    /// A part of an object, such as a patch.
    Fragment,
    /// An image, or a pod, that a template engine or a substitution has not rendered yet.
    Template,
    /// An object that another object controls.
    Owned,
    /// A pod as the API server returns it.
    RunningPod,
}

impl AsideReason {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::Fragment, Self::Template, Self::Owned, Self::RunningPod];

    /// Returns the stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.explanation().code
    }

    /// Returns code, sentence and advice.
    #[must_use]
    pub const fn explanation(self) -> Explanation {
        match self {
            Self::Fragment => explain(
                "fragment",
                "Not a whole workload, such as a patch: no container has an image, or the selector is missing.",
                "If it is a patch, inject the workload that it patches; otherwise complete the manifest.",
            ),
            Self::Template => explain(
                "template",
                "An image, the containers or the grace period is a template expression ({{ ... }} or ${...}), so the final pod is not known.",
                "Render it first: pipe helm template, oc process or envsubst into prestop inject -.",
            ),
            Self::Owned => explain(
                "owned",
                "Another object controls this one (ownerReferences) and would undo the change.",
                "None; inject its owner.",
            ),
            Self::RunningPod => explain(
                "running-pod",
                "The pod is running in a cluster: its hooks can't be changed.",
                "None; inject the workload that it belongs to.",
            ),
        }
    }
}
