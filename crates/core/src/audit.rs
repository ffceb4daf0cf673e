//! Why a workload drops requests when it rolls, is drained or scaled down, and what mends it. Pure: it joins
//! a workload with its fronts, its budgets and autoscalers, what is known about its images, and the
//! decision of the engine.
//!
//! - [`rule`]: the rules, one table
//! - [`objects`]: budgets, autoscalers and labels of namespaces
//! - `subject`: a workload with everything that is known about it
//! - `containers`, `pods`, `rollouts`: the conditions of the rules

mod containers;
mod pods;
mod rollouts;
mod subject;

pub mod objects;
pub mod rule;

use std::fmt;

use crate::engine::offline;
use crate::engine::settings::NamespaceSettings;
use crate::engine::template::Workload;
use crate::fronts::{PodShape, Search, need};
use crate::policy::Policy;

pub use self::objects::Setting;
pub use self::rule::{Certainty, Rule, RuleText, Severity};

use self::subject::Subject;

/// Something that makes a workload drop requests, or may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which rule.
    pub rule: Rule,
    /// How it is known.
    pub certainty: Certainty,
    /// The container, for rules about one.
    pub container: Option<String>,
    /// JSON pointer to the field of the workload that it is about; it need not be there.
    pub pointer: String,
    /// What exactly; may be empty.
    pub detail: String,
    /// How prestop mends it, if it does.
    pub mend: Option<Mend>,
}

/// How prestop mends a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mend {
    /// By itself, in a namespace that is labelled for it.
    Injected(String),
    /// With an annotation of the pod template: what is injected without it, and the annotation.
    Annotated(String, String),
}

/// What workloads are held against.
#[derive(Debug)]
pub struct Audit<'s, 't> {
    /// The fronts of the input.
    pub search: Search<'s, 't>,
    /// Budgets, autoscalers and labels of namespaces.
    pub setting: &'s Setting,
    /// Rules, images and the version of Kubernetes.
    pub policy: &'s Policy,
    /// For objects that do not say.
    pub namespace: &'s str,
}

impl Audit<'_, '_> {
    /// The findings of one workload, the worst first. Nothing is said about objects that run to an end.
    #[must_use]
    pub fn workload(&self, workload: &Workload<'_>, namespace: &NamespaceSettings) -> Vec<Finding> {
        if matches!(workload.kind, "Job" | "CronJob") {
            return Vec::new();
        }
        let pod = PodShape::of(workload, self.namespace);
        let fronts = self.search.fronts(&pod);
        let decision = offline::decide(workload, namespace, self.policy);
        let subject = Subject {
            workload,
            setting: self.setting,
            policy: self.policy,
            need: need(&fronts),
            fronts: &fronts,
            decision: &decision,
            pod: &pod,
        };
        let mut found = containers::findings(&subject);
        found.extend(pods::findings(&subject));
        found.extend(rollouts::findings(&subject));
        if fronts.is_empty() {
            for finding in found.iter_mut().filter(|finding| finding.rule.needs_requests()) {
                finding.certainty = Certainty::Possible;
            }
        }
        if subject.is_injected_at_admission() {
            found = found.into_iter().filter_map(Finding::after_injection).collect();
        }
        found.sort_by_key(|finding| std::cmp::Reverse((finding.severity(), finding.certainty)));
        found
    }
}

impl Finding {
    /// What is left of it when prestop injects the pod.
    fn after_injection(self) -> Option<Self> {
        match &self.mend {
            Some(Mend::Injected(_)) => None,
            Some(Mend::Annotated(injected, _)) => {
                let detail = format!("{injected}; {}", self.detail);
                let certainty = self.certainty.min(Certainty::Likely);
                Some(Self { rule: Rule::DelayTooShort, certainty, detail, ..self })
            }
            None => Some(self),
        }
    }

    /// How bad it is.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        self.rule.text().severity
    }
}

impl fmt::Display for Mend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Injected(what) => f.write_str(what),
            Self::Annotated(what, annotation) => {
                write!(f, "{what}, which is too short here; annotate {annotation}")
            }
        }
    }
}
