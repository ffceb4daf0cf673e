//! Verdicts on the termination of a container: one table with code, sentence and advice, which
//! `docs/watch.md` contains as well.

use std::fmt;
use std::str::FromStr;

/// A verdict on the termination of a container, ordered by severity: the first of several verdicts
/// is reported as the main one, the others in addition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// SIGKILL at the end of the grace period.
    KilledAtGraceEnd,
    /// The container exceeded its memory limit.
    OutOfMemory,
    /// SIGKILL before the grace period was over.
    Killed,
    /// A signal that indicates a crash.
    Crashed,
    /// The `preStop` hook failed.
    HookFailed,
    /// The hook took the whole grace period.
    HookUsedGrace,
    /// The container ended before the delay of its hook was over.
    EndedBeforeDelay,
    /// The pod was still an endpoint when the container had ended.
    GoneBeforeWithdrawal,
    /// The hook has no delay, and the container ended immediately.
    EndedAtOnce,
    /// The container has no hook.
    NoHook,
    /// The end of the container was not observed.
    Unseen,
    /// Either the hook failed, or it ended with the application.
    HookUnclear,
    /// The stop signal ended the container.
    ObeyedStopSignal,
    /// The container ended by its own decision.
    EndedByItself,
    /// The hook was killed because the application had ended.
    HookEndedWithApplication,
    /// The container had ended before its pod was deleted.
    EndedBeforeDeletion,
    /// The container never ran.
    NeverStarted,
}

/// The effect of a verdict on requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// Requests were lost, or would have been if any had arrived.
    Bad,
    /// It is not known whether requests were lost.
    Unknown,
    /// As far as the API shows, no requests were lost.
    Good,
}

/// The texts and the weight of a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text {
    /// Stable word for JSON and options.
    pub code: &'static str,
    /// Effect on requests.
    pub weight: Weight,
    /// The event, as a sentence.
    pub sentence: &'static str,
    /// Advice; empty if no action is needed.
    pub advice: &'static str,
}

/// Error for a text that is not the code of a verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownCode(String);

impl Verdict {
    /// All verdicts.
    pub const ALL: [Self; 17] = [
        Self::KilledAtGraceEnd,
        Self::OutOfMemory,
        Self::Killed,
        Self::Crashed,
        Self::HookFailed,
        Self::HookUsedGrace,
        Self::EndedBeforeDelay,
        Self::GoneBeforeWithdrawal,
        Self::EndedAtOnce,
        Self::NoHook,
        Self::Unseen,
        Self::HookUnclear,
        Self::ObeyedStopSignal,
        Self::EndedByItself,
        Self::HookEndedWithApplication,
        Self::EndedBeforeDeletion,
        Self::NeverStarted,
    ];

    /// Returns the verdict's row of the table.
    #[must_use]
    pub const fn text(self) -> Text {
        use Weight::{Bad, Good, Unknown};
        let (code, weight, sentence, advice) = match self {
            Self::KilledAtGraceEnd => (
                "killed-at-grace-end",
                Bad,
                "killed at the end of its grace period",
                "Requests in flight were cut. If it was still working, raise terminationGracePeriodSeconds; if it ignores its stop signal (a shell as PID 1, for example), mend that: prestop audit says why.",
            ),
            Self::OutOfMemory => (
                "out-of-memory",
                Bad,
                "killed while it was stopping: it used more memory than its limit",
                "Raise the memory limit.",
            ),
            Self::Killed => (
                "killed",
                Bad,
                "killed (SIGKILL) before the end of its grace period",
                "Somebody shortened the grace period with a second deletion, or a process in the container or on the node sent SIGKILL: see the kubelet's log.",
            ),
            Self::Crashed => {
                ("crashed", Bad, "crashed while it was stopping", "See the log of the container.")
            }
            Self::HookFailed => (
                "hook-failed",
                Bad,
                "its preStop hook failed, so the stop signal came without the delay",
                "The kubelet's log has the hook's output. Often the image has no shell or no such program: prestop audit says so.",
            ),
            Self::HookUsedGrace => (
                "hook-used-grace",
                Bad,
                "its hook took the whole grace period, so the application had 2 s to finish",
                "Raise terminationGracePeriodSeconds above the hook and the time that the application needs.",
            ),
            Self::EndedBeforeDelay => (
                "ended-before-delay",
                Bad,
                "ended before its delay was over",
                "Requests that came after that were lost. Find out who stopped it: the application itself, or a hook of another container.",
            ),
            Self::GoneBeforeWithdrawal => (
                "gone-before-withdrawal",
                Bad,
                "its endpoint was withdrawn after the application had gone: requests were lost if any came",
                "The hook has to delay the stop until the endpoint is withdrawn: see docs/delays.md. If the application ended by itself, find out why.",
            ),
            Self::EndedAtOnce => (
                "ended-at-once",
                Bad,
                "its hook does not delay the stop, and it ended within two seconds: requests that were under way to it were lost",
                "Start the hook with a delay: prestop.dev/own-hook: extend does that.",
            ),
            Self::NoHook => (
                "no-hook",
                Bad,
                "it is behind a Service and never had a preStop hook: requests that came after the stop signal were lost",
                "Label the namespace prestop.dev/inject: enabled. If the application itself keeps serving after its stop signal: --accept no-hook.",
            ),
            Self::Unseen => (
                "unseen",
                Unknown,
                "nobody saw how it ended",
                "The pod was removed before its node had reported (a forced deletion, a lost node), or while prestop had no connection.",
            ),
            Self::HookUnclear => (
                "hook-unclear",
                Unknown,
                "its hook failed, or ended together with the application: Kubernetes does not say which",
                "The kubelet's log has the exit status: 137 means that it ended with the application, which is harmless.",
            ),
            Self::ObeyedStopSignal => ("obeyed-stop-signal", Good, "ended by its stop signal", ""),
            Self::EndedByItself => {
                ("ended-by-itself", Good, "ended by itself within its grace period", "")
            }
            Self::HookEndedWithApplication => (
                "hook-ended-with-application",
                Good,
                "its hook ended together with the application (137), which is harmless",
                "",
            ),
            Self::EndedBeforeDeletion => {
                ("ended-before-deletion", Good, "had ended before its pod was deleted", "")
            }
            Self::NeverStarted => ("never-started", Good, "had never started", ""),
        };
        Text { code, weight, sentence, advice }
    }

    /// Returns the stable word for JSON and options.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.text().code
    }

    /// Returns the effect on requests.
    #[must_use]
    pub const fn weight(self) -> Weight {
        self.text().weight
    }

    /// Returns whether requests were lost, or would have been if any had arrived.
    #[must_use]
    pub const fn is_bad(self) -> bool {
        matches!(self.weight(), Weight::Bad)
    }
}

impl Weight {
    /// Stable word for JSON.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Bad => "bad",
            Self::Unknown => "unknown",
            Self::Good => "good",
        }
    }
}

impl FromStr for Verdict {
    type Err = UnknownCode;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|verdict| verdict.code() == text);
        found.ok_or_else(|| UnknownCode(text.to_owned()))
    }
}

impl fmt::Display for UnknownCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let codes: Vec<_> = Verdict::ALL.into_iter().map(Verdict::code).collect();
        write!(f, "no verdict is named {:?}; there are {}", self.0, codes.join(", "))
    }
}

impl std::error::Error for UnknownCode {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_verdict_has_its_own_code_and_a_sentence_and_bad_ones_have_advice() {
        let mut codes: Vec<_> = Verdict::ALL.into_iter().map(Verdict::code).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Verdict::ALL.len());
        for verdict in Verdict::ALL {
            let text = verdict.text();
            assert_eq!(text.code.parse(), Ok(verdict));
            assert!(!text.sentence.is_empty() && !text.sentence.ends_with('.'), "{text:?}");
            assert_eq!(text.advice.is_empty(), text.weight == Weight::Good, "{text:?}");
        }
        assert!(Verdict::ALL.is_sorted());
        assert!("ended".parse::<Verdict>().unwrap_err().to_string().contains("ended-by-itself"));
    }
}
