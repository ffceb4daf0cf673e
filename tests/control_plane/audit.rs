//! `prestop audit --cluster`, `prestop fronts --cluster` and `prestop inject --fronts-from-cluster`
//! with a real API server: results, necessary rights, several pages, with and without custom
//! resources.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use prestop_test_support::control_plane::ControlPlane;
use prestop_test_support::process::wait_until;
use prestop_test_support::schemas;

/// Result of a command.
struct Ran {
    code: i32,
    out: String,
    told: String,
}

/// Runs prestop with a kubeconfig.
fn prestop(kubeconfig: &Path, arguments: &[&str]) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_prestop"))
        .args(arguments)
        .env("KUBECONFIG", kubeconfig)
        .env_remove("KUBERNETES_SERVICE_HOST")
        .output()
        .unwrap();
    let Output { status, stdout, stderr } = output;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: status.code().unwrap(), out: text(stdout), told: text(stderr) }
}

/// Returns the findings as `rule Kind/name certainty`, sorted, and the rest of the output.
fn audit(kubeconfig: &Path, arguments: &[&str]) -> (Ran, Vec<String>) {
    let ran = prestop(kubeconfig, &[&["audit", "--cluster", "-o", "json"], arguments].concat());
    let mut found = Vec::new();
    if let Ok(report) = serde_json::from_str::<Value>(&ran.out) {
        for item in report["items"].as_array().unwrap() {
            let name = format!("{}/{}", item["kind"], item["name"]).replace('"', "");
            for finding in item["findings"].as_array().unwrap() {
                let [rule, certainty] =
                    ["rule", "certainty"].map(|it| finding[it].as_str().unwrap());
                found.push(format!("{rule} {name} {certainty}"));
            }
        }
    }
    found.sort();
    (ran, found)
}

/// Returns the rules of the `ClusterRole` in docs/audit.md.
fn documented_role() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/audit.md");
    let document = fs::read_to_string(path).unwrap();
    let blocks = document.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let role = blocks.into_iter().find(|block| block.contains("kind: ClusterRole\n")).unwrap();
    let role: Value = serde_saphyr::from_str(role).unwrap();
    role["rules"].clone()
}

fn template(image: &str, lifecycle: &Value) -> Value {
    json!({
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{
            "name": "web", "image": image, "ports": [{"containerPort": 80}],
            "readinessProbe": {"tcpSocket": {"port": 80}}, "lifecycle": lifecycle,
        }]},
    })
}

fn workload(kind: &str, name: &str, template: &Value) -> Value {
    let mut template = template.clone();
    template["metadata"]["labels"]["app"] = json!(name);
    let mut object = json!({
        "apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name, "labels": {"tier": name}},
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": template},
    });
    if kind != "DaemonSet" {
        object["spec"]["replicas"] = json!(2);
    }
    object
}

fn service(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"selector": {"app": name}, "ports": [{"port": 80}]}})
}

fn budget(name: &str) -> Value {
    json!({"metadata": {"name": name},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": name}}}})
}

/// Creates an object, and returns it as the API server stored it.
fn create(control_plane: &ControlPlane, path: &str, object: &Value) -> Value {
    let (status, answer) = control_plane.request("POST", path, Some(object));
    assert_eq!(status, 201, "{answer}");
    answer
}

fn of(group: &str, namespace: &str, plural: &str) -> String {
    match group {
        "" => format!("/api/v1/namespaces/{namespace}/{plural}"),
        group => format!("/apis/{group}/namespaces/{namespace}/{plural}"),
    }
}

/// Creates a Deployment with a `ReplicaSet` and a running pod like the controllers, which do not
/// run here.
fn rolled_out(control_plane: &ControlPlane, namespace: &str, name: &str, template: &Value) {
    let deployment = workload("Deployment", name, template);
    let deployment = create(control_plane, &of("apps/v1", namespace, "deployments"), &deployment);
    let owner = |kind: &str, object: &Value| {
        json!([{"apiVersion": "apps/v1", "kind": kind, "name": object["metadata"]["name"],
            "uid": object["metadata"]["uid"], "controller": true}])
    };
    let mut set = workload("ReplicaSet", name, template);
    set["metadata"] = json!({"name": format!("{name}-5d4f"), "ownerReferences": owner("Deployment", &deployment)});
    let set = create(control_plane, &of("apps/v1", namespace, "replicasets"), &set);
    let mut pod = template.clone();
    pod["metadata"] = json!({"name": format!("{name}-5d4f-x"), "labels": {"app": name},
        "ownerReferences": owner("ReplicaSet", &set)});
    create(control_plane, &of("", namespace, "pods"), &pod);
    create(control_plane, &of("", namespace, "services"), &service(name));
    create(control_plane, &of("policy/v1", namespace, "poddisruptionbudgets"), &budget(name));
}

/// Creates the namespace `shop` with workloads of each kind, each with a fault.
fn shop(control_plane: &ControlPlane) {
    control_plane.namespace("shop", &json!({}));
    let none = json!({});
    let sleep = json!({"preStop": {"sleep": {"seconds": 15}}});
    rolled_out(control_plane, "shop", "good", &template("example.com/app:1", &sleep));
    rolled_out(control_plane, "shop", "bare", &template("example.com/app:1", &none));
    let tcp = json!({"preStop": {"tcpSocket": {"port": 80}}});
    for (kind, name, lifecycle) in [("StatefulSet", "db", &tcp), ("DaemonSet", "agent", &none)] {
        let object = workload(kind, name, &template("example.com/app:1", lifecycle));
        let plural = format!("{}s", kind.to_lowercase());
        create(control_plane, &of("apps/v1", "shop", &plural), &object);
        create(control_plane, &of("", "shop", "services"), &service(name));
    }
    // A pod without an owner; a pod that has ended, and one of a Job.
    let mut pod = template("nginx:1.15", &sleep);
    pod["metadata"] = json!({"name": "lonely", "labels": {"app": "bare"}});
    create(control_plane, &of("", "shop", "pods"), &pod);
    let owner = |kind: &str, api_version: &str| json!([{"apiVersion": api_version, "kind": kind, "name": "x", "uid": "1", "controller": true}]);
    for (name, kind, api_version) in
        [("job", "Job", "batch/v1"), ("pg-1", "Cluster", "postgresql.cnpg.io/v1")]
    {
        let mut pod = template("example.com/app:1", &none);
        pod["metadata"] = json!({"name": name, "labels": {"app": "bare"}, "ownerReferences": owner(kind, api_version)});
        create(control_plane, &of("", "shop", "pods"), &pod);
    }
    let mut ended = template("example.com/app:1", &none);
    ended["metadata"] = json!({"name": "ended", "labels": {"app": "bare"}});
    create(control_plane, &of("", "shop", "pods"), &ended);
    let done = json!({"metadata": {"name": "ended"}, "status": {"phase": "Succeeded"}});
    let path = "/api/v1/namespaces/shop/pods/ended/status";
    assert_eq!(control_plane.request("PUT", path, Some(&done)).0, 200);
}

const FOUND: [&str; 6] = [
    "hard-stop-signal Pod/lonely likely",
    "no-budget StatefulSet/db certain",
    "single-replica Pod/lonely certain",
    "stops-at-once DaemonSet/agent certain",
    "stops-at-once Deployment/bare certain",
    "tcp-socket-hook StatefulSet/db certain",
];

#[test]
#[ignore = "needs an API server; run: just control-plane"]
fn the_documented_role_is_enough_to_find_everything() {
    let control_plane = ControlPlane::start();
    shop(&control_plane);
    let reader = control_plane.kubeconfig("reader", &documented_role());
    for arguments in [&["-A"][..], &["-n", "shop"]] {
        let (ran, found) = audit(&reader, arguments);
        assert_eq!(found, FOUND, "{}", ran.told);
        assert_eq!(ran.code, 1);
        let left = "note: 1 pod of Cluster.postgresql.cnpg.io skipped: the pod template of that kind is not known; add --kind if it is at spec.template\n";
        assert_eq!(ran.told, left, "{arguments:?}");
    }
    // With pages of two objects.
    assert_eq!(audit(&reader, &["-A", "--page-size", "2"]).1, FOUND);
    // Selected by labels of workloads; their pods have other labels.
    let only = |selector: &str| audit(&reader, &["-n", "shop", "-l", selector]).1;
    assert_eq!(only("tier=bare"), ["stops-at-once Deployment/bare certain"]);
    assert_eq!(only("tier in (good)"), Vec::<String>::new());
    let ran = prestop(&reader, &["audit", "--cluster", "-n", "shop"]);
    assert!(ran.out.contains("Deployment shop/bare\n"), "{}", ran.out);
    let line =
        "$ kubectl get deployment/bare -n shop -o yaml | prestop rehearse -f - --workload bare";
    assert!(ran.out.contains(line), "{}", ran.out);
    assert!(
        ran.out.contains("spec.template.spec.containers[0].lifecycle, container web)"),
        "{}",
        ran.out
    );
    // Without a namespace option: the namespace of the context, which this kubeconfig does not
    // have.
    let (ran, found) = audit(&reader, &[]);
    assert_eq!((ran.code, found.len()), (0, 0), "{}", ran.told);
    let (ran, _) = audit(&reader, &["-n", "nowhere"]);
    assert_eq!(ran.code, 3);
    assert!(
        ran.told.contains("there is no namespace nowhere; name another one with -n"),
        "{}",
        ran.told
    );
}

/// All forms, compared with each other.
#[test]
#[ignore = "needs an API server and the schemas of tests/tools/schemas; run: just control-plane"]
fn every_form_names_the_object_and_no_file() {
    let control_plane = ControlPlane::start();
    shop(&control_plane);
    let reader = control_plane.administrator();
    let schema = prestop(&reader, &["audit", "--schema"]).out;
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let printed =
        |form: &str| prestop(&reader, &["audit", "--cluster", "-n", "shop", "-o", form]).out;
    let report: Value = serde_json::from_str(&printed("json")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<_> = validator.iter_errors(&report).map(|it| it.to_string()).collect();
    assert_eq!(errors, Vec::<String>::new());
    assert!(report["cluster"].as_str().unwrap().ends_with("(context test)"), "{report}");
    assert!(report["items"][0]["file"].is_null() && report["items"][0]["line"].is_null());
    let sarif: Value = serde_json::from_str(&printed("sarif")).unwrap();
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    assert_eq!(results.len(), FOUND.len());
    for result in results {
        let location = result["locations"][0].as_object().unwrap();
        assert!(!location.contains_key("physicalLocation"));
        let name = location["logicalLocations"][0]["fullyQualifiedName"].as_str().unwrap();
        assert!(name.starts_with("shop/"), "{name}");
    }
    let errors = jsonschema::validator_for(&schemas::sarif()).unwrap();
    let errors: Vec<_> = errors.iter_errors(&sarif).map(|it| it.to_string()).collect();
    assert_eq!(errors, Vec::<String>::new());
    let junit = printed("junit");
    assert!(
        junit.contains(
            r#"<testcase classname="Deployment shop/bare" name="stops-at-once (web)" time="0">"#
        ),
        "{junit}"
    );
    assert!(!junit.contains("file="), "{junit}");
    let github = printed("github");
    assert!(
        github.contains("::error title=stops-at-once (certain)::Deployment shop/bare: "),
        "{github}"
    );
    let field = "| spec.template.spec.containers\\[0\\].lifecycle | error, certain |";
    assert!(printed("markdown").contains(field), "{}", printed("markdown"));
    for form in ["policyreport", "openreports"] {
        let printed = printed(form);
        assert!(printed.contains("name: bare") && !printed.contains("file:"), "{printed}");
    }
    let suggested = prestop(
        &reader,
        &["audit", "--cluster", "-n", "shop", "--context", "test", "--suggest", "kubectl"],
    )
    .out;
    let label = "kubectl --context test label namespace shop prestop.dev/inject=enabled\n";
    assert!(suggested.contains(label), "{suggested}");
    // A baseline of a cluster.
    let folder = tempfile::tempdir().unwrap();
    let baseline = folder.path().join("baseline.json").display().to_string();
    assert_eq!(audit(&reader, &["-n", "shop", "--write-baseline", &baseline]).0.code, 0);
    assert_eq!(audit(&reader, &["-n", "shop", "--baseline", &baseline]).0.code, 0);
}

/// Returns the documented role without some of its kinds.
fn role_without(kinds: &[&str]) -> Value {
    let mut rules = documented_role();
    for rule in rules.as_array_mut().unwrap() {
        let resources = rule["resources"].as_array_mut().unwrap();
        resources.retain(|it| !kinds.contains(&it.as_str().unwrap()));
    }
    let rules: Vec<_> = rules.as_array().unwrap().clone();
    rules.into_iter().filter(|it| !it["resources"].as_array().unwrap().is_empty()).collect()
}

#[test]
#[ignore = "needs an API server; run: just control-plane"]
fn what_may_not_be_listed_lowers_certainty_and_is_said_once() {
    let control_plane = ControlPlane::start();
    shop(&control_plane);
    let kinds = ["services", "poddisruptionbudgets", "pods", "replicasets", "namespaces"];
    let reader = control_plane.kubeconfig("some", &role_without(&kinds));
    let (ran, found) = audit(&reader, &["-n", "shop", "--certainty", "certain"]);
    assert_eq!(
        found,
        [
            "no-budget Deployment/bare possible",
            "no-budget Deployment/good possible",
            "no-budget StatefulSet/db possible",
            "stops-at-once DaemonSet/agent possible",
            "stops-at-once Deployment/bare possible",
            "tcp-socket-hook StatefulSet/db possible",
        ],
        "{}",
        ran.told
    );
    assert_eq!(ran.code, 0, "nothing is certain");
    for kind in
        ["services", "poddisruptionbudgets.policy", "pods", "replicasets.apps", "namespaces"]
    {
        let said = format!("note: you may not list {kind} in namespace shop: ");
        assert_eq!(ran.told.matches(&said).count(), 1, "{kind}: {}", ran.told);
    }
    assert_eq!(ran.told.lines().count(), kinds.len(), "{}", ran.told);
    // Pods are matched with their Deployments by labels.
    let reader = control_plane.kubeconfig("no-sets", &role_without(&["replicasets"]));
    let (ran, found) = audit(&reader, &["-n", "shop"]);
    assert_eq!(found, FOUND, "{}", ran.told);
    // Without any kind of workload, there is nothing to audit.
    for (account, rules) in [
        ("nobody", json!([])),
        (
            "pods-only",
            json!([{"apiGroups": [""], "resources": ["pods", "services"], "verbs": ["list"]}]),
        ),
    ] {
        let nobody = control_plane.kubeconfig(account, &rules);
        for (arguments, place) in
            [(&["-A"][..], "in all namespaces"), (&["-n", "shop"], "in namespace shop")]
        {
            let (ran, _) = audit(&nobody, arguments);
            assert_eq!((ran.code, ran.out.as_str()), (3, ""));
            let said = format!(
                "you may list no workloads {place}; ask for the ClusterRole of docs/audit.md"
            );
            assert!(
                ran.told.starts_with("error: https://") && ran.told.contains(&said),
                "{}",
                ran.told
            );
        }
    }
    // As another user.
    let administrator = control_plane.administrator();
    let somebody = "system:serviceaccount:default:nobody";
    assert_eq!(audit(&administrator, &["-n", "shop", "--as", somebody]).0.code, 3);
    assert_eq!(audit(&administrator, &["-n", "shop"]).0.code, 1);
}

/// Pods in a labelled namespace, as they were admitted.
#[test]
#[ignore = "needs an API server; run: just control-plane"]
fn running_pods_are_held_against_their_templates() {
    let control_plane = ControlPlane::start();
    // Pods that are older than prestop.
    control_plane.namespace("old", &json!({"prestop.dev/inject": "enabled"}));
    let none = template("example.com/app:1", &json!({}));
    rolled_out(&control_plane, "old", "web", &none);
    let _serve = super::admission::prestop(&control_plane);
    rolled_out(&control_plane, "enabled", "web", &none);
    // Pods that were admitted, and changed afterwards.
    rolled_out(&control_plane, "enabled", "changed", &none);
    let path = "/api/v1/namespaces/enabled/pods/changed-5d4f-x";
    let (_, mut pod) = control_plane.request("GET", path, None);
    assert!(pod["metadata"]["annotations"]["prestop.dev/status"].is_string(), "{pod}");
    let status = pod["metadata"]["annotations"]["prestop.dev/status"].as_str().unwrap();
    pod["metadata"]["annotations"]["prestop.dev/status"] =
        status.replace("\"after\":", "\"after\":1").into();
    assert_eq!(control_plane.request("PUT", path, Some(&pod)).0, 200);
    let reader = control_plane.administrator();
    let (ran, found) = audit(&reader, &["-A"]);
    assert_eq!(
        found,
        ["changed-after-us Deployment/changed certain", "not-rolled-yet Deployment/web likely",],
        "{}",
        ran.told
    );
    assert!(ran.out.contains("1 of 1 pods; the grace period is"), "{}", ran.out);
    let suggested = prestop(&reader, &["audit", "--cluster", "-A", "--suggest", "kubectl"]).out;
    assert!(
        suggested.contains("kubectl rollout restart deployment/web --namespace old\n"),
        "{suggested}"
    );
    assert!(!suggested.contains("--namespace enabled"), "{suggested}");
}

fn custom(control_plane: &ControlPlane, group: &str, version: &str, kind: &str, scope: &str) {
    let plural = match kind.strip_suffix("ss") {
        Some(stem) => format!("{stem}sses").to_lowercase(),
        None => format!("{kind}s").to_lowercase(),
    };
    let name = format!("{plural}.{group}");
    let mut object = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": name},
        "spec": {
            "group": group, "scope": scope,
            "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase()},
            "versions": [{"name": version, "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}],
        },
    });
    if group.ends_with(".k8s.io") {
        object["metadata"]["annotations"] =
            json!({"api-approved.kubernetes.io": "https://example.com"});
    }
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    create(control_plane, path, &object);
    wait_until("the kind", || {
        control_plane.request("GET", &format!("/apis/{group}/{version}/{plural}"), None).0 == 200
    });
}

/// Rollouts, routes and Gateways are found once their kinds exist.
#[test]
#[ignore = "needs an API server; run: just control-plane"]
fn custom_resources_are_read_where_their_kinds_are() {
    let control_plane = ControlPlane::start();
    control_plane.namespace("shop", &json!({}));
    control_plane.namespace("infra", &json!({}));
    let sleep = json!({"preStop": {"sleep": {"seconds": 10}}});
    rolled_out(&control_plane, "shop", "web", &template("example.com/app:1", &sleep));
    let reader = control_plane.kubeconfig("reader", &documented_role());
    let (ran, found) = audit(&reader, &["-n", "shop"]);
    assert_eq!((found.len(), ran.told.as_str()), (0, ""), "{found:?}");
    let gateways = "gateway.networking.k8s.io";
    custom(&control_plane, gateways, "v1", "GatewayClass", "Cluster");
    custom(&control_plane, gateways, "v1", "Gateway", "Namespaced");
    custom(&control_plane, gateways, "v1", "HTTPRoute", "Namespaced");
    custom(&control_plane, "argoproj.io", "v1alpha1", "Rollout", "Namespaced");
    custom(&control_plane, "example.com", "v2", "Widget", "Namespaced");
    let gateway = |kind: &str, name: &str, spec: Value| json!({"apiVersion": format!("{gateways}/v1"), "kind": kind, "metadata": {"name": name}, "spec": spec});
    let root = format!("/apis/{gateways}/v1");
    let class = json!({"controllerName": "gateway.k8s.aws/alb"});
    control_plane.create(&format!("{root}/gatewayclasses"), &gateway("GatewayClass", "aws", class));
    let spec = json!({"gatewayClassName": "aws"});
    control_plane
        .create(&format!("{root}/namespaces/infra/gateways"), &gateway("Gateway", "edge", spec));
    let route = json!({"parentRefs": [{"name": "edge", "namespace": "infra"}],
        "rules": [{"backendRefs": [{"name": "web", "port": 80}]}]});
    control_plane
        .create(&format!("{root}/namespaces/shop/httproutes"), &gateway("HTTPRoute", "web", route));
    for (path, api_version, kind) in [
        ("/apis/argoproj.io/v1alpha1/namespaces/shop/rollouts", "argoproj.io/v1alpha1", "Rollout"),
        ("/apis/example.com/v2/namespaces/shop/widgets", "example.com/v2", "Widget"),
    ] {
        let mut object = workload(kind, "web", &template("example.com/app:1", &json!({})));
        object["apiVersion"] = json!(api_version);
        control_plane.create(path, &object);
    }
    let (ran, found) = audit(&reader, &["-n", "shop", "--kind", "Rollout.argoproj.io"]);
    assert!(found.contains(&"delay-too-short Deployment/web likely".to_owned()), "{found:?}");
    assert!(
        found.contains(&"stops-at-once Rollout/web certain".to_owned()),
        "{found:?} {}",
        ran.told
    );
    assert!(!found.iter().any(|it| it.contains("Widget")), "{found:?}");
    let more =
        audit(&control_plane.administrator(), &["-n", "shop", "--kind", "Widget.example.com"]).1;
    assert!(more.contains(&"stops-at-once Widget/web certain".to_owned()), "{more:?}");
    // The other commands find the same fronts.
    let fronts = prestop(&reader, &["fronts", "--cluster", "-n", "shop"]);
    let way = "Gateway infra/edge > HTTPRoute shop/web > Service shop/web";
    assert!(fronts.out.contains(way) && fronts.code == 0, "{}{}", fronts.out, fronts.told);
    assert!(fronts.out.contains("Deployment shop/web: needs a delay of"), "{}", fronts.out);
    let fronts = prestop(&reader, &["fronts", "--cluster", "-A", "-o", "json"]);
    let report: Value = serde_json::from_str(&fronts.out).unwrap();
    assert_eq!(report["workloads"].as_array().unwrap().len(), 2, "{report}");
    inject_uses_the_fronts_of_the_cluster(&control_plane);
}

fn inject_uses_the_fronts_of_the_cluster(control_plane: &ControlPlane) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("web.yaml").display().to_string();
    let mut object = workload("Deployment", "web", &template("example.com/app:1", &json!({})));
    object["metadata"]["namespace"] = json!("shop");
    object["spec"]["template"]["metadata"]["annotations"] = json!({"prestop.dev/delay": "auto"});
    fs::write(&file, object.to_string()).unwrap();
    let reader = control_plane.administrator();
    let delay = |arguments: &[&str]| {
        let ran = prestop(&reader, &[&["inject", &file], arguments].concat());
        assert_eq!(ran.code, 0, "{}", ran.told);
        let object: Value = serde_json::from_str(&ran.out).unwrap();
        let hook = &object["spec"]["template"]["spec"]["containers"][0]["lifecycle"]["preStop"];
        (hook["sleep"]["seconds"].as_i64().unwrap(), ran.told)
    };
    assert_eq!(delay(&[]).0, 10);
    let (seconds, _) = delay(&["--fronts-from-cluster", "--context", "test"]);
    assert!(seconds > 10, "{seconds}");
    // The input's own Service takes precedence over that of the cluster: no Service selects these
    // pods now.
    let mut other = service("web");
    other["apiVersion"] = json!("v1");
    other["kind"] = json!("Service");
    other["metadata"]["namespace"] = json!("shop");
    other["spec"]["selector"] = json!({"app": "other"});
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [object, other]});
    fs::write(&file, list.to_string()).unwrap();
    let ran = prestop(&reader, &["inject", &file, "--fronts-from-cluster", "-o", "json-patch"]);
    assert!(ran.out.contains(r#""sleep":{"seconds":10}"#), "{}{}", ran.out, ran.told);
    // No delay depends on fronts, so the cluster is not needed.
    fs::write(&file, workload("Deployment", "web", &template("a", &json!({}))).to_string())
        .unwrap();
    let ran = prestop(&reader, &["inject", &file, "--fronts-from-cluster"]);
    assert!(
        ran.told.contains("note: no delay is auto, so --fronts-from-cluster has no effect"),
        "{}",
        ran.told
    );
    let ran = prestop(&reader, &["inject", &file, "--context", "test"]);
    assert_eq!(ran.code, 2);
    assert!(
        ran.told.contains("--context has an effect only with --fronts-from-cluster"),
        "{}",
        ran.told
    );
}

/// Returns a kubeconfig with two contexts: the server of the first one does not exist.
fn two_contexts(control_plane: &ControlPlane) -> (tempfile::TempDir, PathBuf) {
    let text = fs::read_to_string(control_plane.administrator()).unwrap();
    let mut kubeconfig: Value = serde_json::from_str(&text).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let nowhere =
        json!({"name": "nowhere", "cluster": {"server": format!("https://127.0.0.1:{port}")}});
    kubeconfig["clusters"].as_array_mut().unwrap().push(nowhere);
    let context = json!({"name": "nowhere", "context": {"cluster": "nowhere", "user": "test"}});
    kubeconfig["contexts"].as_array_mut().unwrap().push(context);
    kubeconfig["contexts"][0]["context"]["namespace"] = json!("shop");
    kubeconfig["current-context"] = json!("nowhere");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kubeconfig");
    fs::write(&file, kubeconfig.to_string()).unwrap();
    (folder, file)
}

#[test]
#[ignore = "needs an API server; run: just control-plane"]
fn the_context_chooses_the_cluster_and_its_namespace() {
    let control_plane = ControlPlane::start();
    shop(&control_plane);
    let (_folder, kubeconfig) = two_contexts(&control_plane);
    let (ran, found) = audit(&kubeconfig, &["--context", "test"]);
    assert_eq!(found, FOUND, "{}", ran.told);
    for command in [&["audit", "--cluster"][..], &["fronts", "--cluster"]] {
        let ran = prestop(&kubeconfig, command);
        assert_eq!((ran.code, ran.out.as_str()), (3, ""));
        assert!(ran.told.starts_with("error: https://127.0.0.1:"), "{}", ran.told);
        let rest = "(context nowhere): ";
        assert!(ran.told.contains(rest) && ran.told.contains("refused"), "{}", ran.told);
        assert!(ran.told.contains("--context NAME selects another one"), "{}", ran.told);
        let ran = prestop(&kubeconfig, &[command, &["--context", "gone"]].concat());
        assert_eq!(ran.code, 3);
        assert!(ran.told.contains("no context \"gone\"; choose one"), "{}", ran.told);
    }
}
