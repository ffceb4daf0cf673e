//! `prestop serve --cluster`: the data that it reads from the cluster, with only the rights that it
//! needs.

use serde_json::{Value, json};

use prestop_test_support::control_plane::ControlPlane;
use prestop_test_support::process::{Serve, wait_until};
use prestop_test_support::wire::{Connection, pod, review};

/// Returns all necessary rights.
fn rules() -> Value {
    json!([{"apiGroups": [""], "resources": ["namespaces"], "verbs": ["list", "watch"]}])
}

fn start(control_plane: &ControlPlane, account: &str, rules: &Value) -> Serve {
    let kubeconfig = control_plane.kubeconfig(account, rules);
    Serve::start_with(&[("KUBECONFIG", kubeconfig.to_str().unwrap())], &["--cluster"])
}

/// Returns the hook that a pod in this namespace gets.
fn hook(serve: &Serve, namespace: &str) -> Value {
    let mut review = review(&pod());
    review["request"]["namespace"] = json!(namespace);
    Connection::open(serve).post(review.to_string()).patch()[0]["value"]["preStop"].clone()
}

fn delay(seconds: u32) -> Value {
    json!({"sleep": {"seconds": seconds}})
}

#[test]
#[ignore = "needs an API server; run: just control-plane"]
fn namespaces_and_version_are_those_of_the_cluster() {
    let control_plane = ControlPlane::start();
    let namespace = |name: &str, annotations: &Value| {
        let object = json!({"metadata": {"name": name, "annotations": annotations}});
        control_plane.request("POST", "/api/v1/namespaces", Some(&object));
    };
    namespace("early", &json!({"prestop.dev/delay": "12s", "other.example/x": "y"}));
    let serve = start(&control_plane, "prestop", &rules());
    wait_until("the namespaces", || serve.get("/readyz?verbose").1.contains("[+]namespaces ok"));
    // The version is new enough for the native sleep action.
    assert_eq!(hook(&serve, "early"), delay(12));
    assert_eq!(hook(&serve, "other"), delay(10));
    namespace("late", &json!({"prestop.dev/delay": "13s"}));
    wait_until("a new namespace", || hook(&serve, "late") == delay(13));
    let change = json!({"metadata": {"name": "late", "annotations": {"prestop.dev/delay": "14s"}}});
    let path = "/api/v1/namespaces/late";
    assert_eq!(control_plane.request("PUT", path, Some(&change)).0, 200);
    wait_until("a changed namespace", || hook(&serve, "late") == delay(14));
    let change = json!({"metadata": {"name": "late"}});
    assert_eq!(control_plane.request("PUT", path, Some(&change)).0, 200);
    wait_until("an annotation that is gone", || hook(&serve, "late") == delay(10));
    let disabled =
        json!({"metadata": {"name": "late", "labels": {"prestop.dev/inject": "disabled"}}});
    assert_eq!(control_plane.request("PUT", path, Some(&disabled)).0, 200);
    wait_until("a label", || hook(&serve, "late").is_null());
    assert_eq!(serve.metric("prestop_namespaces_failing_since_timestamp_seconds"), 0);
}

/// While the API server is unavailable, the last known state is used, nothing waits, and it is
/// reported.
#[test]
#[ignore = "needs an API server; run: just control-plane"]
fn the_last_known_state_is_used_while_the_api_server_is_away() {
    let control_plane = ControlPlane::start();
    let object = json!({"metadata": {"name": "shop", "annotations": {"prestop.dev/delay": "12s"}}});
    control_plane.request("POST", "/api/v1/namespaces", Some(&object));
    let serve = start(&control_plane, "prestop", &rules());
    wait_until("the namespaces", || hook(&serve, "shop") == delay(12));
    drop(control_plane);
    wait_until("the failure is told", || {
        serve.metric("prestop_namespaces_failing_since_timestamp_seconds") > 1_700_000_000
    });
    assert_eq!(hook(&serve, "shop"), delay(12));
    assert_eq!(serve.get("/readyz").0, 200);
    wait_until("its line", || serve.log().contains("keeping the last known state"));
}

/// Without the right to read namespaces, the defaults apply, and that is reported.
#[test]
#[ignore = "needs an API server; run: just control-plane"]
fn without_the_right_the_defaults_hold() {
    let control_plane = ControlPlane::start();
    let none = json!([{"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]}]);
    let mut serve = start(&control_plane, "nobody", &none);
    serve.wait_for_line("namespaces can't be watched; keeping the last known state");
    assert_eq!(hook(&serve, "shop"), delay(10));
    let (status, text) = serve.get("/readyz?verbose");
    assert_eq!(status, 200);
    assert!(text.contains("[!]namespaces: not read yet; using the configured defaults"), "{text}");
}

#[test]
fn without_a_cluster_the_program_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_prestop"))
        .args(["serve", "--cluster", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
        .env("KUBECONFIG", folder.path().join("none"))
        .env("HOME", folder.path())
        .env_remove("KUBERNETES_SERVICE_HOST")
        .output()
        .unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(told.contains("--cluster: no cluster to connect to"), "{told}");
}

/// Returns the resident memory size in KiB.
fn resident(serve: &Serve) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", serve.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Ten thousand namespaces with settings, compared with a server without namespaces.
#[test]
#[ignore = "needs an API server; run: just control-plane"]
fn ten_thousand_namespaces_cost_little_memory() {
    const NAMESPACES: usize = 10_000;
    let control_plane = ControlPlane::start();
    let is_synced = |serve: &Serve| serve.get("/readyz?verbose").1.contains("[+]namespaces ok");
    let without = start(&control_plane, "before", &rules());
    wait_until("the namespaces", || is_synced(&without));
    let before = resident(&without);
    drop(without);
    let taken = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let next = || taken.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                while let number @ 0..NAMESPACES = next() {
                    let object = json!({"metadata": {
                        "name": format!("team-{number}"),
                        "labels": {"prestop.dev/inject": "enabled", "team": format!("team-{number}")},
                        "annotations": {"prestop.dev/delay": "12s", "other.example/text": "x".repeat(200)},
                    }});
                    control_plane.create("/api/v1/namespaces", &object);
                }
            });
        }
    });
    let serve = start(&control_plane, "after", &rules());
    wait_until("the namespaces", || is_synced(&serve));
    assert_eq!(hook(&serve, &format!("team-{}", NAMESPACES - 1)), delay(12));
    let more = || resident(&serve).saturating_sub(before);
    wait_until("memory given back", || more() < 5 * 1024);
    println!("{NAMESPACES} namespaces: {} KiB more than none", more());
}
