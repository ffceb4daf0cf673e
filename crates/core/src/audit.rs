//! Finds out why a workload drops requests in rollouts, drains and scale-downs, and how to fix it.
//! Pure: evaluates a workload together with its fronts, budgets and autoscalers, the known facts
//! about its images, and the decision of the engine.
//!
//! - [`rule`]: the rules, one table
//! - [`objects`]: budgets, autoscalers and labels of namespaces
//! - [`ignore`]: accepted findings
//! - `subject`: a workload with all known facts about it
//! - `containers`, `delays`, `sidecars`, `pods`, `rollouts`: the conditions of the rules
//! - `live`: running pods, which may differ from their template
//! - `nodes`: nodes of a cluster
//! - `doubt`: certainty of findings if something could not be read
//! - `removal`: maximum time for pods when their node is removed
//! - `mend`: the annotations that fix a finding, found by trial

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

/// A reason why a workload drops requests, or may drop some.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The violated rule.
    pub rule: Rule,
    /// How certain the finding is.
    pub certainty: Certainty,
    /// Name of the container, for rules about a container.
    pub container: Option<String>,
    /// JSON pointer to the field of the workload that causes the finding; the field may be absent.
    pub pointer: String,
    /// Details of this occurrence; may be empty.
    pub detail: String,
    /// How prestop fixes the finding, if it does.
    pub mend: Option<Mend>,
    /// The reason why the finding is accepted, if it is.
    pub ignored: Option<String>,
}

/// The context in which workloads are evaluated.
#[derive(Debug)]
pub struct Audit<'s, 't> {
    /// Services and other objects around the pods of the input.
    pub around: &'s Surroundings<'t>,
    /// Budgets, autoscalers and labels of namespaces.
    pub setting: &'s Setting,
    /// Rules, images and the version of Kubernetes.
    pub policy: &'s Policy,
    /// Namespace for objects without `metadata.namespace`.
    pub namespace: &'s str,
    /// Findings that the configuration ignores.
    pub ignores: &'s [Ignore],
}

impl Audit<'_, 'static> {
    /// Returns the findings of one workload, the most severe first. Workloads that run to
    /// completion have none.
    #[must_use]
    pub fn workload(&self, workload: &Workload<'_>, namespace: &NamespaceSettings) -> Vec<Finding> {
        self.judged(workload, namespace, None)
    }

    /// Returns the findings of a workload with running pods. They are based on the newest of these
    /// pods, as admission changed it.
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
    /// What remains of the finding if prestop injects the pod.
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

    /// Severity of the finding's rule.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        self.rule.text().severity
    }
}
