//! The webhook for warnings at `kubectl apply`, if it is installed: whether it works, and cannot
//! refuse anything. Pure: `commands::check` reads.

use super::{Check, Right, texts};
use crate::cluster::api::objects::{
    MutatingWebhook, MutatingWebhookConfiguration, WebhookClientConfig,
};

pub(crate) const ID: &str = "warnings";
pub(crate) const INSTALLERS_RIGHTS: &str = "warnings-rights";
const GROUP: &str = "admissionregistration.k8s.io";
const RESOURCE: &str = "validatingwebhookconfigurations";
/// The name of the entry in a `ValidatingWebhookConfiguration`, as the chart writes it.
const ENTRY: &str = "workloads.prestop.dev";
/// Port of a Service reference without a port.
const USUAL_PORT: u16 = 443;

/// Returns the rights that `prestop serve` needs to publish its CA in the configuration of this
/// name.
#[must_use]
pub(crate) fn rights(name: &str) -> [Right; 2] {
    ["get", "patch"].map(|verb| Right {
        verb,
        group: GROUP,
        resource: RESOURCE,
        name: Some(name.to_owned()),
        namespace: None,
    })
}

/// Returns the rights that a user needs, in addition to those for the chart with its defaults, to
/// install it under this name with `warnings.enabled: true`.
#[must_use]
pub(crate) fn installers_rights(name: &str) -> Vec<Right> {
    let (verb, group, resource) = ("create", GROUP, RESOURCE);
    let create = Right { verb, group, resource, name: None, namespace: None };
    // Kubernetes does not let users grant rights that they do not have.
    std::iter::once(create).chain(rights(name)).collect()
}

/// Reports the rights of these that the user lacks.
#[must_use]
pub(crate) fn missing_installers_rights(missing: &[Right]) -> Check {
    if missing.is_empty() {
        return Check::ok(
            INSTALLERS_RIGHTS,
            "you have all rights for warnings at kubectl apply (warnings.enabled: true)",
        );
    }
    Check::warning(
        INSTALLERS_RIGHTS,
        format!(
            "you lack rights for warnings at kubectl apply (warnings.enabled: true): {}",
            texts(missing)
        ),
        "the warnings are off by default; without them these rights are not necessary",
    )
}

/// Checks the validating configurations that have the entry, except for those of other
/// installations, given by the names of their configurations: the chart names both after the
/// release. Empty if it is not installed.
#[must_use]
pub(crate) fn checks(
    pods: &MutatingWebhook,
    validating: &[MutatingWebhookConfiguration],
    others: &[&str],
) -> Vec<Check> {
    let mut checks = Vec::new();
    for configuration in validating {
        let name = configuration.metadata.name.as_str();
        let entry = configuration.webhooks.iter().find(|it| it.name == ENTRY);
        if let Some(entry) = entry.filter(|_| !others.contains(&name)) {
            checks.push(check(name, entry, pods));
        }
    }
    checks
}

fn check(name: &str, warnings: &MutatingWebhook, pods: &MutatingWebhook) -> Check {
    let mend = format!(
        "run helm upgrade to restore it; until then: kubectl delete validatingwebhookconfiguration {name}"
    );
    let what = format!("the webhook for warnings (ValidatingWebhookConfiguration {name})");
    // The API's default is Fail.
    if warnings.failure_policy.as_deref() != Some("Ignore") {
        let message = format!(
            "{what} can refuse workloads: failurePolicy is Fail, so it refuses them while prestop does not answer"
        );
        return Check::failure(ID, message, mend);
    }
    let (called, expected) = (server(&warnings.client_config), server(&pods.client_config));
    if called != expected {
        let message = format!(
            "{what} can refuse workloads: it calls {called} instead of prestop ({expected})"
        );
        return Check::failure(ID, message, mend);
    }
    if warnings.client_config.ca_bundle != pods.client_config.ca_bundle {
        return Check::warning(
            ID,
            format!("{what} has no effect: its caBundle differs from that of the webhook for pods"),
            "see the log of prestop and its right to patch the configuration (docs/security.md); with \
             cert-manager, its injector",
        );
    }
    Check::ok(ID, format!("{what} calls prestop and can't refuse anything"))
}

/// Returns the server that is called, without the path.
fn server(client: &WebhookClientConfig) -> String {
    if let Some(service) = &client.service {
        let port = service.port.unwrap_or(USUAL_PORT);
        return format!("the Service {}/{}:{port}", service.namespace, service.name);
    }
    let url = client.url.as_deref().unwrap_or_default();
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    format!("{scheme}://{}", rest.split('/').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::installation::Status;

    fn service(namespace: &str, port: Option<u16>, bundle: &str) -> Value {
        json!({"caBundle": bundle, "service":
            {"namespace": namespace, "name": "prestop", "path": "/any", "port": port}})
    }

    fn url(url: &str) -> Value {
        json!({"url": url})
    }

    fn configuration(name: &str, entry: &Value) -> MutatingWebhookConfiguration {
        serde_json::from_value(json!({"metadata": {"name": name}, "webhooks": [entry]})).unwrap()
    }

    fn told(pods: &Value, warnings: &Value, policy: Option<&str>) -> Check {
        let pods = serde_json::from_value(json!({"clientConfig": pods})).unwrap();
        let entry = json!({"name": ENTRY, "clientConfig": warnings, "failurePolicy": policy});
        let mut all = checks(&pods, &[configuration("x", &entry)], &[]);
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    #[test]
    fn it_may_only_warn_and_has_to_call_prestop() {
        let ours = service("home", Some(443), "b3Vycw==");
        let ignore = Some("Ignore");
        for (pods, warnings, policy, status, part) in [
            (&ours, &ours, ignore, Status::Ok, "can't refuse anything"),
            (
                &ours,
                &service("home", None, "b3Vycw=="),
                ignore,
                Status::Ok,
                "can't refuse anything",
            ),
            (&ours, &ours, Some("Fail"), Status::Failure, "failurePolicy is Fail"),
            (&ours, &ours, None, Status::Failure, "failurePolicy is Fail"),
            (
                &ours,
                &service("other", None, "b3Vycw=="),
                ignore,
                Status::Failure,
                "it calls the Service other/prestop:443",
            ),
            (&ours, &service("home", Some(8443), "b3Vycw=="), ignore, Status::Failure, ":8443"),
            (&ours, &url("https://a.example/warn"), ignore, Status::Failure, "https://a.example"),
            (&ours, &service("home", None, ""), ignore, Status::Warning, "its caBundle differs"),
            (
                &url("https://127.0.0.1:1/mutate"),
                &url("https://127.0.0.1:1/warn"),
                ignore,
                Status::Ok,
                "can't refuse anything",
            ),
        ] {
            let check = told(pods, warnings, policy);
            assert_eq!(check.status, status, "{}", check.message);
            assert!(check.message.contains(part), "{}", check.message);
        }
    }

    #[test]
    fn an_installer_needs_the_rights_that_the_chart_grants_and_one_more() {
        let needed = installers_rights("prestop");
        assert_eq!(needed[1..], rights("prestop"));
        let told = missing_installers_rights(&needed[..1]);
        assert_eq!(told.status, Status::Warning);
        let part = "(warnings.enabled: true): create validatingwebhookconfigurations";
        assert!(told.message.ends_with(part), "{}", told.message);
        assert_eq!(missing_installers_rights(&[]).status, Status::Ok);
    }

    #[test]
    fn only_those_of_this_installation_are_judged() {
        let entry = |name: &str| json!({"name": name, "clientConfig": {}, "failurePolicy": "Fail"});
        let all = [
            configuration("policies", &entry("validate.example.com")),
            configuration("ours", &entry(ENTRY)),
            configuration("second", &entry(ENTRY)),
        ];
        let pods = MutatingWebhook::default();
        let names = |others: &[&str]| {
            let told = checks(&pods, &all, others);
            ["ours", "second"].map(|name| told.iter().any(|it| it.message.contains(name)))
        };
        assert_eq!(names(&["second"]), [true, false]);
        // Renamed configurations are checked too.
        assert_eq!(names(&[]), [true, true]);
        assert!(checks(&pods, &all[..1], &[]).is_empty());
    }
}
