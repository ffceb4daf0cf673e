//! `prestop serve --cluster --watch-fronts`: delays that follow the fronts of pods, with the
//! necessary rights, with fewer, and while kinds are added and removed.

use std::fs;

use serde_json::{Value, json};

use prestop_test_support::control_plane::ControlPlane;
use prestop_test_support::process::{Serve, wait_until};
use prestop_test_support::wire::{Connection, pod, review};

const FAILING: &str = "prestop_fronts_failing_since_timestamp_seconds";

/// Returns the rights in the chart's role.
fn rules() -> Value {
    json!([
        {"apiGroups": [""], "resources": ["namespaces", "services"], "verbs": ["list", "watch"]},
        {"apiGroups": ["networking.k8s.io"], "resources": ["ingresses", "ingressclasses"],
            "verbs": ["list", "watch"]},
        {"apiGroups": ["gateway.networking.k8s.io"],
            "resources": ["gatewayclasses", "gateways", "httproutes", "grpcroutes", "tlsroutes"],
            "verbs": ["list", "watch"]},
        {"apiGroups": ["elbv2.k8s.aws"], "resources": ["targetgroupbindings"],
            "verbs": ["list", "watch"]},
    ])
}

fn start(control_plane: &ControlPlane, account: &str, rules: &Value) -> Serve {
    let kubeconfig = control_plane.kubeconfig(account, rules);
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("prestop.yaml");
    fs::write(
        &config,
        "apiVersion: prestop.dev/v1alpha1\nkind: Configuration\ndefaults: {delay: auto}\n",
    )
    .unwrap();
    let arguments = ["--cluster", "--watch-fronts", "--config", config.to_str().unwrap()];
    let serve = Serve::start_with(&[("KUBECONFIG", kubeconfig.to_str().unwrap())], &arguments);
    wait_until("its start", || serve.get("/livez").0 == 200);
    serve
}

fn is_synced(serve: &Serve) -> bool {
    serve.get("/readyz?verbose").1.contains("[+]fronts ok")
}

/// Returns the front in the status of a new pod in the namespace `default`; `None` without one.
fn front(serve: &Serve) -> Option<String> {
    let mut pod = pod();
    pod["metadata"]["labels"] = json!({"app": "web"});
    let mut review = review(&pod);
    review["request"]["namespace"] = json!("default");
    let patch = Connection::open(serve).post(review.to_string()).patch();
    let patch = patch.as_array().unwrap();
    let annotations = patch.iter().find_map(|operation| {
        let value =
            operation["value"].as_str().or(operation["value"]["prestop.dev/status"].as_str());
        value.filter(|_| operation["path"].as_str().unwrap().starts_with("/metadata/annotations"))
    });
    let status: Value = serde_json::from_str(annotations.expect("a status")).unwrap();
    status["containers"][0]["front"].as_str().map(str::to_owned)
}

fn is(serve: &Serve, expected: Option<&str>) -> impl Fn() -> bool {
    move || front(serve).as_deref() == expected
}

const SERVICES: &str = "/api/v1/namespaces/default/services";

fn service(annotations: &Value) -> Value {
    let spec = json!({"type": "LoadBalancer", "selector": {"app": "web"}, "ports": [{"port": 80}]});
    json!({"metadata": {"name": "web", "annotations": annotations}, "spec": spec})
}

#[test]
#[ignore = "needs an API server; run: just control-plane"]
fn the_delay_follows_services_ingresses_and_their_classes() {
    let control_plane = ControlPlane::start();
    let serve = start(&control_plane, "prestop", &rules());
    wait_until("the fronts", || is_synced(&serve));
    assert_eq!(front(&serve), None);
    let nlb = json!({
        "service.beta.kubernetes.io/aws-load-balancer-type": "external",
        "service.beta.kubernetes.io/aws-load-balancer-nlb-target-type": "ip",
    });
    control_plane.create(SERVICES, &service(&nlb));
    wait_until("a new Service", is(&serve, Some("aws-nlb-ip")));
    let path = format!("{SERVICES}/web");
    let mut plain = service(&json!({}));
    plain["spec"]["type"] = json!("ClusterIP");
    let (_, known) = control_plane.request("GET", &path, None);
    plain["metadata"]["resourceVersion"] = known["metadata"]["resourceVersion"].clone();
    plain["spec"]["clusterIP"] = known["spec"]["clusterIP"].clone();
    let (status, answer) = control_plane.request("PUT", &path, Some(&plain));
    assert_eq!(status, 200, "{answer}");
    wait_until("a changed Service", is(&serve, Some("cluster-ip")));
    let class =
        json!({"metadata": {"name": "edge"}, "spec": {"controller": "ingress.k8s.aws/alb"}});
    control_plane.create("/apis/networking.k8s.io/v1/ingressclasses", &class);
    let backend = json!({"service": {"name": "web", "port": {"number": 80}}});
    let ingress = json!({"metadata": {"name": "web", "annotations": {"alb.ingress.kubernetes.io/target-type": "ip"}},
        "spec": {"ingressClassName": "edge", "defaultBackend": backend}});
    let ingresses = "/apis/networking.k8s.io/v1/namespaces/default/ingresses";
    control_plane.create(ingresses, &ingress);
    wait_until("an Ingress", is(&serve, Some("aws-alb-ip")));
    assert_eq!(control_plane.request("DELETE", &format!("{ingresses}/web"), None).0, 200);
    wait_until("no Ingress", is(&serve, Some("cluster-ip")));
    assert_eq!(control_plane.request("DELETE", &path, None).0, 200);
    wait_until("no Service", is(&serve, None));
    assert_eq!(serve.metric(FAILING), 0);
}

/// Returns the `CustomResourceDefinition` of a kind, with arbitrary fields.
pub(super) fn definition(group: &str, kind: &str, plural: &str, version: &str) -> Value {
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    let version = json!({"name": version, "served": true, "storage": true, "schema": schema});
    json!({
        "metadata": {
            "name": format!("{plural}.{group}"),
            "annotations": {"api-approved.kubernetes.io": "unapproved, a test"},
        },
        "spec": {"group": group, "scope": "Namespaced", "versions": [version],
            "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase()}},
    })
}

#[test]
#[ignore = "needs an API server; run: just control-plane"]
fn a_kind_that_comes_and_goes_is_followed() {
    const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let control_plane = ControlPlane::start();
    let mut plain = service(&json!({}));
    plain["spec"]["type"] = json!("ClusterIP");
    control_plane.create(SERVICES, &plain);
    let serve = start(&control_plane, "prestop", &rules());
    // Without any CRD, all kinds are read.
    wait_until("the fronts", || is_synced(&serve));
    assert_eq!((front(&serve).as_deref(), serve.metric(FAILING)), (Some("cluster-ip"), 0));
    let bindings =
        definition("elbv2.k8s.aws", "TargetGroupBinding", "targetgroupbindings", "v1beta1");
    control_plane.create(DEFINITIONS, &bindings);
    let path = "/apis/elbv2.k8s.aws/v1beta1/namespaces/default/targetgroupbindings";
    let binding = json!({"apiVersion": "elbv2.k8s.aws/v1beta1", "kind": "TargetGroupBinding",
        "metadata": {"name": "web"},
        "spec": {"serviceRef": {"name": "web", "port": 80}, "targetType": "ip"}});
    wait_until("the new kind", || control_plane.request("POST", path, Some(&binding)).0 == 201);
    wait_until("its object", || front(&serve).is_some_and(|name| name != "cluster-ip"));
    let name = format!("{DEFINITIONS}/targetgroupbindings.elbv2.k8s.aws");
    assert_eq!(control_plane.request("DELETE", &name, None).0, 200);
    wait_until("the kind is gone", is(&serve, Some("cluster-ip")));
}

#[test]
#[ignore = "needs an API server; run: just control-plane"]
fn missing_rights_are_reported_and_the_rest_is_read() {
    let control_plane = ControlPlane::start();
    control_plane.create(SERVICES, &service(&json!({})));
    let few = json!([
        {"apiGroups": [""], "resources": ["namespaces", "services"], "verbs": ["list", "watch"]},
    ]);
    let mut serve = start(&control_plane, "few", &few);
    serve.wait_for_line("fronts can't be watched; keeping the last known state");
    wait_until("Services", || front(&serve).is_some());
    wait_until("the gauge", || serve.metric(FAILING) > 1_700_000_000);
    let (status, text) = serve.get("/readyz?verbose");
    assert!(
        status == 200 && text.contains("[!]fronts: not completely read yet"),
        "{status} {text}"
    );
}

#[test]
#[ignore = "needs an API server; run: just control-plane"]
fn fronts_are_as_last_seen_while_the_api_server_is_away() {
    let control_plane = ControlPlane::start();
    control_plane.create(SERVICES, &service(&json!({})));
    let serve = start(&control_plane, "prestop", &rules());
    wait_until("the fronts", || is_synced(&serve));
    let known = front(&serve);
    assert!(known.is_some());
    drop(control_plane);
    wait_until("the failure is told", || serve.metric(FAILING) > 1_700_000_000);
    assert_eq!(front(&serve), known);
    assert_eq!(serve.get("/readyz").0, 200);
}

/// Returns the size of a server's own data in KiB. The pages of a test program, which is not
/// optimised, would count for more.
fn data(serve: &Serve) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", serve.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Ten thousand Services and two thousand Ingresses, compared with a server that does not watch
/// them.
#[test]
#[ignore = "needs an API server; run: just control-plane"]
fn ten_thousand_services_cost_little_memory() {
    const SERVICES: usize = 10_000;
    const NAMESPACES: usize = 100;
    let control_plane = ControlPlane::start();
    for number in 0..NAMESPACES {
        control_plane.namespace(&format!("team-{number}"), &json!({}));
    }
    let backend = |name: &str| json!({"service": {"name": name, "port": {"number": 80}}});
    let create = |number: usize| {
        let (namespace, name) = (format!("team-{}", number % NAMESPACES), format!("web-{number}"));
        let labels = json!({"app.kubernetes.io/name": name, "app.kubernetes.io/instance": "shop"});
        let metadata = json!({"name": name, "labels": labels, "annotations": {
            "meta.helm.sh/release-name": name, "meta.helm.sh/release-namespace": namespace,
            "service.beta.kubernetes.io/aws-load-balancer-type": "external"}});
        let port = json!({"name": "http", "port": 80, "targetPort": "http"});
        let service = json!({"metadata": metadata,
            "spec": {"type": "ClusterIP", "selector": labels, "ports": [port], "clusterIP": "None"}});
        control_plane.create(&format!("/api/v1/namespaces/{namespace}/services"), &service);
        if number.is_multiple_of(5) {
            let path = json!({"path": "/", "pathType": "Prefix", "backend": backend(&name)});
            let rule = json!({"host": format!("{name}.example.com"), "http": {"paths": [path]}});
            let ingress = json!({"metadata": metadata,
                "spec": {"ingressClassName": "nginx", "rules": [rule]}});
            let ingresses = "apis/networking.k8s.io/v1/namespaces";
            control_plane.create(&format!("/{ingresses}/{namespace}/ingresses"), &ingress);
        }
    };
    let taken = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let next = || taken.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                while let number @ 0..SERVICES = next() {
                    create(number);
                }
            });
        }
    });
    let kubeconfig = control_plane.kubeconfig("without", &rules());
    let variables = [("KUBECONFIG", kubeconfig.to_str().unwrap())];
    let without = Serve::start_with(&variables, &["--cluster"]);
    let namespaces = |serve: &Serve| serve.get("/readyz?verbose").1.contains("[+]namespaces ok");
    wait_until("the namespaces", || namespaces(&without));
    let before = data(&without);
    drop(without);
    let serve = start(&control_plane, "with", &rules());
    wait_until("the fronts", || is_synced(&serve));
    let more = || data(&serve).saturating_sub(before);
    wait_until("memory given back", || more() < 8 * 1024);
    println!("{SERVICES} Services and {} Ingresses: {} KiB more", SERVICES / 5, more());
}
