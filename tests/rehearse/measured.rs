//! Hooks that measure traffic, behind a load balancer that reacts late.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::servers::nginx;
use super::{Case, dropped, need_to_rehearse};

/// Seconds by which the load balancer is late.
const LATE: f64 = 3.0;

/// A server that ends immediately on TERM, behind a late load balancer.
fn late(annotations: &Value) -> Case {
    let probe = json!({"readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1},
        "terminationMessagePath": "/run/web/message"});
    let case = Case::python("", &probe, &json!({})).annotated(annotations);
    case.withdrawn_after("0.1-0.4").with(&["--late-endpoints", "3s"])
}

fn times(run: &Value, name: &str) -> Vec<f64> {
    let events = run["events"].as_array().unwrap().iter();
    let events = events.filter(|event| event["event"] == name);
    events.map(|event| event["atSeconds"].as_f64().unwrap()).collect()
}

fn reports(run: &Value) -> Vec<&Value> {
    run["hooks"].as_array().unwrap().iter().map(|hook| &hook["report"]).collect()
}

#[test]
#[ignore = "needs namespaces, iproute2, Python 3 and nginx; run: just test-tools"]
fn a_delay_that_ends_before_the_load_balancer_has_heard_drops_requests() {
    need_to_rehearse(&["python3"]);
    let report = late(&json!({"prestop.dev/delay": "1s"})).report(1);
    let injected = &report["asInjected"];
    assert_eq!(report["lateEndpointsSeconds"], LATE);
    assert!(dropped(injected) > 0, "{}", report["verdict"]);
    assert!(dropped(&report["asWritten"]) > dropped(injected), "{}", report["verdict"]);
    assert_eq!(injected["hooks"][0]["report"], Value::Null);
    let (deleted, withdrawn) = (times(injected, "deleted"), times(injected, "withdrawn"));
    assert_eq!((deleted.len(), withdrawn.len()), (5, 5));
    for (deleted, withdrawn) in deleted.into_iter().zip(withdrawn) {
        assert!(withdrawn - deleted >= LATE + 0.1, "{deleted} {withdrawn}");
    }
}

#[test]
#[ignore = "needs namespaces, iproute2, Python 3 and nginx; run: just test-tools"]
fn a_range_waits_for_the_load_balancer_and_drops_none() {
    need_to_rehearse(&["python3"]);
    let of_this_machine = Path::new("/dev/termination-log");
    let before = of_this_machine.exists();
    let case = late(&json!({"prestop.dev/delay": "1s-20s", "prestop.dev/quiet-period": "2s",
        "prestop.dev/shell": "present", "prestop.dev/hook-report": "termination-message"}));
    let picture = case.path("picture.svg");
    let case = case.with(&["--svg", picture.to_str().unwrap()]);
    let report = case.report(0);
    let injected = &report["asInjected"];
    assert!(dropped(&report["asWritten"]) > 0, "{}", report["verdict"]);
    assert_eq!(dropped(injected), 0, "{}", report["verdict"]);
    // The probe makes two connections in the quiet period, so 2 · 2 + 2 are allowed.
    assert_eq!(
        injected["watch"],
        json!({"leastSeconds": 1, "mostSeconds": 20, "quietSeconds": 2,
        "allowedConnections": 6, "extraSeconds": 0})
    );
    let reports = reports(injected);
    assert_eq!(reports.len(), 5);
    for report in reports {
        let seconds = |name: &str| report[name].as_u64().unwrap();
        assert!(seconds("lastSeconds") >= 2, "{report}");
        assert!(seconds("delaySeconds") >= seconds("lastSeconds") + 2, "{report}");
        assert!(seconds("delaySeconds") < 20, "probes are no traffic: {report}");
        assert!(seconds("newConnections") > 6, "{report}");
        let line = report["lines"][0].as_str().unwrap();
        assert!(line.starts_with(r#"{"prestop":{"delay":"#), "{line}");
    }
    assert_eq!(times(injected, "delayOver").len(), 5);
    assert!(fs::read_to_string(picture).unwrap().contains("delay 1s to 20s"));
    assert_eq!(report["notes"], json!([]));
    assert_eq!(of_this_machine.exists(), before);
}

/// Long requests to a server that ends immediately on TERM.
fn with_long_requests(annotations: &Value) -> Case {
    let long = ["--long-path", "/slower", "--long-seconds", "3", "--long-in-flight", "20"];
    let case = Case::python("close", &json!({}), &json!({}));
    let delay = json!({"prestop.dev/delay": "1s", "prestop.dev/shell": "present"});
    case.annotated(&delay).annotated(annotations).with(&long)
}

#[test]
#[ignore = "needs namespaces, iproute2, Python 3 and nginx; run: just test-tools"]
fn a_hold_lets_a_server_that_ends_at_once_finish_its_requests() {
    need_to_rehearse(&["python3"]);
    let report = with_long_requests(&json!({})).report(1);
    let long = &report["asInjected"]["byClient"]["long"];
    assert!(long["dropped"].as_u64().unwrap() > 0, "{}", report["verdict"]);

    let report = with_long_requests(&json!({"prestop.dev/hold": "connections"})).report(0);
    let injected = &report["asInjected"];
    assert_eq!(dropped(injected), 0, "{}", report["verdict"]);
    let reports = reports(injected);
    assert_eq!(reports.len(), 5);
    // The wait ended with the last request, not at its maximum, the grace period.
    for report in &reports {
        assert_eq!(report["connectionsLeft"], 0, "{report}");
        assert!(report["waitedSeconds"].as_u64().unwrap() < 20, "{report}");
    }
    assert!(reports.iter().any(|report| report["waitedSeconds"].as_u64() > Some(0)));
    // The hook of the real pod doesn't report; only the rehearsed one does.
    let command = injected["hook"]["exec"]["command"].as_array().unwrap();
    assert!(!command.contains(&json!("/dev/termination-log")), "{command:?}");
}

#[test]
#[ignore = "needs namespaces, iproute2, Python 3 and nginx; run: just test-tools"]
fn a_quit_of_the_author_drops_none_once_it_is_completed() {
    need_to_rehearse(&["nginx"]);
    let quit = json!({"preStop": {"exec": {"command": ["/usr/sbin/nginx", "-s", "quit"]}}});
    let case = nginx(&quit).annotated(&json!({"prestop.dev/own-hook": "extend"}));
    let report = case.report(0);
    assert_eq!(report["unchanged"], Value::Null);
    assert!(dropped(&report["asWritten"]) > 0, "{}", report["verdict"]);
    assert_eq!(dropped(&report["asInjected"]), 0, "{}", report["verdict"]);
    let notes = report["notes"].to_string();
    assert!(notes.contains("extends the existing hook"), "{notes}");
    // The hook told nginx to quit, and was killed when nginx exited.
    let hooks = report["asInjected"]["hooks"].as_array().unwrap();
    assert!(hooks.iter().all(|hook| hook["detail"] == 137), "{hooks:?}");
}

/// Returns for each replica how many connections it accepted in three seconds without requests, as
/// counted by its hook.
fn connections_in_three_seconds(container: &Value) -> Vec<u32> {
    let look = "look() { while read -r l c _ _ _ _ n _; do case $l$c in Tcp:[0-9]*) return ;; esac; done \
        </proc/net/snmp; }; sleep 0.5; look; n1=$n; sleep 3; look; echo $((n - n1))";
    let mut whole = json!({"lifecycle": {"preStop": {"exec": {"command": ["sh", "-c", look]}}}});
    for (key, value) in container.as_object().unwrap() {
        whole[key] = value.clone();
    }
    let case = Case::python("", &whole, &json!({})).withdrawn_after("0");
    let report = case.report(0);
    let hooks = report["asWritten"]["hooks"].as_array().unwrap();
    hooks.iter().map(|hook| hook["output"].as_str().unwrap().parse().unwrap()).collect()
}

#[test]
#[ignore = "needs namespaces, iproute2, Python 3 and nginx; run: just test-tools"]
fn readiness_probes_go_on_until_the_replica_has_ended() {
    need_to_rehearse(&["python3"]);
    let probe = json!({"readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1}});
    for connections in connections_in_three_seconds(&probe) {
        assert!((2..=4).contains(&connections), "{connections}");
    }
    assert!(connections_in_three_seconds(&json!({})).iter().all(|connections| *connections == 0));
}
