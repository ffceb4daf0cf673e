//! Each rule fires on one change of a good manifest, and its advice fixes it.

mod corpus;
mod formats;
mod ignores;
mod kinds;
mod live;
mod mended;
mod random;
mod rehearsed;
mod suggested;

use std::collections::BTreeSet;

use prestop_core::audit::{Audit, Certainty, Finding, Ignore, Rule, Setting};
use prestop_core::engine::settings::NamespaceSettings;
use prestop_core::engine::template::objects;
use prestop_core::fronts::{FrontTable, Surroundings};
use prestop_core::policy::{NamespaceRule, Policy};
use prestop_fuzz::audit::findings_without;
use prestop_fuzz::generators::good;
use serde_json::{Value, json};

/// Paths begin with the index of the object in the good manifest.
const POD: &str = "/0/spec/template/spec";
const WEB: &str = "/0/spec/template/spec/containers/0";

fn apply(objects: &mut [Value], changes: &[(String, Value)]) {
    for (path, value) in changes {
        let (index, pointer) = path[1..].split_once('/').unwrap();
        let (parent, key) = pointer.rsplit_once('/').unwrap_or(("", pointer));
        let object = &mut objects[index.parse::<usize>().unwrap()];
        let parent = if parent.is_empty() {
            object
        } else {
            object.pointer_mut(&format!("/{parent}")).unwrap()
        };
        parent[key] = value.clone();
    }
}

fn findings(objects_: &[Value], policy: &Policy) -> Vec<Finding> {
    findings_without(objects_, policy, &[])
}

fn policy() -> Policy {
    Policy { namespaces: NamespaceRule::NotDisabled, ..Policy::built_in() }
}

fn ids(found: &[Finding]) -> Vec<&'static str> {
    found.iter().map(|finding| finding.rule.text().id).collect()
}

fn web(field: &str) -> String {
    format!("{WEB}{field}")
}

fn pod(field: &str) -> String {
    format!("{POD}{field}")
}

fn hook(hook: &Value) -> (String, Value) {
    (web("/lifecycle"), json!({"preStop": hook}))
}

fn script(text: &str) -> (String, Value) {
    hook(&json!({"exec": {"command": ["sh", "-c", text]}}))
}

/// The rule, the changes that break the manifest, the changes that fix it.
type Case = (Rule, Vec<(String, Value)>, Vec<(String, Value)>);

fn of_hooks() -> Vec<Case> {
    let nginx = || (web("/image"), json!("nginx:1.15"));
    let sleep = |seconds: i64| hook(&json!({"sleep": {"seconds": seconds}}));
    vec![
        (Rule::StopsAtOnce, vec![(web("/lifecycle"), json!({}))], vec![sleep(10)]),
        (Rule::DelayTooShort, vec![sleep(3)], vec![sleep(10)]),
        (
            Rule::HookCannotStart,
            vec![(web("/image"), json!("gcr.io/distroless/static")), script("sleep 20")],
            vec![sleep(20)],
        ),
        (Rule::TcpSocketHook, vec![hook(&json!({"tcpSocket": {"port": 80}}))], vec![sleep(20)]),
        (
            Rule::QuitWithoutWait,
            vec![nginx(), script("/usr/sbin/nginx -s quit")],
            vec![script("sleep 10; nginx -s quit; sleep 20")],
        ),
        (
            Rule::HookIsNoDelay,
            vec![(web("/image"), json!("nginx:1.27")), script("nginx -s quit")],
            vec![script("sleep 10; nginx -s quit")],
        ),
        (
            Rule::HttpHookClosesPort,
            vec![hook(&json!({"httpGet": {"port": 80, "path": "/actuator/shutdown"}}))],
            vec![hook(&json!({"httpGet": {"port": 80, "path": "/drain"}}))],
        ),
        (Rule::HardStopSignal, vec![nginx()], vec![(web("/image"), json!("nginx:1.27"))]),
        (
            Rule::ShellIsPid1,
            vec![
                (web("/image"), json!("python:3.12")),
                (web("/command"), json!(["sh", "-c", "cd /app && ./serve"])),
            ],
            vec![(web("/command"), json!(["sh", "-c", "cd /app && exec ./serve"]))],
        ),
        (
            Rule::StopSignalNeedsOs,
            vec![(web("/lifecycle/stopSignal"), json!("SIGQUIT"))],
            vec![(pod("/os"), json!({"name": "linux"}))],
        ),
        (
            Rule::StopSignalDropped,
            vec![(web("/lifecycle/stopSignal"), json!("SIGQUIT"))],
            vec![(web("/lifecycle/stopSignal"), json!("SIGTERM"))],
        ),
        (
            Rule::HookFillsGrace,
            vec![sleep(60)],
            vec![(pod("/terminationGracePeriodSeconds"), json!(90))],
        ),
        (
            Rule::GraceShorterThanApp,
            vec![(web("/args"), json!(["gunicorn", "--graceful-timeout", "60", "app"]))],
            vec![(pod("/terminationGracePeriodSeconds"), json!(75))],
        ),
        (
            Rule::ProbeGraceCutsHook,
            vec![(web("/livenessProbe"), json!({"terminationGracePeriodSeconds": 10}))],
            vec![(web("/livenessProbe"), json!({"terminationGracePeriodSeconds": 30}))],
        ),
        (
            Rule::InPlaceRestart,
            vec![(web("/restartPolicyRules"), json!([{"action": "RestartAllContainers"}]))],
            vec![(web("/restartPolicyRules"), json!([{"action": "Restart"}]))],
        ),
    ]
}

fn of_pods() -> Vec<Case> {
    let grace = |seconds: i64| (pod("/terminationGracePeriodSeconds"), json!(seconds));
    let local = |path: &str, value: Value| (path.to_owned(), value);
    vec![
        (Rule::GraceZero, vec![grace(0)], vec![grace(60)]),
        (Rule::GraceAboveLimit, vec![grace(700)], vec![grace(600)]),
        (
            Rule::SpotWindow,
            vec![(pod("/nodeSelector"), json!({"cloud.google.com/gke-spot": "true"}))],
            vec![(pod("/nodeSelector"), json!({}))],
        ),
        (
            Rule::SpotWindow,
            vec![(
                pod("/tolerations"),
                json!([{"key": "kubernetes.azure.com/scalesetpriority", "value": "spot"}]),
            )],
            vec![grace(25)],
        ),
        (
            Rule::NotReadyChecked,
            vec![(web("/readinessProbe"), Value::Null)],
            vec![(web("/readinessProbe"), json!({}))],
        ),
        (
            Rule::HostPort,
            vec![(web("/ports/0/hostPort"), json!(80))],
            vec![(web("/ports/0/hostPort"), json!(0))],
        ),
        (
            Rule::NeverWithdrawn,
            vec![local("/1/spec/publishNotReadyAddresses", json!(true))],
            vec![local("/1/spec/publishNotReadyAddresses", json!(false))],
        ),
        (
            Rule::NewPodsTooEarly,
            vec![
                local("/1/spec/type", json!("LoadBalancer")),
                local(
                    "/1/metadata/annotations",
                    json!({"service.beta.kubernetes.io/aws-load-balancer-type": "nlb-ip"}),
                ),
            ],
            vec![local(
                "/4/metadata/labels",
                json!({"elbv2.k8s.aws/pod-readiness-gate-inject": "enabled"}),
            )],
        ),
        (
            Rule::LocalPolicy,
            vec![
                local("/1/spec/type", json!("NodePort")),
                local("/1/spec/externalTrafficPolicy", json!("Local")),
                hook(&json!({"sleep": {"seconds": 10}})),
            ],
            vec![hook(&json!({"sleep": {"seconds": 20}}))],
        ),
        (
            Rule::LocalPolicy,
            vec![
                local("/1/spec/internalTrafficPolicy", json!("Local")),
                (web("/lifecycle"), json!({})),
            ],
            vec![local("/1/spec/internalTrafficPolicy", json!("Cluster"))],
        ),
        (
            Rule::NewPodsTooEarly,
            vec![local(
                "/1/metadata/annotations",
                json!({"cloud.google.com/neg": "{\"exposed_ports\": {}}"}),
            )],
            vec![local("/0/spec/minReadySeconds", json!(60))],
        ),
        (
            Rule::WorkerWithDelay,
            vec![local("/1/spec/selector", json!({"app": "other"}))],
            vec![hook(&json!({"sleep": {"seconds": 0}}))],
        ),
    ]
}

fn of_sidecars() -> Vec<Case> {
    let beside = |lifecycle: Value| {
        let mut container = good()[0].pointer(&WEB[2..]).unwrap().clone();
        container["ports"] = json!([{"containerPort": 80}]);
        let proxy =
            json!({"name": "istio-proxy", "image": "istio/proxyv2:1.20.0", "lifecycle": lifecycle});
        (pod("/containers"), json!([container, proxy]))
    };
    let native = |command: &[&str]| {
        let hook = json!({"preStop": {"exec": {"command": command}}});
        let proxy = json!({"name": "envoy", "restartPolicy": "Always", "lifecycle": hook});
        (pod("/initContainers"), json!([{"name": "setup"}, proxy]))
    };
    let annotations = |text: &str| {
        ("/0/spec/template/metadata/annotations".to_owned(), json!({"proxy.istio.io/config": text}))
    };
    vec![
        (
            Rule::SidecarStopsFirst,
            vec![beside(json!({}))],
            vec![beside(json!({"preStop": {"sleep": {"seconds": 20}}}))],
        ),
        (
            Rule::SidecarStopsFirst,
            vec![beside(json!({})), annotations("terminationDrainDuration: 5s")],
            vec![annotations("concurrency: 2\nterminationDrainDuration: 30s\n")],
        ),
        (
            Rule::NativeSidecarQuits,
            vec![native(&["sh", "-c", "kill 1"])],
            vec![native(&["curl", "-X", "POST", "http://127.0.0.1:9901/drain_listeners?graceful"])],
        ),
    ]
}

fn of_ignores() -> Vec<Case> {
    let annotated = |text: &str| {
        ("/0/metadata/annotations".to_owned(), json!({"audit.prestop.dev/ignore": text}))
    };
    let none = || vec![("/0/metadata/annotations".to_owned(), json!({}))];
    vec![
        (Rule::IgnoreNotUsable, vec![annotated(r#"{"recreate": " "}"#)], none()),
        (Rule::IgnoreNotUsable, vec![annotated(r#"{"recrate": "by design"}"#)], none()),
        (Rule::IgnoreNotUsable, vec![annotated(r#"{"recreate": 5}"#)], none()),
        (Rule::IgnoreNotUsable, vec![annotated("recreate")], none()),
        (
            Rule::IgnoreStale,
            vec![annotated(r#"{"recreate": "by design"}"#)],
            vec![("/0/spec/strategy".to_owned(), json!({"type": "Recreate"}))],
        ),
    ]
}

fn of_rollouts() -> Vec<Case> {
    let at = |path: &str, value: Value| (path.to_owned(), value);
    let rolling = |unavailable: Value, surge: Value| {
        at(
            "/0/spec/strategy",
            json!({"rollingUpdate": {"maxUnavailable": unavailable, "maxSurge": surge}}),
        )
    };
    vec![
        (
            Rule::Recreate,
            vec![at("/0/spec/strategy", json!({"type": "Recreate"}))],
            vec![at("/0/spec/strategy", json!({}))],
        ),
        (
            Rule::AllAtOnce,
            vec![rolling(json!("100%"), json!(0))],
            vec![rolling(json!("60%"), json!(0))],
        ),
        (
            Rule::AllAtOnce,
            vec![at("/3/spec/minReplicas", json!(1)), rolling(json!(0), json!(0))],
            vec![rolling(json!(0), json!(1))],
        ),
        (
            Rule::SingleReplica,
            vec![at("/3/spec/minReplicas", json!(1))],
            vec![at("/3/spec/minReplicas", json!(2))],
        ),
        (
            Rule::SingleReplica,
            vec![
                at("/3/spec/scaleTargetRef/name", json!("other")),
                at("/0/spec/replicas", json!(1)),
            ],
            vec![at("/0/spec/replicas", json!(2))],
        ),
        (
            Rule::NoBudget,
            vec![at("/2/spec/selector", json!({"matchLabels": {"app": "other"}}))],
            vec![at(
                "/2/spec/selector",
                json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}]}),
            )],
        ),
        (
            Rule::BudgetBlocks,
            vec![at("/2/spec/maxUnavailable", json!("0%"))],
            vec![at("/2/spec/maxUnavailable", json!("30%"))],
        ),
        (
            Rule::BudgetBlocks,
            vec![at("/2/spec", json!({"selector": {}, "minAvailable": 3}))],
            vec![at("/2/spec/minAvailable", json!("60%"))],
        ),
        (
            Rule::ScaleToZero,
            vec![at("/3/spec/minReplicas", json!(0))],
            vec![at("/3/spec/minReplicas", json!(2))],
        ),
    ]
}

#[test]
fn nothing_is_said_about_a_manifest_that_is_all_right() {
    assert_eq!(findings(&good(), &policy()), []);
}

#[test]
fn every_rule_fires_alone_and_its_advice_mends_it() {
    let cases = [of_hooks(), of_pods(), of_sidecars(), of_rollouts(), of_ignores()].concat();
    let mut seen: BTreeSet<_> = cases.iter().map(|(rule, ..)| *rule).collect();
    for (rule, broken, mended) in cases {
        let mut objects = good();
        apply(&mut objects, &broken);
        let found = findings(&objects, &policy());
        assert!(found.iter().any(|finding| finding.rule == rule), "{rule:?}: {:?}", ids(&found));
        apply(&mut objects, &mended);
        let found = findings(&objects, &policy());
        assert!(
            !found.iter().any(|finding| finding.rule == rule),
            "{rule:?} after its advice: {found:?}"
        );
    }
    // Findings that depend only on the version of Kubernetes.
    let old = Policy { kubernetes_version: "1.29".parse().ok(), ..policy() };
    assert_eq!(ids(&findings(&good(), &old)), ["sleep-not-known"]);
    let new = Policy { kubernetes_version: "1.30".parse().ok(), ..policy() };
    assert_eq!(findings(&good(), &new), []);
    seen.insert(Rule::SleepNotKnown);
    let mut objects = good();
    apply(&mut objects, &[(web("/readinessProbe"), json!({"exec": {"command": ["true"]}}))]);
    let frozen = Policy { kubernetes_version: "1.35".parse().ok(), ..policy() };
    assert_eq!(ids(&findings(&objects, &frozen)), ["exec-readiness-frozen"]);
    assert_eq!(findings(&objects, &policy()), []);
    seen.insert(Rule::ExecReadinessFrozen);
    // Findings that depend on running pods.
    for (rule, broken, mended) in live::cases() {
        assert_eq!(ids(&live::found(&broken)), [rule.text().id]);
        assert_eq!(live::found(&mended), [], "{rule:?} after its advice");
        seen.insert(rule);
    }
    assert_eq!(seen, Rule::ALL.iter().copied().collect(), "every rule has a case here");
}

#[test]
fn pods_without_requests_are_skipped() {
    for (_, broken, _) in [of_hooks(), of_pods(), of_sidecars()].concat() {
        let mut objects = good();
        apply(&mut objects, &broken);
        apply(&mut objects, &[("/1/spec/selector".to_owned(), json!({"app": "other"}))]);
        apply(&mut objects, &[(web("/ports"), json!([]))]);
        let found = findings(&objects, &policy());
        assert!(found.iter().all(|finding| !finding.rule.needs_requests()), "{:?}", ids(&found));
    }
}

#[test]
fn without_any_service_ports_make_it_possible() {
    let mut objects = good();
    objects.remove(1);
    apply(&mut objects, &[(web("/lifecycle"), json!({}))]);
    let found = findings(&objects, &policy());
    assert_eq!(ids(&found), ["stops-at-once"]);
    assert_eq!(found[0].certainty, Certainty::Possible);
    apply(&mut objects, &[(web("/ports"), json!([]))]);
    assert_eq!(findings(&objects, &policy()), []);
}

#[test]
fn jobs_are_skipped() {
    let mut objects = good();
    let template = objects[0]["spec"]["template"].clone();
    objects[0] = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x", "namespace": "shop"},
        "spec": {"template": template}});
    apply(&mut objects, &[("/0/spec/template/spec/containers/0/lifecycle".to_owned(), json!({}))]);
    assert_eq!(findings(&objects, &policy()), []);
}

#[test]
fn a_finding_says_whether_prestop_mends_it() {
    let mut objects = good();
    apply(&mut objects, &[(web("/image"), json!("nginx:1.15")), (web("/lifecycle"), json!({}))]);
    let mends = |objects: &[Value]| -> Vec<_> {
        let found = findings(objects, &policy());
        found
            .into_iter()
            .map(|finding| {
                (finding.rule, finding.mend.map(|mend| mend.to_string()).unwrap_or_default())
            })
            .collect()
    };
    assert_eq!(
        mends(&objects),
        [
            (Rule::StopsAtOnce, "prestop injects a delay of 10s".to_owned()),
            (Rule::HardStopSignal, "prestop injects the application's own quit".to_owned()),
        ]
    );
    let nlb = json!({"service.beta.kubernetes.io/aws-load-balancer-type": "nlb-ip"});
    apply(
        &mut objects,
        &[
            ("/1/spec/type".to_owned(), json!("LoadBalancer")),
            ("/1/metadata/annotations".to_owned(), nlb),
        ],
    );
    assert_eq!(
        mends(&objects)[0].1,
        "prestop injects a delay of 10s, which is too short here; annotate prestop.dev/delay: 3m"
    );
    apply(
        &mut objects,
        &[("/0/spec/template/metadata/labels/prestop.dev~1inject".to_owned(), json!("disabled"))],
    );
    objects[0]["spec"]["template"]["metadata"]["labels"]["prestop.dev/inject"] = json!("disabled");
    assert_eq!(mends(&objects)[0], (Rule::StopsAtOnce, String::new()));
}

/// The namespace's label is in the input, so the webhook fixes the rest at admission.
#[test]
fn in_an_enabled_namespace_only_remaining_findings_are_reported() {
    let mut objects = good();
    apply(
        &mut objects,
        &[
            (web("/image"), json!("nginx:1.15")),
            (web("/lifecycle"), json!({})),
            ("/4/metadata/labels".to_owned(), json!({"prestop.dev/inject": "enabled"})),
        ],
    );
    assert_eq!(findings(&objects, &policy()), []);
    let nlb = json!({"service.beta.kubernetes.io/aws-load-balancer-type": "nlb-ip"});
    apply(
        &mut objects,
        &[
            ("/1/spec/type".to_owned(), json!("LoadBalancer")),
            ("/1/metadata/annotations".to_owned(), nlb),
        ],
    );
    let found = findings(&objects, &policy());
    assert_eq!(ids(&found), ["delay-too-short", "new-pods-too-early"]);
    assert_eq!(found[0].detail, "prestop injects a delay of 10s; the fronts need 2m-3m");
}

/// The manifest of a well-known article on zero-downtime rollouts, with a quit as its hook.
#[test]
fn a_hook_that_only_quits_is_found() {
    let mut objects = good();
    apply(
        &mut objects,
        &[
            (web("/image"), json!("nginx:1.15")),
            (
                web("/lifecycle"),
                json!({"preStop": {"exec": {"command": ["/usr/sbin/nginx", "-s", "quit"]}}}),
            ),
            (web("/readinessProbe"), Value::Null),
            ("/2/spec/selector".to_owned(), json!({"matchLabels": {"app": "other"}})),
        ],
    );
    let mut found = ids(&findings(&objects, &policy()));
    found.sort_unstable();
    assert_eq!(found, ["no-budget", "not-ready-checked", "quit-without-wait"]);
}

/// `just proof` measures again; the sentences must follow.
#[test]
fn what_was_measured_is_what_the_proof_says() {
    let proof = include_str!("../docs/proof.md");
    let measured: Vec<_> = Rule::ALL.iter().filter_map(|rule| rule.measured()).collect();
    assert!(measured.len() >= 3);
    for sentence in measured {
        let words: Vec<_> = sentence.split([' ', ';']).collect();
        let figures: Vec<_> = words
            .windows(3)
            .filter(|it| it[1] == "of" && it[0].starts_with(|it: char| it.is_ascii_digit()))
            .collect();
        assert!(!figures.is_empty(), "{sentence}");
        for figure in figures {
            let figure = figure.join(" ");
            assert!(proof.contains(&format!("{figure} |")), "{figure} is not in docs/proof.md");
        }
    }
}

#[test]
fn the_table_is_well_formed() {
    let ids: BTreeSet<_> = Rule::ALL.iter().map(|rule| rule.text().id).collect();
    assert_eq!(ids.len(), Rule::ALL.len());
    for rule in Rule::ALL {
        let text = rule.text();
        assert!(
            text.id
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        );
        assert!(
            text.sentence.ends_with('.')
                && text.advice.ends_with('.')
                && text.source.starts_with("https://")
        );
        assert_eq!(Rule::by_id(text.id), Some(*rule));
    }
    assert_eq!(Rule::by_id("other"), None);
}
