//! Services and objects that may be in front of them: plausible ones, and ones that no author would
//! write.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

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

/// Generates any value, with keys and texts of these objects in it.
pub fn odd_value() -> impl Strategy<Value = Value> {
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

/// Generates an object of a known kind with plausible fields and an odd one.
fn object() -> impl Strategy<Value = Value> {
    let texts = || prop::sample::select(vec!["web", "shop", "alb", "other"]);
    let plausible = (prop::sample::select(&KINDS[..]), texts(), texts(), texts(), odd_value());
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

/// Generates an object of a known kind: a plausible one, or one with arbitrary fields.
pub fn any_object() -> impl Strategy<Value = Value> {
    let odd = (prop::sample::select(&KINDS[..]), odd_value()).prop_map(
        |((api_version, kind), mut odd)| {
            if let Some(members) = odd.as_object_mut() {
                members.insert("apiVersion".to_owned(), api_version.into());
                members.insert("kind".to_owned(), kind.into());
            }
            odd
        },
    );
    prop_oneof![object(), odd]
}
