//! The chart in a real cluster: each of its objects is accepted unchanged; installing, upgrading,
//! rolling back and uninstalling keeps the data that prestop wrote, and leaves nothing behind. The
//! program runs with the rights of the chart's own service account and the arguments of its
//! Deployment.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use prestop_test_support::command::feed;
use prestop_test_support::control_plane::{ControlPlane, has_status};
use prestop_test_support::helm::{NAMESPACE, Tools, documents, text, values_files};
use prestop_test_support::process::{Serve, wait_until};
use prestop_test_support::renderings;
use prestop_test_support::root;

pub(super) const WEBHOOK: &str =
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/prestop";
pub(super) const SECRET: &str = "/api/v1/namespaces/prestop-system/secrets/prestop-authority";

/// An API server, with helm and kubectl as its administrator.
pub(super) struct Cluster {
    pub(super) control_plane: ControlPlane,
    tools: Tools,
    kubeconfig: String,
}

impl Cluster {
    pub(super) fn start() -> Self {
        let tools = Tools::find();
        let control_plane = ControlPlane::start();
        let kubeconfig = control_plane.administrator().display().to_string();
        Self { control_plane, tools, kubeconfig }
    }

    pub(super) fn helm(&self, arguments: &[&str]) -> String {
        let (is_done, told) = self.try_helm(arguments);
        assert!(is_done, "{arguments:?}: {told}");
        told
    }

    /// Runs helm. Returns whether it succeeded, and its message.
    fn try_helm(&self, arguments: &[&str]) -> (bool, String) {
        let output = self
            .tools
            .command("helm")
            .args(arguments)
            .args(["--namespace", NAMESPACE, "--kubeconfig", &self.kubeconfig])
            .output()
            .unwrap();
        (output.status.success(), text(&output.stdout) + &text(&output.stderr))
    }

    /// Defines the kinds that the chart uses and a bare API server does not have.
    fn define_kinds(&self) {
        let definitions = self.tools.definitions();
        let applied = self
            .kubectl(&["apply", "--server-side", "--filename", definitions.to_str().unwrap()], "");
        assert!(applied.0, "{}", applied.1);
        let established =
            self.kubectl(&["wait", "--for=condition=Established", "crd", "--all"], "");
        assert!(established.0, "{}", established.1);
    }

    fn kubectl(&self, arguments: &[&str], input: &str) -> (bool, String) {
        let mut command = self.tools.command("kubectl");
        command.args(arguments).args(["--kubeconfig", &self.kubeconfig]);
        let output = feed(&mut command, input);
        (output.status.success(), text(&output.stdout) + &text(&output.stderr))
    }

    /// Runs prestop. Returns its output, whatever its exit status.
    fn prestop(&self, arguments: &[&str]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_prestop"))
            .args(arguments)
            .env("KUBECONFIG", &self.kubeconfig)
            .output()
            .unwrap();
        text(&output.stdout) + &text(&output.stderr)
    }

    pub(super) fn get(&self, path: &str) -> Value {
        let (status, object) = self.control_plane.request("GET", path, None);
        assert_eq!(status, 200, "{path}: {object}");
        object
    }

    fn bundle(&self) -> Value {
        self.get(WEBHOOK)["webhooks"][0]["clientConfig"]["caBundle"].clone()
    }

    /// Runs the program of the chart's pods, with their rights.
    fn serve(&self) -> Serve {
        let (kubeconfig, arguments) = self.pod();
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let environment =
            [("KUBECONFIG", kubeconfig.to_str().unwrap()), ("POD_NAMESPACE", NAMESPACE)];
        Serve::start_with(&environment, &arguments)
    }

    /// Returns the rights of the chart's pods as a kubeconfig, and the arguments of their program.
    pub(super) fn pod(&self) -> (PathBuf, Vec<String>) {
        let path = format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments/prestop");
        let spec = self.get(&path)["spec"]["template"]["spec"].clone();
        let account = spec["serviceAccountName"].as_str().unwrap();
        let kubeconfig = self.control_plane.kubeconfig_of(NAMESPACE, account);
        let arguments: Vec<String> =
            serde_json::from_value(spec["containers"][0]["args"].clone()).unwrap();
        assert_eq!(arguments[0], "serve");
        // The addresses and the mounted file are replaced by the test's.
        let of_pod = ["serve", "--listen", "--admin-listen", "--config"];
        let mut own = Vec::new();
        for argument in &arguments {
            let (name, value) = argument.split_once('=').unwrap_or((argument, ""));
            if !of_pod.contains(&name) {
                own.push(name.to_owned());
                own.extend(Some(value.to_owned()).filter(|value| !value.is_empty()));
            }
        }
        (kubeconfig, own)
    }

    /// Returns every object of the cluster that could belong to the chart: kind, namespace and
    /// name.
    fn objects(&self) -> BTreeSet<String> {
        let (_, kinds) = self.kubectl(&["api-resources", "--verbs=list", "--output=name"], "");
        let kinds: Vec<_> = kinds.lines().filter(|kind| !is_made_by_the_server(kind)).collect();
        assert!(kinds.len() > 20, "{kinds:?}");
        let (is_done, names) = self.kubectl(
            &[
                "get",
                &kinds.join(","),
                "--all-namespaces",
                "--ignore-not-found",
                "--output=jsonpath={range .items[*]}{.kind} {.metadata.namespace} {.metadata.name}{\"\\n\"}{end}",
            ],
            "",
        );
        assert!(is_done, "{names}");
        names.lines().map(str::to_owned).collect()
    }
}

/// Whether the server creates objects of this kind at any time.
fn is_made_by_the_server(kind: &str) -> bool {
    ["events", "leases", "componentstatuses", "endpoints", "ipaddresses", "apiservices"]
        .iter()
        .any(|made| kind.starts_with(made))
}

const DRY_RUN: [&str; 4] = ["apply", "--server-side", "--dry-run=server", "--validate=strict"];

/// The same for every value that is set to null, an empty map or an empty list, if the chart
/// accepts it.
#[test]
#[ignore = "needs an API server; run: just control-plane"]
fn objects_of_empty_values_are_accepted() {
    let cluster = Cluster::start();
    cluster.define_kinds();
    cluster.control_plane.namespace(NAMESPACE, &json!({}));
    let path = "/apis/scheduling.k8s.io/v1/priorityclasses/system-cluster-critical";
    wait_until("the priority class", || cluster.control_plane.request("GET", path, None).0 == 200);
    let sandbox = json!({"metadata": {"name": "gvisor"}, "handler": "runsc"});
    cluster.control_plane.create("/apis/node.k8s.io/v1/runtimeclasses", &sandbox);
    let renderings = renderings::renderings(&cluster.tools).iter();
    // Excludes a changed `extraVolumes`: the mounts would have no volume.
    let usable = renderings.filter(|((set, _), _)| !set.starts_with("extraVolumes="));
    let all = renderings::distinct(usable.map(|(_, rendered)| rendered));
    assert!(all.len() > 60, "{}", all.len());
    let all: String = all.iter().map(|document| format!("---\n# Source: {document}")).collect();
    let arguments = [&DRY_RUN[..], &["--filename", "-"]].concat();
    let (is_accepted, told) = cluster.kubectl(&arguments, &all);
    assert!(is_accepted && !told.contains("Warning"), "{told}");
}

#[test]
#[ignore = "needs an API server; run: just control-plane"]
fn every_object_is_accepted_as_it_is() {
    let cluster = Cluster::start();
    cluster.define_kinds();
    cluster.control_plane.namespace(NAMESPACE, &json!({}));
    // The objects to which the test's objects refer.
    let path = "/apis/scheduling.k8s.io/v1/priorityclasses/system-cluster-critical";
    wait_until("the priority class", || cluster.control_plane.request("GET", path, None).0 == 200);
    let sandbox = json!({"metadata": {"name": "gvisor"}, "handler": "runsc"});
    cluster.control_plane.create("/apis/node.k8s.io/v1/runtimeclasses", &sandbox);
    let dry_run = DRY_RUN;
    let mut count = 0;
    for file in values_files() {
        let rendered = cluster.tools.template(&["--values", &file]);
        let arguments = [&dry_run[..], &["--filename", "-"]].concat();
        let (is_accepted, told) = cluster.kubectl(&arguments, &rendered);
        assert!(is_accepted, "{file}: {told}");
        let lines = told.lines().filter(|line| line.contains("serverside-applied")).count();
        assert_eq!(lines, documents(&rendered).len(), "{file}: {told}");
        assert!(!told.contains("Warning"), "{file}: {told}");
        count += lines;
    }
    assert!(count > 80, "{count}");
    // The strict validation is in effect.
    let wrong = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x", "namespace": "default"},
        "spec": {"portz": [], "ports": [{"port": 1}]}});
    let arguments = [&dry_run[..], &["--filename", "-"]].concat();
    assert!(!cluster.kubectl(&arguments, &wrong.to_string()).0);
    // The same for users without Helm.
    for arguments in [["--filename", "charts/manifests"], ["--kustomize", "examples/kustomize"]] {
        let is_kustomize = arguments[0] == "--kustomize";
        let file = root().join(arguments[1]);
        let file = if is_kustomize { file } else { file.join("install.yaml") };
        let arguments = [&dry_run[..], &[arguments[0], file.to_str().unwrap()]].concat();
        let (is_accepted, told) = cluster.kubectl(&arguments, "");
        assert!(is_accepted, "{told}");
    }
}

/// The life of an installation. Data of the replicas are kept while Helm changes the rest.
#[test]
#[ignore = "needs an API server; run: just control-plane"]
fn an_installation_lives_and_leaves_nothing() {
    let cluster = Cluster::start();
    cluster.control_plane.namespace(NAMESPACE, &json!({}));
    let before = cluster.objects();
    let told = cluster.helm(&["install", "prestop", "charts/prestop"]);
    assert!(told.contains("No namespace is labelled prestop.dev/inject=enabled yet"), "{told}");
    assert!(cluster.bundle().is_null());
    let serve = cluster.serve();
    wait_until("ready", || serve.get("/readyz").0 == 200);
    let (bundle, state) = (cluster.bundle(), cluster.get(SECRET)["data"].clone());
    assert!(bundle.is_string() && state.is_object());
    let generation =
        cluster.get(WEBHOOK)["metadata"]["annotations"]["prestop.dev/ca-generation"].clone();
    let is_kept = |what: &str| {
        assert_eq!(cluster.bundle(), bundle, "{what}");
        assert_eq!(cluster.get(SECRET)["data"], state, "{what}");
        let annotations = &cluster.get(WEBHOOK)["metadata"]["annotations"];
        assert_eq!(annotations["prestop.dev/ca-generation"], generation, "{what}");
    };
    status_is_reported(&cluster);
    let timeout = || cluster.get(WEBHOOK)["webhooks"][0]["timeoutSeconds"].clone();
    cluster.helm(&["upgrade", "prestop", "charts/prestop", "--set", "webhook.timeoutSeconds=1"]);
    assert_eq!(timeout(), 1);
    is_kept("upgrade");
    cluster.helm(&["rollback", "prestop", "1"]);
    assert_eq!(timeout(), 2);
    is_kept("rollback");
    // Helm before version 4, and kubectl, apply on the client's side.
    cluster.helm(&[
        "upgrade",
        "prestop",
        "charts/prestop",
        "--server-side=false",
        "--set",
        "replicaCount=3",
    ]);
    is_kept("upgrade on the client's side");
    let rendered = cluster.tools.template(&["--skip-tests"]);
    let (is_applied, told) = cluster.kubectl(&["apply", "--filename", "-"], &rendered);
    assert!(is_applied, "{told}");
    is_kept("kubectl apply");
    drop(serve);
    let told = cluster.helm(&["uninstall", "prestop"]);
    assert!(told.contains("uninstalled"), "{told}");
    let after = cluster.objects();
    // The endpoints of Services are removed by a controller, which does not run here.
    let left: Vec<_> = after.difference(&before).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// `prestop check` and `prestop certificates status` find everything by the release's name.
fn status_is_reported(cluster: &Cluster) {
    let status = cluster.prestop(&["certificates", "status"]);
    assert!(status.contains("generation 1:"), "{status}");
    assert!(status.contains("published"), "{status}");
    assert!(status.contains("(in 243 days): a successor is created"), "{status}");
    let checks = cluster.prestop(&["check"]);
    assert!(checks.contains("√ the service account prestop has all necessary rights"), "{checks}");
    let fronts =
        "√ fronts: the service account prestop may watch services, ingresses, ingressclasses";
    assert!(checks.contains(fronts), "{checks}");
    // No pods run here.
    assert!(checks.contains("× none of 2 replicas is ready"), "{checks}");
    assert!(checks.contains("‼ no namespace is opted in"), "{checks}");
}

/// Exactly these rights: with one less, prestop would not become ready; one more would be found
/// here.
#[test]
#[ignore = "needs an API server; run: just control-plane"]
fn the_service_account_may_do_its_work_and_nothing_else() {
    let cluster = Cluster::start();
    cluster.control_plane.namespace(NAMESPACE, &json!({}));
    cluster.control_plane.namespace("enabled", &json!({"prestop.dev/inject": "enabled"}));
    cluster.helm(&["install", "prestop", "charts/prestop"]);
    let serve = cluster.serve();
    wait_until("ready", || serve.get("/readyz").0 == 200);
    wait_until("namespaces", || serve.get("/readyz?verbose").1.contains("[+]namespaces ok"));
    let rights = |namespace: &str| {
        let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview",
            "spec": {"namespace": namespace}});
        let account = cluster.control_plane.kubeconfig_of(NAMESPACE, "prestop");
        let mut command = cluster.tools.command("kubectl");
        command
            .args(["create", "--validate=false", "--output=json", "--filename=-", "--kubeconfig"])
            .arg(account);
        let output = feed(&mut command, review.to_string());
        assert!(output.status.success(), "{}", text(&output.stderr));
        let review: Value = serde_json::from_slice(&output.stdout).unwrap();
        let rules = review["status"]["resourceRules"].as_array().unwrap().clone();
        // Every user may query their own rights, and the CAs of the cluster.
        let of_everybody = ["authorization.k8s.io", "authentication.k8s.io", "certificates.k8s.io"];
        let mut own = rules;
        own.retain(|rule| {
            let groups = rule["apiGroups"].to_string();
            !of_everybody.iter().any(|group| groups.contains(group))
        });
        own
    };
    let everywhere = [
        json!({"verbs": ["list", "watch"], "apiGroups": [""], "resources": ["namespaces"]}),
        json!({"verbs": ["list", "watch"], "apiGroups": [""], "resources": ["services"]}),
        json!({"verbs": ["list", "watch"], "apiGroups": ["networking.k8s.io"],
            "resources": ["ingresses", "ingressclasses"]}),
        json!({"verbs": ["list", "watch"], "apiGroups": ["gateway.networking.k8s.io"],
            "resources": ["gatewayclasses", "gateways", "httproutes", "grpcroutes", "tlsroutes"]}),
        json!({"verbs": ["list", "watch"], "apiGroups": ["elbv2.k8s.aws"],
            "resources": ["targetgroupbindings"]}),
        json!({"verbs": ["get", "list", "watch", "patch"], "apiGroups": ["admissionregistration.k8s.io"],
            "resources": ["mutatingwebhookconfigurations"], "resourceNames": ["prestop"]}),
    ];
    let at_home = json!({"verbs": ["get", "update"], "apiGroups": [""], "resources": ["secrets"],
        "resourceNames": ["prestop-authority"]});
    for (namespace, expected) in
        [("enabled", everywhere.to_vec()), (NAMESPACE, [&everywhere[..], &[at_home]].concat())]
    {
        let found = rights(namespace);
        let are_there = expected.iter().all(|rule| found.contains(rule));
        assert!(are_there && found.len() == expected.len(), "{namespace}: {found:?}");
    }
    // The same, written out for rights with serious consequences.
    for (verb, what, namespace) in [
        ("list", "secrets", NAMESPACE),
        ("watch", "secrets", NAMESPACE),
        ("create", "secrets", NAMESPACE),
        ("get", "secrets/another", NAMESPACE),
        ("delete", "secrets/prestop-authority", NAMESPACE),
        ("get", "secrets/prestop-authority", "default"),
        ("create", "mutatingwebhookconfigurations", ""),
        ("update", "mutatingwebhookconfigurations/prestop", ""),
        ("delete", "mutatingwebhookconfigurations/prestop", ""),
        ("patch", "mutatingwebhookconfigurations/another", ""),
        ("patch", "validatingwebhookconfigurations/prestop", ""),
        ("list", "pods", "enabled"),
        ("create", "pods", "enabled"),
        ("patch", "namespaces/enabled", ""),
        ("get", "configmaps/prestop", NAMESPACE),
        ("escalate", "clusterroles", ""),
        ("create", "serviceaccounts/token", NAMESPACE),
    ] {
        let account = format!("system:serviceaccount:{NAMESPACE}:prestop");
        let (is_allowed, told) = cluster.kubectl(
            &["auth", "can-i", verb, what, "--namespace", namespace, "--as", &account],
            "",
        );
        assert!(!is_allowed && told.starts_with("no"), "{verb} {what}: {told}");
    }
}

/// Through the API server with the chart's own webhook configuration; a URL replaces the Service,
/// which needs a kube-proxy.
#[test]
#[ignore = "needs an API server; run: just control-plane"]
fn pods_are_injected_through_the_charts_webhook() {
    let cluster = Cluster::start();
    cluster.control_plane.namespace(NAMESPACE, &json!({}));
    for (name, labels) in [
        ("enabled", json!({"prestop.dev/inject": "enabled"})),
        ("disabled", json!({"prestop.dev/inject": "disabled"})),
        ("silent", json!({})),
    ] {
        cluster.control_plane.namespace(name, &labels);
    }
    cluster.helm(&["install", "prestop", "charts/prestop"]);
    let serve = cluster.serve();
    wait_until("ready", || serve.get("/readyz").0 == 200);
    let mut webhook = cluster.get(WEBHOOK);
    let client = webhook["webhooks"][0]["clientConfig"].as_object_mut().unwrap();
    client.shift_remove("service");
    client.insert(
        "url".to_owned(),
        json!(format!("https://127.0.0.1:{}/mutate", serve.address.port())),
    );
    assert_eq!(cluster.control_plane.request("PUT", WEBHOOK, Some(&webhook)).0, 200);
    cluster.control_plane.wait_for_effect("enabled", has_status);
    // A namespace that is excluded by name, even if it is labelled.
    let labelled = json!({"metadata": {"labels": {"prestop.dev/inject": "enabled"}}});
    let (is_labelled, told) =
        cluster.kubectl(&["patch", "namespace", NAMESPACE, "--patch", &labelled.to_string()], "");
    assert!(is_labelled, "{told}");
    let pod = |labels: Value| {
        json!({"metadata": {"generateName": "web-", "labels": labels},
            "spec": {"containers": [{"name": "web", "image": "registry.example/web:1"}]}})
    };
    let reviews = || serve.metric("prestop_admission_duration_seconds_count");
    for (namespace, labels, is_injected) in [
        ("enabled", json!({}), true),
        ("enabled", json!({"prestop.dev/inject": "disabled"}), false),
        ("disabled", json!({}), false),
        ("silent", json!({}), false),
        (NAMESPACE, json!({}), false),
        ("kube-system", json!({}), false),
    ] {
        let before = reviews();
        let (status, created) = cluster.control_plane.pod(namespace, &pod(labels));
        assert_eq!(status, 201, "{created}");
        assert_eq!(has_status(&created), is_injected, "{namespace}: {created}");
        assert_eq!(reviews() > before, is_injected, "{namespace}");
    }
    let failed =
        cluster.control_plane.metric("apiserver_admission_webhook_fail_open_count", &["prestop"]);
    assert_eq!(failed, 0);
    assert!(fs::metadata(&cluster.kubeconfig).is_ok());
}

/// Simulates AKS, whose controller and webhook, the admissions enforcer, add conditions to the
/// selectors of webhook configurations, unless these have an annotation. Helm 4 uses server-side
/// apply, which does not allow changes of fields that belong to another manager.
fn enforce_admissions(cluster: &Cluster) {
    let webhook = cluster.get(WEBHOOK);
    if webhook["metadata"]["annotations"]["admissions.enforcer/disabled"] == "true" {
        return;
    }
    let patch = json!([
        {"op": "add", "path": "/webhooks/0/namespaceSelector/matchExpressions/-",
            "value": {"key": "control-plane", "operator": "DoesNotExist"}},
        {"op": "add", "path": "/webhooks/0/namespaceSelector/matchExpressions/-",
            "value": {"key": "kubernetes.azure.com/managedby", "operator": "NotIn", "values": ["aks"]}},
    ]);
    let (is_done, told) = cluster.kubectl(
        &[
            "patch",
            "mutatingwebhookconfiguration",
            "prestop",
            "--type=json",
            "--field-manager=admissionsenforcer",
            "--patch",
            &patch.to_string(),
        ],
        "",
    );
    assert!(is_done, "{told}");
}

#[test]
#[ignore = "needs an API server; run: just control-plane"]
fn upgrades_succeed_beside_the_admissions_enforcer_of_aks() {
    let cluster = Cluster::start();
    cluster.control_plane.namespace(NAMESPACE, &json!({}));
    let selector = || cluster.get(WEBHOOK)["webhooks"][0]["namespaceSelector"].clone();
    cluster.helm(&["install", "prestop", "charts/prestop"]);
    let own = selector();
    enforce_admissions(&cluster);
    let upgrade = ["upgrade", "prestop", "charts/prestop", "--reset-then-reuse-values"];
    let with = |more: &[&'static str]| [&upgrade[..], more].concat();
    cluster.helm(&with(&["--set", "webhook.timeoutSeconds=3"]));
    assert_eq!(selector(), own);
    // Without the annotation: the case that it prevents.
    cluster.helm(&with(&["--set", "webhook.disableAdmissionsEnforcer=false"]));
    enforce_admissions(&cluster);
    assert_ne!(selector(), own);
    let change = ["--set", "webhook.timeoutSeconds=4"];
    let (is_done, told) = cluster.try_helm(&with(&change));
    assert!(!is_done && told.contains("conflict"), "{told}");
    assert!(told.contains("admissionsenforcer"), "{told}");
    assert!(told.contains("namespaceSelector"), "{told}");
    // The fix for an installation that already has the conditions, as in docs/install.md.
    let row = fs::read_to_string(root().join("docs/install.md")).unwrap();
    assert!(row.contains("--force-conflicts") && row.contains("admissions.enforcer/disabled"));
    cluster.helm(&with(&["--set", "webhook.disableAdmissionsEnforcer=true", "--force-conflicts"]));
    assert_eq!(selector(), own);
    enforce_admissions(&cluster);
    cluster.helm(&with(&change));
    assert_eq!(cluster.get(WEBHOOK)["webhooks"][0]["timeoutSeconds"], 4);
}

/// The chart's own webhook for warnings with a self-managed certificate, through a real API server
/// to a real kubectl; and its rights.
#[test]
#[ignore = "needs an API server, helm and kubectl; run: just control-plane"]
fn kubectl_prints_what_is_wrong_with_a_workload() {
    let cluster = Cluster::start();
    let install = ["install", "prestop", "charts/prestop", "--create-namespace"];
    cluster.helm(&[&install[..], &["--set", "warnings.enabled=true"]].concat());
    let serve = cluster.serve();
    let path =
        "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/prestop".to_owned();
    let bundle = || cluster.get(&path)["webhooks"][0]["clientConfig"]["caBundle"].clone();
    wait_until("the warnings' bundle", || bundle().is_string());
    assert_eq!(bundle(), cluster.bundle());
    // A URL replaces the Service, which needs a kube-proxy.
    let url = format!("https://127.0.0.1:{}/warn", serve.address.port());
    let client = json!({"url": url, "caBundle": bundle()}).to_string();
    let replaced =
        format!(r#"[{{"op": "replace", "path": "/webhooks/0/clientConfig", "value": {client}}}]"#);
    let (is_done, told) = cluster.kubectl(
        &[
            "patch",
            "validatingwebhookconfiguration",
            "prestop",
            "--type=json",
            "--patch",
            &replaced,
        ],
        "",
    );
    assert!(is_done, "{told}");
    let workload = |kind: &str, strategy: &str| {
        format!(
            "apiVersion: apps/v1\nkind: {kind}\nmetadata: {{name: web, namespace: default}}\nspec:\n  \
             selector: {{matchLabels: {{app: web}}}}\n{strategy}  template:\n    \
             metadata: {{labels: {{app: web}}}}\n    spec:\n      containers:\n      \
             - {{name: shop, image: registry.example/shop:1, ports: [{{containerPort: 80}}]}}\n"
        )
    };
    let apply = |text: &str, more: &[&str]| {
        let (is_done, told) =
            cluster.kubectl(&[&["apply", "--filename", "-"], more].concat(), text);
        assert!(is_done, "{told}");
        told
    };
    let recreate = workload("Deployment", "  strategy: {type: Recreate}\n");
    wait_until("the warnings", || {
        apply(&recreate, &["--dry-run=server"]).contains("Warning: prestop: recreate: ")
    });
    let told = apply(&recreate, &[]);
    let warnings: Vec<_> = told.lines().filter(|line| line.contains("prestop: ")).collect();
    assert_eq!(warnings.len(), 3, "{told}");
    assert!(told.contains("Warning: prestop: stops-at-once: shop: "), "{told}");
    assert!(told.contains("Warning: prestop: not-ready-checked: "), "{told}");
    // The spec does not change.
    let (is_done, told) =
        cluster.kubectl(&["annotate", "deployment", "web", "--namespace=default", "a=b"], "");
    assert!(is_done && !told.contains("Warning"), "{told}");
    let told = apply(&workload("StatefulSet", "  serviceName: web\n"), &[]);
    assert!(told.contains("not-ready-checked") && !told.contains("recreate"), "{told}");
    assert!(serve.metric("prestop_workload_reviews_total{result=\"warned\"}") > 0);
    // The account may change only this configuration.
    for (verb, what, expected) in [
        ("patch", "validatingwebhookconfigurations/prestop", true),
        ("get", "validatingwebhookconfigurations/prestop", true),
        ("list", "validatingwebhookconfigurations", false),
        ("patch", "validatingwebhookconfigurations/another", false),
        ("update", "validatingwebhookconfigurations/prestop", false),
        ("delete", "validatingwebhookconfigurations/prestop", false),
        ("create", "validatingwebhookconfigurations", false),
        ("get", "deployments", false),
    ] {
        let account = format!("system:serviceaccount:{NAMESPACE}:prestop");
        let (is_allowed, _) = cluster.kubectl(&["auth", "can-i", verb, what, "--as", &account], "");
        assert_eq!(is_allowed, expected, "{verb} {what}");
    }
    // The message if this right is removed.
    let has_rights = "√ the service account prestop has all necessary rights";
    let checks = cluster.prestop(&["check"]);
    assert!(checks.contains(has_rights), "{checks}");
    let path = "/apis/rbac.authorization.k8s.io/v1/clusterroles/prestop";
    let mut role = cluster.get(path);
    let is_other = |rule: &Value| rule["resources"] != json!(["validatingwebhookconfigurations"]);
    role["rules"].as_array_mut().unwrap().retain(is_other);
    assert_eq!(cluster.control_plane.request("PUT", path, Some(&role)).0, 200);
    let lacks = "× the service account prestop may not get validatingwebhookconfigurations/prestop, patch validatingwebhookconfigurations/prestop";
    wait_until("the right that is missing", || cluster.prestop(&["check"]).contains(lacks));
}
