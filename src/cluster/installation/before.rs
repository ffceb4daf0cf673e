//! Checks before an installation: whether prestop can be installed, and possible conflicts. Pure:
//! `commands::check` reads the cluster.

use super::{Check, Right, fronts, rights, texts};
use crate::cluster::api::objects::{
    LabelSelector, MutatingWebhook, MutatingWebhookConfiguration, Pod,
};
use crate::cluster::fronts::KINDS;

/// The namespace of the installation in the documentation.
pub(crate) const NAMESPACE: &str = "prestop-system";
/// The name of the release in the documentation, and of the chart's objects.
pub(crate) const NAME: &str = "prestop";
/// Maximum number of names in a message.
const MOST_NAMES: usize = 8;

/// Objects that the chart creates by default: group, resource, and whether they are in the release's namespace.
const CREATED: [(&str, &str, bool); 11] = [
    ("", "serviceaccounts", true),
    ("", "secrets", true),
    ("", "configmaps", true),
    ("", "services", true),
    ("apps", "deployments", true),
    ("policy", "poddisruptionbudgets", true),
    ("rbac.authorization.k8s.io", "roles", true),
    ("rbac.authorization.k8s.io", "rolebindings", true),
    ("rbac.authorization.k8s.io", "clusterroles", false),
    ("rbac.authorization.k8s.io", "clusterrolebindings", false),
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations", false),
];

/// Returns the rights that a user needs to install the chart with its defaults in this namespace.
#[must_use]
pub(crate) fn installers_rights(namespace: &str) -> Vec<Right> {
    let created = CREATED.map(|(group, resource, is_namespaced)| Right {
        verb: "create",
        group,
        resource,
        name: None,
        namespace: is_namespaced.then(|| namespace.to_owned()),
    });
    // Kubernetes does not let users grant rights that they do not have.
    let arguments = ["--cluster".to_owned(), format!("--authority-secret={NAME}-authority")];
    let granted = rights(&arguments, NAME, namespace).into_iter().chain(fronts::rights(&KINDS));
    created.into_iter().chain(granted).collect()
}

/// Reports the rights that the user lacks.
#[must_use]
pub(crate) fn missing_rights(namespace: &str, missing: &[Right]) -> Check {
    let id = "installer-rights";
    if missing.is_empty() {
        return Check::ok(id, format!("you have all rights to install prestop in {namespace}"));
    }
    Check::failure(
        id,
        format!("you lack rights to install prestop in {namespace}: {}", texts(missing)),
        "ask an administrator of the cluster for these rights, or to install it",
    )
}

/// Checks the namespace of the installation.
#[must_use]
pub(crate) fn namespace(name: &str, is_there: bool) -> Check {
    let id = "installation-namespace";
    if is_there {
        return Check::ok(id, format!("the namespace {name} exists"));
    }
    Check::ok(
        id,
        format!("the namespace {name} does not exist yet: use helm install --create-namespace"),
    )
}

/// Checks for webhook configurations that conflict or interact with prestop.
#[must_use]
pub(crate) fn others(all: &[MutatingWebhookConfiguration], entry: &str) -> Vec<Check> {
    let mut checks = Vec::new();
    let is_ours =
        |it: &&MutatingWebhookConfiguration| it.webhooks.iter().any(|it| it.name == entry);
    let ours: Vec<_> = all.iter().filter(is_ours).map(name).collect();
    if ours.is_empty() {
        checks.push(Check::ok("not-installed", "prestop is not installed yet"));
    } else {
        checks.push(Check::warning(
            "not-installed",
            format!("prestop is already installed: webhook configuration {}", some(&ours)),
            "run prestop check without --pre; use helm upgrade to change that installation; a second \
             one must select other namespaces (webhook.namespaceSelector)",
        ));
    }
    let others = || all.iter().filter(|it| !is_ours(it));
    if others().any(|it| it.metadata.name == NAME) {
        checks.push(Check::failure(
            "name-taken",
            format!("the webhook configuration {NAME} exists, but is not prestop's"),
            "choose another release name, or set fullnameOverride in the chart's values",
        ));
    }
    let of_pods = |it: &&MutatingWebhookConfiguration| it.webhooks.iter().any(takes_pods);
    let blocking: Vec<_> = others()
        .filter(|it| it.webhooks.iter().any(|it| takes_pods(it) && blocks_everything(it)))
        .map(name)
        .collect();
    if !blocking.is_empty() {
        checks.push(Check::warning(
            "blocking-webhooks",
            format!("{} must answer before any pod is created (failurePolicy: Fail, no selector)", some(&blocking)),
            "while it is down, prestop's own pods cannot be created either; exclude the namespace of \
             prestop in its namespaceSelector",
        ));
    }
    let names: Vec<_> = others().filter(of_pods).map(name).collect();
    let message = if names.is_empty() {
        "no other webhook changes pods".to_owned()
    } else {
        format!(
            "other webhooks that change pods: {}; prestop is called again after them \
             (reinvocationPolicy: IfNeeded)",
            some(&names)
        )
    };
    checks.push(Check::ok("other-webhooks", message));
    checks
}

/// Checks the pod that the API server returned for the dry run, while prestop is not installed.
#[must_use]
pub(crate) fn canary(namespace: &str, pod: &Pod) -> Check {
    let id = "other-hooks";
    let mut lifecycles = pod.spec.containers.iter().filter_map(|it| it.lifecycle.as_ref());
    if lifecycles.any(|lifecycle| lifecycle.pre_stop.is_some()) {
        return Check::warning(
            id,
            format!("a pod in {namespace} already gets a preStop hook (server-side dry run)"),
            "another webhook or a MutatingAdmissionPolicy injects hooks; prestop skips containers \
             that have a hook, so remove the other one first",
        );
    }
    Check::ok(
        id,
        format!("nothing else injects preStop hooks in {namespace} (server-side dry run)"),
    )
}

/// Whether the webhook is called when a pod is created.
pub(super) fn takes_pods(webhook: &MutatingWebhook) -> bool {
    webhook.rules.iter().any(|rule| {
        let has = |list: &[String], word: &str| list.iter().any(|it| it == word || it == "*");
        has(&rule.operations, "CREATE") && has(&rule.api_groups, "") && {
            let mut resources = rule.resources.iter();
            resources.any(|it| matches!(it.as_str(), "pods" | "pods/*" | "*" | "*/*"))
        }
    })
}

fn blocks_everything(webhook: &MutatingWebhook) -> bool {
    let is_empty = |selector: Option<&LabelSelector>| {
        selector.is_none_or(|it| it.match_labels.is_empty() && it.match_expressions.is_empty())
    };
    webhook.failure_policy.as_deref() != Some("Ignore")
        && is_empty(webhook.namespace_selector.as_ref())
        && is_empty(webhook.object_selector.as_ref())
}

pub(super) fn name(configuration: &MutatingWebhookConfiguration) -> &str {
    &configuration.metadata.name
}

/// Joins the names with commas; the last ones of a long list become `...`.
pub(super) fn some(names: &[&str]) -> String {
    let shown: Vec<_> = names.iter().take(MOST_NAMES).copied().collect();
    let more = if names.len() > MOST_NAMES { ", ..." } else { "" };
    format!("{}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::installation::Status;

    const ENTRY: &str = "pods.prestop.dev";

    fn configuration(name: &str, webhook: &Value) -> MutatingWebhookConfiguration {
        let mut webhook = webhook.clone();
        webhook["name"] = json!(webhook.get("name").cloned().unwrap_or_else(|| json!("x.example")));
        let whole = json!({"metadata": {"name": name}, "webhooks": [webhook]});
        serde_json::from_value(whole).unwrap()
    }

    fn statuses(all: &[MutatingWebhookConfiguration]) -> Vec<(&'static str, Status)> {
        others(all, ENTRY).into_iter().map(|it| (it.id, it.status)).collect()
    }

    fn pods(more: &Value) -> Value {
        let mut webhook = json!({"rules": [{"operations": ["CREATE"], "apiGroups": [""], "resources": ["pods"]}]});
        webhook.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        webhook
    }

    /// Every object of the chart with its defaults, and nothing else.
    #[test]
    fn the_rights_are_those_for_the_objects_of_the_chart() {
        let manifest = include_str!("../../../charts/manifests/install.yaml");
        let created: BTreeSet<_> = manifest
            .lines()
            .filter_map(|line| line.strip_prefix("kind: "))
            .filter(|kind| *kind != "Namespace")
            .map(|kind| format!("{}s", kind.to_lowercase()))
            .collect();
        let known: BTreeSet<_> =
            CREATED.iter().map(|(_, resource, _)| (*resource).to_owned()).collect();
        assert_eq!(known, created);
        let needed = installers_rights("shop");
        assert!(
            needed.iter().any(|it| it.verb == "patch" && it.name.as_deref() == Some("prestop"))
        );
        let told = missing_rights("shop", &needed[8..9]);
        assert_eq!(told.status, Status::Failure);
        assert!(told.message.contains("create clusterroles"), "{}", told.message);
        assert_eq!(missing_rights("shop", &[]).status, Status::Ok);
        // The rights that the chart's role grants with its defaults.
        let fronts = |verb| needed.iter().any(|it| it.verb == verb && it.resource == "ingresses");
        assert!(fronts("list") && fronts("watch"));
    }

    #[test]
    fn possible_conflicts_are_reported() {
        let ok = [("not-installed", Status::Ok), ("other-webhooks", Status::Ok)];
        assert_eq!(statuses(&[]), ok);
        let ours = configuration("shop-prestop", &pods(&json!({"name": ENTRY})));
        let told = others(&[ours], ENTRY);
        assert_eq!(told[0].status, Status::Warning);
        assert!(told[0].message.ends_with("webhook configuration shop-prestop"), "{told:?}");
        assert_eq!(told[1].message, "no other webhook changes pods");
        let taken = configuration("prestop", &json!({}));
        assert_eq!(statuses(&[taken])[1], ("name-taken", Status::Failure));
        let selected = configuration(
            "mesh",
            &pods(&json!({"namespaceSelector": {"matchLabels": {"mesh": "on"}}})),
        );
        assert_eq!(statuses(std::slice::from_ref(&selected)), ok);
        let told = others(&[selected], ENTRY);
        assert!(told[1].message.starts_with("other webhooks that change pods: mesh;"), "{told:?}");
    }

    #[test]
    fn a_webhook_that_every_pod_needs_is_reported() {
        for (more, is_blocking) in [
            (json!({}), true),
            (json!({"failurePolicy": "Fail", "objectSelector": {}}), true),
            (json!({"failurePolicy": "Ignore"}), false),
            (json!({"objectSelector": {"matchLabels": {"a": "b"}}}), false),
            (
                json!({"rules": [{"operations": ["*"], "apiGroups": ["*"], "resources": ["*/*"]}]}),
                true,
            ),
            (
                json!({"rules": [{"operations": ["UPDATE"], "apiGroups": [""], "resources": ["pods"]}]}),
                false,
            ),
            (
                json!({"rules": [{"operations": ["CREATE"], "apiGroups": ["apps"], "resources": ["*"]}]}),
                false,
            ),
            (
                json!({"rules": [{"operations": ["CREATE"], "apiGroups": [""], "resources": ["pods/*"]}]}),
                true,
            ),
            (json!({"rules": null}), false),
        ] {
            let found = statuses(&[configuration("other", &pods(&more))]);
            let is_told = found.contains(&("blocking-webhooks", Status::Warning));
            assert_eq!(is_told, is_blocking, "{more}");
        }
    }

    #[test]
    fn a_hook_that_something_else_injects_is_reported() {
        let pod = |lifecycle: Value| {
            let pod = json!({"spec": {"containers": [{"lifecycle": lifecycle}]}});
            canary("default", &serde_json::from_value(pod).unwrap()).status
        };
        assert_eq!(pod(json!({"preStop": {"sleep": {"seconds": 5}}})), Status::Warning);
        assert_eq!(pod(json!({"postStart": {}})), Status::Ok);
        assert_eq!(pod(Value::Null), Status::Ok);
    }
}
