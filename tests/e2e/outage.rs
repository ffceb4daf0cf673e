//! The webhook is killed, frozen or missing; the node's kubelet restarts. Pods are created
//! nevertheless.

mod alert;
mod killer;

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::cluster::{Cluster, wait_at_most, wait_until};
use super::creation::{self, Outcome, Stream};
use super::figures::{Figures, seconds};
use super::installation::{self, NAMESPACE, is_ready};
use super::restarts::milliseconds;
use super::traffic::load::Load;
use super::traffic::seen::Watch;
use super::workloads::{Server, content, deployment, service, template};
use killer::{CONTINUE, KILL, Killer, STOP};

/// The chart's `webhook.timeoutSeconds`.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Time for the rest of a creation, on a busy machine.
const REST: Duration = Duration::from_secs(3);

#[test]
#[ignore = "needs a cluster to throw away; run: tests/e2e/run"]
fn killed_replicas_keep_no_pod_from_being_created() {
    let cluster = Cluster::connect();
    installation::ensure(&cluster, &[]);
    let shop = cluster.enabled_namespace("killed");
    let killer = Killer::start(&cluster);
    let stream = Stream::start(&shop.name, 20);
    let (start, mut kills) = (Instant::now(), 0);
    while start.elapsed() < Duration::from_secs(45) {
        let pods = installation::pods(&cluster);
        let ready: Vec<_> = pods.iter().filter(|pod| is_ready(pod)).collect();
        // One at a time: with none left, only the outage of the next test would be measured.
        if let [victim, _, ..] = ready[..] {
            killer.signal(victim, KILL);
            kills += 1;
            let name = victim["metadata"]["name"].as_str().unwrap();
            // A container that is killed repeatedly is restarted later and later; a new pod is not.
            cluster.kubectl(&[
                "delete",
                "pod",
                name,
                "--namespace",
                NAMESPACE,
                "--grace-period=0",
                "--force",
            ]);
        }
        thread::sleep(Duration::from_secs(3));
    }
    let outcome = stream.finish(500);
    let mut figures = Figures::new("killed", &["what", "figure"]);
    let share = 100.0 * as_float(outcome.without_hook) / as_float(outcome.created);
    figures.note(
        "replicas killed with SIGKILL, one after another",
        format!("{kills} in {}", seconds(start.elapsed())),
    );
    figures.note("pods created meanwhile", outcome.created);
    figures.note("refused", outcome.refused.len());
    figures.note("without a hook", format!("{} ({share:.2} %)", outcome.without_hook));
    figures.note(
        "a creation took, 99 of 100 / at most",
        format!("{} / {}", milliseconds(outcome.p99()), milliseconds(outcome.slowest())),
    );
    figures.save();
    assert!(kills >= 5, "{kills}");
    assert!(outcome.refused.is_empty(), "{:?}", outcome.refused);
    assert!(share < 20.0, "{share} %");
    assert!(outcome.slowest() < TIMEOUT * 2 + REST, "{:?}", outcome.slowest());
}

#[test]
#[ignore = "needs a cluster to throw away; run: tests/e2e/run"]
fn without_any_replica_pods_are_created_and_the_alert_sees_it() {
    let cluster = Cluster::connect();
    installation::ensure(&cluster, &[]);
    let shop = cluster.enabled_namespace("gone");
    let before = alert::fail_open_count(&cluster);
    let mut figures = Figures::new(
        "gone",
        &["what", "pods created", "refused", "with a hook", "the slowest creation"],
    );
    // Frozen: the kernel accepts connections, and no process answers.
    let killer = Killer::start(&cluster);
    let replicas = installation::pods(&cluster);
    for replica in &replicas {
        killer.signal(replica, STOP);
    }
    let frozen = creation::some(&shop.name, 5);
    for replica in &replicas {
        killer.signal(replica, CONTINUE);
    }
    cluster.kubectl(&["scale", "deployment/prestop", "--replicas=0", "--namespace", NAMESPACE]);
    wait_until("the end of all replicas", || installation::pods(&cluster).is_empty());
    // One scrape of the API server's metrics after every five pods.
    let mut gone = Outcome::default();
    let mut samples = Vec::new();
    for _ in 0..12 {
        gone.append(creation::some(&shop.name, 5));
        samples.push(alert::fail_open_count(&cluster));
    }
    for (what, outcome, created) in
        [("all replicas frozen (SIGSTOP)", &frozen, 5), ("no replica at all", &gone, 60)]
    {
        let with_hook = outcome.created - outcome.without_hook;
        figures.add(&[
            what.to_owned(),
            outcome.created.to_string(),
            outcome.refused.len().to_string(),
            with_hook.to_string(),
            milliseconds(outcome.slowest()),
        ]);
        assert_eq!((outcome.created, with_hook), (created, 0), "{what}: {:?}", outcome.refused);
        assert!(outcome.slowest() < TIMEOUT + REST, "{what}: {:?}", outcome.slowest());
    }
    let counted = samples.last().unwrap() - before;
    assert!(counted >= 65.0, "{counted} of 65 are counted");
    assert!(alert::fires(&samples), "PrestopFailsOpen does not fire: {samples:?}");
    cluster.kubectl(&["scale", "deployment/prestop", "--replicas=2", "--namespace", NAMESPACE]);
    installation::settled(&cluster);
    figures.save();
}

#[test]
#[ignore = "needs a cluster to throw away; run: tests/e2e/run"]
fn a_restart_of_the_kubelet_during_a_hook_drops_nothing() {
    let cluster = Cluster::connect();
    let Some(restart) = std::env::var_os("PRESTOP_E2E_RESTART_KUBELET") else {
        println!(
            "skipped: PRESTOP_E2E_RESTART_KUBELET is to say by which command the node's kubelet is restarted"
        );
        return;
    };
    installation::ensure(&cluster, &[]);
    let shop = cluster.enabled_namespace("kubelet");
    cluster.apply(&content(&shop.name));
    cluster.apply(&deployment(&shop.name, 2, &template(Server::Nginx115, &Value::Null)));
    cluster.apply(&service(&shop.name));
    let all_ready = || {
        let pods = cluster.list(&["pods", "--namespace", &shop.name]);
        pods.len() == 2 && pods.iter().all(is_ready)
    };
    wait_until("two pods", all_ready);
    let watch = Watch::start(&cluster, &shop.name);
    let load = Load::start(&cluster, &shop.name, Server::Nginx115);
    let pod = cluster.list(&["pods", "--namespace", &shop.name]).remove(0);
    let name = pod["metadata"]["name"].as_str().unwrap();
    let start = Instant::now();
    cluster.kubectl(&["delete", "pod", name, "--namespace", &shop.name, "--wait=false"]);
    // In the middle of the delay of 10 s.
    thread::sleep(Duration::from_secs(4));
    let told = Command::new("sh").arg("-c").arg(restart).output().unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let took = wait_at_most(Duration::from_secs(120), "the end of the pod", || {
        !cluster.try_kubectl(&["get", "pod", name, "--namespace", &shop.name]).0
    });
    let gone_after = start.elapsed();
    assert!(took > Duration::from_secs(1));
    wait_until("two pods", all_ready);
    let report = load.finish();
    let seen = watch.finish();
    let mut figures = Figures::new("kubelet", &["what", "figure"]);
    figures.note("the pod is gone, from its deletion on", seconds(gone_after));
    figures.note(
        "requests meanwhile, dropped",
        format!("{}, {}", report["requests"], report["failed"]),
    );
    figures.note("what people see", seen.in_words());
    figures.save();
    // The pod's grace period is 40 s.
    assert!(gone_after < Duration::from_secs(40 + 20), "{gone_after:?}");
    assert_eq!(report["failed"], 0, "{report:#}");
}

#[allow(clippy::cast_precision_loss)]
fn as_float(count: usize) -> f64 {
    count as f64
}
