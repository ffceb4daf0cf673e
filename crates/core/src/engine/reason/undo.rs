//! Reasons why `uninject` does not change a workload.

use super::{Explanation, explain};

/// Reason why `uninject` does not change a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UndoReason {
    /// There is no status annotation.
    NotInjected,
    /// The status annotation is not prestop's, or does not match the pod.
    StatusNotTrusted,
    /// The status annotation contains only a digest of the author's hook.
    OriginalNotKept,
}

impl UndoReason {
    /// Every reason that is not elsewhere in the table.
    pub const ALL: [Self; 2] = [Self::NotInjected, Self::OriginalNotKept];

    /// Returns code, sentence and advice.
    #[must_use]
    pub const fn explanation(self) -> Explanation {
        match self {
            Self::NotInjected => explain(
                "not-injected",
                "There is no annotation prestop.dev/status: the hook is not from prestop.",
                "Nothing.",
            ),
            Self::StatusNotTrusted => super::ProblemCode::StatusNotTrusted.explanation(),
            Self::OriginalNotKept => explain(
                "original-not-kept",
                "An existing hook was extended that was too large for the status annotation; uninject can't restore it.",
                "Restore the hook from the history of the manifest, and remove the annotation prestop.dev/status.",
            ),
        }
    }
}
