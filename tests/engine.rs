//! Rules of the engine (`docs/rules.md`) one by one, on small pods. The property tests show that
//! nothing goes wrong for any pod; these tests show the right result for realistic pods.

mod containers;
mod patch;
mod undo;

use prestop_core::admission::patch::to_json;
use prestop_core::catalogue::Catalogue;
use prestop_core::engine::hook::{Delay, Hook};
use prestop_core::engine::pod::Pod;
use prestop_core::engine::settings::NamespaceSettings;
use prestop_core::engine::{Decision, Outcome, decide};
use prestop_core::policy::{KubernetesVersion, NamespaceRule, Policy, QuitPolicy, SleepAction};
use serde_json::{Value, json};

/// Summary of a decision as text, which makes the expected results readable.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    /// Reason code, or `injected BEFORE->AFTER`.
    outcome: String,
    /// One `NAME: RESULT` per container.
    containers: Vec<String>,
    problems: Vec<&'static str>,
}

fn policy() -> Policy {
    Policy {
        kubernetes_version: Some(KubernetesVersion::NEWEST),
        namespaces: NamespaceRule::NotDisabled,
        ..Policy::built_in()
    }
}

fn namespace(annotations: &[(&'static str, &'static str)]) -> NamespaceSettings {
    NamespaceSettings::read([], annotations.iter().copied())
}

fn told(pod: &Value, namespace: &NamespaceSettings, policy: &Policy) -> Told {
    let pod = Pod::from_value(pod);
    let decision = decide(&pod, namespace, policy);
    let outcome = match &decision.outcome {
        Outcome::Skipped(reason) => reason.code().to_owned(),
        Outcome::Injected(injection) => {
            format!(
                "injected {}->{}",
                injection.grace.before_seconds, injection.grace.after_seconds
            )
        }
    };
    Told {
        outcome,
        containers: words(&decision),
        problems: decision.problems.iter().map(|problem| problem.code.code()).collect(),
    }
}

fn words(decision: &Decision<'_>) -> Vec<String> {
    let container = |container: &prestop_core::engine::ContainerDecision<'_>| {
        let what = match (container.injected(), container.reason()) {
            (Some(injected), _) => match &injected.hook {
                Hook::Sleep { seconds } => format!("sleep {seconds}"),
                Hook::ExecSleep { seconds } => format!("exec sleep {seconds}"),
                Hook::Script(script) => {
                    let Delay::Fixed { seconds } = script.delay else { panic!("{script:?}") };
                    let quit = script.quit().unwrap();
                    format!(
                        "{seconds}, {}{}, wait {}",
                        quit.command.join(" "),
                        quit.signal.map(|signal| format!(" or {signal}")).unwrap_or_default(),
                        script.wait
                    )
                }
            },
            (None, Some(reason)) => reason.code().to_owned(),
            (None, None) => "earlier".to_owned(),
        };
        format!("{}: {what}", container.name)
    };
    decision.containers.iter().map(container).collect()
}

fn pod(containers: Value) -> Value {
    let mut spec = json!({"terminationGracePeriodSeconds": 30});
    spec["containers"] = containers;
    json!({ "spec": spec })
}

fn app() -> Value {
    json!({"name": "app", "image": "example.com/app:1"})
}

fn with_annotations(mut pod: Value, annotations: Value) -> Value {
    pod["metadata"]["annotations"] = annotations;
    pod
}

/// Decides with the built-in policy, in an opted-in namespace without settings.
fn plainly(pod: &Value) -> Told {
    told(pod, &NamespaceSettings::default(), &policy())
}

fn expect(outcome: &str, containers: &[&str], problems: &[&'static str]) -> Told {
    Told {
        outcome: outcome.to_owned(),
        containers: containers.iter().map(|text| (*text).to_owned()).collect(),
        problems: problems.to_vec(),
    }
}

fn patched(pod: &Value, policy: &Policy) -> Value {
    let mut result = pod.clone();
    let view = Pod::from_value(pod);
    let settings = NamespaceSettings::default();
    let decision = decide(&view, &settings, policy);
    if let Some(patch) = to_json(&decision, "") {
        let patch: json_patch::Patch = serde_json::from_slice(&patch).unwrap();
        json_patch::patch(&mut result, &patch).unwrap();
    }
    result
}

#[test]
fn delay_only_is_kubernetes_own_sleep_where_the_server_knows_it() {
    let pod = pod(json!([app()]));
    for (version, action, hook) in [
        (Some("1.33"), SleepAction::Auto, "app: sleep 10"),
        (Some("1.37"), SleepAction::Auto, "app: sleep 10"),
        (Some("1.32"), SleepAction::Auto, "app: exec sleep 10"),
        (None, SleepAction::Auto, "app: exec sleep 10"),
        (None, SleepAction::Always, "app: sleep 10"),
        (Some("1.37"), SleepAction::Never, "app: exec sleep 10"),
    ] {
        let kubernetes_version = version.map(|version| version.parse().unwrap());
        let policy = Policy { kubernetes_version, sleep_action: action, ..policy() };
        let expected = expect("injected 30->40", &[hook], &[]);
        assert_eq!(
            told(&pod, &NamespaceSettings::default(), &policy),
            expected,
            "{version:?} {action:?}"
        );
    }
}

#[test]
fn nginx_waits_unless_its_tag_is_known_to_stop_gracefully() {
    let hook = |image: &str, policy: &Policy| {
        let pod = pod(json!([{"name": "web", "image": image}]));
        told(&pod, &NamespaceSettings::default(), policy).containers.remove(0)
    };
    let quit = "web: 10, /usr/sbin/nginx -s quit or QUIT, wait ";
    for (image, wait) in
        [("nginx:1.15", "25"), ("nginx", "25"), ("nginx:latest", "25"), ("nginx:1.27", "none")]
    {
        assert_eq!(hook(image, &policy()), format!("{quit}{wait}"), "{image}");
    }
    let needed = Policy { quit: QuitPolicy::WhenNeeded, ..policy() };
    assert_eq!(hook("nginx:1.27", &needed), "web: sleep 10");
    assert_eq!(hook("nginx:1.15", &needed), format!("{quit}25"));
    let never = Policy { quit: QuitPolicy::Never, ..policy() };
    assert_eq!(hook("nginx:1.15", &never), "web: sleep 10");
}

#[test]
fn a_command_of_its_own_makes_the_stop_signal_uncertain() {
    let pod =
        |command: Value| pod(json!([{"name": "web", "image": "nginx:1.27", "command": command}]));
    let waits = |pod: &Value| plainly(pod).containers[0].ends_with("wait 25");
    assert!(waits(&pod(json!(["sh", "-c", "exec nginx"]))));
    assert!(!waits(&pod(json!([]))));
    assert!(!waits(&pod(json!(null))));
}

#[test]
fn each_reason_to_leave_a_pod_alone() {
    let with = |path: &str, value: Value| {
        let mut pod = json!({"metadata": {"labels": {}, "annotations": {}},
            "spec": {"terminationGracePeriodSeconds": 30, "containers": [app()]}});
        *pod.pointer_mut(path).unwrap() = value;
        pod
    };
    let owner = |kind: &str| json!({"ownerReferences": [{"kind": kind, "controller": true}]});
    let label = |value: &str| json!({"prestop.dev/inject": value});
    for (pod, reason) in [
        (json!({}), "not-a-pod"),
        (json!("pod"), "not-a-pod"),
        (with("/spec", json!([])), "not-a-pod"),
        (with("/spec/containers", json!([])), "malformed"),
        (with("/spec/containers", json!({})), "malformed"),
        (with("/spec/terminationGracePeriodSeconds", json!("30")), "malformed"),
        (with("/spec/terminationGracePeriodSeconds", json!(30.0)), "malformed"),
        (with("/metadata", json!("x")), "malformed"),
        (with("/metadata/annotations", json!([])), "malformed"),
        (with("/metadata/labels", label("disabled")), "opted-out"),
        (with("/metadata/labels", label("False")), "opted-out"),
        (with("/metadata/annotations", json!({"kubernetes.io/config.mirror": "x"})), "mirror-pod"),
        (with("/metadata", json!({"deletionTimestamp": "2026-01-01T00:00:00Z"})), "being-deleted"),
        (with("/metadata", owner("Job")), "owned-by-job"),
        (with("/metadata", owner("DaemonSet")), "owned-by-daemonset"),
        (with("/spec", json!({"restartPolicy": "Never", "containers": [app()]})), "restart-policy"),
        (with("/spec/terminationGracePeriodSeconds", json!(0)), "grace-period-zero"),
        (with("/spec/terminationGracePeriodSeconds", json!(-1)), "grace-period-zero"),
        (
            with(
                "/spec/containers/0",
                json!({"name": "a", "lifecycle": {"preStop": {"sleep": {"seconds": 0}}}}),
            ),
            "own-hooks",
        ),
        (with("/spec/containers/0", json!(null)), "nothing-to-inject"),
        (with("/metadata/annotations", json!({"prestop.dev/delay": "0"})), "nothing-to-inject"),
    ] {
        assert_eq!(plainly(&pod).outcome, reason, "{pod}");
    }
}

#[test]
fn the_label_takes_in_what_is_skipped_by_default() {
    let mut pod = pod(json!([app()]));
    pod["metadata"] = json!({"labels": {"prestop.dev/inject": "ENABLED"},
        "ownerReferences": [{"kind": "Job", "controller": true}]});
    pod["spec"]["restartPolicy"] = json!("Never");
    assert_eq!(plainly(&pod).outcome, "injected 30->40");
    pod["metadata"]["labels"]["prestop.dev/inject"] = json!("maybe");
    assert_eq!(plainly(&pod), expect("owned-by-job", &[], &["invalid-value"]));
}

#[test]
fn an_owner_that_does_not_control_does_not_count() {
    let mut pod = pod(json!([app()]));
    pod["metadata"] =
        json!({"ownerReferences": [{"kind": "Job"}, {"kind": "ReplicaSet", "controller": true}]});
    assert_eq!(plainly(&pod).outcome, "injected 30->40");
}

#[test]
fn namespaces_switch() {
    let pod = pod(json!([app()]));
    let outcome = |labels: &[(&'static str, &'static str)], rule| {
        let settings = NamespaceSettings::read(labels.iter().copied(), []);
        told(&pod, &settings, &Policy { namespaces: rule, ..policy() }).outcome
    };
    assert_eq!(outcome(&[], NamespaceRule::NotDisabled), "injected 30->40");
    assert_eq!(outcome(&[], NamespaceRule::Enabled), "namespace-not-enabled");
    assert_eq!(
        outcome(&[("prestop.dev/inject", "enabled")], NamespaceRule::Enabled),
        "injected 30->40"
    );
    assert_eq!(
        outcome(&[("prestop.dev/inject", "disabled")], NamespaceRule::NotDisabled),
        "namespace-not-enabled"
    );
}

#[test]
fn the_strongest_level_wins() {
    let annotations = json!({"delay.prestop.dev/app": "3s", "prestop.dev/delay": "4s"});
    let two = || pod(json!([app(), {"name": "other", "image": "x"}]));
    let defaults = namespace(&[("prestop.dev/delay", "5s"), ("prestop.dev/quit-timeout", "1m")]);
    let told_of = |pod: &Value| told(pod, &defaults, &policy());
    let pod_level = with_annotations(two(), annotations);
    assert_eq!(
        told_of(&pod_level),
        expect("injected 30->64", &["app: sleep 3", "other: sleep 4"], &[])
    );
    assert_eq!(told_of(&two()).containers, ["app: sleep 5", "other: sleep 5"]);
    assert_eq!(plainly(&two()).containers, ["app: sleep 10", "other: sleep 10"]);
}

#[test]
fn an_invalid_value_falls_to_the_next_level_and_is_reported() {
    for bad in ["", "-5", "1e3", "$(id)", "99999999999999999999", "soon"] {
        let annotated = with_annotations(pod(json!([app()])), json!({"prestop.dev/delay": bad}));
        let told = told(&annotated, &namespace(&[("prestop.dev/delay", "7s")]), &policy());
        assert_eq!(told, expect("injected 30->37", &["app: sleep 7"], &["invalid-value"]), "{bad}");
    }
    let number = with_annotations(pod(json!([app()])), json!({"prestop.dev/delay": 7}));
    assert_eq!(plainly(&number), expect("injected 30->40", &["app: sleep 10"], &["invalid-value"]));
}

#[test]
fn delays_are_rounded_up_and_cut_to_the_maximum() {
    let of = |delay: &str| {
        plainly(&with_annotations(pod(json!([app()])), json!({"prestop.dev/delay": delay})))
    };
    // Behind a network load balancer, three minutes are the right delay.
    assert_eq!(of("3m"), expect("injected 30->210", &["app: sleep 180"], &[]));
    assert_eq!(of("1500ms"), expect("injected 30->32", &["app: sleep 2"], &["rounded-up"]));
    assert_eq!(
        of("10m"),
        expect("injected 30->330", &["app: sleep 300"], &["delay-above-maximum"])
    );
}

#[test]
fn a_quit_of_the_pod_is_for_the_main_container_only() {
    let two = || pod(json!([app(), {"name": "late", "image": "nginx:1.15"}]));
    let quit = json!({"prestop.dev/quit-command": "[\"bye\",\"now\"]", "prestop.dev/quit-signal": "SIGUSR1"});
    let first = with_annotations(two(), quit.clone());
    assert_eq!(
        plainly(&first).containers,
        ["app: 10, bye now or USR1, wait 25", "late: 10, /usr/sbin/nginx -s quit or QUIT, wait 25"]
    );
    let mut named = with_annotations(two(), quit);
    named["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"] = json!("late");
    assert_eq!(plainly(&named).containers, ["app: sleep 10", "late: 10, bye now or USR1, wait 25"]);
    let none = with_annotations(two(), json!({"prestop.dev/profile": "none"}));
    assert_eq!(plainly(&none).containers, ["app: sleep 10", "late: sleep 10"]);
    let profile = with_annotations(two(), json!({"prestop.dev/profile": "nginx"}));
    assert!(plainly(&profile).containers[0].contains("-s quit"), "{:?}", plainly(&profile));
}

#[test]
fn namespaces_never_set_commands_or_signals() {
    let defaults = namespace(&[
        ("prestop.dev/quit-command", "[\"bye\"]"),
        ("prestop.dev/quit-signal", "QUIT"),
        ("prestop.dev/profile", "nginx"),
    ]);
    let told = told(&pod(json!([app()])), &defaults, &policy());
    assert!(told.containers[0].contains("nginx -s quit"), "{told:?}");
    assert_eq!(told.problems, ["not-for-namespaces", "not-for-namespaces"]);
}

#[test]
fn the_administrator_can_forbid_commands() {
    let pod =
        with_annotations(pod(json!([app()])), json!({"prestop.dev/quit-command": "[\"bye\"]"}));
    let strict = Policy { allow_quit_command_annotation: false, ..policy() };
    let told = told(&pod, &NamespaceSettings::default(), &strict);
    assert_eq!(told, expect("injected 30->40", &["app: sleep 10"], &["quit-command-not-allowed"]));
}

#[test]
fn unknown_keys_are_reported_with_the_nearest_known_one() {
    let annotations = json!({"prestop.dev/dealy": "5s", "delay.prestop.dev/nobody": "5s",
        "prestop.dev/inject": "disabled", "example.com/delay": "5s", "dely.prestop.dev/app": "5s"});
    let mut annotated = with_annotations(pod(json!([app()])), annotations);
    annotated["metadata"]["labels"] = json!({"prestop.dev/delay": "5s"});
    let view = Pod::from_value(&annotated);
    let (settings, policy) = (NamespaceSettings::default(), policy());
    let problems: Vec<_> =
        decide(&view, &settings, &policy).problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        problems,
        [
            "unknown-key: pod label prestop.dev/delay: settings are annotations",
            "unknown-key: pod annotation prestop.dev/dealy: did you mean prestop.dev/delay?",
            "no-such-container: pod annotation delay.prestop.dev/nobody",
            "inject-is-a-label: pod annotation prestop.dev/inject",
            "unknown-key: pod annotation dely.prestop.dev/app: did you mean delay.prestop.dev/app?",
        ]
    );
}

#[test]
fn an_unknown_profile_falls_to_the_next_level() {
    let pod = with_annotations(
        pod(json!([{"name": "web", "image": "nginx:1.15"}])),
        json!({"prestop.dev/profile": "ngnix"}),
    );
    let told = plainly(&pod);
    assert!(told.containers[0].contains("nginx -s quit"), "{told:?}");
    assert_eq!(told.problems, ["unknown-profile"]);
}

#[test]
fn owners_of_any_kind_can_be_skipped() {
    let owned = |api_version: &str, kind: &str| {
        let mut pod = pod(json!([app()]));
        pod["metadata"]["ownerReferences"] =
            json!([{"apiVersion": api_version, "kind": kind, "name": "o", "controller": true}]);
        pod
    };
    let kinds = ["GameServer", "Cluster.postgresql.cnpg.io", "DaemonSet.apps.kruise.io"];
    let skipped_owners = kinds.map(|kind| kind.parse().unwrap()).to_vec();
    let policy = Policy { skipped_owners, ..policy() };
    for (api_version, kind, outcome) in [
        ("agones.dev/v1", "GameServer", "owned-by-skipped-kind"),
        ("postgresql.cnpg.io/v1", "Cluster", "owned-by-skipped-kind"),
        ("cluster.x-k8s.io/v1beta1", "Cluster", "injected 30->40"),
        ("apps.kruise.io/v1alpha1", "DaemonSet", "owned-by-daemonset"),
        ("apps/v1", "DaemonSet", "injected 30->40"),
        ("batch/v1", "Job", "injected 30->40"),
    ] {
        let mut pod = owned(api_version, kind);
        let settings = NamespaceSettings::default();
        assert_eq!(told(&pod, &settings, &policy).outcome, outcome, "{api_version} {kind}");
        pod["metadata"]["labels"] = json!({"prestop.dev/inject": "enabled"});
        assert_eq!(told(&pod, &settings, &policy).outcome, "injected 30->40", "{kind}");
    }
}

#[test]
fn the_cap_is_kept_and_reported() {
    let mut pod = pod(json!([app()]));
    pod["spec"]["terminationGracePeriodSeconds"] = json!(595);
    assert_eq!(
        plainly(&pod),
        expect("injected 595->600", &["app: sleep 10"], &["grace-period-capped"])
    );
    pod["spec"]["terminationGracePeriodSeconds"] = json!(i64::MAX);
    let told_max = plainly(&pod);
    assert_eq!(told_max.outcome, format!("injected {0}->{0}", i64::MAX));
    assert_eq!(told_max.problems, Vec::<&str>::new());
    // The author chose the maximum or more, so nothing can be added for the delay: no problem is
    // reported.
    for grace in [600, 601, 604_800] {
        pod["spec"]["terminationGracePeriodSeconds"] = json!(grace);
        let outcome = format!("injected {grace}->{grace}");
        assert_eq!(plainly(&pod), expect(&outcome, &["app: sleep 10"], &[]));
        let patient = with_annotations(pod.clone(), json!({"prestop.dev/quit-timeout": "1h"}));
        let problems: &[_] = if grace > 3600 { &[] } else { &["grace-period-capped"] };
        assert_eq!(plainly(&patient), expect(&outcome, &["app: sleep 10"], problems));
    }
    let small = Policy { maximum_grace_period_seconds: 35, ..policy() };
    pod["spec"]["terminationGracePeriodSeconds"] = json!(30);
    let delayed = with_annotations(pod, json!({"prestop.dev/delay": "40s"}));
    let told_small = told(&delayed, &NamespaceSettings::default(), &small);
    let expected =
        expect("injected 30->35", &["app: sleep 30"], &["delay-shortened", "grace-period-capped"]);
    assert_eq!(told_small, expected);
}

#[test]
fn probes_that_would_cut_the_hook_short_are_reported() {
    let mut container = app();
    container["livenessProbe"] = json!({"terminationGracePeriodSeconds": 5});
    assert_eq!(
        plainly(&pod(json!([container.clone()]))).problems,
        ["probe-grace-period-too-short"]
    );
    container["livenessProbe"] = json!({"terminationGracePeriodSeconds": 10});
    assert_eq!(plainly(&pod(json!([container]))).problems, [] as [&str; 0]);
}

#[test]
fn malformed_containers_do_not_keep_others_from_their_hooks() {
    let told =
        plainly(&pod(json!([null, "x", {"image": "x"}, {"name": "odd", "lifecycle": "x"}, app()])));
    assert_eq!(told.containers[4], "app: sleep 10");
    assert_eq!(told.problems, ["malformed-container"; 4]);
}

#[test]
fn images_that_bring_their_own_procedure_are_skipped() {
    let names = Catalogue::built_in().profiles().iter().map(|profile| profile.name.as_str());
    assert!(names.clone().any(|name| name == "rabbitmq"), "{:?}", names.collect::<Vec<_>>());
    let pod = pod(json!([{"name": "mq", "image": "rabbitmq:4"}]));
    assert_eq!(plainly(&pod), expect("nothing-to-inject", &["mq: left-alone-by-profile"], &[]));
    let asked = with_annotations(pod, json!({"profile.prestop.dev/mq": "none"}));
    assert_eq!(plainly(&asked).containers, ["mq: sleep 10"]);
}

#[test]
fn a_readiness_gate_of_a_load_balancer_asks_for_its_delay() {
    let behind = |gates: Value, delay: &str| {
        let mut pod = with_annotations(pod(json!([app()])), json!({"prestop.dev/delay": delay}));
        pod["spec"]["readinessGates"] = gates;
        plainly(&pod).problems
    };
    let gate = |name: &str| json!([{"conditionType": "example.com/x"}, {"conditionType": name}]);
    let short: &[_] = &["delay-too-short-for-front"];
    for (name, delay, problems) in [
        ("target-health.elbv2.k8s.aws/k8s-shop-api-0123456789", "10s", short),
        ("target-health.elbv2.k8s.aws/k8s-shop-api-0123456789", "29s", short),
        ("target-health.elbv2.k8s.aws/k8s-shop-api-0123456789", "30s", &[]),
        ("target-health.alb.ingress.k8s.aws/web_web_80", "15s", short),
        ("cloud.google.com/load-balancer-neg-ready", "59s", short),
        ("cloud.google.com/load-balancer-neg-ready", "60s", &[]),
        ("example.com/ready", "0s", &[]),
        ("target-health.elbv2.k8s.aws", "10s", &[]),
    ] {
        assert_eq!(behind(gate(name), delay), problems, "{name} {delay}");
    }
    for odd in [json!(null), json!({}), json!([null, 1, {"conditionType": 1}, {}])] {
        assert_eq!(behind(odd.clone(), "10s"), Vec::<&str>::new(), "{odd}");
    }
}

#[test]
fn auto_is_what_the_fronts_need() {
    let of = |gate: &str, annotations: Value| {
        let mut pod = with_annotations(pod(json!([app()])), annotations);
        pod["spec"]["readinessGates"] = json!([{"conditionType": gate}]);
        let told = plainly(&pod);
        (told.containers.join(", "), told.problems.join(", "))
    };
    let auto = json!({"prestop.dev/delay": "auto"});
    let own = json!({"delay.prestop.dev/app": "auto", "prestop.dev/delay": "5s"});
    for (gate, annotations, expected) in [
        ("target-health.elbv2.k8s.aws/k8s-x", auto.clone(), "app: sleep 180"),
        ("target-health.elbv2.k8s.aws/k8s-x", own, "app: sleep 180"),
        ("cloud.google.com/load-balancer-neg-ready", auto.clone(), "app: sleep 120"),
        // A front that prestop does not know.
        ("example.com/ready", auto, "app: sleep 10"),
    ] {
        assert_eq!(of(gate, annotations), (expected.to_owned(), String::new()), "{gate}");
    }
    let (_, problems) = of("example.com/ready", json!({"prestop.dev/delay": "Auto"}));
    assert_eq!(problems, "invalid-value");
}

#[test]
fn an_own_hook_behind_a_load_balancer_counts_as_far_as_it_is_understood() {
    let behind = |hook: Value| {
        let container = json!({"name": "app", "image": "example.com/app:1",
            "lifecycle": {"preStop": hook}});
        let mut pod = pod(json!([container]));
        pod["spec"]["readinessGates"] =
            json!([{"conditionType": "target-health.elbv2.k8s.aws/k8s-x"}]);
        plainly(&pod).problems.contains(&"delay-too-short-for-front")
    };
    assert!(behind(json!({"exec": {"command": ["sleep", "15"]}})));
    assert!(!behind(json!({"sleep": {"seconds": 45}})));
    assert!(!behind(json!({"exec": {"command": ["/app/drain"]}})));
    assert!(!behind(json!({"httpGet": {"path": "/drain", "port": 80}})));
}
