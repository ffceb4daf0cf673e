//! Accepted findings, each with a reason: in an annotation of the workload, or in the
//! configuration.

use serde_json::Value;

use super::subject::Subject;
use super::{Certainty, Finding, Rule};
use crate::engine::settings::IGNORE_ANNOTATION;
use crate::engine::template::Workload;
use crate::nearest::nearest;

/// An entry of the configuration that accepts findings. Fields without a value match everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignore {
    /// The accepted rule.
    pub rule: Rule,
    /// The reason; not empty.
    pub reason: String,
    /// `metadata.namespace`.
    pub namespace: Option<String>,
    /// `kind`.
    pub kind: Option<String>,
    /// `metadata.name`.
    pub name: Option<String>,
}

impl Ignore {
    /// Returns whether the entry accepts findings of this rule in this workload.
    #[must_use]
    pub fn covers(&self, rule: Rule, workload: &Workload<'_>, namespace: &str) -> bool {
        let is = |wanted: Option<&str>, own: &str| wanted.is_none_or(|wanted| wanted == own);
        self.rule == rule
            && is(self.namespace.as_deref(), namespace)
            && is(self.kind.as_deref(), workload.kind)
            && is(self.name.as_deref(), workload.name)
    }
}

/// Marks the accepted findings, and adds findings for entries of annotations that are invalid or
/// accept nothing.
pub(super) fn apply(subject: &Subject<'_>, entries: &[Ignore], found: &mut Vec<Finding>) {
    for finding in found.iter_mut() {
        let entry = entries
            .iter()
            .find(|it| it.covers(finding.rule, subject.workload, &subject.pod.namespace));
        finding.ignored = entry.map(|entry| entry.reason.clone());
    }
    for place in places(subject) {
        if let Some(value) = subject.value(&place).filter(|value| !value.is_null()) {
            annotation(value, &place, found);
        }
    }
}

/// JSON pointers to the annotations of the workload and of its pods.
fn places(subject: &Subject<'_>) -> impl Iterator<Item = String> {
    let place = |object: &str| {
        format!("{object}/metadata/annotations/{}", IGNORE_ANNOTATION.replace('/', "~1"))
    };
    let template = subject.workload.template;
    [place(""), place(template)].into_iter().take(1 + usize::from(!template.is_empty()))
}

fn annotation(value: &Value, place: &str, found: &mut Vec<Finding>) {
    let invalid =
        |detail: String| Subject::finding(Rule::IgnoreNotUsable, Certainty::Certain, place, detail);
    let object = value.as_str().map(serde_json::from_str::<Value>);
    let Some(Ok(Value::Object(entries))) = object else {
        found.push(invalid(
            r#"write a JSON object of rules and reasons, such as {"single-replica": "one leader"}"#
                .to_owned(),
        ));
        return;
    };
    // Annotations can't ignore findings about annotations.
    let count = found.len();
    for (id, reason) in &entries {
        let Some(rule) = Rule::by_id(id) else {
            let near = nearest(id, Rule::ALL.iter().map(|rule| rule.text().id));
            let near = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
            found.push(invalid(format!("there is no rule {id}{near}")));
            continue;
        };
        let Some(reason) = reason.as_str().map(str::trim).filter(|reason| !reason.is_empty())
        else {
            found.push(invalid(format!("{id} has no reason")));
            continue;
        };
        let mut accepts_something = false;
        for finding in found.iter_mut().take(count).filter(|finding| finding.rule == rule) {
            accepts_something = true;
            finding.ignored.get_or_insert_with(|| reason.to_owned());
        }
        if !accepts_something {
            let (rule, certainty) = (Rule::IgnoreStale, Certainty::Certain);
            found.push(Subject::finding(rule, certainty, place, id.as_str()));
        }
    }
}
