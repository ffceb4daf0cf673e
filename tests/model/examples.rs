//! Tests of the model itself, with pods whose results were worked out by hand from the rules.

use prestop_core::policy::{Policy, QuitPolicy, SleepAction};
use serde_json::{Value, json};

use super::*;
use prestop_fuzz::generators::test_catalogue;

fn enabled() -> Namespace {
    Namespace {
        labels: [("prestop.dev/inject".to_owned(), "enabled".to_owned())].into(),
        annotations: BTreeMap::new(),
    }
}

fn exec_only() -> Policy {
    Policy { catalogue: test_catalogue(), ..Policy::built_in() }
}

fn sleeping() -> Policy {
    Policy { sleep_action: SleepAction::Always, ..exec_only() }
}

fn pod(annotations: &Value, grace: &Value, containers: &Value) -> Value {
    json!({
        "metadata": {"annotations": annotations},
        "spec": {"terminationGracePeriodSeconds": grace, "containers": containers},
    })
}

fn outcome(pod: &Value) -> Outcome {
    inject(pod, &enabled(), &sleeping())
}

fn hook(outcome: &Outcome, index: usize) -> &Value {
    &outcome.result["spec"]["containers"][index]["lifecycle"]["preStop"]
}

fn grace(outcome: &Outcome) -> &Value {
    &outcome.result["spec"]["terminationGracePeriodSeconds"]
}

#[test]
fn an_unknown_image_gets_the_delay() {
    let outcome = outcome(&json!({"spec": {"containers": [{"name": "web", "image": "app"}]}}));
    assert_eq!(outcome.reason, None);
    assert_eq!(hook(&outcome, 0), &json!({"sleep": {"seconds": 10}}));
    assert_eq!(grace(&outcome), &json!(40));
    assert!(outcome.result["metadata"]["annotations"][STATUS].is_string());
}

#[test]
fn without_the_sleep_action_the_program_sleeps() {
    let pod = json!({"spec": {"containers": [{"name": "web", "image": "app"}]}});
    let outcome = inject(&pod, &enabled(), &exec_only());
    assert_eq!(hook(&outcome, 0), &json!({"exec": {"command": ["sleep", "10"]}}));
}

#[test]
fn an_old_nginx_waits_and_a_new_one_does_not() {
    let command = |wait: &str| {
        let quit = ["5", wait, "QUIT", "server,master", "nginx", "-s", "quit"];
        let mut command = vec!["/bin/sh", "-c", SCRIPT, "prestop"];
        command.extend(quit);
        json!(command)
    };
    for (image, wait) in [("nginx:1.15", "55"), ("nginx", "55"), ("nginx:1.27", "none")] {
        let annotations = json!({"prestop.dev/delay": "5s"});
        let containers = json!([{"name": "web", "image": image}]);
        let outcome = outcome(&pod(&annotations, &json!(60), &containers));
        assert_eq!(hook(&outcome, 0)["exec"]["command"], command(wait));
        assert_eq!(grace(&outcome), &json!(65));
    }
    let containers = json!([{"name": "web", "image": "nginx:1.27", "command": ["nginx"]}]);
    let outcome = outcome(&pod(&json!({"prestop.dev/delay": "5s"}), &json!(60), &containers));
    assert_eq!(hook(&outcome, 0)["exec"]["command"], command("55"));
}

#[test]
fn the_quit_timeout_is_waited_for_and_kept_free() {
    // N 10, W 90, G 30: A 90, G' 100; T 90, reserve 5, so 85.
    let annotations = json!({
        "prestop.dev/quit-timeout": "90s",
        "prestop.dev/quit-signal": "SIGTERM",
    });
    let containers = json!([{"name": "web"}, {"name": "app"}]);
    let outcome = outcome(&pod(&annotations, &json!(30), &containers));
    let command = json!(["/bin/sh", "-c", SCRIPT, "prestop", "10", "85", "TERM", ""]);
    assert_eq!(hook(&outcome, 0)["exec"]["command"], command);
    assert_eq!(hook(&outcome, 1), &json!({"sleep": {"seconds": 10}}));
    assert_eq!(grace(&outcome), &json!(100));
    assert_eq!(outcome.problems, [""; 0]);
}

#[test]
fn the_cap_shortens_what_does_not_fit() {
    // G 595, N 10: 605 is above 600; the application has 590 after its delay, not 595.
    let containers = json!([{"name": "web", "image": "nginx:1.15"}]);
    let outcome_595 = outcome(&pod(&json!({}), &json!(595), &containers));
    let command = &hook(&outcome_595, 0)["exec"]["command"];
    assert_eq!((&command[4], &command[5]), (&json!("10"), &json!("585")));
    assert_eq!(grace(&outcome_595), &json!(600));
    assert_eq!(outcome_595.problems, ["grace-period-capped"]);

    // A cap of 30 leaves 25 seconds for a delay of 28, and 5 to the application.
    let policy =
        Policy { maximum_delay_seconds: 28, maximum_grace_period_seconds: 30, ..sleeping() };
    let annotations = json!({"prestop.dev/delay": "28s"});
    let outcome = inject(&pod(&annotations, &json!(20), &containers), &enabled(), &policy);
    let command = &hook(&outcome, 0)["exec"]["command"];
    assert_eq!((&command[4], &command[5]), (&json!("25"), &json!("4")));
    assert_eq!(outcome.problems, ["delay-shortened", "grace-period-capped"]);
    assert_eq!(outcome.containers[0].delay_seconds, 25);
}

#[test]
fn the_largest_grace_periods_do_not_overflow() {
    for seconds in [i64::MAX, i64::MAX - 5, 1_000_000_000] {
        let outcome = outcome(&pod(&json!({}), &seconds.into(), &json!([{"name": "web"}])));
        assert_eq!(grace(&outcome), &json!(seconds));
        assert_eq!(hook(&outcome, 0), &json!({"sleep": {"seconds": 10}}));
        assert_eq!(outcome.problems, Vec::<&str>::new());
    }
}

#[test]
fn the_strongest_readable_level_decides() {
    let mut namespace = enabled();
    let annotation = ("prestop.dev/delay".to_owned(), "7s".to_owned());
    namespace.annotations.extend([annotation]);
    let delays = |annotations: Value| {
        let containers = json!([{"name": "web"}, {"name": "app"}]);
        let pod = pod(&annotations, &json!(30), &containers);
        let outcome = inject(&pod, &namespace, &sleeping());
        [0, 1].map(|index| hook(&outcome, index)["sleep"]["seconds"].as_i64())
    };
    assert_eq!(delays(json!({})), [Some(7), Some(7)]);
    assert_eq!(delays(json!({"prestop.dev/delay": "3s"})), [Some(3), Some(3)]);
    assert_eq!(delays(json!({"prestop.dev/delay": "soon"})), [Some(7), Some(7)]);
    let both = json!({"prestop.dev/delay": "3s", "delay.prestop.dev/app": "9s"});
    assert_eq!(delays(both), [Some(3), Some(9)]);
    assert_eq!(delays(json!({"delay.prestop.dev/app": "0s"})), [Some(7), None]);
}

#[test]
fn own_hooks_are_skipped() {
    let own = json!({"preStop": {"sleep": {"seconds": 0}}});
    let containers = json!([{"name": "web", "lifecycle": own}]);
    let alone = pod(&json!({}), &json!(30), &containers);
    assert_eq!(outcome(&alone).reason, Some("own-hooks"));
    assert_eq!(outcome(&alone).result, alone);
    let containers = json!([{"name": "web", "lifecycle": own}, {"name": "app"}]);
    let outcome = outcome(&pod(&json!({}), &json!(30), &containers));
    assert_eq!(hook(&outcome, 0), &own["preStop"]);
    assert_eq!(hook(&outcome, 1), &json!({"sleep": {"seconds": 10}}));
}

#[test]
fn a_container_that_comes_later_counts_from_the_first_grace_period() {
    let first = outcome(&pod(&json!({}), &json!(30), &json!([{"name": "web"}])));
    let mut between = first.result;
    let list = between["spec"]["containers"].as_array_mut().unwrap();
    list.push(json!({"name": "mesh"}));
    let second = outcome(&between);
    assert_eq!(hook(&second, 1), &json!({"sleep": {"seconds": 10}}));
    assert_eq!(grace(&second), &json!(40));

    // The grace period was raised in between, so the status is no longer valid.
    between["spec"]["terminationGracePeriodSeconds"] = json!(50);
    let second = outcome(&between);
    assert_eq!(grace(&second), &json!(60));
    assert_eq!(second.problems, ["status-not-trusted"]);
}

#[test]
fn where_pid_1_is_not_the_application_it_gets_no_signal() {
    let mut shared = pod(
        &json!({"prestop.dev/quit-signal": "QUIT", "quit-command.prestop.dev/app": r#"["quit"]"#}),
        &json!(30),
        &json!([{"name": "web"}, {"name": "app"}, {"name": "x", "image": "nginx"}]),
    );
    shared["spec"]["shareProcessNamespace"] = json!(true);
    let outcome_shared = outcome(&shared);
    assert_eq!(hook(&outcome_shared, 0), &json!({"sleep": {"seconds": 10}}));
    assert_eq!(hook(&outcome_shared, 1)["exec"]["command"][6], "");
    assert_eq!(hook(&outcome_shared, 1)["exec"]["command"][8], "quit");
    let quit = json!(["10", "25", "", "", "nginx", "-s", "quit"]);
    let found = hook(&outcome_shared, 2)["exec"]["command"].as_array().unwrap();
    assert_eq!(json!(found[4..]), quit);
    assert_eq!(outcome_shared.problems, ["pid-1-is-not-the-application"]);

    shared["spec"]["os"] = json!({"name": "windows"});
    assert_eq!(hook(&outcome(&shared), 1), &json!({"sleep": {"seconds": 10}}));
    let outcome = inject(&shared, &enabled(), &exec_only());
    assert_eq!(outcome.reason, Some("windows"));
}

#[test]
fn quit_never_drops_everybodys_quit() {
    let policy = Policy { quit: QuitPolicy::Never, ..sleeping() };
    let annotations = json!({"quit-signal.prestop.dev/web": "QUIT"});
    let containers = json!([{"name": "web"}, {"name": "app", "image": "nginx:1.15"}]);
    let outcome = inject(&pod(&annotations, &json!(30), &containers), &enabled(), &policy);
    for index in 0..2 {
        assert_eq!(hook(&outcome, index), &json!({"sleep": {"seconds": 10}}));
    }
    assert_eq!(outcome.problems, ["quit-disabled"]);
}

#[test]
fn a_sidecar_outlives_the_applications() {
    let istio = |name: &str| json!({"name": name, "image": "istio/proxyv2:1.27.0"});
    let delays = |annotations: Value, containers: Value| {
        let outcome = outcome(&pod(&annotations, &json!(30), &containers));
        let last = outcome.containers.last().map(|last| last.delay_seconds);
        (last, grace(&outcome).as_i64())
    };
    let slept = |seconds: i64| json!({"name": "a", "lifecycle": {"preStop": {"sleep": {"seconds": seconds}}}});
    let script = json!({"name": "a", "lifecycle": {"preStop":
        {"exec": {"command": ["sh", "-c", "sleep 22; app quit"]}}}});
    let other = json!({"name": "b", "lifecycle": {"preStop": {"httpGet": {"port": 80}}}});
    let cases = [
        (json!({}), json!([{"name": "a"}, istio("b")]), (15, 45)),
        (json!({"prestop.dev/delay": "20s"}), json!([{"name": "a"}, istio("b")]), (25, 55)),
        (json!({"delay.prestop.dev/b": "2s"}), json!([{"name": "a"}, istio("b")]), (2, 40)),
        (json!({}), json!([slept(22), istio("b")]), (27, 57)),
        (json!({}), json!([script, istio("b")]), (27, 57)),
        (json!({}), json!([slept(3), other, istio("c")]), (15, 45)),
        // The rabbitmq container can take its 30 s; the proxy stays 5 s longer and then has its own
        // 30 s.
        (json!({}), json!([{"name": "a", "image": "rabbitmq"}, istio("b")]), (35, 65)),
        // 10 s of delay, 25 s of waiting, 5 s of margin.
        (json!({}), json!([{"name": "a", "image": "nginx:1.15"}, istio("b")]), (40, 70)),
        (json!({}), json!([{"name": "a", "image": "nginx:1.27"}, istio("b")]), (15, 45)),
        (json!({}), json!([istio("a"), istio("b")]), (10, 40)),
    ];
    for (annotations, containers, (delay, grace)) in cases {
        let found = delays(annotations, containers.clone());
        assert_eq!(found, (Some(delay), Some(grace)), "{containers}");
    }
}

#[test]
fn a_backend_outlives_the_drain_of_its_front() {
    let delays = |front: &str, annotations: Value| {
        let fpm = json!({"name": "fpm", "image": "php-fpm:8"});
        let containers = json!([{"name": "a", "image": front}, fpm]);
        let outcome = outcome(&pod(&annotations, &json!(30), &containers));
        outcome.containers[1].delay_seconds
    };
    // The front waits in its hook or is stopped gracefully: in both cases for 25 s after its delay
    // of 10 s.
    assert_eq!(delays("nginx:1.15", json!({})), 35);
    assert_eq!(delays("nginx:1.27", json!({})), 35);
    assert_eq!(delays("redis", json!({})), 10);
    assert_eq!(delays("nginx:1.27", json!({"delay.prestop.dev/fpm": "3s"})), 3);
    assert_eq!(delays("nginx:1.15", json!({"quit-timeout.prestop.dev/a": "500s"})), 300);
}

#[test]
fn the_status_names_the_main_container() {
    let annotations = json!({"prestop.dev/quit-signal": "INT"});
    let first = outcome(&pod(&annotations, &json!(30), &json!([{"name": "web"}])));
    let mut between = first.result;
    between["spec"]["containers"].as_array_mut().unwrap().insert(0, json!({"name": "new"}));
    let second = outcome(&between);
    assert_eq!(hook(&second, 0), &json!({"sleep": {"seconds": 10}}));
}
