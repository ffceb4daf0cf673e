//! Odd pods over the wire: their patches and warnings. The engine's own tests cover each rule in
//! more detail; these cover the whole path from bytes to bytes.

use json_patch::Patch;
use serde_json::{Value, json};

use prestop_test_support::process::Serve;
use prestop_test_support::wire::{Answer, Connection, pod, review};

/// Expected answer for a pod.
enum Expected {
    /// No patch and no warning.
    Nothing,
    /// No patch, and a warning that contains this text.
    Told(&'static str),
    /// A patch that adds hooks to the containers with these indexes, and no warning.
    Hooks(&'static [usize]),
    /// The same, with a warning that contains this text.
    HooksAndTold(&'static [usize], &'static str),
}

use Expected::{Hooks, HooksAndTold, Nothing, Told};

fn with(change: impl FnOnce(&mut Value)) -> Value {
    let mut pod = pod();
    change(&mut pod);
    pod
}

fn spec(field: &str, value: Value) -> Value {
    with(|pod| pod["spec"][field] = value)
}

fn container(field: &str, value: Value) -> Value {
    with(|pod| pod["spec"]["containers"][0][field] = value)
}

fn containers(value: Value) -> Value {
    spec("containers", value)
}

#[allow(clippy::needless_pass_by_value, reason = "reads better where it is called")]
fn annotated(key: &str, value: Value) -> Value {
    with(|pod| pod["metadata"]["annotations"] = json!({key: value}))
}

fn labelled(value: &str) -> Value {
    with(|pod| pod["metadata"]["labels"] = json!({"prestop.dev/inject": value}))
}

fn owned_by(kind: &str) -> Value {
    with(|pod| {
        pod["metadata"]["ownerReferences"] =
            json!([{"kind": kind, "name": "x", "controller": true}]);
    })
}

/// Returns the indexes of the containers that get a hook. The patch has to apply, and must not
/// shorten the grace period or change anything else.
fn hooked(pod: &Value, answer: &Answer) -> Vec<usize> {
    let mut after = pod.clone();
    let patch: Patch = serde_json::from_value(answer.patch()).unwrap();
    json_patch::patch(&mut after, &patch).unwrap();
    let grace = |pod: &Value| pod["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap_or(30);
    assert!(grace(&after) >= grace(pod));
    let count = pod["spec"]["containers"].as_array().unwrap().len();
    let has_hook = |pod: &Value, place: usize| {
        pod.pointer(&format!("/spec/containers/{place}/lifecycle/preStop"))
            .is_some_and(|hook| !hook.is_null())
    };
    let places: Vec<_> =
        (0..count).filter(|place| has_hook(&after, *place) && !has_hook(pod, *place)).collect();
    for place in &places {
        let before = pod["spec"]["containers"][*place].get("lifecycle").cloned();
        let container = after["spec"]["containers"][*place].as_object_mut().unwrap();
        match before {
            Some(before) => container.insert("lifecycle".to_owned(), before),
            None => container.shift_remove("lifecycle"),
        };
    }
    after["spec"]["terminationGracePeriodSeconds"] =
        pod["spec"]["terminationGracePeriodSeconds"].clone();
    if pod["spec"].get("terminationGracePeriodSeconds").is_none() {
        after["spec"].as_object_mut().unwrap().shift_remove("terminationGracePeriodSeconds");
    }
    let status = after["metadata"]["annotations"].as_object_mut().unwrap();
    assert!(status.shift_remove("prestop.dev/status").is_some());
    let was_empty = status.is_empty();
    if was_empty && pod["metadata"].get("annotations").is_none_or(Value::is_null) {
        match pod["metadata"].get("annotations") {
            Some(_) => after["metadata"]["annotations"] = Value::Null,
            None => {
                after["metadata"].as_object_mut().unwrap().shift_remove("annotations");
            }
        }
    }
    assert_eq!(&after, pod, "something else was touched");
    places
}

fn hold(serve: &Serve, cases: Vec<(&str, Value, Expected)>) {
    let mut connection = Connection::open(serve);
    for (name, pod, expected) in cases {
        let answer = connection.post(review(&pod).to_string());
        let response = answer.response();
        let told = response["warnings"].to_string();
        let (places, part) = match expected {
            Nothing => (None, None),
            Told(part) => (None, Some(part)),
            Hooks(places) => (Some(places), None),
            HooksAndTold(places, part) => (Some(places), Some(part)),
        };
        match part {
            None => assert_eq!(told, "null", "{name}"),
            Some(part) => assert!(told.contains(part), "{name}: {told}"),
        }
        match places {
            None => assert_eq!(answer.patch(), Value::Null, "{name}"),
            Some(places) => assert_eq!(hooked(&pod, &answer), places, "{name}"),
        }
    }
    assert_eq!(serve.metric("prestop_selfcheck_failures_total"), 0);
    assert_eq!(serve.metric("prestop_panics_total"), 0);
}

#[test]
fn odd_containers() {
    let plain = json!({"name": "a", "image": "x"});
    let serve = Serve::start(&["--kubernetes-version", "1.37"]);
    let no_containers = with(|pod| {
        pod["spec"].as_object_mut().unwrap().shift_remove("containers");
    });
    let later = |extra: Value| {
        with(|pod| pod["spec"].as_object_mut().unwrap().extend(extra.as_object().unwrap().clone()))
    };
    hold(
        &serve,
        vec![
            ("missing", no_containers, Told("malformed")),
            ("null", containers(Value::Null), Told("malformed")),
            ("none", containers(json!([])), Told("malformed")),
            ("object", containers(json!({})), Told("malformed")),
            (
                "one is null",
                containers(json!([null, plain])),
                HooksAndTold(&[1], "malformed-container"),
            ),
            (
                "one is a text",
                containers(json!(["x", plain])),
                HooksAndTold(&[1], "malformed-container"),
            ),
            ("the same name twice", containers(json!([plain, plain])), Hooks(&[0, 1])),
            ("ordinary init containers", later(json!({"initContainers": [plain]})), Hooks(&[0])),
            (
                "native sidecar",
                later(json!({"initContainers": [{"name": "s", "restartPolicy": "Always"}]})),
                Hooks(&[0]),
            ),
            ("ephemeral containers", later(json!({"ephemeralContainers": [plain]})), Hooks(&[0])),
            ("unknown fields", container("stopSignal", json!("SIGQUIT")), Hooks(&[0])),
            (
                "gates",
                later(json!({"schedulingGates": [{"name": "x"}], "nodeName": "n"})),
                Hooks(&[0]),
            ),
            (
                "probe",
                container("livenessProbe", json!({"terminationGracePeriodSeconds": 600})),
                Hooks(&[0]),
            ),
            ("long name", container("name", json!("x".repeat(63))), Hooks(&[0])),
            ("odd name", container("name", json!("\u{1f600}\u{1b}[31m\n")), Hooks(&[0])),
            ("no image", container("image", Value::Null), Hooks(&[0])),
            ("empty image", container("image", json!("")), Hooks(&[0])),
            (
                "digest",
                container(
                    "image",
                    json!(
                        "nginx@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
                    ),
                ),
                Hooks(&[0]),
            ),
            ("port", container("image", json!("registry.example:5000/web")), Hooks(&[0])),
            ("long image", container("image", json!("a/".repeat(2048) + "b")), Hooks(&[0])),
            ("hostile image", container("image", json!("*".repeat(4096))), Hooks(&[0])),
            ("host network", later(json!({"hostNetwork": true})), Hooks(&[0])),
        ],
    );
}

#[test]
fn odd_lifecycles_and_grace_periods() {
    let serve = Serve::start(&["--kubernetes-version", "1.37"]);
    let hook = |value: Value| container("lifecycle", json!({"preStop": value}));
    let grace = |value: Value| spec("terminationGracePeriodSeconds", value);
    let unset = with(|pod| {
        pod["spec"].as_object_mut().unwrap().shift_remove("terminationGracePeriodSeconds");
    });
    hold(
        &serve,
        vec![
            ("empty lifecycle", container("lifecycle", json!({})), Hooks(&[0])),
            (
                "postStart",
                container("lifecycle", json!({"postStart": {"exec": {"command": ["x"]}}})),
                Hooks(&[0]),
            ),
            ("null lifecycle", container("lifecycle", Value::Null), Hooks(&[0])),
            ("null hook", hook(Value::Null), Hooks(&[0])),
            ("own exec", hook(json!({"exec": {"command": ["x"]}})), Nothing),
            ("own http", hook(json!({"httpGet": {"port": 1}})), Nothing),
            (
                "own tcp",
                hook(json!({"tcpSocket": {"port": 1}})),
                Told("own-hook-always-fails: container web"),
            ),
            (
                "own sleep as long as the grace period",
                hook(json!({"exec": {"command": ["sleep", "60"]}})),
                Told("own-hook-fills-grace: container web: sleeps 60s of 30s"),
            ),
            ("own sleep of 0", hook(json!({"sleep": {"seconds": 0}})), Nothing),
            ("empty hook", hook(json!({})), Nothing),
            (
                "two handlers",
                hook(json!({"exec": {"command": ["x"]}, "sleep": {"seconds": 1}})),
                Nothing,
            ),
            ("unknown handler", hook(json!({"future": {}})), Nothing),
            ("grace unset", unset, Hooks(&[0])),
            ("grace null", grace(Value::Null), Hooks(&[0])),
            ("grace 30", grace(json!(30)), Hooks(&[0])),
            ("grace larger", grace(json!(300)), Hooks(&[0])),
            // Above the maximum, as chosen by the author.
            ("grace 10^9", grace(json!(1_000_000_000)), Hooks(&[0])),
            ("grace 0", grace(json!(0)), Told("grace-period-zero")),
            ("grace negative", grace(json!(-5)), Told("grace-period-zero")),
            ("grace text", grace(json!("30")), Told("malformed")),
            ("grace float", grace(json!(30.0)), Told("malformed")),
            ("grace bool", grace(json!(true)), Told("malformed")),
            ("grace object", grace(json!({})), Told("malformed")),
        ],
    );
    let mut connection = Connection::open(&serve);
    for lifecycle in [json!("x"), json!([1])] {
        let answer = connection.post(review(&container("lifecycle", lifecycle)).to_string());
        assert_eq!(answer.patch(), Value::Null);
    }
    let largest = connection.post(review(&grace(json!(i64::MAX))).to_string());
    assert_eq!(hooked(&grace(json!(i64::MAX)), &largest), [0]);
}

#[test]
fn pods_that_are_none_of_ours() {
    let serve = Serve::start(&["--kubernetes-version", "1.37"]);
    let mirror = annotated("kubernetes.io/config.mirror", json!("x"));
    let deleted = with(|pod| pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"));
    let with_windows = spec("os", json!({"name": "windows"}));
    hold(
        &serve,
        vec![
            ("mirror", mirror, Nothing),
            ("deleted", deleted, Nothing),
            ("job", owned_by("Job"), Nothing),
            ("daemon set", owned_by("DaemonSet"), Nothing),
            ("replica set", owned_by("ReplicaSet"), Hooks(&[0])),
            ("restart policy", spec("restartPolicy", json!("Never")), Nothing),
            ("opted out", labelled("disabled"), Nothing),
            ("opted out, old word", labelled("FALSE"), Nothing),
            ("odd label", labelled("perhaps"), HooksAndTold(&[0], "prestop.dev/inject")),
            ("windows", with_windows.clone(), Hooks(&[0])),
        ],
    );
    // Without the sleep action, nothing can run in a Windows pod.
    let old = Serve::start(&["--kubernetes-version", "1.28"]);
    hold(&old, vec![("windows", with_windows, Told("windows"))]);
}

#[test]
fn odd_annotations() {
    let serve = Serve::start(&["--kubernetes-version", "1.37"]);
    let delay = |value: Value| annotated("prestop.dev/delay", value);
    let both = with(|pod| {
        pod["metadata"]["labels"] = json!({"prestop.dev/inject": "disabled"});
        pod["metadata"]["annotations"] = json!({"prestop.dev/delay": "5s"});
    });
    let mut cases = vec![
        ("null", with(|pod| pod["metadata"]["annotations"] = Value::Null), Hooks(&[0][..])),
        ("other keys", annotated("a/b~c", json!("x")), Hooks(&[0])),
        ("good", delay(json!("15s")), Hooks(&[0])),
        ("above the maximum", delay(json!("10m")), HooksAndTold(&[0], "delay")),
        ("skip wins", both, Nothing),
        (
            "no such profile",
            annotated("prestop.dev/profile", json!("ngnix")),
            HooksAndTold(&[0], "did you mean nginx"),
        ),
        (
            "no such container",
            annotated("delay.prestop.dev/other", json!("5s")),
            HooksAndTold(&[0], "other"),
        ),
        ("large value", annotated("x.example/y", json!("z".repeat(200_000))), Hooks(&[0])),
        (
            "annotations of a wrong type",
            with(|pod| pod["metadata"]["annotations"] = json!([])),
            Told("malformed"),
        ),
    ];
    for value in [
        json!(""),
        json!("-5"),
        json!("1e3"),
        json!("0x10"),
        json!("\u{661}\u{665}"),
        json!("99999999999999999999"),
        json!("NaN"),
        json!("15; rm -rf /"),
        json!("$(id)"),
        json!("5\n"),
        json!("5\u{0}"),
        json!(5),
        json!(true),
        json!({}),
    ] {
        cases.push(("no duration", delay(value), HooksAndTold(&[0], "prestop.dev/delay")));
    }
    hold(&serve, cases);
    let many: serde_json::Map<String, Value> =
        (0..10_000).map(|index| (format!("example.com/{index}"), json!("v"))).collect();
    let pod = with(|pod| pod["metadata"]["labels"] = Value::Object(many));
    assert_eq!(hooked(&pod, &Connection::open(&serve).post(review(&pod).to_string())), [0]);
}

/// Another webhook adds a container between two calls.
#[test]
fn a_second_call_changes_only_what_came_in_between() {
    let serve = Serve::start(&["--kubernetes-version", "1.37"]);
    let mut connection = Connection::open(&serve);
    let mut after = pod();
    let first: Patch =
        serde_json::from_value(connection.post(review(&after).to_string()).patch()).unwrap();
    json_patch::patch(&mut after, &first).unwrap();
    let again = connection.post(review(&after).to_string());
    assert_eq!(again.patch(), Value::Null);
    assert_eq!(again.response()["auditAnnotations"]["reason"], "own-hooks");
    after["spec"]["containers"].as_array_mut().unwrap().push(json!({"name": "late", "image": "x"}));
    let patch = connection.post(review(&after).to_string()).patch();
    let paths: Vec<_> =
        patch.as_array().unwrap().iter().map(|operation| operation["path"].clone()).collect();
    assert!(paths.contains(&json!("/spec/containers/1/lifecycle")), "{paths:?}");
    assert!(!paths.contains(&json!("/spec/containers/0/lifecycle")), "{paths:?}");
}

#[test]
fn large_pods_are_answered() {
    let serve = Serve::start(&["--kubernetes-version", "1.37"]);
    let mut connection = Connection::open(&serve);
    for count in [200, 1_000] {
        let all: Vec<_> =
            (0..count).map(|index| json!({"name": format!("c{index}"), "image": "x"})).collect();
        let pod = containers(json!(all));
        assert_eq!(hooked(&pod, &connection.post(review(&pod).to_string())).len(), count);
    }
    let managed =
        with(|pod| pod["metadata"]["managedFields"] = json!([{"x": "y".repeat(1 << 20)}]));
    assert_eq!(hooked(&managed, &connection.post(review(&managed).to_string())), [0]);
    let largest =
        with(|pod| pod["metadata"]["managedFields"] = json!("y".repeat((7 << 20) - 2048)));
    // The review is read, but etcd would not accept the pod with a patch.
    let response = connection.post(review(&largest).to_string()).response();
    assert_eq!(response["auditAnnotations"]["reason"], "too-large");
}

#[test]
fn warnings_are_few_and_the_author_comes_first() {
    let namespaces = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n  annotations: {prestop.dev/dellay: 5s}\n";
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("namespaces.yaml"), namespaces).unwrap();
    let serve = Serve::start_in(folder, &["--namespaces-file", "{folder}/namespaces.yaml"]);
    let mut connection = Connection::open(&serve);
    let one = annotated("prestop.dev/delay", json!("soon"));
    let warnings = connection.post(review(&one).to_string()).response()["warnings"].clone();
    assert!(
        warnings[0].as_str().unwrap().contains("pod annotation prestop.dev/delay"),
        "{warnings}"
    );
    assert!(
        warnings[1].as_str().unwrap().contains("namespace annotation prestop.dev/dellay"),
        "{warnings}"
    );
    let many = with(|pod| {
        let keys: serde_json::Map<String, Value> =
            (0..20).map(|index| (format!("prestop.dev/odd\u{e4}{index}"), json!("x"))).collect();
        pod["metadata"]["annotations"] = Value::Object(keys);
    });
    let warnings = connection.post(review(&many).to_string()).response()["warnings"].clone();
    let warnings = warnings.as_array().unwrap();
    assert_eq!(warnings.len(), 5);
    assert!(warnings[4].as_str().unwrap().contains("17 more"), "{warnings:?}");
}
