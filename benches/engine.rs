//! What one decision costs: time and allocations of reading a pod, finding an image in the catalogue,
//! deciding, writing the patch, and of a whole review (`bench/bodies`).
//! `cargo bench --bench engine`

// A benchmark may end by panicking, and is there to print.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::sync::Arc;

use divan::{AllocProfiler, Bencher, black_box};
use prestop_core::admission::{self, ClusterView, Fronts, Namespaces, NoFronts};
use prestop_core::catalogue::{Catalogue, ImageReference};
use prestop_core::duration::AskedDelay;
use prestop_core::engine::decide;
use prestop_core::engine::pod::Pod;
use prestop_core::engine::settings::NamespaceSettings;
use prestop_core::fronts::{FrontDelay, FrontTable, PodShape, Surroundings};
use prestop_core::policy::{KubernetesVersion, NamespaceRule, Policy};
use serde_json::{Value, json};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

/// Containers in a pod: an ordinary one, and one of a mesh with its proxies and shippers.
const SIZES: [usize; 2] = [1, 5];

fn main() {
    divan::main();
}

fn policy() -> Policy {
    Policy {
        kubernetes_version: Some(KubernetesVersion::NEWEST),
        namespaces: NamespaceRule::NotDisabled,
        ..Policy::built_in()
    }
}

/// A pod as the API server sends it, with the fields that are only skipped.
fn pod(containers: usize) -> String {
    let images = [
        "nginx:1.15",
        "example.com/team/app:1",
        "istio/proxyv2:1.20",
        "fluent/fluent-bit:3",
        "httpd:2.4",
    ];
    let container = |(index, image): (usize, &&str)| {
        let environment: Vec<Value> = (0..20)
            .map(|n| json!({"name": format!("VARIABLE_{n}"), "value": "some value of it"}))
            .collect();
        json!({"name": format!("container-{index}"), "image": image, "env": environment,
            "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "100m"}},
            "volumeMounts": [{"name": "kube-api-access", "mountPath": "/var/run/secrets", "readOnly": true}],
            "terminationMessagePath": "/dev/termination-log", "imagePullPolicy": "IfNotPresent"})
    };
    let containers: Vec<Value> =
        images.iter().take(containers).enumerate().map(container).collect();
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"generateName": "web-7d4b9c6f5-", "labels": {"app": "web"},
            "annotations": {"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "controller": true}]},
        "spec": {"containers": containers, "terminationGracePeriodSeconds": 30, "restartPolicy": "Always"}})
    .to_string()
}

#[divan::bench(args = SIZES)]
fn read(bencher: Bencher<'_, '_>, containers: usize) {
    let text = pod(containers);
    bencher.bench(|| Pod::from_json(black_box(&text)).is_ok());
}

#[divan::bench(args = ["nginx:1.15", "registry.example.com/team/app:1"])]
fn match_image(bencher: Bencher<'_, '_>, image: &str) {
    let catalogue = Catalogue::built_in();
    bencher.bench(|| catalogue.for_image(&ImageReference::parse(black_box(image)).unwrap()));
}

#[divan::bench(args = SIZES)]
fn decide_only(bencher: Bencher<'_, '_>, containers: usize) {
    let (text, policy, namespace) = (pod(containers), policy(), NamespaceSettings::default());
    let pod = Pod::from_json(&text).unwrap();
    bencher.bench(|| decide(black_box(&pod), &namespace, &policy).is_injected());
}

#[divan::bench(args = SIZES)]
fn patch_only(bencher: Bencher<'_, '_>, containers: usize) {
    let (text, policy, namespace) = (pod(containers), policy(), NamespaceSettings::default());
    let pod = Pod::from_json(&text).unwrap();
    let decision = decide(&pod, &namespace, &policy);
    let mut buffer = Vec::with_capacity(64 * 1024);
    bencher.bench_local(|| {
        buffer.clear();
        admission::patch::write(black_box(&decision), "", &mut buffer);
        buffer.len()
    });
}

/// No namespace is known.
struct Nowhere;

impl Namespaces for Nowhere {
    fn settings(&self, _: &str) -> Option<Arc<NamespaceSettings>> {
        None
    }
}

#[divan::bench(args = ["small", "large"])]
fn review(bencher: Bencher<'_, '_>, body: &str) {
    let body = format!("{}/bench/bodies/{body}.json", env!("CARGO_MANIFEST_DIR"));
    let (body, policy) = (std::fs::read(body).unwrap(), policy());
    bencher.bench(|| {
        admission::review(
            black_box(&body),
            ClusterView { namespaces: &Nowhere, fronts: &NoFronts },
            &policy,
            &mut |_| {},
        )
        .unwrap()
    });
}

/// Services and Ingresses of a cluster, as the webhook keeps them.
struct Known(Surroundings<'static>);

impl Known {
    /// A hundred Services, and the Ingresses of every fifth, in each namespace.
    fn services(namespaces: usize) -> Self {
        let mut around = Surroundings::new(FrontTable::built_in(), "");
        for index in 0..namespaces * 100 {
            // The committed reviews are of the namespace `shop`.
            let namespace =
                if index < 100 { "shop".to_owned() } else { format!("team-{}", index / 100) };
            let name = format!("service-{index}");
            let metadata = json!({"name": name, "namespace": namespace});
            let app = if index == 50 { "web".to_owned() } else { name.clone() };
            let spec = json!({"selector": {"app": app}, "ports": [{"port": 80}]});
            around.add("v1", "Service", &json!({"metadata": metadata, "spec": spec}));
            if index.is_multiple_of(5) {
                let backend = json!({"service": {"name": name, "port": {"number": 80}}});
                let spec = json!({"ingressClassName": "nginx", "defaultBackend": backend});
                let ingress = json!({"metadata": metadata, "spec": spec});
                around.add("networking.k8s.io/v1", "Ingress", &ingress);
            }
        }
        Self(around)
    }
}

impl Fronts for Known {
    fn of(&self, pod: &PodShape) -> Option<FrontDelay> {
        FrontDelay::of(&self.0.fronts(pod))
    }
}

/// With delays that follow fronts, of which so many namespaces are known.
#[divan::bench(args = [0, 1, 100])]
fn review_auto(bencher: Bencher<'_, '_>, namespaces: usize) {
    let body = format!("{}/bench/bodies/small.json", env!("CARGO_MANIFEST_DIR"));
    let body = std::fs::read(body).unwrap();
    let policy = Policy { default_delay: AskedDelay::Auto, ..policy() };
    let fronts = Known::services(namespaces);
    let cluster = ClusterView { namespaces: &Nowhere, fronts: &fronts };
    bencher.bench(|| admission::review(black_box(&body), cluster, &policy, &mut |_| {}).unwrap());
}

#[divan::bench(args = SIZES)]
fn decide_and_patch(bencher: Bencher<'_, '_>, containers: usize) {
    let (text, policy, namespace) = (pod(containers), policy(), NamespaceSettings::default());
    let pod = Pod::from_json(&text).unwrap();
    let mut buffer = Vec::with_capacity(64 * 1024);
    bencher.bench_local(|| {
        buffer.clear();
        let decision = decide(black_box(&pod), &namespace, &policy);
        admission::patch::write(&decision, "", &mut buffer);
        buffer.len()
    });
}

#[divan::bench(args = SIZES)]
fn read_decide_and_patch(bencher: Bencher<'_, '_>, containers: usize) {
    let (text, policy, namespace) = (pod(containers), policy(), NamespaceSettings::default());
    let mut buffer = Vec::with_capacity(64 * 1024);
    bencher.bench_local(|| {
        buffer.clear();
        let pod = Pod::from_json(black_box(&text)).unwrap();
        let decision = decide(&pod, &namespace, &policy);
        admission::patch::write(&decision, "", &mut buffer);
        buffer.len()
    });
}
