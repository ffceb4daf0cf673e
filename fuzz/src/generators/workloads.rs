//! A workload with the objects around it, for the audit: a good one, one with odd fields, and
//! arbitrary ones.

use arbitrary::Unstructured;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::any_pod;
use crate::structured::edit;

/// A manifest without findings.
pub const GOOD: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  strategy: {rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 60
      containers:
      - name: web
        image: example.com/app:1
        ports: [{containerPort: 80}]
        readinessProbe: {httpGet: {port: 80}}
        lifecycle: {preStop: {sleep: {seconds: 15}}}
---
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {selector: {app: web}, ports: [{port: 80}]}}
---
{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: web, namespace: shop}, spec: {selector: {matchLabels: {app: web}}, maxUnavailable: 1}}
---
{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: web, namespace: shop}, spec: {scaleTargetRef: {kind: Deployment, name: web}, minReplicas: 3}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {a: b}}}
";

/// Returns the objects of [`GOOD`].
#[must_use]
pub fn good() -> Vec<Value> {
    serde_saphyr::from_multiple(GOOD).unwrap()
}

/// Objects, and a second order of them.
#[derive(Debug, Clone)]
pub struct Audited {
    /// The objects.
    pub objects: Vec<Value>,
    /// The indices of the objects in the second order.
    pub order: Vec<usize>,
}

impl Audited {
    /// Returns the objects in the second order.
    #[must_use]
    pub fn shuffled(&self) -> Vec<Value> {
        let places = self.order.iter().filter_map(|index| self.objects.get(*index));
        places.cloned().collect()
    }

    /// Edits a few places in the objects.
    pub(crate) fn edited(self, choices: &mut Unstructured<'_>) -> Self {
        let Self { mut objects, order } = self;
        for object in &mut objects {
            if choices.ratio(1, 3).unwrap_or(false) {
                edit(object, choices);
            }
        }
        Self { objects, order }
    }
}

/// Generates the good manifest with any pod, a few odd fields, and second Services and budgets.
pub fn audited() -> impl Strategy<Value = Audited> {
    let order = Just((0..8_usize).collect::<Vec<_>>()).prop_shuffle();
    (any_pod(), vec(change(), 0..4), order).prop_map(|(pod, changes, order)| Audited {
        objects: with_twins(objects_of(&pod, &changes)),
        order,
    })
}

/// Generates the good manifest with any pod, and arbitrary objects.
pub fn any_workload() -> impl Strategy<Value = Vec<Value>> {
    let kinds = vec![
        ("v1", "Service"),
        ("v1", "Namespace"),
        ("policy/v1", "PodDisruptionBudget"),
        ("autoscaling/v2", "HorizontalPodAutoscaler"),
        ("keda.sh/v1alpha1", "ScaledObject"),
        ("networking.k8s.io/v1", "Ingress"),
        ("apps/v1", "Deployment"),
        ("apps/v1", "StatefulSet"),
        ("gateway.networking.k8s.io/v1", "HTTPRoute"),
        ("gateway.networking.k8s.io/v1", "Gateway"),
    ];
    (vec((select(kinds), odd(), odd()), 0..6), any_pod()).prop_map(|(odd, pod)| {
        let mut objects = objects_of(&pod, &[]);
        objects.extend(odd.into_iter().map(|((api_version, kind), metadata, spec)| {
            json!({"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec})
        }));
        objects
    })
}

/// Generates values that are close to the expected ones, and values that are not.
fn odd() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(null)),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        select(vec!["", "Local", "100%", "-5%", "99999999999999999999%", "Recreate", "{", "é"])
            .prop_map(Value::from),
        Just(json!([])),
        Just(json!({})),
        Just(json!([{}])),
        Just(json!({"matchLabels": {"app": "web"}})),
        Just(json!({"maxUnavailable": "100%", "maxSurge": i64::MIN})),
    ]
}

/// Generates a change of an object of the good manifest: `(pointer, value)`.
fn change() -> impl Strategy<Value = (String, Value)> {
    let places = vec![
        "/0/spec/replicas",
        "/0/spec/strategy",
        "/0/spec/minReadySeconds",
        "/0/metadata/annotations",
        "/0/metadata/name",
        "/0/metadata/namespace",
        "/0/kind",
        "/1/spec/selector",
        "/1/spec/type",
        "/1/spec/ports",
        "/1/spec/externalTrafficPolicy",
        "/1/spec/publishNotReadyAddresses",
        "/1/spec/clusterIP",
        "/1/metadata/annotations",
        "/2/spec/selector",
        "/2/spec/maxUnavailable",
        "/2/spec/minAvailable",
        "/2/spec",
        "/3/spec/minReplicas",
        "/3/spec/scaleTargetRef",
        "/4/metadata/labels",
        "/4/metadata",
    ];
    (select(places).prop_map(str::to_owned), odd())
}

/// Returns the objects around a pod, with a few odd fields.
fn objects_of(pod: &Value, changes: &[(String, Value)]) -> Vec<Value> {
    let mut objects = good();
    for (key, value) in pod.as_object().into_iter().flatten() {
        if ["metadata", "spec"].contains(&key.as_str()) {
            objects[0]["spec"]["template"][key] = value.clone();
        }
    }
    let labels = objects[0].pointer_mut("/spec/template/metadata/labels");
    if let Some(Value::Object(labels)) = labels {
        labels.insert("app".to_owned(), "web".into());
    }
    for (path, value) in changes {
        let (index, pointer) = path.trim_start_matches('/').split_once('/').unwrap();
        let object = &mut objects[index.parse::<usize>().unwrap()];
        let parent = match pointer.rsplit_once('/') {
            Some((parent, _)) => object.pointer_mut(&format!("/{parent}")),
            None => Some(object),
        };
        let key = pointer.rsplit('/').next().unwrap();
        if let Some(Value::Object(parent)) = parent {
            parent.insert(key.to_owned(), value.clone());
        }
    }
    objects
}

/// Adds copies of Services and budgets with other names, so that their order could matter.
fn with_twins(mut objects: Vec<Value>) -> Vec<Value> {
    for index in [1, 2, 3] {
        let mut twin = objects[index].clone();
        if let Some(name) = twin.pointer_mut("/metadata/name") {
            *name = "twin".into();
        }
        objects.push(twin);
    }
    objects
}
