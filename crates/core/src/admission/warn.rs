//! Warnings shown when a workload is applied: the findings of `prestop audit` that need no other
//! objects. The answer always allows the request.

use serde_json::{Value, json};

use super::answer::{self, Answer, Audit as AuditAnnotations};
use super::{LARGEST_STORED_BYTES, Namespaces, Operation, Refusal, read};
use crate::audit::{Audit, Finding, Rule, Setting};
use crate::engine::settings::INJECT_LABEL;
use crate::engine::template;
use crate::fronts::{FrontTable, Surroundings};
use crate::policy::Policy;

/// One answered review of a workload, for logs and counters.
#[derive(Debug)]
pub struct Warned<'a> {
    /// The review's uid.
    pub uid: &'a str,
    /// The operation on the object.
    pub operation: Operation,
    /// The namespace of the request; empty if there is none.
    pub namespace: &'a str,
    /// `kind` of the object; empty if it is not a workload.
    pub kind: &'a str,
    /// Name of the object; may be empty.
    pub name: &'a str,
    /// Whether the request is a dry run: nothing will be stored.
    pub is_dry_run: bool,
    /// The rules of the findings, the most severe first, repeated for each occurrence.
    pub rules: &'a [Rule],
}

/// Answers a review of a workload. `observe` is called once with the findings, before the answer is sent.
///
/// # Errors
/// Returns an error if the body is not JSON in UTF-8 or has no uid; the API server sends neither.
pub fn warn(
    body: &[u8],
    namespaces: &dyn Namespaces,
    policy: &Policy,
    observe: &mut dyn FnMut(&Warned<'_>),
) -> Result<Vec<u8>, Refusal> {
    let (text, review) = read(body)?;
    let (request, uid) = review.request_with_uid().ok_or(Refusal::NoUid)?;
    let namespace = request.namespace.value().map_or("", AsRef::as_ref);
    let is_read = review.is_known() && request.is_write_of_whole_object();
    let object = if is_read { object_of(text) } else { Value::Null };
    let findings = findings(&object, namespace, namespaces, policy);
    let word = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
    let name = request.name.value().map_or("", AsRef::as_ref);
    let rules: Vec<_> = findings.iter().map(|finding| finding.rule).collect();
    observe(&Warned {
        uid,
        operation: request.operation(),
        namespace,
        kind: word("kind"),
        name,
        is_dry_run: request.dry_run.value() == Some(&true),
        rules: &rules,
    });
    let answer = Answer {
        api_version: review.answer_version(),
        uid,
        patch: None,
        warnings: answer::bounded(findings.iter().map(told).collect(), "prestop audit"),
        audit: AuditAnnotations::warned(!findings.is_empty()),
    };
    Ok(answer.to_json())
}

/// Returns the object in its new state. As a tree, it takes several times the memory of its text,
/// so a body larger than the largest object that could be stored is not parsed.
fn object_of(text: &str) -> Value {
    if text.len() > LARGEST_STORED_BYTES {
        return Value::Null;
    }
    let mut review: Value = serde_json::from_str(text).unwrap_or_default();
    review.pointer_mut("/request/object").map(Value::take).unwrap_or_default()
}

/// The findings for a workload without an owner, except those that its annotation ignores.
fn findings(
    object: &Value,
    namespace: &str,
    namespaces: &dyn Namespaces,
    policy: &Policy,
) -> Vec<Finding> {
    let settings = namespaces.settings(namespace).unwrap_or_default();
    let mut setting = Setting::default();
    if settings.is_enabled() {
        let labels = json!({"metadata": {"name": namespace, "labels": {INJECT_LABEL: "enabled"}}});
        setting.add("v1", "Namespace", &labels, "");
    }
    let around = Surroundings::new(FrontTable::built_in(), namespace);
    let audit = Audit { around: &around, setting: &setting, policy, namespace, ignores: &[] };
    let workloads = template::workloads(object, &[]).into_iter();
    // Bare pods are rarely applied, and the webhook for pods already warns about them.
    let workloads = workloads.filter(|workload| workload.aside.is_none() && workload.kind != "Pod");
    let found = workloads.flat_map(|workload| audit.workload(&workload, &settings));
    found.filter(is_told).collect()
}

fn is_told(finding: &Finding) -> bool {
    finding.rule.warns_at_apply() && finding.ignored.is_none()
}

fn told(finding: &Finding) -> String {
    let text = finding.rule.text();
    match &finding.container {
        Some(container) => answer::warning(&format!("{}: {container}", text.id), text.sentence),
        None => answer::warning(text.id, text.sentence),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::settings::NamespaceSettings;

    struct Labelled(&'static str);

    impl Namespaces for Labelled {
        fn settings(&self, _: &str) -> Option<Arc<NamespaceSettings>> {
            let label = (!self.0.is_empty()).then_some((INJECT_LABEL, self.0));
            Some(Arc::new(NamespaceSettings::read(label, [])))
        }
    }

    fn deployment() -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
            "spec": {
                "selector": {}, "strategy": {"type": "Recreate"},
                "template": {"spec": {"containers": [
                    {"name": "web", "image": "registry.example/shop:1", "ports": [{"containerPort": 80}]},
                ]}},
            },
        })
    }

    fn review(object: &Value) -> Value {
        json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {
                "uid": "u", "operation": "UPDATE", "namespace": "shop", "name": "web",
                "kind": {"group": "apps", "version": "v1", "kind": "Deployment"},
                "resource": {"group": "apps", "version": "v1", "resource": "deployments"},
                "object": object,
            },
        })
    }

    /// Returns the warnings, and the ids of the rules that `observe` received.
    fn warnings(review: &Value, label: &'static str) -> (Vec<String>, Vec<&'static str>) {
        let mut rules = Vec::new();
        let policy = Policy::built_in();
        let answer =
            warn(review.to_string().as_bytes(), &Labelled(label), &policy, &mut |warned| {
                rules.extend(warned.rules.iter().map(|rule| rule.text().id));
            });
        let answer: Value = serde_json::from_slice(&answer.unwrap()).unwrap();
        assert_eq!(answer["response"]["allowed"], true);
        assert_eq!(answer["response"]["uid"], "u");
        assert!(answer["response"].get("patch").is_none());
        (serde_json::from_value(answer["response"]["warnings"].clone()).unwrap_or_default(), rules)
    }

    #[test]
    fn findings_of_a_workload_are_reported_by_rule() {
        let (told, rules) = warnings(&review(&deployment()), "");
        assert_eq!(rules, ["stops-at-once", "not-ready-checked", "recreate"]);
        assert_eq!(told.len(), 3);
        assert!(told[0].starts_with("prestop: stops-at-once: web: The container gets"), "{told:?}");
        assert!(told.iter().all(|warning| warning.len() <= 120 && warning.is_ascii()), "{told:?}");
    }

    #[test]
    fn findings_that_prestop_fixes_are_not_reported() {
        assert_eq!(
            warnings(&review(&deployment()), "enabled").1,
            ["not-ready-checked", "recreate"]
        );
    }

    #[test]
    fn ignored_findings_are_not_reported() {
        let mut accepted = deployment();
        accepted["metadata"]["annotations"] =
            json!({"audit.prestop.dev/ignore": r#"{"recreate": "one writer"}"#});
        assert!(!warnings(&review(&accepted), "").1.contains(&"recreate"));
    }

    #[test]
    fn nothing_else_is_reported() {
        let mut owned = deployment();
        owned["metadata"]["ownerReferences"] =
            json!([{"apiVersion": "x/v1", "kind": "Shop", "name": "x", "controller": true}]);
        let mut job = deployment();
        job["kind"] = json!("CronJob");
        let mut of_status = review(&deployment());
        of_status["request"]["subResource"] = json!("status");
        let mut deletion = review(&deployment());
        deletion["request"]["operation"] = json!("DELETE");
        let mut large = deployment();
        large["metadata"]["annotations"] = json!({"x": "y".repeat(LARGEST_STORED_BYTES)});
        let unknown = json!({"kind": 7, "spec": []});
        for quiet in
            [review(&owned), review(&job), of_status, deletion, review(&large), review(&unknown)]
        {
            assert_eq!(warnings(&quiet, "").0, Vec::<String>::new());
        }
    }

    #[test]
    fn at_most_five_warnings_are_given() {
        let container = deployment()["spec"]["template"]["spec"]["containers"][0].clone();
        let containers: Vec<_> = (0..20)
            .map(|number| {
                let mut container = container.clone();
                container["name"] = json!(format!("c{number}"));
                container
            })
            .collect();
        let mut many = deployment();
        many["spec"]["template"]["spec"]["containers"] = json!(containers);
        let (told, rules) = warnings(&review(&many), "");
        assert_eq!((told.len(), rules.len()), (5, 22));
        assert_eq!(told[4], "prestop: 18 more problems; prestop audit lists all of them");
    }
}
