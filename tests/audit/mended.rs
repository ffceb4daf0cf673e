//! The findings that prestop fixes by its annotations, and the remaining ones.

use prestop_core::audit::Mend;

use super::*;

/// Returns the findings after the needed annotations are on the pod template, in a namespace with
/// the label.
fn mended(objects: &[Value]) -> Vec<Finding> {
    let mut objects = objects.to_vec();
    let mut annotations = serde_json::Map::new();
    for finding in findings(&objects, &policy()) {
        if let Some(Mend::Annotated { annotations: more, .. }) = finding.mend {
            assert!(!more.is_empty());
            annotations.extend(more.into_iter().map(|it| (it.key.to_owned(), it.value.into())));
        }
    }
    apply(
        &mut objects,
        &[
            ("/0/spec/template/metadata/annotations".to_owned(), annotations.into()),
            ("/4/metadata/labels".to_owned(), json!({"prestop.dev/inject": "enabled"})),
        ],
    );
    findings(&objects, &policy())
}

fn nlb() -> Vec<(String, Value)> {
    vec![
        ("/1/spec/type".to_owned(), json!("LoadBalancer")),
        (
            "/1/metadata/annotations".to_owned(),
            json!({"service.beta.kubernetes.io/aws-load-balancer-type": "nlb-ip"}),
        ),
        (
            "/0/spec/template/spec/readinessGates".to_owned(),
            json!([{"conditionType": "target-health.x"}]),
        ),
    ]
}

#[test]
fn what_says_that_it_is_mended_is_gone_with_label_and_annotations() {
    let nginx = || (web("/image"), json!("nginx:1.15"));
    let sleep = |seconds: i64| hook(&json!({"sleep": {"seconds": seconds}}));
    let local = || {
        vec![
            ("/1/spec/type".to_owned(), json!("NodePort")),
            ("/1/spec/externalTrafficPolicy".to_owned(), json!("Local")),
        ]
    };
    let cases: Vec<(&str, Vec<(String, Value)>)> = vec![
        ("no hook", vec![(web("/lifecycle"), json!({}))]),
        ("no hook behind an NLB", [nlb(), vec![(web("/lifecycle"), json!({}))]].concat()),
        ("short delay", vec![sleep(3)]),
        ("short delay behind an NLB", [nlb(), vec![sleep(30)]].concat()),
        ("short delay behind a local policy", [local(), vec![sleep(10)]].concat()),
        ("no hook behind a local policy", [local(), vec![(web("/lifecycle"), json!({}))]].concat()),
        ("quit", vec![nginx(), script("nginx -s quit")]),
        ("quit behind an NLB", [nlb(), vec![nginx(), script("nginx -s quit")]].concat()),
        ("hard stop after a delay", vec![nginx()]),
        ("hook as long as the grace period", vec![sleep(60)]),
    ];
    for (name, changes) in cases {
        let mut objects = good();
        apply(&mut objects, &changes);
        let before = findings(&objects, &policy());
        assert!(!before.is_empty(), "{name}");
        assert!(before.iter().all(|it| it.mend.is_some()), "{name}: {before:?}");
        assert_eq!(mended(&objects), [], "{name}");
    }
}

#[test]
fn what_no_annotation_mends_says_so() {
    let cases = [
        vec![(web("/image"), json!("gcr.io/distroless/static")), script("sleep 20")],
        vec![hook(&json!({"tcpSocket": {"port": 80}}))],
        vec![hook(&json!({"httpGet": {"port": 80, "path": "/shutdown"}}))],
        vec![(web("/image"), json!("nginx:1.15")), script("sleep 10; nginx -s stop")],
    ];
    for changes in cases {
        let mut objects = good();
        apply(&mut objects, &changes);
        let found = findings(&objects, &policy());
        assert!(!found.is_empty());
        assert!(found.iter().all(|it| it.mend.is_none()), "{found:?}");
    }
}

/// A label alone does not touch existing hooks.
#[test]
fn in_an_enabled_namespace_a_hook_that_only_quits_is_still_found() {
    let mut objects = good();
    apply(
        &mut objects,
        &[
            (web("/image"), json!("nginx:1.15")),
            script("nginx -s quit"),
            ("/4/metadata/labels".to_owned(), json!({"prestop.dev/inject": "enabled"})),
        ],
    );
    assert_eq!(ids(&findings(&objects, &policy())), ["quit-without-wait"]);
}
