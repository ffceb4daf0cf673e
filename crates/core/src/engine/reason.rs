//! Reasons why something was not done, or not done as requested: one table of code, sentence and
//! advice. The codes are for metrics, logs and scripts and never change; the sentences are for
//! people. The reference in `docs/reasons.md` is generated from this table.

mod aside;
mod container;
mod undo;

use std::fmt;

pub use self::aside::AsideReason;
pub use self::container::ContainerReason;
pub use self::undo::UndoReason;

use super::printable::printable;

/// The texts for one code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explanation {
    /// Stable code, in lower case with dashes.
    pub code: &'static str,
    /// The event or cause, in one sentence.
    pub sentence: &'static str,
    /// The remedy, if there is one.
    pub advice: &'static str,
}

/// Reason why a pod is skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SkipReason {
    /// The request is not the creation of a pod.
    NotAPodCreation,
    /// The object is not a pod with a spec.
    NotAPod,
    /// A workload whose pod template is in another object.
    TemplateElsewhere,
    /// Containers, grace period or metadata have a wrong type.
    Malformed,
    /// There are more containers, keys or bytes than prestop reads, or than can be stored with a
    /// hook.
    TooLarge,
    /// The pod's label opts out.
    OptedOut,
    /// The namespace's label opts out, or is missing although it is required.
    NamespaceNotEnabled,
    /// The API server's copy of a static pod.
    MirrorPod,
    /// The pod has a deletion timestamp.
    BeingDeleted,
    /// The pod is owned by a Job.
    OwnedByJob,
    /// The pod is owned by a `DaemonSet`.
    OwnedByDaemonSet,
    /// The pod is owned by another kind that the configuration skips.
    OwnedBySkippedKind,
    /// The pod's `restartPolicy` is not Always.
    RestartPolicy,
    /// The grace period is 0 or less: the author wants no graceful stop.
    GracePeriodZero,
    /// Every container has its own hook.
    OwnHooks,
    /// The pod is for Windows, and the only possible hook would need a program of the image.
    Windows,
    /// No container needs a hook.
    NothingToInject,
}

/// Setting that could not be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProblemCode {
    /// A value that can't be parsed; the next level applies.
    InvalidValue,
    /// A duration with a fraction of a second.
    RoundedUp,
    /// A delay above the configured maximum.
    DelayAboveMaximum,
    /// A key that is not known.
    UnknownKey,
    /// An annotation for a container that does not exist.
    NoSuchContainer,
    /// A profile that is not in the catalogue.
    UnknownProfile,
    /// The label `prestop.dev/inject`, written as an annotation.
    InjectIsALabel,
    /// A command or signal on a namespace.
    NotForNamespaces,
    /// A command in an annotation, although the configuration forbids it.
    QuitCommandNotAllowed,
    /// A quit, although the configuration disables quits.
    QuitDisabled,
    /// A signal, or a profile's quit, although PID 1 is another process.
    Pid1IsNotTheApplication,
    /// A command or signal for a Windows pod.
    QuitNotPossibleOnWindows,
    /// A quit for an image without a shell.
    QuitNeedsShell,
    /// A delay for which there is neither a program nor an action.
    NoSleepProgram,
    /// A shell that gets the stop signal instead of the application.
    ShellIsPid1,
    /// An existing hook that delays less than endpoints need.
    OwnHookTooShort,
    /// An existing hook that ends the application without a delay or a wait.
    OwnHookDoesNotWait,
    /// An existing hook that sleeps for the whole grace period.
    OwnHookFillsGrace,
    /// An existing hook whose program is not in the image.
    OwnHookCannotStart,
    /// An existing hook that Kubernetes never runs.
    OwnHookAlwaysFails,
    /// An existing hook that can't be completed.
    OwnHookNotExtended,
    /// The maximum grace period is less than requested.
    GracePeriodCapped,
    /// The delay was shortened to fit into the maximum grace period.
    DelayShortened,
    /// A range of delays that can't be watched.
    DelayNotWatched,
    /// A hold that is not possible.
    HoldNotPossible,
    /// A report that is not possible.
    ReportNotPossible,
    /// A probe's own grace period is shorter than the hook.
    ProbeGracePeriodTooShort,
    /// The status annotation is not prestop's, or does not match the pod.
    StatusNotTrusted,
    /// There is no room for the status annotation.
    StatusLeftOut,
    /// A container that is not an object.
    MalformedContainer,
    /// The pod's load balancer keeps sending for longer than the delay.
    DelayTooShortForFront,
    /// A setting on the workload and not on its pod template.
    Misplaced,
}

/// A setting that could not be applied: code, place and details.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The kind of the problem.
    pub code: ProblemCode,
    /// The place: `pod annotation prestop.dev/delay`, `container web`. ASCII, at most 80
    /// characters.
    pub place: String,
    /// Details. ASCII, at most 120 characters; may be empty.
    pub detail: String,
    /// The aspect, if a code covers several cases.
    pub aspect: Option<Aspect>,
}

/// Cases that the code of a problem does not distinguish, for code that depends on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Aspect {
    /// The stop signal cuts off the command of the hook.
    CutOff,
    /// The problem is likely: with most shells, or with an image that resembles a known one.
    Likely,
}

impl SkipReason {
    /// Every reason, in the order in which they are checked.
    pub const ALL: [Self; 17] = [
        Self::NotAPodCreation,
        Self::NotAPod,
        Self::TemplateElsewhere,
        Self::Malformed,
        Self::TooLarge,
        Self::OptedOut,
        Self::NamespaceNotEnabled,
        Self::MirrorPod,
        Self::BeingDeleted,
        Self::OwnedByJob,
        Self::OwnedByDaemonSet,
        Self::OwnedBySkippedKind,
        Self::RestartPolicy,
        Self::GracePeriodZero,
        Self::OwnHooks,
        Self::Windows,
        Self::NothingToInject,
    ];

    /// Returns the stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.explanation().code
    }

    /// Returns whether to warn the author of the pod, because the pod is unusual or the reason is
    /// surprising.
    #[must_use]
    pub const fn is_surprising(self) -> bool {
        matches!(
            self,
            Self::NotAPod
                | Self::Malformed
                | Self::TooLarge
                | Self::GracePeriodZero
                | Self::Windows
        )
    }

    /// Returns whether the pod is excluded entirely, so that no problems are reported for it.
    #[must_use]
    pub const fn excludes(self) -> bool {
        matches!(
            self,
            Self::NotAPodCreation
                | Self::NotAPod
                | Self::TemplateElsewhere
                | Self::Malformed
                | Self::OptedOut
                | Self::NamespaceNotEnabled
                | Self::MirrorPod
                | Self::BeingDeleted
        )
    }

    /// Returns code, sentence and advice.
    #[must_use]
    pub const fn explanation(self) -> Explanation {
        match self {
            Self::NotAPodCreation => explain(
                "not-a-pod-creation",
                "The request is not the creation of a pod: it has another operation, kind or subresource.",
                "None; if there are many such requests, narrow the webhook's rules.",
            ),
            Self::NotAPod => explain(
                "not-a-pod",
                "The object is not a pod with a spec.",
                "None if the API server refuses it too; otherwise report it.",
            ),
            Self::TemplateElsewhere => explain(
                "template-elsewhere",
                "The pod template is in another object, named by spec.workloadRef.",
                "Inject that object instead; prestop does so if it is in the input.",
            ),
            Self::Malformed => explain(
                "malformed",
                "The pod's metadata, containers or grace period have a wrong type.",
                "Correct the manifest; the API server refuses it too.",
            ),
            Self::TooLarge => explain(
                "too-large",
                "The pod has more containers, prestop.dev keys or bytes than prestop reads, or it would be too large for the API server with a hook.",
                "Write the hook into the manifest, or make the pod smaller; docs/rules.md lists the limits.",
            ),
            Self::OptedOut => explain(
                "opted-out",
                "The pod's label prestop.dev/inject says disabled.",
                "Remove the label to inject a hook.",
            ),
            Self::NamespaceNotEnabled => explain(
                "namespace-not-enabled",
                "The namespace is not labelled prestop.dev/inject: enabled.",
                "kubectl label namespace NAME prestop.dev/inject=enabled",
            ),
            Self::MirrorPod => explain(
                "mirror-pod",
                "The pod mirrors a static pod; changes to it do not reach the kubelet.",
                "Write the hook into the static pod's file on the node.",
            ),
            Self::BeingDeleted => {
                explain("being-deleted", "The pod is already being deleted.", "Nothing.")
            }
            Self::OwnedByJob => explain(
                "owned-by-job",
                "The pod belongs to a Job: it gets no requests, and a delay would postpone its end.",
                "Label the pod template prestop.dev/inject: enabled to inject it anyway.",
            ),
            Self::OwnedByDaemonSet => explain(
                "owned-by-daemonset",
                "The pod belongs to a DaemonSet: unless it sets maxSurge, a delay may cause an outage on the node.",
                "If it sets maxSurge, or to inject it anyway, label the pod template prestop.dev/inject: enabled.",
            ),
            Self::OwnedBySkippedKind => explain(
                "owned-by-skipped-kind",
                "The configuration (skipOwners) excludes pods with this kind of owner.",
                "Label the pod template prestop.dev/inject: enabled to inject it anyway, or change skipOwners.",
            ),
            Self::RestartPolicy => explain(
                "restart-policy",
                "The pod's restartPolicy is not Always: it runs to completion, like a Job.",
                "Label the pod prestop.dev/inject: enabled to inject it anyway.",
            ),
            Self::GracePeriodZero => explain(
                "grace-period-zero",
                "terminationGracePeriodSeconds is 0: the pod is to be killed immediately.",
                "Set a grace period above 0 to inject a hook.",
            ),
            Self::OwnHooks => explain(
                "own-hooks",
                "Every container already has a preStop hook; existing hooks are not changed.",
                "Annotate prestop.dev/own-hook: extend to extend them, or remove a container's hook to get prestop's.",
            ),
            Self::Windows => explain(
                "windows",
                "A Windows pod can only use the native sleep action, which is not available.",
                "Use Kubernetes 1.33 or newer, or set sleepAction: always.",
            ),
            Self::NothingToInject => explain(
                "nothing-to-inject",
                "No container of the pod gets a hook.",
                "See the reason given for each container.",
            ),
        }
    }
}

impl ProblemCode {
    /// Every code.
    pub const ALL: [Self; 32] = [
        Self::InvalidValue,
        Self::RoundedUp,
        Self::DelayAboveMaximum,
        Self::UnknownKey,
        Self::NoSuchContainer,
        Self::UnknownProfile,
        Self::InjectIsALabel,
        Self::NotForNamespaces,
        Self::QuitCommandNotAllowed,
        Self::QuitDisabled,
        Self::Pid1IsNotTheApplication,
        Self::QuitNotPossibleOnWindows,
        Self::QuitNeedsShell,
        Self::NoSleepProgram,
        Self::ShellIsPid1,
        Self::OwnHookTooShort,
        Self::OwnHookDoesNotWait,
        Self::OwnHookFillsGrace,
        Self::OwnHookCannotStart,
        Self::OwnHookAlwaysFails,
        Self::OwnHookNotExtended,
        Self::GracePeriodCapped,
        Self::DelayShortened,
        Self::DelayNotWatched,
        Self::HoldNotPossible,
        Self::ReportNotPossible,
        Self::ProbeGracePeriodTooShort,
        Self::StatusNotTrusted,
        Self::StatusLeftOut,
        Self::MalformedContainer,
        Self::DelayTooShortForFront,
        Self::Misplaced,
    ];

    /// Returns the stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.explanation().code
    }

    /// Returns code, sentence and advice.
    #[must_use]
    #[allow(clippy::too_many_lines)] // A table.
    pub const fn explanation(self) -> Explanation {
        match self {
            Self::InvalidValue => explain(
                "invalid-value",
                "The value is invalid; it is ignored, and the next level applies.",
                "Correct the value.",
            ),
            Self::RoundedUp => explain(
                "rounded-up",
                "Kubernetes counts whole seconds; the fraction was rounded up.",
                "Write whole seconds.",
            ),
            Self::DelayAboveMaximum => explain(
                "delay-above-maximum",
                "The delay is longer than the configured maximum and was cut to it.",
                "If the pods need it, raise limits.maximumDelay in the configuration; otherwise set a shorter delay.",
            ),
            Self::UnknownKey => explain(
                "unknown-key",
                "The key is unknown to prestop; it is ignored.",
                "Correct or remove it.",
            ),
            Self::NoSuchContainer => explain(
                "no-such-container",
                "The annotation names a container that is not one of the pod's regular containers.",
                "Correct the container's name; init containers and native sidecars are never injected.",
            ),
            Self::UnknownProfile => explain(
                "unknown-profile",
                "The catalogue has no profile of that name; the next level applies.",
                "prestop catalogue lists the names.",
            ),
            Self::InjectIsALabel => explain(
                "inject-is-a-label",
                "prestop.dev/inject is a label; it has no effect as an annotation.",
                "Move it to the labels.",
            ),
            Self::NotForNamespaces => explain(
                "not-for-namespaces",
                "Quit commands and signals can't be set on a namespace.",
                "Set it on the pod, or define a profile in the configuration.",
            ),
            Self::QuitCommandNotAllowed => explain(
                "quit-command-not-allowed",
                "The configuration forbids quit commands in annotations; it is ignored.",
                "Use a profile, or allow it with allowQuitCommandAnnotation.",
            ),
            Self::QuitDisabled => explain(
                "quit-disabled",
                "The configuration sets quit: never; the container gets the delay only.",
                "Remove the annotation, or change quit in the configuration.",
            ),
            Self::Pid1IsNotTheApplication => explain(
                "pid-1-is-not-the-application",
                "With hostPID or shareProcessNamespace PID 1 is not the application; no signal is sent.",
                "Use a quit command that finds the process of the application.",
            ),
            Self::QuitNotPossibleOnWindows => explain(
                "quit-not-possible-on-windows",
                "Quit commands and signals need a POSIX shell; the container gets the delay only.",
                "Remove the annotation.",
            ),
            Self::QuitNeedsShell => explain(
                "quit-needs-shell",
                "The image has no shell or no sleep program, which the quit needs; only the delay is injected.",
                "Remove the annotation, or use a variant of the image with a shell.",
            ),
            Self::NoSleepProgram => explain(
                "no-sleep-program",
                "The image has no sleep program, and this Kubernetes has no sleep action; nothing is injected.",
                "Use Kubernetes 1.30 or newer with sleepAction: auto or always.",
            ),
            Self::ShellIsPid1 => explain(
                "shell-is-pid-1",
                "A shell stays PID 1 and ignores the stop signal: the application is killed when the grace period ends.",
                "Start the application with exec as the last command of the script.",
            ),
            Self::OwnHookTooShort => explain(
                "own-hook-too-short",
                "The existing preStop hook delays the stop for less than 5 s, the least that endpoints need.",
                "Annotate prestop.dev/own-hook: extend, sleep for 10 s in the hook, or remove it to get prestop's; sleep: {seconds: 0} declares that no delay is needed.",
            ),
            Self::OwnHookDoesNotWait => explain(
                "own-hook-does-not-wait",
                "The existing preStop hook ends the application without a delay before it, or without a wait after it.",
                "Annotate prestop.dev/own-hook: extend to add the delay and the wait, or remove the hook to get prestop's. Replace a command that drops requests.",
            ),
            Self::OwnHookFillsGrace => explain(
                "own-hook-fills-grace",
                "The existing preStop hook takes the whole grace period: the application is killed about 2 s after its stop signal.",
                "Raise terminationGracePeriodSeconds to the seconds of the hook plus those that the application needs, or shorten the sleep; prestop.dev/own-hook: extend raises it.",
            ),
            Self::OwnHookCannotStart => explain(
                "own-hook-cannot-start",
                "The image does not have the program that the existing preStop hook runs: the hook fails immediately, and the stop is not delayed.",
                "Use sleep: {seconds: 10} in the hook (Kubernetes 1.30 or newer), annotate prestop.dev/own-hook: extend, or remove it to get prestop's.",
            ),
            Self::OwnHookAlwaysFails => explain(
                "own-hook-always-fails",
                "The existing preStop hook is a tcpSocket: Kubernetes accepts it, but it always fails at run time.",
                "Remove the hook to get prestop's, or use sleep, exec or httpGet.",
            ),
            Self::OwnHookNotExtended => explain(
                "own-hook-not-extended",
                "prestop.dev/own-hook: extend is set, but the existing preStop hook can't be extended; it is not changed.",
                "Replace httpGet by an exec hook that makes the same request, or wait in its handler; in an image without a shell, add the delay to the program; remove fields that Kubernetes does not know.",
            ),
            Self::GracePeriodCapped => explain(
                "grace-period-capped",
                "The maximum grace period leaves the application less time after the delay than requested.",
                "Shorten the delay or the quit timeout, or raise the maximum grace period.",
            ),
            Self::DelayShortened => explain(
                "delay-shortened",
                "The delay did not fit into the grace period and was shortened.",
                "Shorten the delay, or raise the maximum grace period.",
            ),
            Self::DelayNotWatched => explain(
                "delay-not-watched",
                "The delay is a range, but the hook can't watch for the end of traffic: the upper bound is used.",
                "If the image has /bin/sh and sleep, annotate prestop.dev/shell: present; otherwise set a delay without a range.",
            ),
            Self::HoldNotPossible => explain(
                "hold-not-possible",
                "The hook can't wait until connections are closed; it does not wait.",
                "If the image has /bin/sh and sleep, annotate prestop.dev/shell: present; otherwise set a longer delay (prestop.dev/delay) and remove prestop.dev/hold.",
            ),
            Self::ReportNotPossible => explain(
                "report-not-possible",
                "The hook can't write a report; there is none.",
                "If the image has /bin/sh and sleep, annotate prestop.dev/shell: present; otherwise remove prestop.dev/hook-report.",
            ),
            Self::ProbeGracePeriodTooShort => explain(
                "probe-grace-period-too-short",
                "If this probe fails, the hook runs too, and the grace period of the probe cuts it off.",
                "Raise or remove the probe's terminationGracePeriodSeconds.",
            ),
            Self::StatusNotTrusted => explain(
                "status-not-trusted",
                "The pod has a prestop.dev/status annotation that does not match it; the annotation is ignored.",
                "Remove prestop.dev/status from the manifest: prestop writes it.",
            ),
            Self::StatusLeftOut => explain(
                "status-left-out",
                "The pod's annotations have no room for prestop.dev/status; the hooks are injected without it.",
                "Keep the pod's annotations below Kubernetes' limit of 256 KiB.",
            ),
            Self::DelayTooShortForFront => explain(
                "delay-too-short-for-front",
                "A readiness gate shows that a load balancer is in front, which keeps sending for longer than the delay.",
                "Annotate the pod template prestop.dev/delay: 60s behind an ALB or a NEG, 3m behind an NLB.",
            ),
            Self::Misplaced => explain(
                "misplaced",
                "The key is on the workload; prestop reads labels and annotations of pods.",
                "Move it to the metadata of the pod template.",
            ),
            Self::MalformedContainer => explain(
                "malformed-container",
                "The container or its lifecycle is not an object, or it has no name; it is skipped.",
                "Correct the manifest; the API server refuses it too.",
            ),
        }
    }
}

impl Problem {
    /// Length limit for the place, in characters.
    const LONGEST_PLACE: usize = 80;
    /// Length limit for the detail, in characters.
    const LONGEST_DETAIL: usize = 120;

    /// Creates a problem. The texts may come from users: characters outside printable ASCII are
    /// escaped, and long texts are truncated.
    #[must_use]
    pub fn new(code: ProblemCode, place: impl fmt::Display, detail: impl fmt::Display) -> Self {
        Self {
            code,
            place: printable(&place.to_string(), Self::LONGEST_PLACE),
            detail: printable(&detail.to_string(), Self::LONGEST_DETAIL),
            aspect: None,
        }
    }

    /// Adds an aspect.
    #[must_use]
    pub fn with_aspect(self, aspect: Option<Aspect>) -> Self {
        Self { aspect, ..self }
    }
}

impl fmt::Display for Problem {
    /// Prints the problem, for example
    /// `invalid-value: pod annotation prestop.dev/delay: not a duration; write …`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.code(), self.place)?;
        if self.detail.is_empty() { Ok(()) } else { write!(f, ": {}", self.detail) }
    }
}

const fn explain(code: &'static str, sentence: &'static str, advice: &'static str) -> Explanation {
    Explanation { code, sentence, advice }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_plain() {
        let mut codes: Vec<_> = SkipReason::ALL.iter().map(|reason| reason.code()).collect();
        codes.extend(ContainerReason::ALL.iter().map(|reason| reason.code()));
        for code in &codes {
            assert!(code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{code}");
        }
        let total = codes.len();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), total);
    }

    #[test]
    fn text_of_users_is_escaped_and_cut() {
        let problem = Problem::new(ProblemCode::InvalidValue, "pod\n\u{1f600}", "x".repeat(500));
        assert_eq!(problem.place, "pod\\n\\u{1f600}");
        assert_eq!(problem.detail.len(), 120);
        assert!(problem.to_string().is_ascii());
        assert!(problem.detail.ends_with("..."));
    }
}
