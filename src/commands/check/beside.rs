//! Checks webhooks related to the one for pods: the webhook for warnings, and other webhooks that
//! are called after it.

use super::super::webhook::{ENTRY, Installed};
use super::unseen;
use crate::cluster::api::objects::MutatingWebhookConfiguration;
use crate::cluster::api::{Api, Collection};
use crate::cluster::installation::{Check, order, warnings};

pub(super) async fn checks(api: &Api, installed: &Installed) -> Vec<Check> {
    let Installed { name, webhook, .. } = installed;
    let mut checks = Vec::new();
    let mutating = Collection::mutating_webhook_configurations();
    let mutating = api.list::<MutatingWebhookConfiguration>(&mutating, "").await;
    let mutating = match mutating {
        Ok(all) => {
            checks.push(order::later(name, webhook, &all));
            all
        }
        Err(error) => {
            checks.push(unseen(order::ID, "the webhooks that are called after prestop", &error));
            Vec::new()
        }
    };
    let of_prestop = mutating.iter().filter(|it| it.webhooks.iter().any(|it| it.name == ENTRY));
    let installations = of_prestop.map(|it| it.metadata.name.as_str());
    let others: Vec<_> = installations.filter(|other| other != name).collect();
    let validating = Collection::validating_webhook_configurations();
    match api.list::<MutatingWebhookConfiguration>(&validating, "").await {
        Ok(all) => checks.extend(warnings::checks(webhook, &all, &others)),
        Err(error) => {
            checks.push(unseen(warnings::ID, "the webhook of the warnings", &error));
        }
    }
    checks
}
