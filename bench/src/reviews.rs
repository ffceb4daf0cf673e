//! The requests for all measurements: reviews of pods as the API server sends them, with defaults
//! and `managedFields`, generated here and committed in `bodies`.
//!
//! The images are not in any catalogue, so that all contestants do the same work: prestop searches
//! all of its profiles for each image and then uses the default.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use json_patch::Patch;
use serde_json::{Map, Value, json};

use crate::naive;

/// A request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Review {
    /// One container, 5,624 bytes.
    Small,
    /// Five containers, an init container and 106 variables, 38,970 bytes: a pod of a mesh.
    Large,
    /// About 250 KB.
    Huge,
    /// The small request with the patch already applied.
    Patched,
}

impl Review {
    /// All requests.
    pub const ALL: [Self; 4] = [Self::Small, Self::Large, Self::Huge, Self::Patched];

    /// Returns the name, which is also that of its file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Large => "large",
            Self::Huge => "huge",
            Self::Patched => "patched",
        }
    }

    /// Returns the file.
    #[must_use]
    pub fn file(self) -> PathBuf {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("bodies");
        folder.join(format!("{}.json", self.name()))
    }

    /// Returns the committed request.
    ///
    /// # Errors
    /// Returns an error if the file can't be read.
    pub fn committed(self) -> anyhow::Result<Vec<u8>> {
        let file = self.file();
        fs::read(&file).with_context(|| file.display().to_string())
    }

    /// Generates the request that should be committed.
    ///
    /// # Errors
    /// Returns an error if the request is longer than its intended length.
    pub fn generate(self) -> anyhow::Result<Vec<u8>> {
        match self {
            Self::Small => filled(pod(1, 0, 3), 5_624),
            Self::Large => filled(pod(5, 1, 106), 38_970),
            Self::Huge => filled(pod(30, 2, 700), 250_000),
            Self::Patched => {
                let mut review: Value = serde_json::from_slice(&Self::Small.generate()?)?;
                let patch = patch_of(&naive::answer(&Self::Small.generate()?))?;
                apply(&patch.context("no patch")?, &mut review)?;
                Ok(serde_json::to_vec(&review)?)
            }
        }
    }
}

/// Generates a review of a pod with this many containers, for curves.
///
/// # Errors
/// None are expected.
pub fn with_containers(containers: usize) -> anyhow::Result<Vec<u8>> {
    Ok(serde_json::to_vec(&review(pod(containers, 0, containers * 3)))?)
}

/// Returns the patch of an answer, `None` if there is none.
///
/// # Errors
/// Returns an error if it is not the answer to a review that admits the pod.
pub fn patch_of(answer: &[u8]) -> anyhow::Result<Option<Patch>> {
    let answer: Value = serde_json::from_slice(answer)?;
    let response = answer.get("response").context("no response")?;
    ensure!(response.get("allowed") == Some(&json!(true)), "refused: {response}");
    let patch = match response.get("patch") {
        None => return Ok(None),
        Some(Value::String(text)) => STANDARD.decode(text)?,
        // kube-rs writes a list of numbers, which the API server accepts too.
        Some(numbers) => serde_json::from_value(numbers.clone())?,
    };
    Ok(Some(serde_json::from_slice(&patch)?))
}

/// Applies a patch to the pod of a review.
///
/// # Errors
/// Returns an error if there is no pod, or if the patch does not fit it.
pub fn apply(patch: &Patch, review: &mut Value) -> anyhow::Result<()> {
    let pod = review.pointer_mut("/request/object").context("no object")?;
    Ok(json_patch::patch(pod, patch)?)
}

/// Returns the review with a note that brings it to this length.
fn filled(pod: Value, bytes: usize) -> anyhow::Result<Vec<u8>> {
    let mut review = review(pod);
    let length = serde_json::to_vec(&review)?.len();
    ensure!(length <= bytes, "{length} bytes are more than {bytes}");
    if let Some(note) = review.pointer_mut("/request/object/metadata/annotations/note") {
        *note = json!("x".repeat(bytes - length));
    }
    Ok(serde_json::to_vec(&review)?)
}

fn review(mut pod: Value) -> Value {
    let managed = json!([{
        "manager": "kube-controller-manager", "operation": "Update", "apiVersion": "v1",
        "time": "2026-11-02T09:15:04Z", "fieldsType": "FieldsV1", "fieldsV1": managed(&pod),
    }]);
    if let Some(metadata) = pod.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("managedFields".to_owned(), managed);
    }
    let kind = json!({"group": "", "version": "v1", "kind": "Pod"});
    let resource = json!({"group": "", "version": "v1", "resource": "pods"});
    json!({
        "kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": kind, "resource": resource, "requestKind": kind, "requestResource": resource,
            "namespace": "shop", "operation": "CREATE",
            "userInfo": {
                "username": "system:serviceaccount:kube-system:replicaset-controller",
                "uid": "d5ab0a1c-1f0f-4b0b-8f2b-0f8f8cf1b1a7",
                "groups": ["system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"],
                "extra": {"authentication.kubernetes.io/credential-id": ["JTI=1f1d7a8e-52f5-4d0f-9a4c-0b8f3d5f6a11"]},
            },
            "object": pod, "oldObject": null, "dryRun": false,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
        },
    })
}

fn pod(containers: usize, init_containers: usize, variables: usize) -> Value {
    let all = containers + init_containers;
    let each = |index: usize| {
        let count = variables / all + usize::from(index < variables % all);
        container(index, count)
    };
    let mut spec = json!({
        "volumes": [access_volume()],
        "initContainers": (containers..all).map(each).collect::<Vec<_>>(),
        "containers": (0..containers).map(each).collect::<Vec<_>>(),
        "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst",
        "serviceAccountName": "default", "serviceAccount": "default", "securityContext": {},
        "schedulerName": "default-scheduler",
        "tolerations": [
            {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
            {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
        ],
        "priority": 0, "enableServiceLinks": true, "preemptionPolicy": "PreemptLowerPriority",
    });
    if init_containers == 0
        && let Some(spec) = spec.as_object_mut()
    {
        spec.shift_remove("initContainers");
    }
    json!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {
            "generateName": "web-7c5ddbdf54-", "namespace": "shop",
            "labels": {"app": "web", "pod-template-hash": "7c5ddbdf54"},
            "annotations": {"note": ""},
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-7c5ddbdf54",
                "uid": "4f4bd1c7-6b6e-4f6a-9f0a-51d7b2f1f8d0", "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "spec": spec, "status": {},
    })
}

fn container(index: usize, variables: usize) -> Value {
    let variable = |place: usize| json!({"name": format!("SETTING_{place}"), "value": format!("https://service-{place}.shop.svc:8443/api/v1?number={place}")});
    json!({
        "name": format!("service-{index}"),
        "image": format!("registry.example.com/shop/service-{index}:1.2.3"),
        "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
        "env": (0..variables).map(variable).collect::<Vec<_>>(),
        "resources": {
            "limits": {"memory": "128Mi"},
            "requests": {"cpu": "50m", "memory": "64Mi"},
        },
        "volumeMounts": [{
            "name": "kube-api-access-7xk2p", "readOnly": true,
            "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
        }],
        "readinessProbe": {
            "httpGet": {"path": "/", "port": "http", "scheme": "HTTP"},
            "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3,
        },
        "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
        "imagePullPolicy": "IfNotPresent",
    })
}

/// Returns the volume with the service account's token, as the API server adds it.
fn access_volume() -> Value {
    json!({
        "name": "kube-api-access-7xk2p",
        "projected": {
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [{
                    "path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
                }]}},
            ],
            "defaultMode": 420,
        },
    })
}

/// Returns `fieldsV1` for the fields that a controller sets: all except volumes and the API
/// server's defaults.
fn managed(pod: &Value) -> Value {
    let mut fields = Map::new();
    for part in ["metadata", "spec"] {
        if let Some(value) = pod.get(part) {
            fields.insert(format!("f:{part}"), fields_of(value));
        }
    }
    Value::Object(fields)
}

fn fields_of(value: &Value) -> Value {
    const NOT_SET: [&str; 5] =
        ["volumes", "volumeMounts", "tolerations", "priority", "preemptionPolicy"];
    let mut fields = Map::new();
    match value {
        Value::Object(members) => {
            for (key, value) in members.iter().filter(|(key, _)| !NOT_SET.contains(&key.as_str())) {
                fields.insert(format!("f:{key}"), fields_of(value));
            }
        }
        Value::Array(items) => {
            fields.insert(".".to_owned(), json!({}));
            for item in items {
                let key = ["containerPort", "uid", "name"]
                    .iter()
                    .find_map(|key| Some(json!({*key: item.get(key)?})));
                let mut own = json!({".": {}});
                if let (Some(own), Value::Object(members)) = (own.as_object_mut(), fields_of(item))
                {
                    own.extend(members);
                }
                fields.insert(format!("k:{}", key.unwrap_or_default()), own);
            }
        }
        _ => {}
    }
    Value::Object(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_committed_is_what_is_made() {
        for review in Review::ALL {
            assert!(
                review.committed().unwrap() == review.generate().unwrap(),
                "{}: bench/run bodies",
                review.name()
            );
        }
    }

    #[test]
    fn a_quarter_or_so_of_a_review_are_managed_fields() {
        for review in [Review::Small, Review::Large] {
            let bytes = review.committed().unwrap();
            let value: Value = serde_json::from_slice(&bytes).unwrap();
            let managed = value["request"]["object"]["metadata"]["managedFields"].to_string().len();
            let share = managed * 100 / bytes.len();
            assert!((20..35).contains(&share), "{}: {share} %", review.name());
        }
    }

    #[test]
    fn who_has_everything_gets_no_patch() {
        let patched = Review::Patched.committed().unwrap();
        assert!(patch_of(&naive::answer(&patched)).unwrap().is_none());
    }
}
