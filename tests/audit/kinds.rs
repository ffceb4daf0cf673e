//! Kinds of workloads that were judged wrongly, as the corpus showed.

use super::*;

fn ids_of(changes: &[(String, Value)]) -> Vec<&'static str> {
    let mut objects = good();
    apply(&mut objects, changes);
    let mut found = ids(&findings(&objects, &policy()));
    found.sort_unstable();
    found
}

fn at(path: &str, value: Value) -> (String, Value) {
    (path.to_owned(), value)
}

fn no_hook() -> (String, Value) {
    (web("/lifecycle"), json!({}))
}

fn kind(kind: &str) -> (String, Value) {
    at("/0/kind", json!(kind))
}

/// A lost scrape is no lost request.
#[test]
fn services_that_are_only_scraped_send_no_requests() {
    for (name, port) in [
        ("metrics", 9090),
        ("http-metrics", 8080),
        ("tcp-prometheus-servicemonitor", 9402),
        ("probes", 8080),
        ("metrics", 80),
    ] {
        let ports = at("/1/spec/ports", json!([{"name": name, "port": port}]));
        assert_eq!(ids_of(&[no_hook(), ports]), Vec::<&str>::new(), "{name} {port}");
    }
    for ports in [
        json!([{"name": "http-metrics", "port": 80}]),
        json!([{"name": "metrics", "port": 9090}, {"name": "grpc", "port": 9095}]),
        json!([{"name": "metricsservice", "port": 9666}]),
        json!([{"port": 9090}]),
    ] {
        assert_eq!(ids_of(&[no_hook(), at("/1/spec/ports", ports)]), ["stops-at-once"]);
    }
}

#[test]
fn what_only_monitoring_asks_by_its_image_is_only_possible() {
    for (image, expected) in [
        ("quay.io/prometheuscommunity/postgres-exporter:v0.17.1", Certainty::Possible),
        ("registry.k8s.io/kube-state-metrics/kube-state-metrics:v2.16.0", Certainty::Possible),
        ("quay.io/brancz/kube-rbac-proxy:v0.19.1", Certainty::Possible),
        // Applications send requests to this one.
        ("quay.io/prometheus/statsd-exporter:v0.28.0", Certainty::Certain),
    ] {
        let mut objects = good();
        apply(&mut objects, &[no_hook(), (web("/image"), json!(image))]);
        let found = findings(&objects, &policy());
        assert_eq!(ids(&found), ["stops-at-once"], "{image}");
        assert_eq!(found[0].certainty, expected, "{image}");
    }
}

/// Only one container of the pod is a proxy in front of metrics.
#[test]
fn the_proxy_in_front_of_metrics_is_doubted_alone() {
    let mut objects = good();
    let mut web = objects[0].pointer(&WEB[2..]).unwrap().clone();
    web["lifecycle"] = json!({});
    let proxy = json!({"name": "proxy", "image": "quay.io/brancz/kube-rbac-proxy:v0.19.1", "ports": [{"containerPort": 8443}]});
    apply(&mut objects, &[(pod("/containers"), json!([web, proxy]))]);
    let found = findings(&objects, &policy());
    let found: Vec<_> =
        found.iter().map(|it| (it.container.as_deref().unwrap(), it.certainty)).collect();
    assert_eq!(found, [("web", Certainty::Certain), ("proxy", Certainty::Possible)]);
}

#[test]
fn applications_that_delay_themselves_need_no_hook() {
    for args in [["--shutdown-delay", "10"], ["--port=1", "--shutdown-delay-duration=1m"]] {
        assert_eq!(ids_of(&[no_hook(), (web("/args"), json!(args))]), Vec::<&str>::new());
    }
    let short = |seconds: &str| ids_of(&[no_hook(), (web("/args"), json!([seconds]))]);
    assert_eq!(short("-shutdown-delay=2s"), ["delay-too-short"]);
    assert_eq!(short("-shutdown-delay=0s"), ["stops-at-once"]);
    for image in ["registry.k8s.io/coredns/coredns:v1.12.0", "openpolicyagent/gatekeeper:v3.20.0"] {
        assert_eq!(ids_of(&[no_hook(), (web("/image"), json!(image))]), Vec::<&str>::new());
    }
}

/// Half of the maximum that a front may need is enough in many clusters.
#[test]
fn a_delay_that_is_enough_in_small_clusters_is_only_possibly_too_short() {
    for (seconds, expected) in
        [(5, Some(Certainty::Possible)), (4, Some(Certainty::Likely)), (10, None)]
    {
        let mut objects = good();
        apply(&mut objects, &[hook(&json!({"sleep": {"seconds": seconds}}))]);
        let found = findings(&objects, &policy());
        assert_eq!(found.first().map(|it| it.certainty), expected, "{seconds}");
    }
}

/// Clients of the node's own port learn of nothing, whatever the delay is.
#[test]
fn where_nothing_withdraws_the_pod_no_delay_is_missing() {
    let host = at(&format!("{WEB}/ports/0/hostPort"), json!(80));
    let others = at("/1/spec/selector", json!({"app": "other"}));
    let unprobed = (web("/readinessProbe"), Value::Null);
    let found = ids_of(&[no_hook(), unprobed.clone(), host.clone(), others.clone()]);
    assert_eq!(found, ["host-port"]);
    let metrics = at(&format!("{WEB}/ports/0/name"), json!("metrics"));
    assert_eq!(ids_of(&[no_hook(), unprobed, host, others, metrics]), Vec::<&str>::new());
}

#[test]
fn a_startup_probe_is_a_check_before_traffic() {
    let found = ids_of(&[
        (web("/readinessProbe"), Value::Null),
        (web("/startupProbe"), json!({"tcpSocket": {"port": 80}})),
    ]);
    assert_eq!(found, Vec::<&str>::new());
    // Istio replaces the image, and adds a probe.
    let found = ids_of(&[(web("/readinessProbe"), Value::Null), (web("/image"), json!("auto"))]);
    assert_eq!(found, Vec::<&str>::new());
}

/// A hook of one container may call another container, such as a shutdown manager.
#[test]
fn a_shutdown_of_another_containers_port_closes_nothing() {
    let shutdown = |port: Value| hook(&json!({"httpGet": {"port": port, "path": "/shutdown"}}));
    assert_eq!(ids_of(&[shutdown(json!(8090))]), Vec::<&str>::new());
    assert_eq!(ids_of(&[shutdown(json!(80))]), ["http-hook-closes-port"]);
    let named = at(&format!("{WEB}/ports/0/name"), json!("http"));
    assert_eq!(ids_of(&[named, shutdown(json!("http"))]), ["http-hook-closes-port"]);
    assert_eq!(
        ids_of(&[(web("/ports"), json!([])), shutdown(json!(8090))]),
        ["http-hook-closes-port"]
    );
}

/// With a delay, the gap would only begin later.
#[test]
fn the_only_pod_of_a_stateful_set_is_replaced_with_a_gap() {
    let lone = [
        kind("StatefulSet"),
        at("/3/spec/minReplicas", json!(1)),
        at("/3/spec/scaleTargetRef/kind", json!("StatefulSet")),
    ];
    let found = ids_of(&[&lone[..], &[no_hook()]].concat());
    assert_eq!(found, ["all-at-once", "single-replica"]);
    let on_delete = at("/0/spec/updateStrategy", json!({"type": "OnDelete"}));
    assert_eq!(ids_of(&[&lone[..], &[on_delete]].concat()), ["single-replica"]);
    assert_eq!(ids_of(&[kind("StatefulSet"), no_hook()]), ["stops-at-once"]);
}

#[test]
fn a_daemon_set_may_stop_everywhere_at_once() {
    let rolling = |unavailable: Value| {
        let rolling = json!({"rollingUpdate": {"maxUnavailable": unavailable}});
        ids_of(&[kind("DaemonSet"), at("/0/spec/updateStrategy", rolling)])
    };
    assert_eq!(rolling(json!("100%")), ["all-at-once"]);
    assert_eq!(rolling(json!("50%")), Vec::<&str>::new());
    assert_eq!(rolling(json!(1)), Vec::<&str>::new());
    let on_delete = json!({"type": "OnDelete", "rollingUpdate": {"maxUnavailable": "100%"}});
    assert_eq!(
        ids_of(&[kind("DaemonSet"), at("/0/spec/updateStrategy", on_delete)]),
        Vec::<&str>::new()
    );
}

/// Clients are routed to the pod on their own node, and there is a gap whatever the delay is.
#[test]
fn a_daemon_set_behind_a_local_policy_needs_a_surge() {
    let local = at("/1/spec/internalTrafficPolicy", json!("Local"));
    let broken = [kind("DaemonSet"), no_hook(), local];
    assert_eq!(ids_of(&broken), ["host-port"]);
    let surge = json!({"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}});
    let surge = at("/0/spec/updateStrategy", surge);
    assert_eq!(
        ids_of(&[&broken[..], std::slice::from_ref(&surge)].concat()),
        ["local-policy", "stops-at-once"]
    );
    let delay = hook(&json!({"sleep": {"seconds": 10}}));
    assert_eq!(ids_of(&[&broken[..], &[surge, delay]].concat()), Vec::<&str>::new());
}

/// A pod for debugging has a Service only because of its name.
#[test]
fn pods_that_only_wait_serve_nothing() {
    for command in [
        json!(["/bin/sleep", "infinity"]),
        json!(["sh", "-c", "sleep infinity"]),
        json!(["tail", "-f", "/dev/null"]),
    ] {
        let found = ids_of(&[no_hook(), (web("/command"), command)]);
        assert_eq!(found, Vec::<&str>::new());
    }
    let serves = (web("/command"), json!(["sh", "-c", "exec /serve"]));
    assert_eq!(ids_of(&[no_hook(), serves]), ["stops-at-once"]);
}

/// A proxy alone in its pod is a gateway, and is the application itself.
#[test]
fn gateways_are_held_against_their_own_drain() {
    let gateway = |more: Value| {
        let mut container =
            json!({"name": "istio-proxy", "image": "auto", "ports": [{"containerPort": 80}]});
        container.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let balanced = at("/1/spec/type", json!("LoadBalancer"));
        ids_of(&[(pod("/containers"), json!([container])), balanced])
    };
    assert_eq!(gateway(json!({})), ["delay-too-short"]);
    let variable = |name: &str, value: &str| json!({"env": [{"name": name, "value": value}]});
    assert_eq!(gateway(variable("TERMINATION_DRAIN_DURATION_SECONDS", "30")), Vec::<&str>::new());
    assert_eq!(gateway(variable("EXIT_ON_ZERO_ACTIVE_CONNECTIONS", "true")), Vec::<&str>::new());
}

#[test]
fn a_wait_after_the_quit_is_no_delay() {
    let wait = script("pkill -USR1 app; sleep 60");
    assert_eq!(ids_of(&[wait]), ["grace-shorter-than-app"]);
    assert_eq!(ids_of(&[script("sleep 60; pkill -USR1 app")]), ["hook-fills-grace"]);
}

/// The time limits of tools that remove nodes are in the input, or are the defaults.
#[test]
fn who_removes_nodes_says_how_long_a_pod_may_take() {
    let autoscaler = |args: Value| {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "ca", "namespace": "kube-system"},
            "spec": {"replicas": 1, "template": {"spec": {"containers": [
                {"name": "ca", "image": "registry.k8s.io/autoscaling/cluster-autoscaler:v1.33.0", "command": args}]}}}})
    };
    let pool = |spec: Value| {
        json!({"apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": {"name": "spot"},
            "spec": {"template": {"spec": spec}}})
    };
    let default = || autoscaler(json!(["./cluster-autoscaler", "--v=4"]));
    let long =
        || autoscaler(json!(["./cluster-autoscaler", "--max-graceful-termination-sec=3600"]));
    let shell = || {
        autoscaler(json!(["sh", "-c", "./cluster-autoscaler --max-graceful-termination-sec 120"]))
    };
    let other = || {
        let mut other = default();
        other["spec"]["template"]["spec"]["containers"][0]["image"] =
            json!("registry.k8s.io/cpa/cluster-proportional-autoscaler:1");
        other
    };
    let flag = "--max-graceful-termination-sec of Deployment kube-system/ca";
    for (seconds, more, expected) in [
        (
            700,
            vec![],
            Some(("cluster autoscalers allow 600s by default".to_owned(), Certainty::Possible)),
        ),
        (
            700,
            vec![other()],
            Some(("cluster autoscalers allow 600s by default".to_owned(), Certainty::Possible)),
        ),
        (600, vec![], None),
        (700, vec![default()], Some((format!("{flag} by default is 600s"), Certainty::Likely))),
        (700, vec![long()], None),
        (200, vec![shell()], Some((format!("{flag} is 120s"), Certainty::Likely))),
        (
            200,
            vec![long(), pool(json!({"terminationGracePeriod": "2m"}))],
            Some(("terminationGracePeriod of NodePool spot is 120s".to_owned(), Certainty::Likely)),
        ),
        (700, vec![pool(json!({}))], None),
        (700, vec![pool(json!({"terminationGracePeriod": "48h"}))], None),
    ] {
        let mut objects = good();
        apply(&mut objects, &[(pod("/terminationGracePeriodSeconds"), json!(seconds))]);
        objects.extend(more);
        let found = findings(&objects, &policy());
        let found = found.iter().find(|it| it.rule == Rule::GraceAboveLimit);
        let found = found.map(|it| (it.detail.clone(), it.certainty));
        let expected = expected.map(|(by, certainty)| (format!("{seconds}s; {by}"), certainty));
        assert_eq!(found, expected);
    }
}
