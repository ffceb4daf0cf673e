//! The chart's output has its promised properties, whatever the values.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use prestop_test_support::command::feed;
use prestop_test_support::helm::{NAMESPACE, Tools, documents, object, text, values_files};
use prestop_test_support::root;

#[test]
#[ignore = "needs helm and kubectl; run: just control-plane"]
fn every_file_of_values_renders_without_a_warning() {
    let tools = Tools::find();
    for file in values_files() {
        let lint = tools
            .command("helm")
            .args(["lint", "--strict", "charts/prestop", "--values", &file])
            .output()
            .unwrap();
        assert!(lint.status.success(), "{file}: {}{}", text(&lint.stdout), text(&lint.stderr));
        assert!(!tools.render(&["--values", &file]).is_empty(), "{file}");
    }
}

/// Namespaces without opt-in, those of the cluster, and the release's are not affected.
#[test]
#[ignore = "needs helm and kubectl; run: just control-plane"]
fn only_namespaces_that_opt_in_are_affected() {
    let tools = Tools::find();
    for file in values_files() {
        let objects = tools.render(&["--values", &file]);
        let webhook = objects.iter().find(|o| o["kind"] == "MutatingWebhookConfiguration").unwrap();
        let hooks = webhook["webhooks"].as_array().unwrap();
        assert_eq!(hooks.len(), 1);
        let hook = &hooks[0];
        assert_eq!(
            hook["rules"],
            json!([{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"],
                    "resources": ["pods"], "scope": "Namespaced"}])
        );
        for (field, value) in [
            ("sideEffects", "None"),
            ("matchPolicy", "Equivalent"),
            ("failurePolicy", if file.contains("everything") { "Fail" } else { "Ignore" }),
        ] {
            assert_eq!(hook[field], value, "{file}");
        }
        let excluded = hook["namespaceSelector"]["matchExpressions"]
            .as_array()
            .unwrap()
            .iter()
            .find(|expression| expression["key"] == "kubernetes.io/metadata.name")
            .unwrap();
        assert_eq!(excluded["operator"], "NotIn");
        let names = excluded["values"].as_array().unwrap();
        for name in ["kube-system", NAMESPACE] {
            assert!(names.contains(&json!(name)), "{file}: {name}");
        }
        assert_eq!(hook["matchConditions"][0]["name"], "not-a-mirror-pod", "{file}");
        let has_bundle = hook["clientConfig"].get("caBundle").is_some();
        assert_eq!(has_bundle, file.contains("secret-values"), "{file}");
    }
    let hook = &object(&tools.render(&[]), "MutatingWebhookConfiguration", "prestop")["webhooks"]
        [0]
    .clone();
    assert_eq!(
        (&hook["timeoutSeconds"], &hook["reinvocationPolicy"]),
        (&json!(2), &json!("IfNeeded"))
    );
    let selectors = hook["namespaceSelector"]["matchExpressions"].as_array().unwrap();
    let opted_in = json!({"key": "prestop.dev/inject", "operator": "In", "values": ["enabled"]});
    assert!(selectors.contains(&opted_in), "{selectors:?}");
}

/// The warnings are off by default; if enabled, they refuse nothing and delay nothing, whatever the
/// values.
#[test]
#[ignore = "needs helm and kubectl; run: just control-plane"]
fn warnings_can_refuse_nothing() {
    let tools = Tools::find();
    let is_there = |objects: &[Value]| {
        objects.iter().any(|object| object["kind"] == "ValidatingWebhookConfiguration")
    };
    assert!(!is_there(&tools.render(&[])));
    for file in values_files() {
        let objects = tools.render(&["--values", &file, "--set", "warnings.enabled=true"]);
        let webhook =
            objects.iter().find(|o| o["kind"] == "ValidatingWebhookConfiguration").unwrap();
        let hooks = webhook["webhooks"].as_array().unwrap();
        assert_eq!(hooks.len(), 1);
        for (field, value) in [
            ("failurePolicy", json!("Ignore")),
            ("timeoutSeconds", json!(2)),
            ("sideEffects", json!("None")),
            ("matchPolicy", json!("Equivalent")),
        ] {
            assert_eq!(hooks[0][field], value, "{file}");
        }
        assert_eq!(hooks[0]["clientConfig"]["service"]["path"], "/warn");
        let has_bundle = hooks[0]["clientConfig"].get("caBundle").is_some();
        assert_eq!(has_bundle, file.contains("secret-values"), "{file}");
        let namespaces = hooks[0]["namespaceSelector"].to_string();
        assert!(namespaces.contains(NAMESPACE) && namespaces.contains("kube-system"), "{file}");
        // The replica that manages the certificate of one webhook manages that of the other too.
        let name = &webhook["metadata"]["name"];
        let arguments = &deployment(&objects)["spec"]["template"]["spec"]["containers"][0]["args"];
        let argument = json!(format!("--warnings-webhook={}", name.as_str().unwrap()));
        let is_kept = arguments.as_array().unwrap().contains(&argument);
        let by_cert_manager =
            webhook["metadata"]["annotations"].get("cert-manager.io/inject-ca-from").is_some();
        assert!(is_kept || by_cert_manager || has_bundle, "{file}: {arguments}");
    }
}

fn deployment(objects: &[Value]) -> &Value {
    objects.iter().find(|object| object["kind"] == "Deployment").unwrap()
}

/// prestop follows its own advice: a hook, a grace period that covers it, and never one replica
/// fewer.
#[test]
#[ignore = "needs helm and kubectl; run: just control-plane"]
fn the_pods_of_prestop_carry_what_it_preaches() {
    let tools = Tools::find();
    for file in values_files() {
        let objects = tools.render(&["--values", &file]);
        let deployment = deployment(&objects);
        let template = &deployment["spec"]["template"];
        assert_eq!(template["metadata"]["labels"]["prestop.dev/inject"], "disabled", "{file}");
        let spec = &template["spec"];
        let sleep = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64();
        let grace = spec["terminationGracePeriodSeconds"].as_u64();
        assert!(sleep >= Some(10) && grace > sleep.map(|sleep| sleep + 20), "{file}");
        let rolling = &deployment["spec"]["strategy"]["rollingUpdate"];
        assert_eq!(rolling["maxUnavailable"], 0, "{file}");
        assert!(objects.iter().any(|object| object["kind"] == "PodDisruptionBudget"), "{file}");
        let context = &spec["containers"][0]["securityContext"];
        assert_eq!(
            (&context["readOnlyRootFilesystem"], &context["allowPrivilegeEscalation"]),
            (&json!(true), &json!(false)),
            "{file}"
        );
        // The engine agrees: there is nothing left to inject.
        let mut check = Command::new(env!("CARGO_BIN_EXE_prestop"));
        let output = feed(check.args(["inject", "--check", "-"]), deployment.to_string());
        assert_eq!(output.status.code(), Some(0), "{file}: {}", text(&output.stderr));
    }
}

/// The program accepts the arguments in the Deployment, and the mounted file.
#[test]
#[ignore = "needs helm and kubectl; run: just control-plane"]
fn the_program_accepts_the_arguments_of_the_chart() {
    let tools = Tools::find();
    let folder = tempfile::tempdir().unwrap();
    for file in values_files() {
        let objects = tools.render(&["--values", &file]);
        let arguments =
            deployment(&objects)["spec"]["template"]["spec"]["containers"][0]["args"].clone();
        let arguments: Vec<String> = serde_json::from_value(arguments).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_prestop"))
            .args(&arguments)
            .arg("--print-example-review")
            .env("POD_NAMESPACE", NAMESPACE)
            .output()
            .unwrap();
        assert!(output.status.success(), "{file}: {}", text(&output.stderr));
        let test = objects.iter().find(|o| o["kind"] == "Pod").unwrap();
        let arguments: Vec<String> =
            serde_json::from_value(test["spec"]["containers"][0]["args"].clone()).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_prestop"))
            .args(&arguments)
            .arg("--help")
            .output()
            .unwrap();
        assert!(output.status.success(), "{file}: {}", text(&output.stderr));
        let map = objects.iter().find(|o| o["data"].get("prestop.yaml").is_some()).unwrap();
        let path = folder.path().join("prestop.yaml");
        fs::write(&path, map["data"]["prestop.yaml"].as_str().unwrap()).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_prestop"))
            .args(["config", "check"])
            .arg(&path)
            .output()
            .unwrap();
        assert!(output.status.success(), "{file}: {}", text(&output.stderr));
    }
}

/// Without self-managed certificates and the watch of namespaces, nothing in the pod can send
/// requests to the API server.
#[test]
#[ignore = "needs helm and kubectl; run: just control-plane"]
fn who_needs_no_rights_has_none() {
    let tools = Tools::find();
    let objects = tools.render(&["--values", "charts/prestop/ci/cert-manager-issuer-values.yaml"]);
    let spec = &deployment(&objects)["spec"]["template"]["spec"];
    assert_eq!(spec["automountServiceAccountToken"], false);
    let own = objects.iter().filter(|object| object["metadata"]["name"] == "prestop");
    assert_eq!(own.filter(|object| object["kind"].as_str().unwrap().contains("Role")).count(), 0);
    let mut kinds: Vec<_> = tools.render(&[]).iter().map(|o| o["kind"].clone()).collect();
    kinds.retain(|kind| kind.as_str().unwrap().contains("Role"));
    // Four objects of the release, and the four of `helm test`.
    assert_eq!(kinds.len(), 8, "{kinds:?}");
}

/// If fronts are watched, delays follow them, unless the configuration has another default.
#[test]
#[ignore = "needs helm and kubectl; run: just control-plane"]
fn the_default_delay_follows_fronts_that_are_watched() {
    let tools = Tools::find();
    let rendered = |set: &str| {
        let objects = tools.render(&["--set-json", set]);
        let arguments =
            deployment(&objects)["spec"]["template"]["spec"]["containers"][0]["args"].clone();
        let watches = arguments.as_array().unwrap().contains(&json!("--watch-fronts"));
        let file = object(&objects, "ConfigMap", "prestop")["data"]["prestop.yaml"].clone();
        let file: Value = serde_saphyr::from_str(file.as_str().unwrap()).unwrap();
        let role = object(&objects, "ClusterRole", "prestop").to_string();
        assert_eq!(role.contains("httproutes"), watches);
        (watches, file["defaults"].clone())
    };
    for (set, expected) in [
        ("nameOverride=\"\"", (true, json!({"delay": "auto"}))),
        (
            "config={\"defaults\":{\"shell\":\"present\"}}",
            (true, json!({"delay": "auto", "shell": "present"})),
        ),
        ("config={\"defaults\":{\"delay\":\"15s\"}}", (true, json!({"delay": "15s"}))),
        ("fronts={\"watch\":false}", (false, Value::Null)),
    ] {
        assert_eq!(rendered(set), expected, "{set}");
    }
}

/// Two ports for ingress, those of the API server for egress, and no rule without ports, which
/// would allow all ports.
#[test]
#[ignore = "needs helm and kubectl; run: just control-plane"]
fn the_network_policy_allows_what_is_listed() {
    let tools = Tools::find();
    let policy = |more: &[&str]| {
        let arguments = [&["--set", "networkPolicy.enabled=true"], more].concat();
        object(&tools.render(&arguments), "NetworkPolicy", "prestop")["spec"].clone()
    };
    let tcp = |port: Value| json!({"port": port, "protocol": "TCP"});
    let default = policy(&[]);
    assert_eq!(default["policyTypes"], json!(["Ingress", "Egress"]));
    let ingress = json!([{"ports": [tcp(json!("https"))]}, {"ports": [tcp(json!("metrics"))]}]);
    assert_eq!(default["ingress"], ingress);
    assert_eq!(default["egress"], json!([{"ports": [tcp(json!(443)), tcp(json!(6443))]}]));
    let narrow = policy(&[
        "--set-json",
        "networkPolicy.apiServerTo=[{\"ipBlock\":{\"cidr\":\"10.0.0.1/32\"}}]",
        "--set-json",
        "networkPolicy.apiServerPorts=[6443]",
    ]);
    let to = json!([{"ipBlock": {"cidr": "10.0.0.1/32"}}]);
    assert_eq!(narrow["egress"], json!([{"ports": [tcp(json!(6443))], "to": to}]));
    // No destinations, whatever the ports.
    let silent = policy(&[
        "--values",
        "charts/prestop/ci/cert-manager-issuer-values.yaml",
        "--set-json",
        "networkPolicy.apiServerPorts=[]",
    ]);
    assert_eq!(silent["egress"], json!([]));
}

/// A changed rule takes effect while prestop runs; a change that needs a restart causes one.
#[test]
#[ignore = "needs helm and kubectl; run: just control-plane"]
fn only_settings_that_need_a_start_restart_the_pods() {
    let tools = Tools::find();
    let checksum = |set: &str| {
        let objects = tools.render(&["--set", set]);
        deployment(&objects)["spec"]["template"]["metadata"]["annotations"]["checksum/settings"]
            .clone()
    };
    let before = checksum("config.defaults.delay=10s");
    assert_eq!(checksum("config.defaults.delay=11s"), before);
    assert_ne!(checksum("config.server.drainDelay=16s"), before);
}

/// Returns the output of `helm install`: the next commands, and risks of these values.
fn notes(tools: &Tools, sets: &str) -> String {
    let mut command = tools.command("helm");
    command.args(["install", "prestop", "charts/prestop", "--namespace", NAMESPACE]);
    command.args(["--dry-run=client", "--set", sets]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let all = text(&output.stdout);
    all.split_once("NOTES:").expect("no notes").1.to_owned()
}

#[test]
#[ignore = "needs helm and kubectl; run: just control-plane"]
fn the_notes_give_the_next_commands_and_the_warnings() {
    let tools = Tools::find();
    let calm = notes(&tools, "replicaCount=2");
    for command in [
        "kubectl --namespace prestop-system rollout status deployment/prestop",
        "kubectl label namespace default prestop.dev/inject=enabled",
        "rollout restart deployment",
        "helm test prestop --namespace prestop-system",
    ] {
        assert!(calm.contains(command), "{command}: {calm}");
    }
    assert!(!calm.contains("WARNING"), "{calm}");
    for (sets, warning) in [
        ("replicaCount=1", "get no hook"),
        ("webhook.failurePolicy=Fail", "no pod of the selected namespaces can be created"),
        ("webhook.timeoutSeconds=20", "takes that much longer"),
        ("serviceMonitor.enabled=true", "serviceMonitor was skipped"),
        (
            "hostNetwork=true,securePort=10260,adminPort=10261,networkPolicy.enabled=true",
            "networkPolicy has no effect with hostNetwork",
        ),
        ("podLabels.prestop\\.dev/inject=enabled", "prestop.dev/inject stays disabled"),
        ("commonLabels.app\\.kubernetes\\.io/name=x", "app.kubernetes.io/name stays prestop"),
        (
            "podDisruptionBudget.minAvailable=2,podDisruptionBudget.maxUnavailable=",
            "can't be drained",
        ),
    ] {
        let notes = notes(&tools, sets);
        assert!(notes.contains("WARNING") && notes.contains(warning), "{sets}: {notes}");
    }
}

/// The file for users without Helm equals the chart's output.
#[test]
#[ignore = "needs helm and kubectl; run: just control-plane"]
fn install_yaml_is_current() {
    let tools = Tools::find();
    let rendered = tools.template(&["--skip-tests"]);
    let expected = format!(
        "# prestop with the chart's defaults: kubectl apply --filename install.yaml\n\
         # Made of charts/prestop by `UPDATE_GENERATED=1 cargo test chart`; don't change it by hand.\n\
         apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {NAMESPACE}\n{rendered}"
    );
    let path = root().join("charts/manifests/install.yaml");
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        fs::write(&path, &expected).unwrap();
    }
    let text = fs::read_to_string(&path).unwrap();
    assert!(text == expected, "install.yaml: run UPDATE_GENERATED=1 cargo test chart");
}

#[test]
#[ignore = "needs helm and kubectl; run: just control-plane"]
fn the_kustomization_builds_on_it() {
    let tools = Tools::find();
    let output =
        tools.command("kubectl").args(["kustomize", "examples/kustomize"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let objects = documents(&text(&output.stdout));
    let plain =
        documents(&fs::read_to_string(root().join("charts/manifests/install.yaml")).unwrap());
    assert_eq!(objects.len(), plain.len());
    assert_eq!(deployment(&objects)["spec"]["replicas"], 3);
    let image = deployment(&objects)["spec"]["template"]["spec"]["containers"][0]["image"].clone();
    assert_eq!(image, "registry.example.com/mirror/prestop:0.1.0");
    let configuration = &object(&objects, "ConfigMap", "prestop")["data"]["prestop.yaml"];
    assert!(configuration.as_str().unwrap().contains("delay: 15s"), "{configuration}");
}
