//! Why a workload drops requests in rollouts, drains and scale-downs, and how to fix it. Pure:
//! evaluates a workload together with its fronts, budgets and autoscalers, the known facts about its
//! images, and the decision of the engine.
//!
//! - [`rule`]: the rules, one table
//! - [`objects`]: budgets, autoscalers and labels of namespaces
//! - [`ignore`]: findings that somebody has accepted
//! - `subject`: a workload with everything that is known about it
//! - `containers`, `delays`, `sidecars`, `pods`, `rollouts`: the conditions of the rules
//! - `live`: running pods, which may differ from their template
//! - `nodes`: nodes of a cluster
//! - `doubt`: how certain findings are where something could not be read
//! - `removal`: how long pods may take when their node is removed
//! - `mend`: the annotations that mend a finding, found by trying them

mod containers;
mod delays;
mod doubt;
mod live;
mod mend;
mod nodes;
mod pods;
mod removal;
mod rollouts;
mod sidecars;
mod subject;

pub mod ignore;
pub mod objects;
pub mod rule;

use crate::engine::offline;
use crate::engine::settings::NamespaceSettings;
use crate::engine::template::Workload;
use crate::fronts::{FrontDelay, Surroundings, need};
use crate::policy::Policy;

pub use self::ignore::Ignore;
pub use self::live::LivePods;
pub use self::mend::{Annotation, Mend};
pub use self::objects::{Setting, Topic};
pub use self::rule::{Certainty, Needs, Rule, RuleText, Severity};

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
    /// How prestop fixes it, if it does.
    pub mend: Option<Mend>,
    /// Why somebody accepts it, if somebody does.
    pub ignored: Option<String>,
}

/// The context in which workloads are evaluated.
#[derive(Debug)]
pub struct Audit<'s, 't> {
    /// What is around the pods of the input.
    pub around: &'s Surroundings<'t>,
    /// Budgets, autoscalers and labels of namespaces.
    pub setting: &'s Setting,
    /// Rules, images and the version of Kubernetes.
    pub policy: &'s Policy,
    /// For objects that do not say.
    pub namespace: &'s str,
    /// Findings that the configuration ignores.
    pub ignores: &'s [Ignore],
}

impl Audit<'_, 'static> {
    /// The findings of one workload, the worst first. Nothing is said about objects that run to an end.
    #[must_use]
    pub fn workload(&self, workload: &Workload<'_>, namespace: &NamespaceSettings) -> Vec<Finding> {
        self.judged(workload, namespace, None)
    }

    /// The same for a workload with running pods: it is judged by the newest of them, as admission made it.
    #[must_use]
    pub fn running(
        &self,
        workload: &Workload<'_>,
        namespace: &NamespaceSettings,
        pods: &LivePods,
    ) -> Vec<Finding> {
        let Some(object) = pods.admitted(workload.object, workload.template) else {
            return self.judged(workload, namespace, Some(pods));
        };
        let mut found = self.judged(&workload.with_object(&object), namespace, Some(pods));
        for finding in &mut found {
            live::at_template(finding, workload);
        }
        found
    }

    fn judged(
        &self,
        workload: &Workload<'_>,
        namespace: &NamespaceSettings,
        pods: Option<&LivePods>,
    ) -> Vec<Finding> {
        if matches!(workload.kind, "Job" | "CronJob") {
            return Vec::new();
        }
        let pod = workload.pod_shape(self.namespace);
        let fronts = self.around.fronts(&pod);
        let behind = FrontDelay::of(&fronts);
        let decision = offline::decide_behind(workload, namespace, self.policy, behind.as_ref());
        let subject = Subject {
            workload,
            setting: self.setting,
            policy: self.policy,
            need: need(&fronts),
            fronts: &fronts,
            decision: &decision,
            pod: &pod,
            namespace,
            pods,
        };
        let mut found = containers::findings(&subject);
        found.extend(sidecars::findings(&subject));
        found.extend(pods::findings(&subject));
        found.extend(rollouts::findings(&subject));
        found.extend(live::findings(&subject));
        doubt::about_requests(&subject, &mut found);
        doubt::lower(&subject, &mut found);
        if subject.is_injected_at_admission() {
            found = found.into_iter().filter_map(Finding::after_injection).collect();
        }
        ignore::apply(&subject, self.ignores, &mut found);
        found.sort_by_key(|finding| std::cmp::Reverse((finding.severity(), finding.certainty)));
        found
    }
}

impl Finding {
    /// What is left of it when prestop injects the pod.
    fn after_injection(self) -> Option<Self> {
        match &self.mend {
            Some(Mend::Injected(_)) => None,
            Some(Mend::Annotated { injected: Some(injected), .. })
                if self.rule == Rule::StopsAtOnce =>
            {
                let detail = format!("{injected}; {}", self.detail);
                let certainty = self.certainty.min(Certainty::Likely);
                Some(Self { rule: Rule::DelayTooShort, certainty, detail, ..self })
            }
            Some(Mend::Annotated { .. } | Mend::Restarted) | None => Some(self),
        }
    }

    /// How bad it is.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        self.rule.text().severity
    }
}
