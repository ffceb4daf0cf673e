//! The engine's rules one by one (`docs/rules.md`), on small pods. The properties say that nothing
//! goes wrong for any pod; this says what is right for the ones that people have.

use prestop::catalogue::Catalogue;
use prestop::engine::hook::Hook;
use prestop::engine::patch::Patch;
use prestop::engine::pod::Pod;
use prestop::engine::settings::NamespaceSettings;
use prestop::engine::{Decision, Outcome, decide};
use prestop::policy::{KubernetesVersion, NamespaceRule, Policy, QuitPolicy, SleepAction};
use serde_json::{Value, json};

/// A decision in words, so that a test reads as a sentence.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    /// Reason code, or `injected BEFORE->AFTER`.
    outcome: String,
    /// `NAME: what`.
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
    let container = |container: &prestop::engine::ContainerDecision<'_>| {
        let what = match (container.injected(), container.reason()) {
            (Some(injected), _) => match &injected.hook {
                Hook::Sleep { seconds } => format!("sleep {seconds}"),
                Hook::ExecSleep { seconds } => format!("exec sleep {seconds}"),
                Hook::Quit(quit) => format!(
                    "{}, {}{}, wait {}",
                    quit.delay_seconds,
                    quit.command.join(" "),
                    quit.signal.map(|signal| format!(" or {signal}")).unwrap_or_default(),
                    quit.wait
                ),
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

/// Told with the built-in policy, in an opted-in namespace that sets nothing.
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
    if let Some(patch) = Patch::of(&decision, "") {
        let patch: json_patch::Patch = serde_json::from_value(json!(patch)).unwrap();
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
fn a_value_that_cannot_be_read_falls_to_the_next_level_and_is_told() {
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
    // Behind a network load balancer three minutes are right.
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
fn strange_keys_are_told_with_the_nearest_known_one() {
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
fn sidecars_outlive_the_application() {
    let proxy = || json!({"name": "istio-proxy", "image": "docker.io/istio/proxyv2:1.20"});
    let plain = pod(json!([proxy(), app()]));
    assert_eq!(
        plainly(&plain),
        expect("injected 30->45", &["istio-proxy: sleep 15", "app: sleep 10"], &[])
    );
    let own = json!({"name": "app", "lifecycle": {"preStop": {"sleep": {"seconds": 20}}}});
    assert_eq!(plainly(&pod(json!([proxy(), own]))).containers[0], "istio-proxy: sleep 25");
    let opaque = json!({"name": "app", "lifecycle": {"preStop": {"exec": {"command": ["stop"]}}}});
    assert_eq!(plainly(&pod(json!([proxy(), opaque]))).containers[0], "istio-proxy: sleep 15");
    let asked = with_annotations(plain, json!({"delay.prestop.dev/istio-proxy": "3s"}));
    assert_eq!(plainly(&asked).containers[0], "istio-proxy: sleep 3");
}

#[test]
fn init_containers_and_native_sidecars_are_untouched() {
    let mut pod = pod(json!([app()]));
    pod["spec"]["initContainers"] =
        json!([{"name": "init"}, {"name": "proxy", "restartPolicy": "Always"}]);
    pod["spec"]["ephemeralContainers"] = json!([{"name": "debug"}]);
    let after = patched(&pod, &policy());
    assert_eq!(after["spec"]["initContainers"], pod["spec"]["initContainers"]);
    assert_eq!(after["spec"]["ephemeralContainers"], pod["spec"]["ephemeralContainers"]);
}

#[test]
fn pid_1_of_others_is_never_signalled() {
    for field in ["hostPID", "shareProcessNamespace"] {
        let shared = |image: &str| {
            let mut shared = pod(json!([{"name": "web", "image": image}]));
            shared["spec"][field] = json!(true);
            shared
        };
        // The command finds nginx by itself.
        let command = ["web: 10, /usr/sbin/nginx -s quit, wait 25"];
        assert_eq!(plainly(&shared("nginx:1.15")), expect("injected 30->40", &command, &[]));
        let expected =
            expect("injected 30->40", &["web: sleep 10"], &["pid-1-is-not-the-application"]);
        assert_eq!(plainly(&shared("httpd:2.4.39")), expected, "{field}");
        let quit =
            json!({"prestop.dev/quit-command": "[\"bye\"]", "prestop.dev/quit-signal": "QUIT"});
        let told = plainly(&with_annotations(shared("nginx:1.15"), quit));
        assert_eq!(told.containers, ["web: 10, bye, wait 25"], "{field}");
        assert_eq!(told.problems, ["pid-1-is-not-the-application"]);
    }
}

#[test]
fn the_container_s_own_stop_signal_decides() {
    let hook = |image: &str, signal: Value, version: &str| {
        let lifecycle = json!({"stopSignal": signal});
        let pod = pod(json!([{"name": "web", "image": image, "lifecycle": lifecycle}]));
        let kubernetes_version = version.parse().ok();
        let policy = Policy { kubernetes_version, ..policy() };
        told(&pod, &NamespaceSettings::default(), &policy).containers.remove(0)
    };
    let waits = |hook: &str| hook.ends_with("wait 25");
    assert!(waits(&hook("nginx:1.25.3", json!("SIGTERM"), "1.37")));
    assert!(waits(&hook("nginx:1.25.3", json!("SIGKILL"), "1.37")));
    assert!(waits(&hook("nginx:1.25.3", json!(5), "1.37")));
    assert!(!waits(&hook("nginx:1.25.3", json!("SIGQUIT"), "1.37")));
    assert!(!waits(&hook("nginx:1.25.3", json!(null), "1.37")));
    assert!(!waits(&hook("nginx:1.15", json!("SIGQUIT"), "1.37")));
    assert!(!waits(&hook("registry.example/nginx:7", json!("SIGQUIT"), "1.37")));
    // Older servers drop the field.
    assert!(!waits(&hook("nginx:1.25.3", json!("SIGTERM"), "1.32")));
    assert!(waits(&hook("nginx:1.15", json!("SIGQUIT"), "1.32")));
    assert_eq!(hook("haproxy:2.8", json!("SIGTERM"), "1.37"), "web: 10,  or USR1, wait 25");
    assert_eq!(hook("haproxy:2.8", json!("SIGUSR1"), "1.37"), "web: sleep 10");
    // TERM cuts the clients of a pgbouncer before 1.23 only.
    let pgbouncer = |tag: &str| hook(&format!("edoburu/pgbouncer:{tag}"), json!("SIGTERM"), "1.37");
    assert_eq!(pgbouncer("1.24.0"), "web: sleep 10");
    assert!(waits(&pgbouncer("1.20.0")));
    assert!(waits(&pgbouncer("latest")));
}

#[test]
fn images_without_programs_get_no_hook_that_needs_them() {
    let distroless = || json!({"name": "app", "image": "gcr.io/distroless/static"});
    let under = |pod: &Value, version: Option<&str>, sleep_action: SleepAction| {
        let kubernetes_version = version.and_then(|version| version.parse().ok());
        told(
            pod,
            &NamespaceSettings::default(),
            &Policy { kubernetes_version, sleep_action, ..policy() },
        )
    };
    let plain = pod(json!([distroless()]));
    let sleeps = expect("injected 30->40", &["app: sleep 10"], &[]);
    let nothing = expect("nothing-to-inject", &["app: no-sleep-program"], &["no-sleep-program"]);
    for (version, action, expected) in [
        (Some("1.37"), SleepAction::Auto, &sleeps),
        (Some("1.30"), SleepAction::Auto, &sleeps),
        (Some("1.29"), SleepAction::Auto, &nothing),
        (None, SleepAction::Auto, &nothing),
        (Some("1.37"), SleepAction::Never, &nothing),
        (None, SleepAction::Always, &sleeps),
    ] {
        assert_eq!(under(&plain, version, action), *expected, "{version:?} {action:?}");
    }
    let asked = json!({"prestop.dev/quit-command": "[\"/app\",\"quit\"]"});
    let asked = with_annotations(plain, asked);
    let expected = expect("injected 30->40", &["app: sleep 10"], &["quit-needs-shell"]);
    assert_eq!(plainly(&asked), expected);
    let named = json!({"prestop.dev/profile": "nginx"});
    assert_eq!(plainly(&with_annotations(pod(json!([distroless()])), named)), expected);
    let hardened = pod(json!([{"name": "web", "image": "dhi.io/nginx:1.31-debian13"}]));
    assert_eq!(plainly(&hardened), expect("injected 30->40", &["web: sleep 10"], &[]));
}

#[test]
fn the_main_container_is_the_first_that_is_no_sidecar() {
    let proxy = || json!({"name": "linkerd-proxy", "image": "cr.l5d.io/linkerd/proxy:2.14"});
    let quit = json!({"prestop.dev/quit-command": "[\"bye\"]"});
    let told = plainly(&with_annotations(pod(json!([proxy(), app()])), quit.clone()));
    assert_eq!(told.containers, ["linkerd-proxy: sleep 40", "app: 10, bye, wait 25"]);

    // Whoever comes first after the first pass does not get the command as well.
    let mut once = patched(&with_annotations(pod(json!([app()])), quit.clone()), &policy());
    let stranger = json!({"name": "stranger", "image": "x"});
    once["spec"]["containers"].as_array_mut().unwrap().insert(0, stranger);
    once["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"] = json!("stranger");
    assert_eq!(plainly(&once).containers, ["stranger: sleep 10", "app: earlier"]);
    // The same with the status of an older version, which had no name of its own for it.
    let status = once["metadata"]["annotations"]["prestop.dev/status"].as_str().unwrap();
    let older = status.replace(",\"main\":\"app\"", "");
    assert_ne!(older, status);
    once["metadata"]["annotations"]["prestop.dev/status"] = json!(older);
    assert_eq!(plainly(&once).containers, ["stranger: sleep 10", "app: earlier"]);

    let key = "kubectl.kubernetes.io/default-container";
    let typo = with_annotations(pod(json!([app()])), json!({ key: "ap" }));
    assert_eq!(plainly(&typo).problems, ["no-such-container"]);
    let alone = with_annotations(pod(json!([proxy()])), quit);
    assert_eq!(plainly(&alone).containers, ["linkerd-proxy: 10, bye, wait 25"]);
}

#[test]
fn the_time_that_an_application_asks_for_is_covered() {
    let gunicorn = json!({"name": "app", "image": "x",
        "command": ["gunicorn", "app:app", "--graceful-timeout", "60"]});
    let plain = pod(json!([gunicorn]));
    assert_eq!(plainly(&plain), expect("injected 30->70", &["app: sleep 10"], &[]));
    let annotated = json!({"prestop.dev/quit-timeout": "20s"});
    assert_eq!(plainly(&with_annotations(plain.clone(), annotated)).outcome, "injected 30->40");
    let configured = Policy { default_quit_timeout_seconds: Some(90), ..policy() };
    let told = told(&plain, &NamespaceSettings::default(), &configured);
    assert_eq!(told.outcome, "injected 30->70");
    let status =
        patched(&plain, &policy())["metadata"]["annotations"]["prestop.dev/status"].clone();
    assert!(status.as_str().unwrap().contains("\"timeoutFrom\":\"application\""), "{status}");
}

#[test]
fn a_sidecar_stays_for_the_drain_as_long_as_the_configuration_allows() {
    let beside = |grace: i64, image: &str| {
        let mut pod = pod(json!([{"name": "web", "image": image},
            {"name": "istio-proxy", "image": "auto"}]));
        pod["spec"]["terminationGracePeriodSeconds"] = json!(grace);
        plainly(&pod)
    };
    assert_eq!(beside(30, "nginx:1.15").containers[1], "istio-proxy: sleep 40");
    let longest = policy().maximum_delay_seconds;
    let long = beside(300, "nginx:1.15");
    assert_eq!(long.containers[1], format!("istio-proxy: sleep {}", longest.min(310)));
    assert_eq!(long.problems, [] as [&str; 0]);
    // Only what is for the drain gives way to the maximum: no problem.
    let full = beside(580, "nginx:1.15");
    assert_eq!(full.outcome, "injected 580->600");
    assert_eq!(full.problems, [] as [&str; 0]);
    assert_eq!(beside(30, "rabbitmq:3").containers[1], "istio-proxy: sleep 35");
    let week = beside(604_800, "rabbitmq:3").containers.remove(1);
    assert_eq!(week, format!("istio-proxy: sleep {longest}"));
}

#[test]
fn a_shell_that_stays_pid_1_is_reported() {
    let problems = |image: &str, script: &str| {
        plainly(&pod(json!([{"name": "app", "image": image, "command": ["sh", "-c", script]}])))
            .problems
    };
    assert_eq!(problems("python:3.12", "app --port 80"), ["shell-is-pid-1"]);
    assert_eq!(problems("python:3.12-alpine", "app --port 80"), [] as [&str; 0]);
    assert_eq!(problems("python:3.12", "exec app --port 80"), [] as [&str; 0]);
    let mut shared = pod(json!([{"name": "app", "command": ["sh", "-c", "app; true"]}]));
    assert_eq!(plainly(&shared).problems, ["shell-is-pid-1"]);
    shared["spec"]["shareProcessNamespace"] = json!(true);
    assert_eq!(plainly(&shared).problems, [] as [&str; 0]);
}

#[test]
fn windows_pods_get_the_sleep_action_or_nothing() {
    for (place, value) in [
        ("os", json!({"name": "windows"})),
        ("nodeSelector", json!({"kubernetes.io/os": "windows"})),
    ] {
        let mut pod = pod(json!([{"name": "web", "image": "nginx:1.15"}]));
        pod["spec"][place] = value;
        assert_eq!(plainly(&pod), expect("injected 30->40", &["web: sleep 10"], &[]));
        let old = Policy { kubernetes_version: None, ..policy() };
        let told_old = told(&pod, &NamespaceSettings::default(), &old);
        assert_eq!(told_old, expect("windows", &["web: windows-container"], &[]));
        let asked = with_annotations(pod, json!({"prestop.dev/quit-signal": "TERM"}));
        assert_eq!(plainly(&asked).problems, ["quit-not-possible-on-windows"]);
    }
}

#[test]
fn hooks_of_the_author_are_never_touched() {
    for hook in [
        json!({"sleep": {"seconds": 0}}),
        json!({"exec": {"command": ["x"]}}),
        json!({"httpGet": {"port": 80}}),
        json!({"tcpSocket": {"port": 80}}),
        json!({}),
        json!("odd"),
        json!({"sleep": {"seconds": 1}, "exec": {"command": ["x"]}}),
    ] {
        let pod = pod(json!([{"name": "own", "lifecycle": {"preStop": hook}}, app()]));
        let told = plainly(&pod);
        assert_eq!(told.containers, ["own: own-hook", "app: sleep 10"]);
        assert_eq!(patched(&pod, &policy())["spec"]["containers"][0], pod["spec"]["containers"][0]);
    }
}

#[test]
fn the_patch_takes_the_smallest_path_that_exists() {
    let operations = |pod: &Value| -> Vec<String> {
        let (settings, policy, view) =
            (NamespaceSettings::default(), policy(), Pod::from_value(pod));
        let decision = decide(&view, &settings, &policy);
        let patch = json!(Patch::of(&decision, "/x").unwrap());
        let word = |operation: &Value| {
            format!("{} {}", operation["op"].as_str().unwrap(), operation["path"].as_str().unwrap())
        };
        patch.as_array().unwrap().iter().map(word).collect()
    };
    let lifecycle =
        json!([{"name": "a", "lifecycle": {"postStart": {}}}, {"name": "b", "lifecycle": null}]);
    let bare = json!({"spec": {"containers": lifecycle}});
    assert_eq!(
        operations(&bare),
        [
            "add /x/spec/containers/0/lifecycle/preStop",
            "add /x/spec/containers/1/lifecycle",
            "add /x/spec/terminationGracePeriodSeconds",
            "add /x/metadata",
        ]
    );
    let mut full = pod(json!([app()]));
    full["metadata"] = json!({"annotations": null});
    assert_eq!(
        operations(&full)[1..],
        ["replace /x/spec/terminationGracePeriodSeconds", "add /x/metadata/annotations"]
    );
    full["metadata"] = json!({"annotations": {"a": "b"}});
    assert_eq!(operations(&full)[2], "add /x/metadata/annotations/prestop.dev~1status");
}

#[test]
fn the_status_says_what_was_done_and_where_it_came_from() {
    let pod = with_annotations(
        pod(
            json!([{"name": "web", "image": "nginx:1.15"}, {"name": "own", "lifecycle": {"preStop": {}}}]),
        ),
        json!({"prestop.dev/delay": "5s", "prestop.dev/typo": "x"}),
    );
    let after = patched(&pod, &policy());
    let status: Value = serde_json::from_str(
        after["metadata"]["annotations"]["prestop.dev/status"].as_str().unwrap(),
    )
    .unwrap();
    assert_eq!(
        status,
        json!({"version": 1, "grace": {"before": 30, "after": 35},
            "containers": [{"name": "web", "hook": "quit", "delay": 5, "delayFrom": "pod-annotation",
                "wait": 25, "quitFrom": "image", "profile": "nginx"}],
            "problems": ["unknown-key: pod annotation prestop.dev/typo"]})
    );
}

#[test]
fn a_second_pass_finds_nothing_to_do() {
    let once = patched(&pod(json!([app(), {"name": "web", "image": "nginx:1.15"}])), &policy());
    assert_eq!(plainly(&once), expect("own-hooks", &["app: earlier", "web: earlier"], &[]));
    assert_eq!(patched(&once, &policy()), once);
}

#[test]
fn a_container_that_came_in_between_gets_its_hook_from_the_first_grace_period() {
    let mut pod = patched(&pod(json!([app()])), &policy());
    pod["spec"]["containers"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "proxy", "image": "istio/proxyv2"}));
    let told = plainly(&pod);
    assert_eq!(told, expect("injected 30->45", &["app: earlier", "proxy: sleep 15"], &[]));
    let after = patched(&pod, &policy());
    assert_eq!(after["spec"]["containers"][0], pod["spec"]["containers"][0]);
    assert_eq!(plainly(&after).outcome, "own-hooks");
}

#[test]
fn a_status_that_is_not_true_is_told_and_ignored() {
    let honest = patched(&pod(json!([app()])), &policy());
    let status = honest["metadata"]["annotations"]["prestop.dev/status"].as_str().unwrap();
    let changed = |from: &str, to: &str| {
        let changed = status.replace(from, to);
        assert_ne!(changed, status);
        changed
    };
    for forged in [
        changed("\"before\":30", "\"before\":3"),
        changed("\"after\":40", "\"after\":41"),
        changed("\"before\":30", "\"before\":50"),
        changed("\"before\":30", "\"before\":0"),
        changed("\"delay\":10", "\"delay\":9"),
        changed("\"name\":\"app\"", "\"name\":\"nobody\""),
        changed("\"version\":1", "\"version\":2"),
        "{}".to_owned(),
        "injected".to_owned(),
    ] {
        let mut pod = honest.clone();
        pod["metadata"]["annotations"]["prestop.dev/status"] = json!(forged);
        pod["spec"]["containers"]
            .as_array_mut()
            .unwrap()
            .push(json!({"name": "new", "image": "x"}));
        let told = plainly(&pod);
        let believed = forged.contains("\"before\":3,");
        if believed {
            // Nobody can tell a lower number from a true one; the grace period still never falls.
            assert_eq!(told.outcome, "injected 3->40", "{forged}");
        } else {
            assert_eq!(told.outcome, "injected 40->50", "{forged}");
            assert_eq!(told.problems, ["status-not-trusted"], "{forged}");
        }
    }
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
fn the_cap_is_kept_and_told() {
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
    // The author chose the maximum itself, or more: nobody can mend that the delay is lost.
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
fn probes_that_would_cut_the_hook_short_are_told() {
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
fn images_that_bring_their_own_procedure_are_left_alone() {
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
