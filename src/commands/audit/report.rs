//! The findings with their positions, and the summary.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use prestop_core::audit::{Certainty, Finding, Mend, Severity};
use prestop_core::engine::printable::printable;
use prestop_manifest::TextPlace;

use super::super::objects::Place;
use crate::cli::{AuditArguments, CertaintyBar, FailOn};

/// Maximum length of a name. Names come from users; Kubernetes' own are shorter.
pub(super) const LONGEST_NAME: usize = 300;

/// The result of an audit.
pub(super) struct Report {
    /// The worst first; equal ones in the order of the input.
    pub(super) workloads: Vec<Audited>,
    /// Findings of the baseline that no longer exist in the input.
    pub(super) gone: Vec<Identity>,
    pub(super) bar: Bar,
    /// Whether everything could be read.
    pub(super) is_complete: bool,
    /// The cluster that the workloads are in, for people.
    pub(super) cluster: Option<String>,
    /// The kubectl command for that cluster.
    pub(super) kubectl: String,
}

/// The findings of one workload.
pub(super) struct Audited {
    /// Position in a manifest; `None` in a cluster.
    pub(super) place: Option<Place>,
    pub(super) api_version: String,
    pub(super) kind: String,
    pub(super) namespace: String,
    pub(super) name: String,
    /// Whether the namespace is written in the object.
    pub(super) has_namespace: bool,
    pub(super) findings: Vec<Located>,
}

/// A finding with its position.
pub(super) struct Located {
    pub(super) finding: Finding,
    /// Position of the field in a manifest; `None` in a cluster.
    pub(super) at: Option<TextPlace>,
    pub(super) state: State,
    /// The command that reproduces it.
    pub(super) rehearsal: Option<String>,
}

/// Whether a finding counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It counts.
    Open,
    /// It is ignored by the configuration, with a reason.
    Ignored,
    /// It is in the baseline.
    Known,
}

/// Identity of a finding across two inputs; without its position, since lines move.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Identity {
    pub(super) namespace: String,
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) rule: String,
    pub(super) container: Option<String>,
}

/// Threshold from which a finding causes exit status 1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bar {
    severity: Option<Severity>,
    certainty: Certainty,
}

/// Totals of all findings.
pub(super) struct Summary {
    pub(super) workloads: usize,
    pub(super) dropping: usize,
    pub(super) mended: usize,
    /// The namespaces whose label fixes workloads.
    pub(super) namespaces: BTreeSet<String>,
    pub(super) errors: usize,
    pub(super) warnings: usize,
    pub(super) infos: usize,
    pub(super) ignored: usize,
    pub(super) known: usize,
}

impl Bar {
    pub(super) const fn of(arguments: &AuditArguments) -> Self {
        let severity = match arguments.fail_on {
            FailOn::Error => Some(Severity::Error),
            FailOn::Warning => Some(Severity::Warning),
            FailOn::Info => Some(Severity::Info),
            FailOn::Never => None,
        };
        let certainty = match arguments.certainty {
            CertaintyBar::Certain => Certainty::Certain,
            CertaintyBar::Likely => Certainty::Likely,
            CertaintyBar::Possible => Certainty::Possible,
        };
        Self { severity, certainty }
    }

    pub(super) fn is_reached(self, located: &Located) -> bool {
        let Located { finding, state, .. } = located;
        *state == State::Open
            && self.severity.is_some_and(|severity| finding.severity() >= severity)
            && finding.certainty >= self.certainty
    }
}

impl Report {
    /// Whether a finding reaches the threshold.
    pub(super) fn fails(&self) -> bool {
        let mut findings = self.workloads.iter().flat_map(|it| &it.findings);
        findings.any(|located| self.bar.is_reached(located))
    }

    /// Returns the workloads with findings that count.
    pub(super) fn with_open(&self) -> impl Iterator<Item = (&Audited, Vec<&Located>)> {
        self.workloads.iter().filter_map(|workload| {
            let open: Vec<_> = workload.open().collect();
            (!open.is_empty()).then_some((workload, open))
        })
    }

    pub(super) fn summary(&self) -> Summary {
        let all = || self.workloads.iter().flat_map(|workload| &workload.findings);
        let open = |severity| {
            let open = all().filter(|it| it.state == State::Open);
            open.filter(|it| it.finding.severity() == severity).count()
        };
        let of_state = |state| all().filter(|it| it.state == state).count();
        let mended: Vec<_> = self.workloads.iter().filter(|it| it.is_mended_by_label()).collect();
        Summary {
            workloads: self.workloads.len(),
            dropping: self.workloads.iter().filter(|it| it.drops_requests()).count(),
            mended: mended.len(),
            namespaces: mended.into_iter().map(|it| it.namespace.clone()).collect(),
            errors: open(Severity::Error),
            warnings: open(Severity::Warning),
            infos: open(Severity::Info),
            ignored: of_state(State::Ignored),
            known: of_state(State::Known),
        }
    }
}

impl Audited {
    /// Returns the title, such as `Deployment shop/web`, printable.
    pub(super) fn title(&self) -> String {
        let title = format!("{} {}/{}", self.kind, self.namespace, self.name);
        printable(&title, LONGEST_NAME)
    }

    /// Returns the position of the workload in its manifest, such as `file.yaml:3`.
    pub(super) fn file_and_line(&self) -> Option<String> {
        self.place.as_ref().map(|place| format!("{}:{}", place.file, place.line))
    }

    /// Whether it is a pod without a template, which can't be changed while it runs.
    pub(super) fn is_pod(&self) -> bool {
        self.kind == "Pod" && self.api_version == "v1"
    }

    /// Returns the findings that count.
    pub(super) fn open(&self) -> impl Iterator<Item = &Located> {
        self.findings.iter().filter(|it| it.state == State::Open)
    }

    pub(super) fn worst(&self) -> Option<(Severity, Certainty)> {
        self.open().map(|it| (it.finding.severity(), it.finding.certainty)).max()
    }

    /// Whether an ordinary rollout drops requests.
    fn drops_requests(&self) -> bool {
        self.open().any(|it| it.finding.severity() == Severity::Error)
    }

    /// Whether a label on its namespace is enough so that an ordinary rollout drops no requests.
    fn is_mended_by_label(&self) -> bool {
        let mut errors = self.open().filter(|it| it.finding.severity() == Severity::Error);
        self.drops_requests() && errors.all(|it| matches!(it.finding.mend, Some(Mend::Injected(_))))
    }

    pub(super) fn identity(&self, finding: &Finding) -> Identity {
        Identity {
            namespace: self.namespace.clone(),
            kind: self.kind.clone(),
            name: self.name.clone(),
            rule: finding.rule.text().id.to_owned(),
            container: finding.container.clone(),
        }
    }
}

impl Located {
    /// Returns the field of a cluster's object as people write it:
    /// `spec.template.spec.containers[0].image`.
    pub(super) fn field(&self) -> String {
        let mut path = String::new();
        for step in self.finding.pointer.split('/').skip(1) {
            let step = step.replace("~1", "/").replace("~0", "~");
            let is_name = step.bytes().all(|byte| byte.is_ascii_alphanumeric());
            if step.bytes().all(|byte| byte.is_ascii_digit()) {
                let _ = write!(path, "[{step}]");
            } else if is_name {
                path.push_str(if path.is_empty() { "" } else { "." });
                path.push_str(&step);
            } else {
                let _ = write!(path, "[{step:?}]");
            }
        }
        printable(&path, LONGEST_NAME)
    }

    /// Returns the sentence of the rule with the details of this finding; printable, one line.
    pub(super) fn message(&self) -> String {
        let sentence = self.finding.rule.text().sentence;
        if self.finding.detail.is_empty() {
            return sentence.to_owned();
        }
        format!("{sentence} Here: {}.", printable(&self.finding.detail, LONGEST_NAME))
    }

    /// Returns the advice, and how prestop helps.
    pub(super) fn advice(&self) -> String {
        let advice = self.finding.rule.text().advice;
        match &self.finding.mend {
            Some(mend) => format!("{advice} ({mend})"),
            None => advice.to_owned(),
        }
    }
}

impl Identity {
    /// Returns the title, such as `stops-at-once in Deployment shop/web, container web`, printable.
    pub(super) fn title(&self) -> String {
        let Self { namespace, kind, name, rule, container } = self;
        let container = container.as_ref().map(|name| format!(", container {name}"));
        let container = container.unwrap_or_default();
        printable(&format!("{rule} in {kind} {namespace}/{name}{container}"), LONGEST_NAME)
    }
}

impl Summary {
    /// Returns the summary as one line.
    pub(super) fn sentence(&self) -> String {
        let Self { errors, warnings, infos, .. } = self;
        let findings = [(*errors, "error"), (*warnings, "warning"), (*infos, "info")].map(
            |(count, severity)| format!("{count} {severity}{}", if count == 1 { "" } else { "s" }),
        );
        let aside = [(self.ignored, "ignored"), (self.known, "in the baseline")]
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, why)| format!("{count} {why}"));
        let counts: Vec<_> = findings.into_iter().chain(aside).collect();
        format!("{}{} ({})", self.outcome(), self.mended(), counts.join(", "))
    }

    fn outcome(&self) -> String {
        match (self.workloads, self.dropping) {
            (0, _) => "no workloads found".to_owned(),
            (1, 0) => {
                "according to the rules, the workload drops no requests in a rollout".to_owned()
            }
            (workloads, 0) => format!(
                "according to the rules, none of {workloads} workloads drops requests in a rollout"
            ),
            (workloads, dropping) => format!(
                "{dropping} of {workloads} workloads {} requests in a rollout",
                if dropping == 1 { "drops" } else { "drop" }
            ),
        }
    }

    fn mended(&self) -> String {
        let names: Vec<_> = self.namespaces.iter().map(|it| printable(it, LONGEST_NAME)).collect();
        let plural = if names.len() == 1 { "" } else { "s" };
        let names = names.join(", ");
        match self.mended {
            0 => String::new(),
            1 => format!("; labelling the namespace {names} fixes 1 of them"),
            mended => format!("; labelling the namespace{plural} {names} fixes {mended} of them"),
        }
    }
}
