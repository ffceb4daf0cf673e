//! Why `uninject` leaves a workload as it is.

use super::{Explanation, explain};

/// Why `uninject` leaves a workload as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UndoReason {
    /// There is no status annotation.
    NotInjected,
    /// The status annotation is not ours, or no longer true.
    StatusNotTrusted,
    /// The status annotation has only a digest of the author's hook.
    OriginalNotKept,
}

impl UndoReason {
    /// Every reason that has no other place in the table.
    pub const ALL: [Self; 2] = [Self::NotInjected, Self::OriginalNotKept];

    /// Code, sentence and advice.
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
