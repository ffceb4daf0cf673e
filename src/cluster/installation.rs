//! Checks whether an installation works, by the objects that were read from the cluster: each check
//! is one sentence, with advice if there is a problem. Pure: `commands::check` reads.

pub(crate) mod before;
pub(crate) mod fronts;
pub(crate) mod order;
pub(crate) mod warnings;

use std::time::{Duration, SystemTime};

use prestop_core::engine::settings::STATUS_ANNOTATION;
use prestop_core::policy::KubernetesVersion;
use serde::Serialize;
use serde_json::{Value, json};

use crate::cluster::api::objects::{Deployment, LabelSelector, MutatingWebhook, Pod};
use crate::cluster::certificates::certificates_in;

/// Time before its expiry from which a certificate is reported.
const SOON: Duration = Duration::from_secs(30 * 86_400);
/// Maximum timeout of the webhook without a warning: while it is down, every new pod takes that
/// much longer.
const LONGEST_TIMEOUT_SECONDS: i32 = 5;
/// The oldest Kubernetes version in which prestop's own pods can have a sleep action.
const OLDEST: KubernetesVersion = KubernetesVersion { major: 1, minor: 30 };

const STOP_SIGNAL: &str = "stop-signal";

/// Result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// There is no problem.
    Ok,
    /// It works with a risk, or could not be checked.
    Warning,
    /// It keeps pods from getting their hooks, or could refuse objects of users.
    Failure,
}

/// A check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Check {
    /// The name, for machines.
    pub id: &'static str,
    /// The result.
    pub status: Status,
    /// The result as one sentence.
    pub message: String,
    /// Advice, if there is a problem.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

/// A right that the installation needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Right {
    /// The verb.
    pub verb: &'static str,
    /// The API group; empty for the core group.
    pub group: &'static str,
    /// The resource: the kind in lower case and plural.
    pub resource: &'static str,
    /// Name of the object, if the right is for one object.
    pub name: Option<String>,
    /// The namespace, if the right is for one namespace.
    pub namespace: Option<String>,
}

impl Right {
    /// Returns the attributes for an access review.
    #[must_use]
    pub(crate) fn attributes(&self) -> Value {
        let Self { verb, group, resource, name, namespace } = self;
        json!({
            "verb": verb, "group": group, "resource": resource, "name": name, "namespace": namespace,
        })
    }
}

impl Check {
    /// Creates a check without a problem.
    #[must_use]
    pub(crate) fn ok(id: &'static str, message: impl Into<String>) -> Self {
        Self { id, status: Status::Ok, message: message.into(), advice: None }
    }

    /// Creates a warning.
    #[must_use]
    pub(crate) fn warning(
        id: &'static str,
        message: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        let advice = Some(advice.into());
        Self { id, status: Status::Warning, message: message.into(), advice }
    }

    /// Creates a failure.
    #[must_use]
    pub(crate) fn failure(
        id: &'static str,
        message: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        let advice = Some(advice.into());
        Self { id, status: Status::Failure, message: message.into(), advice }
    }
}

/// Checks the API server's version.
#[must_use]
pub(crate) fn version(version: KubernetesVersion) -> Check {
    let id = "kubernetes-version";
    if version < OLDEST {
        return Check::failure(
            id,
            format!("the API server is {version}, older than {OLDEST}"),
            "upgrade the cluster; until then, inject manifests with `prestop inject --kubernetes-version`",
        );
    }
    let form = if version >= KubernetesVersion::EVERY_KUBELET_SLEEPS {
        "delays use the native sleep action"
    } else {
        "delays run the sleep program of the image"
    };
    Check::ok(id, format!("the API server is {version}: {form}"))
}

/// Checks the webhook configuration, except its certificate.
#[must_use]
pub(crate) fn webhook(name: &str, webhook: &MutatingWebhook) -> Vec<Check> {
    let mut checks = vec![Check::ok(
        "webhook-configuration",
        format!("the webhook configuration {name} exists"),
    )];
    if webhook.failure_policy.as_deref() != Some("Ignore") {
        checks.push(Check::warning(
            "failure-policy",
            "failurePolicy is Fail: no selected pod can be created while prestop does not answer",
            "set webhook.failurePolicy: Ignore in the chart's values",
        ));
    }
    let timeout = webhook.timeout_seconds.unwrap_or(10);
    if timeout > LONGEST_TIMEOUT_SECONDS {
        checks.push(Check::warning(
            "timeout",
            format!("API servers wait {timeout} s for prestop: creating a pod takes that much longer while it is down"),
            "set webhook.timeoutSeconds: 2 in the chart's values",
        ));
    }
    checks
}

/// Checks the certificates that API servers trust, as PEM.
#[must_use]
pub(crate) fn bundle(pem: &[u8], now: SystemTime) -> Check {
    let id = "ca-bundle";
    let look = "see `prestop certificates status` and the log of prestop; with cert-manager, of its injector";
    let certificates = certificates_in(pem);
    let Some(last) = certificates.iter().map(|known| known.validity.not_after).max() else {
        let what = if pem.is_empty() { "empty" } else { "not a certificate" };
        return Check::failure(
            id,
            format!("caBundle is {what}: API servers can't connect to prestop"),
            look,
        );
    };
    if last <= now {
        return Check::failure(id, "every certificate in caBundle has expired", look);
    }
    if !certificates.iter().any(|known| known.validity.holds(now)) {
        return Check::failure(id, "no certificate in caBundle is valid now", look);
    }
    let days = last.duration_since(now).unwrap_or_default().as_secs() / 86_400;
    let count = certificates.len();
    let message =
        format!("caBundle has {count} certificate(s); the last one expires in {days} days");
    if last < now + SOON { Check::warning(id, message, look) } else { Check::ok(id, message) }
}

/// Checks the pods behind the Service.
#[must_use]
pub(crate) fn replicas(deployments: &[Deployment]) -> Check {
    let id = "replicas";
    let ready: i32 = deployments.iter().map(|it| it.status.ready_replicas).sum();
    let wanted: i32 = deployments.iter().map(|it| it.spec.replicas).sum();
    match ready {
        0 => Check::failure(
            id,
            format!("none of {wanted} replicas is ready"),
            "see `kubectl describe` of the pods and `/readyz?verbose` of their port 10251",
        ),
        1 => Check::warning(
            id,
            format!("1 of {wanted} replicas is ready"),
            "run two or more: pods that are created while the only replica restarts get no hook",
        ),
        _ => Check::ok(id, format!("{ready} of {wanted} replicas are ready")),
    }
}

/// Checks the namespaces that the webhook's selector matches.
#[must_use]
pub(crate) fn namespaces(selected: &[String]) -> Check {
    let id = "namespaces";
    match selected {
        [] => Check::warning(
            id,
            "no namespace is opted in: nothing is injected",
            "kubectl label namespace NAME prestop.dev/inject=enabled",
        ),
        [one] => Check::ok(id, format!("1 namespace is opted in: {one}")),
        [first, ..] if selected.len() > 5 => {
            Check::ok(id, format!("{} namespaces are opted in, such as {first}", selected.len()))
        }
        all => Check::ok(id, format!("{} namespaces are opted in: {}", all.len(), all.join(", "))),
    }
}

/// Checks the pod that the API server returned for the dry run.
#[must_use]
pub(crate) fn canary(namespace: &str, pod: &Pod) -> Check {
    let id = "injection";
    let has_status = pod
        .metadata
        .annotations
        .as_ref()
        .is_some_and(|annotations| annotations.contains_key(STATUS_ANNOTATION));
    let mut lifecycles = pod.spec.containers.iter().filter_map(|it| it.lifecycle.as_ref());
    let has_hook = lifecycles.any(|lifecycle| lifecycle.pre_stop.is_some());
    if has_status && has_hook {
        return Check::ok(id, format!("a pod in {namespace} gets a hook (server-side dry run)"));
    }
    Check::failure(
        id,
        format!("a pod in {namespace} gets no hook (server-side dry run)"),
        "the API server could not reach prestop, or prestop admitted the pod unchanged: check the \
         results above, the log of prestop, any NetworkPolicy or firewall in between (port 10250), \
         and docs/troubleshooting.md",
    )
}

/// Checks the pod with `lifecycle.stopSignal` that the API server returned for the dry run.
#[must_use]
pub(crate) fn stop_signal(pod: &Pod) -> Check {
    let mut lifecycles = pod.spec.containers.iter().filter_map(|it| it.lifecycle.as_ref());
    let is_kept = lifecycles.any(|lifecycle| lifecycle.stop_signal.is_some());
    let answer = if is_kept { "kept" } else { "not supported by this API server" };
    Check::ok(STOP_SIGNAL, format!("lifecycle.stopSignal: {answer}"))
}

/// Creates the warning that `lifecycle.stopSignal` could not be tried.
#[must_use]
pub(crate) fn stop_signal_untried(namespace: &str, reason: &str) -> Check {
    Check::warning(
        STOP_SIGNAL,
        format!("lifecycle.stopSignal: a test pod with it can't be created in {namespace}"),
        reason,
    )
}

/// Returns the label selector in the API's query format.
#[must_use]
pub(crate) fn selector_text(selector: Option<&LabelSelector>) -> String {
    let Some(selector) = selector else { return String::new() };
    let mut parts: Vec<String> =
        selector.match_labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    for expression in &selector.match_expressions {
        let key = &expression.key;
        let values = expression.values.join(",");
        parts.push(match expression.operator.as_str() {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "DoesNotExist" => format!("!{key}"),
            _ => key.clone(),
        });
    }
    parts.join(",")
}

/// Returns the rights that an installation with these arguments of `prestop serve` needs.
#[must_use]
pub(crate) fn rights(arguments: &[String], webhook: &str, namespace: &str) -> Vec<Right> {
    let value = |flag: &str| {
        arguments.iter().enumerate().find_map(|(index, argument)| {
            match argument.strip_prefix(flag)? {
                "" => arguments.get(index + 1).cloned(),
                rest => rest.strip_prefix('=').map(str::to_owned),
            }
        })
    };
    let mut rights = Vec::new();
    if arguments.iter().any(|argument| argument == "--cluster") {
        rights.extend(["list", "watch"].map(|verb| Right {
            verb,
            group: "",
            resource: "namespaces",
            name: None,
            namespace: None,
        }));
    }
    if let Some(secret) = value("--authority-secret") {
        rights.extend(["get", "update"].map(|verb| Right {
            verb,
            group: "",
            resource: "secrets",
            name: Some(secret.clone()),
            namespace: Some(namespace.to_owned()),
        }));
        let name = value("--webhook").unwrap_or_else(|| webhook.to_owned());
        rights.extend(["get", "list", "watch", "patch"].map(|verb| Right {
            verb,
            group: "admissionregistration.k8s.io",
            resource: "mutatingwebhookconfigurations",
            name: Some(name.clone()),
            namespace: None,
        }));
        if let Some(name) = value("--warnings-webhook") {
            rights.extend(warnings::rights(&name));
        }
    }
    rights
}

/// Reports the rights that the service account lacks.
#[must_use]
pub(crate) fn missing_rights(account: &str, missing: &[Right]) -> Check {
    let id = "rights";
    if missing.is_empty() {
        return Check::ok(id, format!("the service account {account} has all necessary rights"));
    }
    Check::failure(
        id,
        format!("the service account {account} may not {}", texts(missing)),
        "let the chart create the roles (rbac.create: true), or see the table in docs/security.md",
    )
}

fn texts(rights: &[Right]) -> String {
    let text = |right: &Right| {
        let name = right.name.as_ref().map(|name| format!("/{name}")).unwrap_or_default();
        format!("{} {}{name}", right.verb, right.resource)
    };
    rights.iter().map(text).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::cluster::certificates::Authority;

    #[test]
    fn a_bundle_is_judged_by_its_last_end() {
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let day = Duration::from_secs(86_400);
        let pem =
            |lifetime| Authority::generate(now, lifetime).unwrap().certificate_pem().to_owned();
        let status = |pem: &str, at| bundle(pem.as_bytes(), at).status;
        assert_eq!(status("", now), Status::Failure);
        assert_eq!(status("garbage", now), Status::Failure);
        assert_eq!(status(&pem(2 * day), now), Status::Warning);
        assert_eq!(status(&pem(90 * day), now), Status::Ok);
        assert_eq!(status(&pem(2 * day), now + 3 * day), Status::Failure);
        assert_eq!(status(&(pem(2 * day) + &pem(90 * day)), now), Status::Ok);
    }

    #[test]
    fn a_risky_webhook_is_reported() {
        let ids = |webhook: Value| {
            let webhook: MutatingWebhook = serde_json::from_value(webhook).unwrap();
            super::webhook("x", &webhook).into_iter().map(|check| check.id).collect::<Vec<_>>()
        };
        let with = |policy: &str, timeout: i32| {
            json!({"name": "x", "admissionReviewVersions": ["v1"], "sideEffects": "None",
                "clientConfig": {}, "failurePolicy": policy, "timeoutSeconds": timeout})
        };
        assert_eq!(ids(with("Ignore", 2)), ["webhook-configuration"]);
        assert_eq!(ids(with("Fail", 2)), ["webhook-configuration", "failure-policy"]);
        assert_eq!(ids(with("Ignore", 30)), ["webhook-configuration", "timeout"]);
    }

    #[test]
    fn a_stop_signal_that_comes_back_is_kept() {
        let message = |lifecycle: Value| {
            let pod = json!({"spec": {"containers": [{"lifecycle": lifecycle}]}});
            let check = stop_signal(&serde_json::from_value(pod).unwrap());
            assert_eq!((check.id, check.status), ("stop-signal", Status::Ok));
            check.message
        };
        let hook = json!({"sleep": {"seconds": 5}});
        let kept = json!({"stopSignal": "SIGTERM", "preStop": hook});
        assert_eq!(message(kept), "lifecycle.stopSignal: kept");
        for dropped in [json!({"preStop": hook}), json!({}), Value::Null] {
            assert_eq!(message(dropped), "lifecycle.stopSignal: not supported by this API server");
        }
    }

    #[test]
    fn replicas_are_counted() {
        let deployments = |ready: i32, wanted: i32| {
            let deployment = json!({"spec": {"replicas": wanted, "selector": {}, "template": {}},
                "status": {"readyReplicas": ready}});
            vec![serde_json::from_value(deployment).unwrap()]
        };
        assert_eq!(replicas(&[]).status, Status::Failure);
        assert_eq!(replicas(&deployments(0, 2)).status, Status::Failure);
        assert_eq!(replicas(&deployments(1, 2)).status, Status::Warning);
        assert_eq!(replicas(&deployments(2, 2)).status, Status::Ok);
    }

    #[test]
    fn selectors_become_queries() {
        let selector = json!({"matchLabels": {"tier": "web"}, "matchExpressions": [
            {"key": "prestop.dev/inject", "operator": "In", "values": ["enabled", "yes"]},
            {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system"]},
            {"key": "a", "operator": "Exists"}, {"key": "b", "operator": "DoesNotExist"}]});
        let selector: LabelSelector = serde_json::from_value(selector).unwrap();
        assert_eq!(
            selector_text(Some(&selector)),
            "tier=web,prestop.dev/inject in (enabled,yes),kubernetes.io/metadata.name notin (kube-system),a,!b"
        );
        assert_eq!(selector_text(None), "");
    }

    #[test]
    fn the_rights_follow_the_arguments() {
        let count = |arguments: &[&str]| {
            let arguments: Vec<_> = arguments.iter().map(|text| (*text).to_owned()).collect();
            rights(&arguments, "prestop", "home")
        };
        assert_eq!(count(&["serve", "--tls-cert=x"]).len(), 0);
        assert_eq!(count(&["serve", "--cluster"]).len(), 2);
        let all = count(&["serve", "--cluster", "--authority-secret", "s", "--webhook=w"]);
        assert_eq!(all.len(), 8);
        assert_eq!(all[2].name.as_deref(), Some("s"));
        assert_eq!(all[5].name.as_deref(), Some("w"));
        let warn = ["serve", "--authority-secret=s", "--warnings-webhook", "v"];
        let warn: Vec<_> =
            count(&warn).into_iter().filter(|it| it.name.as_deref() == Some("v")).collect();
        let verbs: Vec<_> = warn.iter().map(|it| (it.verb, it.resource)).collect();
        let resource = "validatingwebhookconfigurations";
        assert_eq!(verbs, [("get", resource), ("patch", resource)]);
        // With a certificate from files, prestop publishes no CA.
        assert_eq!(count(&["serve", "--tls-cert=x", "--warnings-webhook=v"]).len(), 0);
        let told = missing_rights("x", &all[2..3]);
        assert!(told.message.contains("may not get secrets/s"), "{}", told.message);
    }

    #[test]
    fn old_versions_and_missing_opt_ins_are_reported() {
        let at = |minor| version(KubernetesVersion { major: 1, minor }).status;
        assert_eq!((at(29), at(30), at(37)), (Status::Failure, Status::Ok, Status::Ok));
        assert_eq!(namespaces(&[]).status, Status::Warning);
        let many: Vec<_> = (0..9).map(|number| format!("n{number}")).collect();
        assert!(namespaces(&many).message.contains("9 namespaces are opted in, such as n0"));
    }
}
