//! `prestop audit`: lines, exit status, summary, forms.

use serde_json::Value;

use super::{folder, piped, run, stderr, stdout, text};

const MANIFESTS: &str = "\
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
# the shop's front
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: shop
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: nginx:1.15
        readinessProbe: {httpGet: {port: 80}}
        lifecycle:
          preStop:
            exec:
              command: [/usr/sbin/nginx, -s, quit]
";

fn without_hook() -> String {
    let end = MANIFESTS.find("        lifecycle:").unwrap();
    MANIFESTS[..end].to_owned()
}

fn json(input: &str, arguments: &[&str]) -> Value {
    let arguments = [&["audit", "-", "-o", "json"], arguments].concat();
    serde_json::from_slice(&piped(&arguments, input).stdout).unwrap()
}

#[test]
fn findings_have_the_line_of_their_field_and_decide_the_exit_status() {
    let folder = folder(&[("web.yaml", MANIFESTS)]);
    let output = run(&["audit", text(folder.path())]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let said = stdout(&output);
    assert!(said.contains("Deployment shop/web (") && said.contains("web.yaml:7)"), "{said}");
    assert!(
        said.contains("error    quit-without-wait (likely, line 23:11, container web)"),
        "{said}"
    );
    assert!(said.contains("warning  no-budget (likely, line 13:3)"), "{said}");
    assert!(
        said.ends_with(
            "1 of 1 workloads drops requests in a rollout (1 error, 1 warning, 0 infos)\n"
        ),
        "{said}"
    );
    for (arguments, status) in [
        (&["--certainty", "certain"][..], 0),
        (&["--fail-on", "never"], 0),
        (&["--fail-on", "warning", "--certainty", "likely"], 1),
        (&["--fail-on", "info", "--certainty", "certain"], 0),
    ] {
        let all = [&["audit", text(folder.path())], arguments].concat();
        assert_eq!(run(&all).status.code(), Some(status), "{arguments:?}");
    }
}

#[test]
fn the_summary_says_what_labelling_would_mend() {
    let output = piped(&["audit", "-"], &without_hook());
    assert_eq!(output.status.code(), Some(1));
    let said = stdout(&output);
    assert!(said.contains("           prestop injects a delay of 10s\n"), "{said}");
    assert!(
        said.contains(
            "1 of 1 workloads drops requests in a rollout; labelling the namespace shop fixes 1 of them"
        ),
        "{said}"
    );
    let report = json(&without_hook(), &[]);
    assert_eq!(report["kind"], "AuditReport");
    assert_eq!(report["summary"]["namespacesToLabel"][0], "shop");
    let finding = &report["items"][0]["findings"][0];
    assert_eq!(
        (finding["rule"].as_str(), finding["line"].as_u64()),
        (Some("stops-at-once"), Some(19))
    );
    assert_eq!(finding["field"], "/spec/template/spec/containers/0/lifecycle");
    let namespace = "---\n{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {prestop.dev/inject: enabled}}}\n";
    let enabled = json(&format!("{}{namespace}", without_hook()), &[]);
    assert_eq!(enabled["summary"]["errors"], 0);
}

#[test]
fn items_of_lists_have_their_own_lines() {
    let indented = |text: &str| text.lines().map(|line| format!("  {line}\n")).collect::<String>();
    let (service, deployment) = MANIFESTS.split_once("---\n# the shop's front\n").unwrap();
    let items = [service, deployment].map(|item| indented(item).replacen("  ", "- ", 1)).concat();
    let list = format!("apiVersion: v1\nkind: List\nitems:\n{items}");
    let report = json(&list, &[]);
    let findings = &report["items"][0]["findings"];
    assert_eq!(
        (findings[0]["rule"].as_str(), findings[0]["line"].as_u64()),
        (Some("quit-without-wait"), Some(24))
    );
    let at = list.lines().nth(23).unwrap();
    assert!(at.contains("preStop:"), "{at}");
}

#[test]
fn without_services_findings_are_possible_and_do_not_fail() {
    let alone = MANIFESTS.split_once("---\n").unwrap().1;
    let alone = alone.replace(
        "        image: nginx:1.15\n",
        "        image: nginx:1.15\n        ports: [{containerPort: 80}]\n",
    );
    let output = piped(&["audit", "-"], &alone);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    assert!(stdout(&output).contains("quit-without-wait (possible, "), "{}", stdout(&output));
    assert_eq!(piped(&["audit", "-", "--certainty", "possible"], &alone).status.code(), Some(1));
}

#[test]
fn rules_are_listed_and_explained() {
    let rules = stdout(&run(&["audit", "--rules"]));
    assert!(rules.lines().count() >= 25 && rules.contains("stops-at-once"));
    let explained = run(&["audit", "--explain", "quit-without-wait"]);
    assert_eq!(explained.status.code(), Some(0));
    let explained = stdout(&explained);
    assert!(explained.starts_with("quit-without-wait (error)\n"), "{explained}");
    assert!(
        explained.contains("\n  measured: nginx:1.15 with nothing but nginx -s quit"),
        "{explained}"
    );
    let unknown = run(&["audit", "--explain", "quit-without-wai"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(stderr(&unknown).contains("did you mean quit-without-wait?"));
}

#[test]
fn what_can_not_be_read_is_reported_and_the_rest_is_audited() {
    let folder = folder(&[("a.yaml", "a: [\n"), ("b.yaml", MANIFESTS)]);
    let output = run(&["audit", text(folder.path())]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stdout(&output).contains("quit-without-wait"), "{}", stdout(&output));
}
