//! `prestop fronts`: objects in any order, from several files, lists and standard input.

use serde_json::Value;

use super::{DEPLOYMENT, folder, piped, run, stderr, stdout, text};

const SERVICE: &str = "
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
";
const INGRESS: &str = "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: shop}
spec:
  ingressClassName: edge
  rules: [{http: {paths: [{path: /, backend: {service: {name: web, port: {number: 80}}}}]}}]
";
const CLASS: &str = "
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: edge}
spec: {controller: azure/application-gateway}
";

fn deployment() -> String {
    DEPLOYMENT.replace("  template:\n", "  template:\n    metadata: {labels: {app: web}}\n")
}

#[test]
fn the_table_is_listed() {
    let output = run(&["fronts"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let listed = stdout(&output);
    assert!(listed.lines().any(|line| line.starts_with("aws-nlb-ip ") && line.contains("2m-3m")));
    let json: Value = serde_json::from_slice(&run(&["fronts", "-o", "json"]).stdout).unwrap();
    let fronts = json["fronts"].as_array().unwrap();
    assert!(fronts.len() >= 25);
    for front in fronts {
        assert!(listed.contains(front["title"].as_str().unwrap()), "{front}");
        assert!(!front["when"].as_array().unwrap().is_empty(), "{front}");
    }
    let never = fronts.iter().find(|front| front["name"] == "host-port").unwrap();
    assert!(never["delay"].is_null());
}

#[test]
fn fronts_are_found_across_files_in_any_order() {
    let files =
        [("a.yaml", CLASS), ("b/c.yaml", INGRESS), ("z.yaml", SERVICE), ("w.yaml", &deployment())];
    let folder = folder(&files);
    let output = run(&["fronts", text(folder.path())]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = stdout(&output);
    let first = said.lines().next().unwrap();
    assert!(
        first.starts_with("Deployment default/web (")
            && first.ends_with("w.yaml:1): needs a delay of 1m-1m30s")
    );
    assert!(said.contains("Ingress default/shop > Service default/web (class edge)"), "{said}");
    let json = run(&["fronts", "-o", "json", "-f", text(folder.path()), "-n", "shop"]);
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    let workload = &json["workloads"][0];
    assert_eq!(workload["namespace"], "shop");
    assert_eq!(workload["delay"]["atMostSeconds"], 90);
    assert_eq!(workload["fronts"][0]["path"][1], "Service shop/web");
    assert_eq!(workload["fronts"][1]["name"], "cluster-ip");
}

#[test]
fn lists_and_standard_input_are_read() {
    let yaml = format!("{SERVICE}---\n{}", deployment());
    let alone = piped(&["fronts", "-"], &deployment());
    assert!(stdout(&alone).contains("no front sends it requests"));
    let both = stdout(&piped(&["fronts", "-"], &yaml));
    assert!(both.contains("(-:7): needs a delay of 10s"), "{both}");
    let list = r#"{"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db", "namespace": "shop"},
         "spec": {"selector": {}, "template": {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "db", "image": "x"}]}}}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "db-0", "namespace": "shop"},
         "spec": {"clusterIP": "None", "publishNotReadyAddresses": true, "selector": {"statefulset.kubernetes.io/pod-name": "db-0"}}},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "db-0", "namespace": "shop"}, "status": {"phase": "Running"},
         "spec": {"containers": [{"name": "db", "image": "x"}]}}]}"#;
    let output = piped(&["fronts", "-"], list);
    let said = stdout(&output);
    assert!(said.contains("StatefulSet shop/db (-:2): needs a delay of 30s-1m, which does not help with all of its fronts"), "{said}");
    assert_eq!(stderr(&output), "note: -: Pod shop/db-0 skipped: running-pod\n");
}

#[test]
fn what_can_not_be_read_is_reported_and_the_rest_is_read() {
    let folder = folder(&[("a.yaml", "a: [\n"), ("b.yaml", &deployment())]);
    let output = run(&["fronts", text(folder.path())]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("a.yaml: "), "{}", stderr(&output));
    assert!(stdout(&output).contains("Deployment default/web"));
    let empty = piped(&["fronts", "-"], "# nothing\n");
    assert_eq!(
        (empty.status.code(), stderr(&empty).as_str()),
        (Some(3), "error: no document in the input\n")
    );
}
