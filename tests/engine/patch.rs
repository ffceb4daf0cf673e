//! The patch, the status annotation and a second pass.

use super::*;

#[test]
fn the_patch_takes_the_smallest_path_that_exists() {
    let operations = |pod: &Value| -> Vec<String> {
        let (settings, policy, view) =
            (NamespaceSettings::default(), policy(), Pod::from_value(pod));
        let decision = decide(&view, &settings, &policy);
        let patch = to_json(&decision, "/x").unwrap();
        let patch: Value = serde_json::from_slice(&patch).unwrap();
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
        json!({"version": 1, "grace": {"before": 30, "after": 35, "stated": true},
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
fn a_status_that_does_not_match_is_reported_and_ignored() {
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
            // A lower value can't be distinguished from the true one; but the grace period never
            // decreases.
            assert_eq!(told.outcome, "injected 3->40", "{forged}");
        } else {
            assert_eq!(told.outcome, "injected 40->50", "{forged}");
            assert_eq!(told.problems, ["status-not-trusted"], "{forged}");
        }
    }
}
