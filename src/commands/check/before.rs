//! `prestop check --pre`: looks for obstacles to an installation.

use serde_json::{Value, json};

use super::super::webhook::ENTRY;
use super::{canary, unseen};
use crate::cli::CheckArguments;
use crate::cluster::api::objects::{MutatingWebhookConfiguration, Named, Pod, SubjectAccessReview};
use crate::cluster::api::{Api, Collection};
use crate::cluster::installation::before::{
    self, NAME, NAMESPACE, installers_rights, missing_rights, others,
};
use crate::cluster::installation::{Check, Right, warnings};

/// The namespace in which a pod is tried: every cluster has it.
const TRIED_IN: &str = "default";

/// Runs all checks except that of the version.
pub(super) async fn checks(api: &Api, arguments: &CheckArguments) -> Vec<Check> {
    let namespace = arguments.namespace.as_deref().unwrap_or(NAMESPACE);
    let mut checks = vec![
        match missing(api, installers_rights(namespace)).await {
            Ok(missing) => missing_rights(namespace, &missing),
            Err(error) => unseen("installer-rights", "your rights", &error),
        },
        match missing(api, warnings::installers_rights(NAME)).await {
            Ok(missing) => warnings::missing_installers_rights(&missing),
            Err(error) => unseen(warnings::INSTALLERS_RIGHTS, "your rights", &error),
        },
    ];
    match api.get::<Named>(&Collection::namespaces(), namespace).await {
        Ok(found) => checks.push(before::namespace(namespace, found.is_some())),
        Err(error) => checks.push(unseen("installation-namespace", "the namespace", &error)),
    }
    let all = Collection::mutating_webhook_configurations();
    match api.list::<MutatingWebhookConfiguration>(&all, "").await {
        Ok(all) => {
            let is_installed = all.iter().any(|it| it.webhooks.iter().any(|it| it.name == ENTRY));
            checks.extend(others(&all, ENTRY));
            // The hooks may come from the installed prestop.
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

/// Returns the rights that the user does not have.
async fn missing(api: &Api, needed: Vec<Right>) -> Result<Vec<Right>, kube::Error> {
    let mut missing = Vec::new();
    for right in needed {
        let reviews = Collection::self_subject_access_reviews();
        let answer = api.create::<SubjectAccessReview>(&reviews, &review(&right)).await?;
        if !answer.status.allowed {
            missing.push(right);
        }
    }
    Ok(missing)
}

fn review(right: &Right) -> Value {
    json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": right.attributes()},
    })
}
