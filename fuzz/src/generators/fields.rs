//! The fields of pods, each with good, odd and wrong values.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::{Field, NAMES, sometimes, unknown};

const IMAGES: [&str; 28] = [
    "registry.example/team/app:1.0",
    "nginx",
    "nginx:1.27.3",
    "nginx:1.19",
    "nginx:1.15.12-alpine",
    "nginx:latest",
    "nginx:1.27.3@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "registry.example:5000/mirror/nginx:1.25.1",
    "bitnami/nginx:1.27.3-debian-12-r0",
    "httpd:2.4",
    "haproxy:3.0",
    "haproxy:1.8",
    "bitnami/postgresql:16",
    "istio/proxyv2:1.27.0",
    "docker.io/istio/proxyv2:1.20",
    "fluent/fluent-bit:3.1",
    "gcr.io/distroless/static-debian12",
    "redis:7",
    "rabbitmq:3-management",
    "registry.k8s.io/ingress-nginx/controller:v1.11",
    "slow-proxy",
    "php-fpm:8",
    "slow-app:1",
    "rabbit-hole",
    "lighttpd:1.4.69",
    "NGINX:Latest",
    "https://nginx",
    "../../nginx*[(",
];

fn grace(extra: Vec<Value>) -> BoxedStrategy<Option<Value>> {
    prop_oneof![
        3 => Just(None),
        4 => (1_i64..100).prop_map(|seconds| Some(seconds.into())),
        1 => (1_i64..5).prop_map(|seconds| Some(seconds.into())),
        2 => (590_i64..=610).prop_map(|seconds| Some(seconds.into())),
        2 => select(extra).prop_map(Some),
    ]
    .boxed()
}

pub(super) fn valid_spec() -> Vec<Field> {
    let lasting = [30, 0, 1_000_000_000, i64::MAX, i64::MAX - 5];
    let mut lasting: Vec<Value> = lasting.into_iter().map(Value::from).collect();
    lasting.push(Value::Null);
    vec![
        ("terminationGracePeriodSeconds", grace(lasting)),
        (
            "restartPolicy",
            sometimes(30, vec![json!("Always"), json!("Always"), json!("Always"), json!("Never")]),
        ),
        ("os", sometimes(10, vec![json!({"name": "linux"}), json!({"name": "windows"})])),
        ("hostNetwork", sometimes(8, vec![json!(true), json!(false)])),
        ("initContainers", sometimes(15, init_containers())),
        (
            "nodeSelector",
            sometimes(
                10,
                vec![json!({"kubernetes.io/os": "linux"}), json!({"kubernetes.io/os": "windows"})],
            ),
        ),
        (
            "readinessGates",
            sometimes(
                15,
                vec![
                    json!([{"conditionType": "target-health.elbv2.k8s.aws/k8s-web"}]),
                    json!([{"conditionType": "cloud.google.com/load-balancer-neg-ready"},
                        {"conditionType": "target-health.alb.ingress.k8s.aws/web"}]),
                    json!([{"conditionType": "example.com/ready"}, {}, null, 5]),
                ],
            ),
        ),
        ("hostPID", sometimes(8, vec![json!(false), json!(true)])),
        ("shareProcessNamespace", sometimes(8, vec![json!(null), json!(true)])),
        ("initContainers", sometimes(25, valid_init_containers())),
        ("x-unknown", unknown()),
    ]
}

pub(super) fn hostile_spec() -> Vec<Field> {
    let graces = [
        "30",
        "0",
        "-1",
        "null",
        "1000000000",
        "9223372036854775807",
        "9223372036854775802",
        "9223372036854775808",
        "-9223372036854775808",
        "1e2",
        "30.0",
        "\"30\"",
        "true",
        "{}",
    ];
    let graces = graces.map(|text| serde_json::from_str(text).unwrap_or_default());
    let mut init = valid_init_containers();
    init.extend([json!("init"), json!([null, {"name": "setup", "lifecycle": {"preStop": {}}}])]);
    let mut fields = valid_spec();
    fields.retain(|(key, _)| {
        !["terminationGracePeriodSeconds", "initContainers", "os", "hostPID", "restartPolicy"]
            .contains(key)
    });
    fields.extend([
        ("terminationGracePeriodSeconds", grace(graces.to_vec())),
        ("initContainers", sometimes(25, init)),
        (
            "restartPolicy",
            sometimes(
                20,
                vec![json!("Always"), json!("Always"), json!(null), json!("OnFailure"), json!(5)],
            ),
        ),
        (
            "os",
            sometimes(
                10,
                vec![
                    json!(null),
                    json!("windows"),
                    json!({"name": "windows"}),
                    json!({"name": "Windows"}),
                ],
            ),
        ),
        ("hostPID", sometimes(10, vec![json!("true"), json!(1), json!(true)])),
        (
            "ephemeralContainers",
            sometimes(10, vec![json!([{"name": "debug", "image": "nginx"}]), json!(5)]),
        ),
    ]);
    fields
}

fn valid_init_containers() -> Vec<Value> {
    vec![
        json!([]),
        json!([{"name": "setup", "image": "nginx"}]),
        json!([{"name": "mesh", "image": "istio/proxyv2:1", "restartPolicy": "Always", "x-unknown": 1}]),
        json!([{"name": "mesh", "image": "nginx", "restartPolicy": "Always",
            "lifecycle": {"preStop": {"exec": {"command": ["true"]}}}}]),
    ]
}

pub(super) fn valid_container() -> Vec<Field> {
    vec![
        ("image", select(IMAGES.to_vec()).prop_map(|image| Some(image.into())).boxed()),
        ("command", sometimes(15, commands())),
        (
            "args",
            sometimes(
                10,
                vec![json!(["--graceful-timeout", "60"]), json!(["--workers", "2"]), json!([])],
            ),
        ),
        (
            "env",
            sometimes(
                10,
                vec![
                    json!([{"name": "A", "value": "b"}, {"name": SPRING, "value": "45s"}]),
                    json!([{"name": SPRING, "valueFrom": {}}, {"name": SPRING, "value": "$(X)"}]),
                    json!([]),
                ],
            ),
        ),
        ("lifecycle", sometimes(35, valid_lifecycles())),
        ("livenessProbe", sometimes(15, probes())),
        ("startupProbe", sometimes(10, probes())),
        ("readinessProbe", sometimes(30, readiness_probes())),
        (
            "terminationMessagePath",
            sometimes(10, vec![json!("/tmp/last words"), json!("/dev/termination-log"), json!("")]),
        ),
        ("x-unknown", unknown()),
    ]
}

const SPRING: &str = "SPRING_LIFECYCLE_TIMEOUT_PER_SHUTDOWN_PHASE";

fn commands() -> Vec<Value> {
    vec![
        json!(["/entrypoint"]),
        json!([]),
        json!(null),
        json!(["/bin/sh", "-c", "app; true"]),
        json!(["sh", "-c", "migrate; exec app"]),
        json!(["bash", "-c", "cd /x && app"]),
    ]
}

pub(super) fn hostile_container() -> Vec<Field> {
    let mut lifecycles = valid_lifecycles();
    lifecycles.extend([
        json!("stop"),
        json!([]),
        json!({"preStop": {}}),
        json!({"preStop": "sleep 5"}),
        json!({"preStop": []}),
        json!({"preStop": false}),
        json!({"preStop": {"sleep": {"seconds": -5}}}),
        json!({"preStop": {"sleep": {"seconds": "5"}}}),
        json!({"preStop": {"sleep": null, "exec": {"command": ["sleep", "+5"]}}}),
        json!({"preStop": {"exec": {"command": ["sleep", "99999999999999999999"]}}}),
        json!({"preStop": {"exec": {"command": "sleep 5"}}}),
        json!({"preStop": {"sleep": {"seconds": 3}, "tcpSocket": {}, "httpGet": null}}),
        json!({"preStop": {"sleep": {"seconds": 3}, "exec": {"command": ["sleep", "4"]}}}),
        json!({"preStop": null, "postStart": null, "stopSignal": "SIGQUIT", "a/b~c": [{}]}),
    ]);
    let mut images: Vec<Value> = IMAGES.iter().map(|image| (*image).into()).collect();
    images.extend([json!(null), json!(""), json!(5), "nginx/".repeat(800).into()]);
    let mut names: Vec<Value> = NAMES.iter().map(|name| (*name).into()).collect();
    names.extend([
        json!("web"),
        json!("🦀"),
        json!(""),
        json!(null),
        json!(5),
        json!("a/b~c\n\u{0}"),
    ]);
    let mut fields = valid_container();
    fields.retain(|(key, _)| !["image", "lifecycle"].contains(key));
    fields.extend([
        ("name", sometimes(97, names)),
        ("image", sometimes(97, images)),
        ("lifecycle", sometimes(30, lifecycles)),
        (
            "readinessProbe",
            sometimes(10, vec![json!(5), json!({"terminationGracePeriodSeconds": "1"})]),
        ),
    ]);
    fields
}

fn valid_lifecycles() -> Vec<Value> {
    vec![
        json!(null),
        json!({}),
        json!({"preStop": null}),
        json!({"postStart": {"exec": {"command": ["true"]}}}),
        json!({"postStart": {"exec": {"command": ["true"]}}, "preStop": null, "x-unknown": [1]}),
        json!({"stopSignal": "SIGQUIT", "x-unknown": {"b": 1, "a": 2.50}}),
        json!({"stopSignal": "SIGTERM"}),
        json!({"stopSignal": "SIGKILL"}),
        json!({"preStop": {"sleep": {"seconds": 0}}}),
        json!({"preStop": {"sleep": {"seconds": 45}}}),
        json!({"preStop": {"exec": {"command": ["sleep", "20"]}}}),
        json!({"preStop": {"exec": {"command": ["sleep", "20s"]}}}),
        json!({"preStop": {"exec": {"command": ["/bin/sh", "-c", "sleep 5; nginx -s quit"]}}}),
        json!({"preStop": {"exec": {"command": ["/bin/sleep", "0.5m"]}}}),
        json!({"preStop": {"exec": {"command": ["sh", "-c", "sleep 17s && sleep 5 || true"]}}}),
        json!({"preStop": {"exec": {"command": ["bash", "-c", "while true; do sleep 1; done"]}}}),
        json!({"preStop": {"httpGet": {"port": 8080, "path": "/quit"}, "x-unknown": null}}),
        json!({"preStop": {"tcpSocket": {"port": "http"}}}),
        json!({"preStop": {"sleep": {"seconds": 3}}}),
        json!({"preStop": {"exec": {"command": ["sh", "-c", "sleep 2; nginx -s quit; sleep 25"]}}}),
        json!({"preStop": {"exec": {"command": ["/usr/sbin/nginx", "-s", "quit"]}}}),
        json!({"preStop": {"exec": {"command": ["nginx", "-s", "stop"]}}}),
        json!({"preStop": {"exec": {"command": ["apachectl", "graceful-stop"]}}}),
        json!({"preStop": {"exec": {"command": ["sh", "-c", "sleep 7; kill -USR1 1"]}}}),
        json!({"preStop": {"exec": {"command": ["kill", "-TERM", "1"]}},
            "stopSignal": "SIGTERM"}),
    ]
}

fn init_containers() -> Vec<Value> {
    let probe = json!({"httpGet": {"port": 15021}, "periodSeconds": 2});
    vec![
        json!([{"name": "init", "image": "app", "readinessProbe": probe}]),
        json!([{"name": "proxy", "image": "app", "restartPolicy": "Always", "readinessProbe": probe}]),
        json!([{"name": "proxy", "image": "app", "restartPolicy": "Always"}]),
        json!([]),
        json!(null),
    ]
}

fn readiness_probes() -> Vec<Value> {
    vec![
        json!({"httpGet": {"port": 80}}),
        json!({"tcpSocket": {"port": 80}, "periodSeconds": 1}),
        json!({"grpc": {"port": 80}, "periodSeconds": 7}),
        json!({"exec": {"command": ["true"]}, "periodSeconds": 1}),
        json!({"httpGet": {"port": 80}, "periodSeconds": null}),
        json!(null),
    ]
}

fn probes() -> Vec<Value> {
    vec![
        json!({"httpGet": {"port": 80}}),
        json!({"httpGet": {"port": 80}, "terminationGracePeriodSeconds": 5}),
        json!({"terminationGracePeriodSeconds": 1000}),
        json!(null),
    ]
}

pub(super) fn metadata(
    annotations: BoxedStrategy<Option<Value>>,
    labels: BoxedStrategy<Option<Value>>,
) -> Vec<Field> {
    let owner = |kind: &str| json!([{"kind": kind, "name": "o", "controller": true}]);
    let of_group = |version: &str, kind: &str| json!([{"apiVersion": version, "kind": kind, "name": "o", "controller": true}]);
    let owners = vec![
        of_group("apps/v1", "ReplicaSet"),
        owner("StatefulSet"),
        owner("ReplicaSet"),
        of_group("batch/v1", "Job"),
        of_group("example.com/v1", "Job"),
        of_group("v1", "Odd"),
        owner("Job"),
        owner("DaemonSet"),
        json!(null),
        json!([]),
        json!([{"kind": "Job", "name": "o"}]),
        json!([{"kind": "Job", "controller": false}, {"kind": "ReplicaSet", "controller": true}]),
        json!([{"kind": "Node", "controller": true}, {"kind": "Job", "controller": true}]),
        json!([null, {"kind": 5, "controller": true}, {"controller": "true"}]),
        json!({"kind": "Job", "controller": true}),
    ];
    vec![
        ("generateName", sometimes(50, vec![json!("web-")])),
        ("labels", labels),
        ("annotations", annotations),
        ("ownerReferences", sometimes(30, owners)),
        ("deletionTimestamp", sometimes(3, vec![json!(null), json!("2026-01-01T00:00:00Z")])),
        ("x-unknown", unknown()),
    ]
}

pub(super) fn valid_labels() -> BoxedStrategy<Option<Value>> {
    let switch = |value: &str| json!({"prestop.dev/inject": value, "app": "web"});
    let labels = vec![
        json!({"app": "web"}),
        json!(null),
        json!({}),
        switch("enabled"),
        switch("True"),
        switch("disabled"),
        switch("FALSE"),
        switch("no"),
        json!({"prestop.dev/delay": "5s"}),
        json!({"inject.prestop.dev/web": "enabled"}),
    ];
    sometimes(35, labels)
}

pub(super) fn hostile_labels() -> BoxedStrategy<Option<Value>> {
    let labels = vec![
        json!("labels"),
        json!([]),
        json!({"prestop.dev/inject": true}),
        json!({"prestop.dev/inject": null}),
        json!({"prestop.dev/inject": " enabled "}),
        json!({"notprestop.dev/inject": "disabled", "prestop.dev": "x", "prestop.dev/": ""}),
    ];
    prop_oneof![4 => valid_labels(), 1 => sometimes(50, labels)].boxed()
}

/// Limits every sleep to the grace period, because the API server would refuse the pod otherwise.
pub(super) fn shorten_sleeps(spec: &mut Value) {
    let grace = spec.get("terminationGracePeriodSeconds");
    let grace = grace.and_then(Value::as_i64).unwrap_or(30);
    let containers = spec.get_mut("containers").and_then(Value::as_array_mut);
    for container in containers.into_iter().flatten() {
        if let Some(seconds) = container.pointer_mut("/lifecycle/preStop/sleep/seconds") {
            *seconds = seconds.as_i64().unwrap_or(0).min(grace).into();
        }
    }
}
