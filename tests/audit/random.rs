//! Any objects at all: no panic, and the order of documents does not matter.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::generators::any_pod;

/// Values that are near to what is expected, and far from it.
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

/// `(pointer, value)` of an object of the good manifest.
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

/// The objects around a pod, with a few fields that are odd.
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
        let (index, pointer) = path[1..].split_once('/').unwrap();
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

/// Two Services and budgets with other names, so that orders can matter at all.
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

proptest! {
    #[test]
    fn findings_do_not_depend_on_the_order_of_objects(
        pod in any_pod(),
        changes in vec(change(), 0..4),
        order in Just((0..8_usize).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let objects = with_twins(objects_of(&pod, &changes));
        let shuffled: Vec<_> = order.iter().map(|index| objects[*index].clone()).collect();
        let policy = policy();
        let found = findings(&objects, &policy);
        prop_assert_eq!(&found, &findings(&objects, &policy), "not the same twice");
        prop_assert_eq!(&found, &findings(&shuffled, &policy), "order {:?}", order);
        for finding in &found {
            prop_assert!(finding.pointer.is_empty() || finding.pointer.starts_with('/'));
        }
    }

    #[test]
    fn whole_objects_may_be_anything(
        kinds in vec(select(vec![
            ("v1", "Service"), ("v1", "Namespace"), ("policy/v1", "PodDisruptionBudget"),
            ("autoscaling/v2", "HorizontalPodAutoscaler"), ("keda.sh/v1alpha1", "ScaledObject"),
            ("networking.k8s.io/v1", "Ingress"), ("apps/v1", "Deployment"), ("apps/v1", "StatefulSet"),
            ("gateway.networking.k8s.io/v1", "HTTPRoute"), ("gateway.networking.k8s.io/v1", "Gateway"),
        ]), 0..6),
        values in vec((odd(), odd()), 6),
        pod in any_pod(),
    ) {
        let mut objects = objects_of(&pod, &[]);
        for ((api_version, kind), (metadata, spec)) in kinds.into_iter().zip(values) {
            objects.push(json!({"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}));
        }
        findings(&objects, &policy());
    }
}
