//! Output for pods that end.

use super::*;

#[test]
fn a_pod_that_ends_well_is_one_line_and_ctrl_c_ends_with_the_summary() {
    let api = FakeApi::start();
    api.apply(PODS, pod("web-1"));
    api.apply(SLICES, slice(&[("web-1", true)]));
    let watch = Watch::synced(&api, &[]);
    end(&api, "web-1", 0, 3);
    let line = watch.wait_for(&["shop/web-1 web: deleted at"]);
    assert!(line.starts_with('√'), "{line}");
    for part in ["endpoint withdrawn after 0", "exited after 3s with code 0", "[ended-by-itself]"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    let Ended { status, out, told } = watch.interrupt();
    assert_eq!(status, 0, "{out:?}");
    assert!(
        told[0].starts_with("watching pods in namespace shop at http://127.0.0.1:"),
        "{told:?}"
    );
    assert!(out.contains(&"1 container in 1 pod ended: 0 bad, 0 unknown".to_owned()), "{out:?}");
    assert!(out.last().unwrap().starts_with("requests are not counted"), "{out:?}");
}

#[test]
fn a_pod_that_is_killed_makes_the_exit_status_1() {
    let api = FakeApi::start();
    api.apply(PODS, pod("web-1"));
    let watch = Watch::synced(&api, &[]);
    end(&api, "web-1", 137, 30);
    let line = watch.wait_for(&["[killed-at-grace-end]"]);
    assert!(line.starts_with('×') && line.contains("with signal KILL (137)"), "{line}");
    let Ended { status, out, .. } = watch.interrupt();
    assert_eq!(status, 1);
    assert!(out.iter().any(|line| line.contains("raise terminationGracePeriodSeconds")), "{out:?}");
}

#[test]
fn an_accepted_verdict_is_not_bad() {
    let api = FakeApi::start();
    api.apply(PODS, pod("web-1"));
    let watch = Watch::synced(&api, &["--accept", "killed-at-grace-end"]);
    end(&api, "web-1", 137, 30);
    assert!(watch.wait_for(&["[killed-at-grace-end]"]).starts_with('√'));
    let Ended { status, out, .. } = watch.interrupt();
    assert_eq!(status, 0);
    assert!(out.iter().any(|line| line.ends_with("[killed-at-grace-end] (accepted)")), "{out:?}");
}

#[test]
fn a_pod_that_is_removed_by_force_is_unseen_and_strict_says_1() {
    for (arguments, expected) in [(&[][..], 0), (&["--strict"][..], 1)] {
        let api = FakeApi::start();
        api.apply(PODS, pod("web-1"));
        let watch = Watch::synced(&api, arguments);
        api.delete(PODS, "web-1");
        assert!(watch.wait_for(&["[unseen]"]).starts_with('‼'));
        assert_eq!(watch.interrupt().status, expected, "{arguments:?}");
    }
}

#[test]
fn events_say_that_a_hook_failed_and_who_deleted_the_pod() {
    let api = FakeApi::start();
    api.apply(PODS, pod("web-1"));
    let watch = Watch::synced(&api, &["-o", "json"]);
    api.apply(EVENTS, event("e1", "web-1", "FailedPreStopHook", "web"));
    let mut by = event("e2", "web-a1", "SuccessfulDelete", "");
    by["involvedObject"]["kind"] = json!("ReplicaSet");
    by["message"] = json!("Deleted pod: web-1");
    api.apply(EVENTS, by);
    // A pod of a newer template.
    let mut new = pod("web-2");
    new["metadata"]["labels"]["pod-template-hash"] = json!("b2");
    new["metadata"]["ownerReferences"][0]["name"] = json!("web-b2");
    new["metadata"]["creationTimestamp"] = json!(time(-1));
    api.apply(PODS, new);
    end(&api, "web-1", 0, 8);
    watch.wait_for(&["\"pod\":\"web-1\""]);
    let Ended { status, out, .. } = watch.interrupt();
    assert_eq!(status, 1);
    let objects = objects(&out);
    let termination = &objects[0];
    assert_eq!(termination["kind"], "Termination");
    assert_eq!(termination["apiVersion"], "prestop.dev/v1alpha1");
    assert_eq!(termination["verdict"], "hook-failed");
    assert_eq!(termination["deletedBy"], "rollout");
    assert_eq!(termination["workload"], json!({"kind": "Deployment", "name": "web"}));
    assert_eq!(objects.last().unwrap()["bad"], 1);
}

#[test]
fn pods_that_are_ending_at_the_start_and_at_the_end_are_counted() {
    let api = FakeApi::start();
    let early = deleted(pod("early"));
    api.apply(PODS, early.clone());
    api.apply(PODS, pod("late"));
    let watch = Watch::synced(&api, &[]);
    api.apply(PODS, exited(early, 0, 2));
    api.delete(PODS, "early");
    watch.wait_for(&["shop/early web", "[ended-by-itself]"]);
    api.apply(PODS, deleted(pod("late")));
    // The watch is in order, so the deletion has been seen when this pod is reported.
    end(&api, "other", 0, 3);
    watch.wait_for(&["shop/other web"]);
    let Ended { out, .. } = watch.interrupt();
    assert!(out.contains(&"1 more pod had not ended yet".to_owned()), "{out:?}");
}

#[test]
fn two_thousand_pods_that_end_at_once_are_two_thousand_lines() {
    let api = FakeApi::start();
    let names: Vec<_> = (0..2000).map(|number| format!("web-{number}")).collect();
    api.fill(PODS, names.iter().map(|name| pod(name)));
    let watch = Watch::synced(&api, &[]);
    for name in &names {
        api.apply(PODS, deleted(pod(name)));
    }
    for name in &names {
        api.apply(PODS, exited(deleted(pod(name)), 0, 3));
        api.delete(PODS, name);
    }
    wait_until("all lines", || {
        watch.out.lock().unwrap().iter().filter(|line| line.contains("[ended-by-itself]")).count()
            == 2000
    });
    let Ended { status, out, .. } = watch.interrupt();
    assert_eq!(status, 0);
    assert!(out.contains(&"2000 containers in 2000 pods ended: 0 bad, 0 unknown".to_owned()));
}
