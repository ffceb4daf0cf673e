//! Sidecars, PID 1, stop signals, programs, Windows and existing hooks.

use super::*;

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
        // `nginx -s quit` finds the nginx process itself and doesn't need PID 1.
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
    // Kubernetes versions before 1.33 drop the field.
    assert!(!waits(&hook("nginx:1.25.3", json!("SIGTERM"), "1.32")));
    assert!(waits(&hook("nginx:1.15", json!("SIGQUIT"), "1.32")));
    assert_eq!(hook("haproxy:2.8", json!("SIGTERM"), "1.37"), "web: 10,  or USR1, wait 25");
    assert_eq!(hook("haproxy:2.8", json!("SIGUSR1"), "1.37"), "web: sleep 10");
    // TERM disconnects the clients of pgbouncer only before version 1.23.
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

    // A container inserted in first place after the first pass does not get the quit command as
    // well.
    let mut once = patched(&with_annotations(pod(json!([app()])), quit.clone()), &policy());
    let stranger = json!({"name": "stranger", "image": "x"});
    once["spec"]["containers"].as_array_mut().unwrap().insert(0, stranger);
    once["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"] = json!("stranger");
    assert_eq!(plainly(&once).containers, ["stranger: sleep 10", "app: earlier"]);
    // The same with a status by an older version, which has no `main` field.
    let status = once["metadata"]["annotations"]["prestop.dev/status"].as_str().unwrap();
    let older = status.replace(",\"main\":\"app\"", "");
    assert_ne!(older, status);
    once["metadata"]["annotations"]["prestop.dev/status"] = json!(older);
    assert_eq!(plainly(&once).containers, ["stranger: sleep 10", "app: earlier"]);

    // Kubernetes refuses two containers of one name; a second pass changes nothing about them.
    let named = |image: &str| json!({"name": "web", "image": image});
    let namesakes = pod(json!([named("cr.l5d.io/linkerd/proxy:2.14"), named("x")]));
    let once = with_annotations(namesakes, json!({"prestop.dev/profile": "coredns"}));
    let once = patched(&once, &policy());
    assert_eq!(patched(&once, &policy()), once);

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
    // Only the part of the delay that waits for the drain is shortened to fit the maximum, which is
    // no problem.
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
