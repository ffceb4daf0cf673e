//! Random objects: nothing panics, and their order does not matter.

use proptest::prelude::*;
use serde_json::{Map, json};

use super::*;

const KEYS: [&str; 40] = [
    "metadata",
    "spec",
    "name",
    "namespace",
    "annotations",
    "labels",
    "selector",
    "ports",
    "port",
    "targetPort",
    "number",
    "type",
    "clusterIP",
    "loadBalancerClass",
    "ingressClassName",
    "rules",
    "http",
    "paths",
    "backend",
    "service",
    "defaultBackend",
    "backendRefs",
    "parentRefs",
    "routes",
    "services",
    "destination",
    "host",
    "to",
    "serviceRef",
    "controller",
    "controllerName",
    "gatewayClassName",
    "containers",
    "initContainers",
    "hostPort",
    "readinessGates",
    "app",
    "kind",
    "group",
    "publishNotReadyAddresses",
];
const TEXTS: [&str; 14] = [
    "",
    "web",
    "shop",
    "None",
    "LoadBalancer",
    "NodePort",
    "80",
    "http",
    "alb",
    "nginx",
    "a.b.svc",
    "Service",
    "*",
    "service.k8s.aws/nlb",
];
const KINDS: [(&str, &str); 12] = [
    ("v1", "Service"),
    ("networking.k8s.io/v1", "Ingress"),
    ("networking.k8s.io/v1", "IngressClass"),
    ("gateway.networking.k8s.io/v1", "Gateway"),
    ("gateway.networking.k8s.io/v1", "GatewayClass"),
    ("gateway.networking.k8s.io/v1", "HTTPRoute"),
    ("elbv2.k8s.aws/v1beta1", "TargetGroupBinding"),
    ("traefik.io/v1alpha1", "IngressRoute"),
    ("networking.istio.io/v1", "VirtualService"),
    ("route.openshift.io/v1", "Route"),
    ("apps/v1", "Deployment"),
    ("", ""),
];

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        prop::sample::select(&TEXTS[..]).prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        let key = prop::sample::select(&KEYS[..]).prop_map(str::to_owned);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..6)
                .prop_map(|members| Value::from(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// An object of a known kind: sometimes a plausible one, sometimes anything.
fn object() -> impl Strategy<Value = Value> {
    let texts = || prop::sample::select(vec!["web", "shop", "alb", "other"]);
    let plausible = (prop::sample::select(&KINDS[..]), texts(), texts(), texts(), value());
    plausible.prop_map(|((api_version, kind), name, namespace, class, odd)| {
        let backend = json!({"service": {"name": "web", "port": {"number": 80}}});
        json!({
            "apiVersion": api_version, "kind": kind,
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "selector": {"app": "web"}, "ports": [{"port": 80}], "defaultBackend": backend,
                "ingressClassName": class, "gatewayClassName": class, "controller": "ingress.k8s.aws/alb",
                "parentRefs": [{"name": name}], "rules": [{"backendRefs": [{"name": "web"}]}],
                "routes": [{"services": [{"name": "web"}]}, odd], "to": {"name": "web"},
                "serviceRef": {"name": "web"},
            },
        })
    })
}

fn any_object() -> impl Strategy<Value = Value> {
    let odd =
        (prop::sample::select(&KINDS[..]), value()).prop_map(|((api_version, kind), mut odd)| {
            if let Some(members) = odd.as_object_mut() {
                members.insert("apiVersion".to_owned(), api_version.into());
                members.insert("kind".to_owned(), kind.into());
            }
            odd
        });
    prop_oneof![object(), odd]
}

/// A change of one object.
#[derive(Debug, Clone)]
enum Change {
    Replaced(Value),
    Removed(Value),
    /// A list without it was read.
    Unlisted(Value),
}

fn change() -> impl Strategy<Value = Change> {
    let object = any_object().prop_filter("the API server's objects have names", |object| {
        !names(object).1.is_empty() && !names(object).2.is_empty()
    });
    (object, 0..4).prop_map(|(object, kind)| match kind {
        0 => Change::Removed(object),
        1 => Change::Unlisted(object),
        _ => Change::Replaced(object),
    })
}

/// `apiVersion`, `kind`, namespace and name. Kinds without namespaces have none here.
fn names(object: &Value) -> (&str, &str, &str, &str) {
    let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let kind = text("/kind");
    let namespace = if kind.ends_with("Class") { "" } else { text("/metadata/namespace") };
    (text("/apiVersion"), kind, namespace, text("/metadata/name"))
}

proptest! {
    /// Following changes gives the same result as reading the final objects.
    #[test]
    fn changes_are_followed(changes in prop::collection::vec(change(), 0..16)) {
        let mut followed = Surroundings::new(FrontTable::built_in(), "shop");
        let mut there: Vec<Value> = Vec::new();
        for change in &changes {
            let (Change::Replaced(object) | Change::Removed(object) | Change::Unlisted(object)) = change;
            let (api_version, kind, namespace, name) = names(object);
            there.retain(|other| names(other) != names(object));
            match change {
                Change::Replaced(object) => {
                    there.push(object.clone());
                    followed.replace(api_version, kind, object);
                }
                Change::Removed(_) => followed.remove(api_version, kind, namespace, name),
                Change::Unlisted(_) => {
                    followed.retain(api_version, kind, |of, own| (of, own) != (namespace, name));
                }
            }
        }
        let pod = PodShape::of_value(&documents(POD)[0], "shop");
        prop_assert_eq!(followed.fronts(&pod), surroundings(&there).fronts(&pod));
    }

    #[test]
    fn the_order_of_objects_does_not_matter(
        objects in prop::collection::vec(any_object(), 0..8).prop_flat_map(|objects| {
            (Just(objects.clone()), Just(objects).prop_shuffle())
        }),
        template in prop_oneof![Just(documents(POD).remove(0)), value()],
    ) {
        let (one, other) = objects;
        let pod = PodShape::of_value(&template, "shop");
        let (one, other) = (surroundings(&one), surroundings(&other));
        prop_assert_eq!(one.fronts(&pod), other.fronts(&pod));
    }
}
