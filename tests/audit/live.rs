//! Running pods of a cluster compared with their templates.

use std::collections::BTreeSet;

use prestop_core::admission::patch;
use prestop_core::audit::{LivePods, Mend, Topic};
use prestop_core::engine::decide;
use prestop_core::engine::pod::Pod;

use super::*;

/// A cluster: objects, and the running pods of the first object.
pub(super) struct Running {
    objects: Vec<Value>,
    pods: Vec<Value>,
    /// Topics that may not be listed.
    unread: BTreeSet<Topic>,
}

/// Returns the findings about the first object.
pub(super) fn found(running: &Running) -> Vec<Finding> {
    let mut around = Surroundings::new(FrontTable::built_in(), "default");
    let mut setting = Setting::of_cluster();
    running.unread.iter().for_each(|topic| setting.miss(*topic));
    for object in &running.objects {
        let text = |field: &str| object[field].as_str().unwrap_or_default();
        let topic = match text("kind") {
            "Namespace" => Topic::Namespaces,
            "Service" => Topic::Services,
            "PodDisruptionBudget" => Topic::Budgets,
            "Node" | "NodePool" => Topic::Nodes,
            _ => Topic::Autoscalers,
        };
        if !running.unread.contains(&topic) {
            around.add(text("apiVersion"), text("kind"), object);
            setting.add(text("apiVersion"), text("kind"), object, "default");
        }
    }
    let policy = policy();
    let audit = Audit {
        around: &around,
        setting: &setting,
        policy: &policy,
        namespace: "default",
        ignores: &[],
    };
    let workload = objects(&running.objects[0])[0].workload(&[]).unwrap();
    let namespace = NamespaceSettings::default();
    if running.unread.contains(&Topic::Pods) {
        return audit.workload(&workload, &namespace);
    }
    let mut pods = LivePods::default();
    running.pods.iter().for_each(|pod| pods.add(pod));
    audit.running(&workload, &namespace, &pods)
}

/// Returns the good manifest in a namespace with the label, without the author's hook.
fn enabled() -> Vec<Value> {
    let mut objects = good();
    let label = json!({"prestop.dev/inject": "enabled"});
    apply(
        &mut objects,
        &[(web("/lifecycle"), json!({})), ("/4/metadata/labels".to_owned(), label)],
    );
    objects
}

/// Returns a running pod of the first object that admission did not change.
fn plain(objects: &[Value], number: usize) -> Value {
    let mut pod = objects[0]["spec"]["template"].clone();
    pod["metadata"]["name"] = json!(format!("web-{number}"));
    pod["metadata"]["labels"]["pod-template-hash"] = json!("5d4f");
    pod["metadata"]["creationTimestamp"] = json!(format!("2026-01-01T00:00:0{number}Z"));
    pod["spec"]["nodeName"] = json!("node-1");
    pod["spec"]["volumes"] = json!([{"name": "token"}]);
    pod
}

/// Returns the same pod as injected by prestop.
fn injected(objects: &[Value], number: usize) -> Value {
    let mut pod = plain(objects, number);
    let operations = {
        let read = Pod::from_value(&pod);
        let namespace = NamespaceSettings::default();
        let policy = policy();
        patch::to_json(&decide(&read, &namespace, &policy), "").unwrap()
    };
    let operations: json_patch::Patch = serde_json::from_slice(&operations).unwrap();
    json_patch::patch(&mut pod, &operations).unwrap();
    pod
}

fn running(objects: Vec<Value>, pods: Vec<Value>) -> Running {
    Running { objects, pods, unread: BTreeSet::new() }
}

fn all_injected() -> Running {
    let objects = enabled();
    let pods = (0..3).map(|number| injected(&objects, number)).collect();
    running(objects, pods)
}

/// Returns each rule with a cluster in which only it fires, and the same cluster after following
/// the advice.
pub(super) fn cases() -> Vec<(Rule, Running, Running)> {
    let objects = enabled();
    let old = vec![plain(&objects, 0), injected(&objects, 1), plain(&objects, 2)];
    let mut shrunk = injected(&objects, 1);
    // As a policy that sets grace periods would do.
    shrunk["spec"]["terminationGracePeriodSeconds"] = json!(20);
    let changed = vec![injected(&objects, 0), shrunk];
    vec![
        (Rule::NotRolledYet, running(objects.clone(), old), all_injected()),
        (Rule::ChangedAfterUs, running(objects, changed), all_injected()),
    ]
}

#[test]
fn pods_without_a_hook_are_counted() {
    let (_, old, _) = cases().remove(0);
    let finding = &found(&old)[0];
    assert_eq!((finding.detail.as_str(), finding.certainty), ("2 of 3 pods", Certainty::Likely));
    assert_eq!(finding.mend, Some(Mend::Restarted));
    assert_eq!(finding.pointer, "/spec/template/metadata");
}

#[test]
fn pods_that_would_get_no_hook_are_as_they_should_be() {
    let rolled = |changes: &[(String, Value)]| {
        let mut objects = enabled();
        apply(&mut objects, changes);
        let pods = vec![plain(&objects, 0)];
        ids(&found(&running(objects, pods)))
    };
    assert_eq!(rolled(&[]), ["not-rolled-yet"]);
    // A hook of the author, an opted-out pod, a namespace without the label.
    assert!(rolled(&[hook(&json!({"sleep": {"seconds": 15}}))]).is_empty());
    let mut objects = enabled();
    objects[0]["spec"]["template"]["metadata"]["labels"]["prestop.dev/inject"] = json!("disabled");
    let pods = vec![plain(&objects, 0)];
    assert_eq!(ids(&found(&running(objects, pods))), ["stops-at-once"]);
    assert_eq!(rolled(&[("/4/metadata/labels".to_owned(), json!({}))]), ["stops-at-once"]);
    // No requests are sent to the pods.
    assert!(rolled(&[("/1/spec/selector".to_owned(), json!({"app": "other"}))]).is_empty());
}

#[test]
fn what_changed_after_us_is_named() {
    let changed = |change: &dyn Fn(&mut Value)| {
        let objects = enabled();
        let mut pod = injected(&objects, 0);
        change(&mut pod);
        let found = found(&running(objects, vec![pod]));
        let finding = found.iter().find(|it| it.rule == Rule::ChangedAfterUs);
        finding.map(|it| it.detail.clone()).unwrap_or_default()
    };
    assert_eq!(changed(&|_| {}), "");
    assert_eq!(
        changed(&|pod| pod["spec"]["terminationGracePeriodSeconds"] = json!(20)),
        "1 of 1 pods; the grace period is 20s, but prestop set it to 70s"
    );
    let other = json!({"preStop": {"exec": {"command": ["true"]}}});
    assert_eq!(
        changed(&|pod| pod["spec"]["containers"][0]["lifecycle"] = other.clone()),
        "1 of 1 pods; the hook of container web is no longer prestop's"
    );
    assert_eq!(
        changed(&|pod| pod["spec"]["containers"][0]["lifecycle"] = json!({})),
        "1 of 1 pods; container web no longer has prestop's hook"
    );
    assert_eq!(
        changed(&|pod| pod["metadata"]["annotations"]["prestop.dev/status"] = json!("{")),
        "1 of 1 pods; the annotation prestop.dev/status can't be read"
    );
}

/// The label was removed, or is on the pods: the pods' own status decides.
#[test]
fn pods_that_all_carry_a_true_status_are_injected() {
    let mut objects = enabled();
    apply(&mut objects, &[("/4/metadata/labels".to_owned(), json!({}))]);
    let pods: Vec<_> = (0..3).map(|number| injected(&objects, number)).collect();
    assert_eq!(found(&running(objects.clone(), pods.clone())), []);
    let one_plain = [&pods[..2], &[plain(&objects, 3)]].concat();
    assert_eq!(ids(&found(&running(objects, one_plain))), ["stops-at-once"]);
}

/// The configuration of the webhook may have another delay than the one that is known here.
#[test]
fn the_delay_is_that_of_the_pods() {
    let mut objects = enabled();
    apply(
        &mut objects,
        &[
            ("/1/spec/type".to_owned(), json!("LoadBalancer")),
            (
                "/1/metadata/annotations".to_owned(),
                json!({"service.beta.kubernetes.io/aws-load-balancer-type": "nlb-ip"}),
            ),
            (pod("/readinessGates"), json!([{"conditionType": "target-health.elbv2.k8s.aws/x"}])),
        ],
    );
    let short = vec![injected(&objects, 0)];
    let finding = &found(&running(objects.clone(), short))[0];
    assert_eq!(finding.rule, Rule::DelayTooShort);
    assert_eq!(finding.detail, "prestop injects a delay of 10s; the fronts need 2m-3m");
    let mut annotated = objects.clone();
    annotated[0]["spec"]["template"]["metadata"]["annotations"] =
        json!({"prestop.dev/delay": "3m"});
    let mut long = injected(&annotated, 1);
    long["metadata"]["annotations"].as_object_mut().unwrap().shift_remove("prestop.dev/delay");
    assert_eq!(found(&running(objects, vec![long])), []);
}

/// A sidecar that was added at admission, as the first container.
#[test]
fn a_pod_is_judged_as_admission_made_it() {
    let objects = good();
    let proxy = json!({"name": "istio-proxy", "image": "istio/proxyv2:1.20.0"});
    let with_proxy = |number| {
        let mut pod = plain(&objects, number);
        pod["spec"]["containers"].as_array_mut().unwrap().insert(0, proxy.clone());
        pod
    };
    let places = |pods: Vec<Value>| -> Vec<_> {
        let found = found(&running(objects.clone(), pods)).into_iter();
        found.map(|it| (it.rule.text().id, it.pointer)).collect()
    };
    let at = "/spec/template/spec/containers".to_owned();
    assert_eq!(places(vec![with_proxy(0)]), [("sidecar-stops-first", at)]);
    // The newest pod counts, whatever the order.
    for pods in [[with_proxy(0), plain(&objects, 1)], [plain(&objects, 1), with_proxy(0)]] {
        assert_eq!(places(pods.into()), []);
    }
    let mut slow = with_proxy(0);
    slow["spec"]["containers"][1]["lifecycle"] = json!({"preStop": {"tcpSocket": {"port": 80}}});
    let found = places(vec![slow]);
    let place = "/spec/template/spec/containers/0/lifecycle/preStop".to_owned();
    assert!(found.contains(&("tcp-socket-hook", place)), "{found:?}");
}

/// Services for single pods of a `StatefulSet` select by a label whose value differs for each pod.
#[test]
fn labels_of_controllers_are_those_of_the_template() {
    let mut objects = good();
    objects[0]["kind"] = json!("StatefulSet");
    let key = "statefulset.kubernetes.io/pod-name";
    apply(
        &mut objects,
        &[("/1/spec/selector".to_owned(), json!({key: "web-0"})), (web("/lifecycle"), json!({}))],
    );
    let mut pod = plain(&objects, 2);
    pod["metadata"]["labels"][key] = json!("web-2");
    assert_eq!(ids(&found(&running(objects, vec![pod]))), ["stops-at-once"]);
}

#[test]
fn what_may_not_be_read_lowers_certainty() {
    let certainty = |unread: &[Topic], changes: &[(String, Value)], rule: Rule| {
        let mut objects = good();
        apply(&mut objects, changes);
        let pods = vec![plain(&objects, 0)];
        let unread = unread.iter().copied().collect();
        let found = found(&Running { objects, pods, unread });
        found.iter().find(|it| it.rule == rule).map(|it| it.certainty)
    };
    let no_hook = || vec![(web("/lifecycle"), json!({}))];
    let lonely = || vec![("/2/spec/selector".to_owned(), json!({"matchLabels": {"app": "other"}}))];
    let one = || {
        let other = ("/3/spec/scaleTargetRef/name".to_owned(), json!("other"));
        vec![other, ("/0/spec/replicas".to_owned(), json!(1))]
    };
    for (unread, changes, rule, expected) in [
        (&[][..], no_hook(), Rule::StopsAtOnce, Some(Certainty::Certain)),
        (&[Topic::Services], no_hook(), Rule::StopsAtOnce, Some(Certainty::Possible)),
        (&[Topic::Pods], no_hook(), Rule::StopsAtOnce, Some(Certainty::Likely)),
        (&[Topic::Namespaces], no_hook(), Rule::StopsAtOnce, Some(Certainty::Certain)),
        (
            &[Topic::Pods, Topic::Namespaces],
            no_hook(),
            Rule::StopsAtOnce,
            Some(Certainty::Possible),
        ),
        (&[Topic::Routes], no_hook(), Rule::StopsAtOnce, Some(Certainty::Certain)),
        (&[], lonely(), Rule::NoBudget, Some(Certainty::Certain)),
        (&[Topic::Budgets], vec![], Rule::NoBudget, Some(Certainty::Possible)),
        (&[Topic::Autoscalers], lonely(), Rule::NoBudget, Some(Certainty::Likely)),
        (&[], one(), Rule::SingleReplica, Some(Certainty::Certain)),
        (&[Topic::Autoscalers], one(), Rule::SingleReplica, Some(Certainty::Likely)),
    ] {
        assert_eq!(certainty(unread, &changes, rule), expected, "{unread:?} {rule:?}");
    }
}

/// If a cluster has no Service in the namespace, no requests are sent there; a manifest does not
/// show that.
#[test]
fn in_a_cluster_no_service_means_no_requests() {
    let mut objects = good();
    objects.remove(1);
    apply(&mut objects, &[(web("/lifecycle"), json!({}))]);
    assert_eq!(ids(&findings(&objects, &policy())), ["stops-at-once"]);
    assert_eq!(found(&running(objects, Vec::new())), []);
}

/// Spot nodes, kubelets and the limits of node pools are read if available, and not guessed.
#[test]
fn nodes_decide_about_nodes() {
    let node = |labels: Value, kubelet: &str| {
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "a", "labels": labels},
            "status": {"nodeInfo": {"kubeletVersion": kubelet}}})
    };
    let pool = |values: &[&str], grace: &str| {
        let requirement =
            json!({"key": "karpenter.sh/capacity-type", "operator": "In", "values": values});
        json!({"apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": {"name": "default"},
            "spec": {"template": {"spec": {
                "requirements": [requirement], "terminationGracePeriod": grace}}}})
    };
    let said = |changes: &[(String, Value)], nodes: Vec<Value>, unread: &[Topic]| {
        let mut objects = good();
        apply(&mut objects, changes);
        objects.extend(nodes);
        let found =
            found(&Running { objects, pods: Vec::new(), unread: unread.iter().copied().collect() });
        let found = found.into_iter();
        found.map(|it| format!("{} {}", it.rule.text().id, it.certainty)).collect::<Vec<_>>()
    };
    let nothing = Vec::<String>::new();
    let tolerates = [
        (pod("/terminationGracePeriodSeconds"), json!(150)),
        (pod("/tolerations"), json!([{"key": "karpenter.sh/capacity-type", "value": "spot"}])),
    ];
    let spot = node(json!({"karpenter.sh/capacity-type": "spot"}), "v1.37.0");
    let plain = || node(json!({}), "v1.37.0");
    assert_eq!(said(&tolerates, vec![plain()], &[]), nothing);
    assert_eq!(said(&tolerates, vec![plain()], &[Topic::Nodes]), ["spot-window possible"]);
    assert_eq!(said(&tolerates, vec![spot], &[]), ["spot-window likely"]);
    assert_eq!(said(&tolerates, vec![pool(&["on-demand"], "10m")], &[]), nothing);
    let both = vec![pool(&["on-demand", "spot"], "10m")];
    assert_eq!(said(&tolerates, both, &[]), ["spot-window likely"]);
    let grace = [(pod("/terminationGracePeriodSeconds"), json!(400))];
    assert_eq!(said(&grace, vec![pool(&[], "5m")], &[]), ["grace-above-limit likely"]);
    assert_eq!(said(&grace, vec![pool(&[], "10m"), pool(&[], "never")], &[]), nothing);
    let exec = [(web("/readinessProbe"), json!({"exec": {"command": ["true"]}}))];
    let old = || node(json!({}), "v1.35.2-eks-1");
    assert_eq!(said(&exec, vec![old(), plain()], &[]), ["exec-readiness-frozen likely"]);
    assert_eq!(said(&exec, vec![plain()], &[]), nothing);
    assert_eq!(said(&exec, vec![old()], &[Topic::Nodes]), nothing, "the API server is newer");
}
