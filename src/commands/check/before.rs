//! `prestop check --pre`: reads what would be in the way of an installation.

use serde_json::{Value, json};

use super::super::webhook::ENTRY;
use super::{canary, unseen};
use crate::cli::CheckArguments;
use crate::cluster::api::objects::{MutatingWebhookConfiguration, Named, Pod, SubjectAccessReview};
use crate::cluster::api::{Api, Collection};
use crate::cluster::installation::before::{
    self, NAMESPACE, installers_rights, missing_rights, others,
};
use crate::cluster::installation::{Check, Right};

/// Where a pod is tried: every cluster has it.
const TRIED_IN: &str = "default";

/// Everything but the version.
pub(super) async fn checks(api: &Api, arguments: &CheckArguments) -> Vec<Check> {
    let namespace = arguments.namespace.as_deref().unwrap_or(NAMESPACE);
    let mut checks = vec![rights(api, namespace).await];
    match api.get::<Named>(&Collection::namespaces(), namespace).await {
        Ok(found) => checks.push(before::namespace(namespace, found.is_some())),
        Err(error) => checks.push(unseen("installation-namespace", "the namespace", &error)),
    }
    let all = Collection::mutating_webhook_configurations();
    match api.list::<MutatingWebhookConfiguration>(&all, "").await {
        Ok(all) => {
            let is_installed = all.iter().any(|it| it.webhooks.iter().any(|it| it.name == ENTRY));
            checks.extend(others(&all, ENTRY));
            // An installed prestop may be what injects.
            if is_installed {
                return checks;
            }
        }
        Err(error) => checks.push(unseen("other-webhooks", "the webhook configurations", &error)),
    }
    checks.push(match api.create_dry_run::<Pod>(&Collection::pods(TRIED_IN), &canary()).await {
        Ok(pod) => before::canary(TRIED_IN, &pod),
        Err(kube::Error::Api(status)) => Check::warning(
            "other-hooks",
            format!(
                "no test pod can be created in {TRIED_IN} to find out whether something else injects hooks"
            ),
            status.message.clone(),
        ),
        Err(error) => unseen("other-hooks", "a pod", &error),
    });
    checks
}

async fn rights(api: &Api, namespace: &str) -> Check {
    let mut missing = Vec::new();
    for right in installers_rights(namespace) {
        let reviews = Collection::self_subject_access_reviews();
        match api.create::<SubjectAccessReview>(&reviews, &review(&right)).await {
            Ok(answer) if answer.status.allowed => {}
            Ok(_) => missing.push(right),
            Err(error) => return unseen("installer-rights", "your rights", &error),
        }
    }
    missing_rights(namespace, &missing)
}

fn review(right: &Right) -> Value {
    json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": right.attributes()},
    })
}
