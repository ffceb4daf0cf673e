//! `--until-rolled`: waiting for a rollout.

use super::*;

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/shop/deployments";

fn deployment(status: &Value) -> Value {
    json!({"metadata": {"name": "web", "namespace": "shop", "generation": 2},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}}, "status": status})
}

fn half() -> Value {
    json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 1, "availableReplicas": 2})
}

fn done() -> Value {
    json!({"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1})
}

#[test]
fn it_waits_for_the_rollout_and_for_the_old_pods() {
    let api = FakeApi::start();
    api.apply(DEPLOYMENTS, deployment(&half()));
    api.apply(PODS, pod("old"));
    let watch = Watch::synced(&api, &["--until-rolled", "deployment/web"]);
    let selected = |it: &String| it.contains("/pods?") && it.contains("labelSelector=app%3Dweb");
    assert!(api.requests().iter().any(selected), "{:?}", api.requests());
    wait_until("what it waits for", || {
        let told = watch.told.lock().unwrap();
        told.iter().any(|line| line == "waiting: 1 old replicas are still there")
    });
    let old = deleted(pod("old"));
    api.apply(PODS, old.clone());
    api.apply(DEPLOYMENTS, deployment(&done()));
    wait_until("the old pod is waited for", || {
        watch.told.lock().unwrap().iter().any(|line| line == "waiting: 1 old pods to end")
    });
    api.apply(PODS, exited(old, 0, 3));
    api.delete(PODS, "old");
    let Ended { status, out, told } = watch.ended();
    assert_eq!(status, 0, "{out:?} {told:?}");
    assert!(told[0].starts_with("watching deployment web in namespace shop"), "{told:?}");
    assert!(
        out.iter().any(|line| line.contains("shop/old web") && line.contains("[ended-by-itself]"))
    );
}

#[test]
fn a_rollout_that_fails_or_takes_too_long_is_bad() {
    let api = FakeApi::start();
    api.apply(DEPLOYMENTS, deployment(&half()));
    let Ended { status, out, .. } =
        Watch::start(&api, &["--until-rolled", "deploy/web", "--for", "3s"]).ended();
    assert_eq!(status, 1);
    assert_eq!(out.last().unwrap(), "× not rolled out: not within the time of --for");
    let mut stalled = half();
    stalled["conditions"] = json!([{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}]);
    api.apply(DEPLOYMENTS, deployment(&stalled));
    let Ended { status, out, .. } = Watch::start(&api, &["--until-rolled", "deploy/web"]).ended();
    assert_eq!(status, 1);
    assert_eq!(out.last().unwrap(), "× not rolled out: it exceeded its progress deadline");
}

#[test]
fn each_kind_is_found_and_waited_for() {
    let sets = "/apis/apps/v1/namespaces/shop/statefulsets";
    let daemons = "/apis/apps/v1/namespaces/shop/daemonsets";
    let rollouts = "/apis/argoproj.io/v1alpha1/namespaces/shop/rollouts";
    let daemons_done = json!({"observedGeneration": 2, "desiredNumberScheduled": 1,
        "updatedNumberScheduled": 1, "numberAvailable": 1});
    for (path, kind, status) in [
        (sets, "StatefulSet", json!({"observedGeneration": 2, "readyReplicas": 1})),
        (daemons, "ds", daemons_done),
        (rollouts, "rollout", json!({"observedGeneration": "2", "phase": "Healthy"})),
    ] {
        let api = FakeApi::start();
        let mut old = status.clone();
        old["observedGeneration"] = json!(1);
        api.apply(path, deployment(&old));
        let watch = Watch::synced(&api, &["--until-rolled", &format!("{kind}/web")]);
        wait_until("what it waits for", || {
            let told = watch.told.lock().unwrap();
            told.iter().any(|line| line.starts_with("waiting: "))
        });
        api.apply(path, deployment(&status));
        let Ended { status, out, told } = watch.ended();
        assert_eq!(status, 0, "{kind}: {out:?} {told:?}");
        assert!(!out.iter().any(|line| line.contains("not rolled out")), "{out:?}");
    }
}

#[test]
fn what_is_not_there_or_never_rolls_is_said() {
    let api = FakeApi::start();
    let Ended { status, told, .. } = Watch::start(&api, &["--until-rolled", "deploy/web"]).ended();
    assert_eq!(status, 3);
    assert_eq!(told, ["error: there is no deployment web in namespace shop"]);
    let mut set = deployment(&done());
    set["spec"]["updateStrategy"] = json!({"type": "OnDelete"});
    api.apply("/apis/apps/v1/namespaces/shop/statefulsets", set);
    let Ended { status, told, .. } = Watch::start(&api, &["--until-rolled", "sts/web"]).ended();
    assert_eq!(status, 2);
    assert!(
        told[0].contains("does not roll by itself: its update strategy is OnDelete"),
        "{told:?}"
    );
}
