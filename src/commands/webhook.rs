//! Finds prestop's webhook configuration.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::cluster::api::objects::{MutatingWebhook, MutatingWebhookConfiguration};
use crate::cluster::api::{Api, Collection, failure};

/// The name of prestop's entry in a webhook configuration. The name of the configuration is up to
/// the user.
pub(super) const ENTRY: &str = "pods.prestop.dev";
/// Name of the configuration in the chart, for a release of the same name.
const USUAL_NAME: &str = "prestop";

/// The webhook configuration that was found.
#[derive(Debug)]
pub(super) struct Installed {
    /// Name of the webhook configuration.
    pub(super) name: String,
    pub(super) annotations: BTreeMap<String, String>,
    /// prestop's entry in it.
    pub(super) webhook: MutatingWebhook,
}

/// Reason why no single webhook configuration was found.
#[derive(Debug, Error)]
pub(super) enum NotFound {
    #[error(
        "no webhook configuration has the entry {ENTRY}: prestop is not installed in this cluster"
    )]
    Nowhere,
    #[error("there is no webhook configuration {0}")]
    NotThere(String),
    #[error("the webhook configuration {0} has no entry")]
    Empty(String),
    #[error("{} webhook configurations have the entry {ENTRY}: {}", .0.len(), .0.join(", "))]
    Several(Vec<String>),
    #[error("the webhook configurations: {}", failure::reason(.0))]
    Unseen(#[from] kube::Error),
}

impl NotFound {
    /// Returns the advice.
    pub(super) const fn advice(&self) -> &'static str {
        match self {
            Self::Nowhere => {
                "install the chart (docs/install.md); if the entry has another name, use --webhook \
                 NAME"
            }
            Self::NotThere(_) => {
                "remove --webhook to find it automatically, or run `kubectl get mutatingwebhookconfigurations`"
            }
            Self::Empty(_) => "install the chart again",
            Self::Several(_) => {
                "choose one with --webhook NAME; no two releases should select the same pods"
            }
            Self::Unseen(_) => {
                "ask for the right to get and list mutatingwebhookconfigurations, or choose one with \
                 --webhook NAME"
            }
        }
    }
}

/// Returns the webhook configuration with this name or, without a name, the one that has prestop's
/// entry.
pub(super) async fn find(api: &Api, name: Option<&str>) -> Result<Installed, NotFound> {
    let all = Collection::mutating_webhook_configurations();
    if let Some(name) = name {
        return named(api, &all, name).await;
    }
    match api.list::<MutatingWebhookConfiguration>(&all, "").await {
        Ok(list) => only(list),
        // Users who may not list them may be allowed to get this one, as the chart's test is.
        Err(error) if is_forbidden(&error) => match named(api, &all, USUAL_NAME).await {
            Ok(found) => Ok(found),
            Err(_) => Err(error.into()),
        },
        Err(error) => Err(error.into()),
    }
}

pub(super) fn is_forbidden(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 403)
}

async fn named(api: &Api, all: &Collection, name: &str) -> Result<Installed, NotFound> {
    let found: Option<MutatingWebhookConfiguration> = api.get(all, name).await?;
    let found = found.ok_or_else(|| NotFound::NotThere(name.to_owned()))?;
    let index = found.webhooks.iter().position(|entry| entry.name == ENTRY).unwrap_or(0);
    installed(found, index).ok_or_else(|| NotFound::Empty(name.to_owned()))
}

fn only(list: Vec<MutatingWebhookConfiguration>) -> Result<Installed, NotFound> {
    let mut found = Vec::new();
    for configuration in list {
        if let Some(index) = configuration.webhooks.iter().position(|entry| entry.name == ENTRY) {
            found.extend(installed(configuration, index));
        }
    }
    if found.len() > 1 {
        return Err(NotFound::Several(found.into_iter().map(|it| it.name).collect()));
    }
    found.pop().ok_or(NotFound::Nowhere)
}

fn installed(configuration: MutatingWebhookConfiguration, index: usize) -> Option<Installed> {
    let MutatingWebhookConfiguration { metadata, webhooks } = configuration;
    Some(Installed {
        name: metadata.name,
        annotations: metadata.annotations.unwrap_or_default(),
        webhook: webhooks.into_iter().nth(index)?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn configuration(name: &str, entries: &[&str]) -> MutatingWebhookConfiguration {
        let webhooks: Vec<_> = entries
            .iter()
            .map(
                |entry| json!({"name": entry, "clientConfig": {"url": format!("https://{entry}")}}),
            )
            .collect();
        serde_json::from_value(json!({"metadata": {"name": name}, "webhooks": webhooks})).unwrap()
    }

    #[test]
    fn the_entry_is_found_whatever_the_object_is_called() {
        let list = vec![
            configuration("cert-manager", &["webhook.cert-manager.io"]),
            configuration("shop-prestop", &["first.example.com", ENTRY]),
        ];
        let found = only(list).unwrap();
        assert_eq!(found.name, "shop-prestop");
        let url = found.webhook.client_config.url.unwrap();
        assert_eq!(url, "https://pods.prestop.dev");
    }

    #[test]
    fn none_and_several_are_distinguished() {
        let none = only(vec![configuration("prestop", &["other.example.com"])]).unwrap_err();
        assert!(none.to_string().contains("prestop is not installed in this cluster"), "{none}");
        let two = only(vec![configuration("a", &[ENTRY]), configuration("b", &[ENTRY])]);
        let two = two.unwrap_err();
        assert_eq!(
            two.to_string(),
            "2 webhook configurations have the entry pods.prestop.dev: a, b"
        );
        assert!(two.advice().contains("--webhook NAME"));
    }
}
