//! `prestop function`: reads a `ResourceList`, and writes it with hooks and results.

use serde_json::{Value, json};

use super::{DEPLOYMENT, piped, stderr, stdout};

const CONFIGURATION: &str = "\
functionConfig:
  apiVersion: prestop.dev/v1alpha1
  kind: Configuration
  metadata:
    name: prestop
    annotations: {config.kubernetes.io/local-config: 'true'}
  defaults: {delay: 17s}
";

fn item(object: &str) -> String {
    format!("- {}\n", object.trim_end().replace('\n', "\n  "))
}

fn list(items: &[&str], more: &str) -> String {
    let items: String = items.iter().map(|it| item(it)).collect();
    format!("apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems:\n{items}{more}")
}

fn value(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn kustomized() -> String {
    DEPLOYMENT.replace(
        "  name: web #",
        "  annotations: {config.kubernetes.io/path: apps/web.yaml, config.kubernetes.io/index: '2'}\n  \
           namespace: shop\n  name: web #",
    )
}

#[test]
fn a_list_comes_back_with_hooks_and_results() {
    let input = list(
        &["apiVersion: v1\nkind: Service\nmetadata: {name: web}", &kustomized()],
        CONFIGURATION,
    );
    let output = piped(&["function"], &input);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    let text = stdout(&output);
    // Comments and all other text are kept.
    assert!(text.contains("name: web # the shop's front"), "{text}");
    let read = value(&text);
    let mut expected = value(&input);
    assert_eq!(read["items"][0], expected["items"][0]);
    assert_eq!(read["functionConfig"], expected["functionConfig"]);
    // The result is the same as that of inject with the same configuration.
    let pod = &read["items"][1]["spec"]["template"];
    assert!(
        pod["metadata"]["annotations"]["prestop.dev/status"]
            .as_str()
            .unwrap()
            .contains("\"delay\":17")
    );
    assert!(pod["spec"]["containers"][0]["lifecycle"]["preStop"].is_object());
    assert_eq!(
        read["results"],
        json!([{
            "message": "hook injected into container web",
            "severity": "info",
            "resourceRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "namespace": "shop"},
            "field": {"path": "spec.template.spec.containers[0].lifecycle.preStop"},
            "file": {"path": "apps/web.yaml", "index": 2},
            "tags": {"code": "hook"},
        }])
    );
    // A second pass changes nothing and keeps the results of other functions.
    let again = stdout(&piped(&["fn"], &text));
    let again = value(&again);
    expected["items"] = read["items"].clone();
    assert_eq!(again["items"], expected["items"]);
    assert_eq!(again["results"].as_array().unwrap().len(), 2);
    assert_eq!(again["results"][0], read["results"][0]);
}

#[test]
fn a_check_changes_nothing_and_fails_by_results() {
    let input = list(&[&kustomized()], CONFIGURATION);
    let output = piped(&["function", "--check"], &input);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("Deployment shop/web has no hook yet"), "{}", stderr(&output));
    let read = value(&stdout(&output));
    assert_eq!(read["items"], value(&input)["items"]);
    assert_eq!(read["results"][0]["severity"], "error");
    assert_eq!(read["results"][0]["message"], "no hook yet in container web");
    let injected = stdout(&piped(&["function"], &input));
    let output = piped(&["function", "--check"], &injected);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn problems_name_their_field() {
    let odd = DEPLOYMENT.replace(
        "    spec:\n      containers:",
        "    metadata:\n      annotations: {prestop.dev/delay: soon, prestop.dev/shell.wbe: present}\n    spec:\n      containers:",
    );
    let job = "apiVersion: batch/v1\nkind: Job\nmetadata: {name: once}\nspec: {template: {spec: {containers: [{name: a, image: b}]}}}";
    let results = |arguments: &[&str]| {
        let output = piped(&[&["function"][..], arguments].concat(), &list(&[&odd, job], ""));
        (output.status.code(), value(&stdout(&output))["results"].as_array().unwrap().clone())
    };
    let (status, found) = results(&[]);
    assert_eq!(status, Some(0));
    let problem = found.iter().find(|it| it["tags"]["code"] == "invalid-value").unwrap();
    assert_eq!(problem["severity"], "warning");
    assert_eq!(problem["field"]["path"], "spec.template.metadata.annotations[prestop.dev/delay]");
    assert!(problem["message"].as_str().unwrap().contains("write 15s"), "{problem}");
    let left = found.iter().find(|it| it["tags"]["code"] == "owned-by-job").unwrap();
    assert_eq!((&left["severity"], &left["resourceRef"]["name"]), (&json!("info"), &json!("once")));
    let (status, found) = results(&["--strict"]);
    assert_eq!(status, Some(1));
    assert!(found.iter().any(|it| it["severity"] == "error"));
}

#[test]
fn the_configuration_can_be_the_config_map_of_the_chart() {
    let map = "functionConfig:\n  apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: prestop}\n  data:\n    prestop.yaml: |\n      \
               apiVersion: prestop.dev/v1alpha1\n      kind: Configuration\n      defaults: {delay: 19s}\n";
    let text = stdout(&piped(&["function"], &list(&[DEPLOYMENT], map)));
    assert!(text.contains("\"delay\":19"), "{text}");
    let empty = "functionConfig: {apiVersion: v1, kind: ConfigMap, metadata: {name: prestop}}\n";
    let text = stdout(&piped(&["function"], &list(&[DEPLOYMENT], empty)));
    assert!(text.contains("\"delay\":10"), "{text}");
}

#[test]
fn invalid_input_is_an_error_without_output() {
    let with = |config: &str| list(&[DEPLOYMENT], config);
    let misspelt = CONFIGURATION.replace("delay: 17s", "dealy: 17s");
    for (input, status, part) in [
        (DEPLOYMENT.to_owned(), 3, "not a ResourceList of config.kubernetes.io"),
        (String::new(), 3, "for manifests use prestop inject -"),
        (with("") + "---\na: b\n", 3, "not a ResourceList"),
        ("apiVersion: v1\nkind: ResourceList\nitems: []\n".to_owned(), 3, "not a ResourceList"),
        (with(&misspelt), 2, "functionConfig: defaults.dealy: unknown field; did you mean delay?"),
        (
            with("functionConfig: {apiVersion: x/v1, kind: Prestop}\n"),
            2,
            "unknown kind \"Prestop\"",
        ),
        (
            with("functionConfig: {apiVersion: v1, kind: ConfigMap, data: {delay: 5s}}\n"),
            2,
            "write one key in data: prestop.yaml",
        ),
        (list(&["a: [", DEPLOYMENT], ""), 3, "error: "),
    ] {
        let output = piped(&["function"], &input);
        assert_eq!(output.status.code(), Some(status), "{input}{}", stderr(&output));
        assert!(stderr(&output).contains(part), "{}", stderr(&output));
        assert_eq!(stdout(&output), "");
    }
    let none = "apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems: []\n";
    assert_eq!(stdout(&piped(&["function"], none)), none);
}
