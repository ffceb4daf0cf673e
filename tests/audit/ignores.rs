//! Findings that are ignored by the configuration.

use super::*;

const RECREATE: &str = r#"{"type": "Recreate"}"#;

fn with_recreate(place: &str, text: &str) -> Vec<Value> {
    let mut objects = good();
    let strategy = serde_json::from_str(RECREATE).unwrap();
    apply(
        &mut objects,
        &[
            ("/0/spec/strategy".to_owned(), strategy),
            (format!("/0{place}/annotations"), json!({"audit.prestop.dev/ignore": text})),
        ],
    );
    objects
}

#[test]
fn an_annotation_with_a_reason_is_obeyed_on_workload_and_pod() {
    for place in ["/metadata", "/spec/template/metadata"] {
        let objects = with_recreate(place, r#"{"recreate": "  one leader "}"#);
        let found = findings(&objects, &policy());
        assert_eq!(ids(&found), ["recreate"], "{place}");
        assert_eq!(found[0].ignored.as_deref(), Some("one leader"));
    }
}

#[test]
fn what_is_wrong_with_an_annotation_is_said() {
    for (text, detail) in [
        (r#"{"recreat": "x"}"#, "there is no rule recreat; did you mean recreate?"),
        (r#"{"recreate": ""}"#, "recreate has no reason"),
        (r#"{"recreate": true}"#, "recreate has no reason"),
        (r#"["recreate"]"#, "write a JSON object of rules and reasons"),
        ("recreate", "write a JSON object of rules and reasons"),
    ] {
        let found = findings(&with_recreate("/metadata", text), &policy());
        assert_eq!(ids(&found), ["recreate", "ignore-not-usable"], "{text}");
        assert_eq!(found[0].ignored, None);
        assert!(found[1].detail.starts_with(detail), "{text}: {}", found[1].detail);
        assert_eq!(found[1].pointer, "/metadata/annotations/audit.prestop.dev~1ignore");
    }
    let stale = r#"{"recreate": "x", "grace-zero": "y", "ignore-stale": "z"}"#;
    let found = findings(&with_recreate("/metadata", stale), &policy());
    let stale: Vec<_> = found[1..].iter().map(|it| (it.rule, it.detail.as_str())).collect();
    assert_eq!(stale, [(Rule::IgnoreStale, "grace-zero"), (Rule::IgnoreStale, "ignore-stale")]);
}

#[test]
fn entries_of_the_configuration_match_by_what_they_name() {
    let objects = with_recreate("/metadata", "{}");
    let entry = |namespace: Option<&str>, kind: Option<&str>, name: Option<&str>| Ignore {
        rule: Rule::Recreate,
        reason: "by design".to_owned(),
        namespace: namespace.map(str::to_owned),
        kind: kind.map(str::to_owned),
        name: name.map(str::to_owned),
    };
    for (entry, is_ignored) in [
        (entry(None, None, None), true),
        (entry(Some("shop"), Some("Deployment"), Some("web")), true),
        (entry(Some("other"), None, None), false),
        (entry(None, Some("StatefulSet"), None), false),
        (entry(None, None, Some("we")), false),
        (Ignore { rule: Rule::GraceZero, ..entry(None, None, None) }, false),
    ] {
        let found = findings_without(&objects, &policy(), std::slice::from_ref(&entry));
        assert_eq!(ids(&found), ["recreate"]);
        assert_eq!(found[0].ignored.is_some(), is_ignored, "{entry:?}");
    }
}

/// The webhook does not report the annotation of another tool.
#[test]
fn the_annotation_is_no_unknown_key_for_the_engine() {
    use prestop_core::engine::decide;
    use prestop_core::engine::pod::Pod;
    let problems = |key: &str| {
        let pod = json!({"metadata": {"annotations": {key: "{}"}}, "spec": {"containers": [{"name": "a"}]}});
        let settings = NamespaceSettings::default();
        let policy = policy();
        decide(&Pod::from_value(&pod), &settings, &policy).problems.len()
    };
    assert_eq!(problems("audit.prestop.dev/ignore"), 0);
    assert_eq!(problems("audit.prestop.dev/ignored"), 1);
}
