//! The command lines in findings, run as printed against real servers: requests are dropped, and
//! none after following the advice.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use super::formats::{audit, text};
use super::*;

const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/audit/server.py");
/// Fewer requests than by default, so that all rehearsals finish in some minutes.
const FEWER: &str = "rehearse -q -o json --rate 150 --requests 300";

/// Returns a Deployment of one container, without a front that would need a longer delay.
fn deployment(container: &Value, pod: &Value) -> Value {
    let mut whole = json!({
        "name": "web", "image": "registry.example/web:1", "ports": [{"containerPort": 8080}],
        "command": ["python3", SERVER, "8080"], "readinessProbe": {"httpGet": {"port": 8080}},
    });
    for (key, value) in container.as_object().unwrap() {
        whole[key] = value.clone();
    }
    whole.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    let mut spec = json!({"containers": [whole]});
    for (key, value) in pod.as_object().unwrap() {
        spec[key] = value.clone();
    }
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": spec}},
    })
}

/// Returns the line that the finding of this rule prints.
fn line(rule: Rule, manifest: &Path) -> Option<String> {
    let output = audit(&["-o", "json", manifest.to_str().unwrap()]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = report["items"][0]["findings"].as_array().unwrap().clone();
    let finding = findings.into_iter().find(|it| it["rule"] == rule.text().id)?;
    Some(finding["rehearsal"].as_str().unwrap_or_else(|| panic!("{rule:?} has no line")).to_owned())
}

/// Runs a line with fewer requests. Returns how many were dropped as written, and as injected.
fn dropped(line: &str) -> (u64, u64) {
    let program = Path::new(env!("CARGO_BIN_EXE_prestop")).parent().unwrap();
    let path = format!("{}:{}:/usr/sbin", program.display(), env::var("PATH").unwrap());
    let line = line.replacen("rehearse", FEWER, 1);
    let output = Command::new("sh").args(["-c", &line]).env("PATH", path).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{line}: {}", text(&output.stderr)));
    let of = |run: &str| {
        let requests = report[run]["requests"].clone();
        requests["dropped"].as_u64().unwrap_or_else(|| panic!("{line}: {requests}"))
    };
    (of("asWritten"), of("asInjected"))
}

/// The rule; container and pod with the fault; the same after following the advice.
type Shown = (Rule, (Value, Value), (Value, Value));

fn shown() -> Vec<Shown> {
    let none = || json!({});
    let hook = |hook: Value| json!({"lifecycle": {"preStop": hook}});
    let sleep = |seconds: i64| json!({"lifecycle": {"preStop": {"sleep": {"seconds": seconds}}}});
    let nginx = |tag: &str, script: &str| {
        json!({"image": format!("nginx:{tag}"), "command": null, "ports": [{"containerPort": 80}],
            "readinessProbe": {"httpGet": {"port": 80}},
            "lifecycle": {"preStop": {"exec": {"command": ["/bin/sh", "-c", script]}}}})
    };
    let distroless = |pre_stop: Value| json!({"image": "gcr.io/distroless/python3-debian12", "lifecycle": {"preStop": pre_stop}});
    let grace = |seconds: i64| json!({"terminationGracePeriodSeconds": seconds});
    let shell = |script: &str| json!({"image": "python:3.12", "command": ["sh", "-c", script]});
    let started = format!("python3 {SERVER} 8080 8");
    vec![
        // The advice is the label: the second number of the same run.
        (Rule::StopsAtOnce, (none(), none()), (none(), none())),
        (Rule::DelayTooShort, (sleep(1), none()), (sleep(11), none())),
        (
            Rule::HookCannotStart,
            (distroless(json!({"exec": {"command": ["sleep", "4"]}})), none()),
            (distroless(json!({"sleep": {"seconds": 4}})), none()),
        ),
        (
            Rule::TcpSocketHook,
            (hook(json!({"tcpSocket": {"port": 8080}})), none()),
            (sleep(4), none()),
        ),
        (
            Rule::QuitWithoutWait,
            (nginx("1.15", "nginx -s quit"), none()),
            (nginx("1.15", "sleep 4; nginx -s quit; sleep 2"), none()),
        ),
        (
            Rule::HookIsNoDelay,
            (nginx("1.27", "nginx -s quit"), none()),
            (nginx("1.27", "sleep 4; nginx -s quit"), none()),
        ),
        (
            Rule::HttpHookClosesPort,
            (hook(json!({"httpGet": {"port": 8080, "path": "/shutdown"}})), none()),
            (sleep(4), none()),
        ),
        (Rule::GraceZero, (none(), grace(0)), (none(), grace(30))),
        (
            Rule::ShellIsPid1,
            (shell(&format!("cd / && {started}")), grace(8)),
            (shell(&format!("cd / && exec {started}")), grace(8)),
        ),
        (
            Rule::HookFillsGrace,
            (
                json!({"command": ["python3", SERVER, "8080", "8"],
                    "lifecycle": {"preStop": {"sleep": {"seconds": 6}}}}),
                grace(6),
            ),
            (
                json!({"command": ["python3", SERVER, "8080", "8"],
                    "lifecycle": {"preStop": {"sleep": {"seconds": 6}}}}),
                grace(20),
            ),
        ),
    ]
}

#[test]
#[ignore = "needs namespaces, iproute2, Python 3 and nginx; run: just test-tools"]
fn lines_of_ten_rules_show_the_drop_and_its_absence_after_the_advice() {
    let all = shown();
    // A rehearsal mostly waits, and each has its own networks.
    for some in all.chunks(4) {
        thread::scope(|scope| {
            for shown in some {
                scope.spawn(|| shows_the_drop(shown));
            }
        });
    }
    let rules: BTreeSet<_> = all.iter().map(|(rule, ..)| rule).collect();
    assert!(rules.len() >= 10);
}

fn shows_the_drop((rule, broken, mended): &Shown) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("web.yaml");
    let service = json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}});
    // Only if the time of the front is what matters.
    let service = (*rule == Rule::DelayTooShort).then(|| format!("---\n{service}\n"));
    let write = |(container, pod): &(Value, Value)| {
        let object = deployment(container, pod);
        fs::write(&file, format!("{object}\n{}", service.clone().unwrap_or_default())).unwrap();
    };
    write(broken);
    let line = line(*rule, &file).unwrap_or_else(|| panic!("{rule:?} is not found"));
    let (written, injected) = dropped(&line);
    println!("{rule:?}: {written} dropped, {injected} as injected\n  {line}");
    assert!(written > 0, "{rule:?}: {line}");
    write(mended);
    let after = if broken == mended { injected } else { dropped(&line).1 };
    assert_eq!(after, 0, "{rule:?} after its advice: {line}");
}

/// Every line is valid for `prestop rehearse`: it fails because of its placeholders, never because
/// of its options.
#[test]
fn lines_are_understood() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("web.yaml");
    for (rule, (container, pod), _) in shown() {
        let mut container = container;
        if rule == Rule::DelayTooShort {
            // Without a Service, the time of the front is unknown.
            continue;
        }
        container["name"] = "it's web".into();
        fs::write(&file, deployment(&container, &pod).to_string()).unwrap();
        let line = line(rule, &file).unwrap_or_else(|| panic!("{rule:?} is not found"));
        let script = format!("prestop() {{ printf '%s\\037' \"$@\"; }}\n{line}");
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        assert!(output.status.success(), "{line}");
        let words = text(&output.stdout);
        let words: Vec<_> = words.split('\u{1f}').collect();
        assert_eq!(words[..3], ["rehearse", "-f", file.to_str().unwrap()], "{line}");
        assert!(words.contains(&"--"), "{line}");
    }
}
