//! Kubernetes objects with only the fields that are read. The fields are described in the [API
//! reference](https://kubernetes.io/docs/reference/kubernetes-api/).
#![allow(missing_docs)]

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserializer, Error, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Metadata {
    pub name: String,
    pub resource_version: String,
    pub annotations: Option<BTreeMap<String, String>>,
}

/// An object of which only the metadata is read.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Named {
    pub metadata: Metadata,
}

/// A complete Secret: it is written back, and nothing in it may be lost.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(transparent)]
pub(crate) struct Secret(Map<String, Value>);

/// A mutating or validating configuration: the same fields are read of both.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct MutatingWebhookConfiguration {
    pub metadata: Metadata,
    #[serde(deserialize_with = "null_is_default")]
    pub webhooks: Vec<MutatingWebhook>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct MutatingWebhook {
    pub name: String,
    pub client_config: WebhookClientConfig,
    pub failure_policy: Option<String>,
    pub namespace_selector: Option<LabelSelector>,
    pub object_selector: Option<LabelSelector>,
    pub timeout_seconds: Option<i32>,
    pub reinvocation_policy: Option<String>,
    #[serde(deserialize_with = "null_is_default")]
    pub rules: Vec<RuleWithOperations>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RuleWithOperations {
    #[serde(deserialize_with = "null_is_default")]
    pub operations: Vec<String>,
    #[serde(deserialize_with = "null_is_default")]
    pub api_groups: Vec<String>,
    #[serde(deserialize_with = "null_is_default")]
    pub resources: Vec<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct WebhookClientConfig {
    /// PEM; empty if there is none.
    #[serde(deserialize_with = "base64")]
    pub ca_bundle: Vec<u8>,
    pub service: Option<ServiceReference>,
    pub url: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ServiceReference {
    pub name: String,
    pub namespace: String,
    pub path: Option<String>,
    pub port: Option<u16>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct LabelSelector {
    #[serde(deserialize_with = "null_is_default")]
    pub match_labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "null_is_default")]
    pub match_expressions: Vec<LabelSelectorRequirement>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct LabelSelectorRequirement {
    pub key: String,
    pub operator: String,
    #[serde(deserialize_with = "null_is_default")]
    pub values: Vec<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Service {
    pub spec: ServiceSpec,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ServiceSpec {
    #[serde(rename = "clusterIP")]
    pub cluster_ip: Option<String>,
    #[serde(deserialize_with = "null_is_default")]
    pub selector: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Deployment {
    pub spec: DeploymentSpec,
    pub status: DeploymentStatus,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct DeploymentSpec {
    pub replicas: i32,
    pub template: PodTemplate,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct DeploymentStatus {
    pub ready_replicas: i32,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PodTemplate {
    pub spec: PodSpec,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Pod {
    pub metadata: Metadata,
    pub spec: PodSpec,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PodSpec {
    pub containers: Vec<Container>,
    pub service_account_name: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Container {
    #[serde(deserialize_with = "null_is_default")]
    pub image: String,
    #[serde(deserialize_with = "null_is_default")]
    pub ports: Vec<ContainerPort>,
    #[serde(deserialize_with = "null_is_default")]
    pub args: Vec<String>,
    pub lifecycle: Option<Lifecycle>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ContainerPort {
    #[serde(deserialize_with = "null_is_default")]
    pub name: String,
    pub container_port: u16,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Lifecycle {
    pub pre_stop: Option<IgnoredAny>,
    pub stop_signal: Option<String>,
}

/// The resources that a version of an API group serves.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ServedResources {
    pub resources: Vec<ServedResource>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ServedResource {
    pub name: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct SubjectAccessReview {
    pub status: SubjectAccessReviewStatus,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct SubjectAccessReviewStatus {
    pub allowed: bool,
}

impl Secret {
    /// Returns the value of a key; `None` if there is none, or it is not Base64.
    #[must_use]
    pub(crate) fn get(&self, key: &str) -> Option<Vec<u8>> {
        STANDARD.decode(self.0.get("data")?.get(key)?.as_str()?).ok()
    }

    /// Sets the value of a key.
    pub(crate) fn set(&mut self, key: &str, value: &[u8]) {
        let data = self.0.entry("data").or_insert(Value::Null);
        // The API server accepts only an object, or `null` for an empty one.
        if !data.is_object() {
            *data = Value::Object(Map::new());
        }
        if let Value::Object(data) = data {
            data.insert(key.to_owned(), Value::String(STANDARD.encode(value)));
        }
    }
}

/// Reads `null` as the default: Go sometimes writes empty values as `null`.
fn null_is_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    reader: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(reader)?.unwrap_or_default())
}

fn base64<'de, D: Deserializer<'de>>(reader: D) -> Result<Vec<u8>, D::Error> {
    let text: Option<String> = Option::deserialize(reader)?;
    STANDARD.decode(text.unwrap_or_default()).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_secret_keeps_what_is_not_ours() {
        let written = json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "immutable": false,
            "metadata": {"name": "x", "labels": {"a": "b"}, "resourceVersion": "7"},
            "data": {"other": "b3RoZXI="}});
        let mut secret: Secret = serde_json::from_value(written.clone()).unwrap();
        secret.set("state", b"ours");
        let mut expected = written;
        expected["data"]["state"] = json!("b3Vycw==");
        assert_eq!(serde_json::to_value(&secret).unwrap(), expected);
        assert_eq!(secret.get("state").as_deref(), Some(b"ours".as_slice()));
        assert_eq!(secret.get("missing"), None);
    }

    #[test]
    fn an_empty_secret_is_filled_and_garbage_is_nothing() {
        for data in [json!({}), json!({"data": null})] {
            let mut secret: Secret = serde_json::from_value(data).unwrap();
            secret.set("state", b"x");
            assert_eq!(secret.get("state").as_deref(), Some(b"x".as_slice()));
        }
        let secret: Secret = serde_json::from_value(json!({"data": {"state": "%"}})).unwrap();
        assert_eq!(secret.get("state"), None);
    }

    #[test]
    fn what_is_missing_or_null_is_empty() {
        let configuration = json!({"metadata": {"name": "x"}, "webhooks": null});
        let configuration: MutatingWebhookConfiguration =
            serde_json::from_value(configuration).unwrap();
        assert!(configuration.webhooks.is_empty());
        let webhook = json!({"clientConfig": {"caBundle": null}, "namespaceSelector":
            {"matchLabels": null, "matchExpressions": [{"key": "a", "operator": "Exists"}]}});
        let webhook: MutatingWebhook = serde_json::from_value(webhook).unwrap();
        assert!(webhook.client_config.ca_bundle.is_empty());
        assert_eq!(webhook.namespace_selector.unwrap().match_expressions.len(), 1);
        let pod = json!({"spec": {"containers": [{"lifecycle": {"preStop": {"sleep": {"seconds": 5}}}}]}});
        let pod: Pod = serde_json::from_value(pod).unwrap();
        assert!(pod.spec.containers[0].lifecycle.as_ref().unwrap().pre_stop.is_some());
    }
}
