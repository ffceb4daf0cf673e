//! Certainty of findings if it is not known that anything sends requests, or if objects of a
//! cluster could not be read.

use super::objects::Topic;
use super::subject::{Subject, text};
use super::{Certainty, Finding, Mend, Rule};

/// Limits findings about requests to `Possible` if it is not known that anything sends any.
pub(super) fn about_requests(subject: &Subject<'_>, found: &mut [Finding]) {
    let is_doubted = subject.fronts.is_empty() || subject.is_only_scraped();
    let scraped = subject.containers().filter(|(_, container)| subject.is_scraped(container));
    let scraped: Vec<_> = scraped.filter_map(|(_, container)| text(&container.name)).collect();
    for finding in found.iter_mut().filter(|finding| finding.rule.needs_requests()) {
        let of = finding.container.as_deref();
        if is_doubted || of.is_some_and(|name| scraped.contains(&name)) {
            finding.certainty = Certainty::Possible;
        }
    }
}

/// Lowers the certainty of findings that depend on objects that could not be read.
pub(super) fn lower(subject: &Subject<'_>, found: &mut [Finding]) {
    for finding in found {
        for (topic, certainty) in limits(subject, finding) {
            if subject.setting.lacks(topic) {
                finding.certainty = finding.certainty.min(certainty);
            }
        }
    }
}

/// Highest certainty of a finding if the objects of a topic could not be read, for each topic it
/// depends on.
fn limits(subject: &Subject<'_>, finding: &Finding) -> Vec<(Topic, Certainty)> {
    let mut limits = match finding.rule {
        Rule::NoBudget => {
            vec![(Topic::Budgets, Certainty::Possible), (Topic::Autoscalers, Certainty::Likely)]
        }
        Rule::SingleReplica | Rule::AllAtOnce | Rule::BudgetBlocks => {
            vec![(Topic::Autoscalers, Certainty::Likely)]
        }
        Rule::DelayTooShort | Rule::LocalPolicy | Rule::NewPodsTooEarly => {
            vec![(Topic::Routes, Certainty::Likely)]
        }
        _ => Vec::new(),
    };
    // An admission webhook may have changed the container's hook.
    if finding.container.is_some() && subject.pods.is_none() {
        limits.push((Topic::Pods, Certainty::Likely));
        // The label may exist; without reading it or a pod, it is not known whether the finding is fixed.
        if finding.mend.as_ref().is_some_and(is_by_label) && subject.setting.lacks(Topic::Pods) {
            limits.push((Topic::Namespaces, Certainty::Possible));
        }
    }
    limits
}

const fn is_by_label(mend: &Mend) -> bool {
    match mend {
        Mend::Injected(_) => true,
        Mend::Annotated { injected, .. } => injected.is_some(),
        Mend::Restarted => false,
    }
}
