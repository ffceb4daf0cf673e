//! The webhook is replaced while pods are created: no pod is refused, and none lacks its hook.

use std::time::{Duration, Instant};

use super::cluster::Cluster;
use super::creation::Stream;
use super::figures::{Figures, seconds};
use super::installation::{self, NAMESPACE};

const RESTARTS: usize = 10;
const PODS: usize = 2000;
const PER_SECOND: u32 = 25;

#[test]
#[ignore = "needs a cluster to throw away; run: tests/e2e/run"]
fn pods_that_are_created_during_its_own_rollouts_get_hooks() {
    let cluster = Cluster::connect();
    installation::ensure(&cluster, &[]);
    let shop = cluster.enabled_namespace("restarts");
    let stream = Stream::start(&shop.name, PER_SECOND);
    let start = Instant::now();
    for _ in 0..RESTARTS {
        cluster.kubectl(&["rollout", "restart", "deployment/prestop", "--namespace", NAMESPACE]);
        installation::rolled_out(&cluster);
    }
    let took = start.elapsed();
    // Until the last of the old replicas has ended: they answer until then.
    installation::settled(&cluster);
    let outcome = stream.finish(PODS);
    let mut figures = Figures::new("restarts", &["what", "figure"]);
    figures
        .note("restarts of the webhook's Deployment", format!("{RESTARTS} in {}", seconds(took)));
    figures.note("pods created meanwhile", outcome.created);
    figures.note("refused", outcome.refused.len());
    figures.note("without a hook", outcome.without_hook);
    figures.note(
        "a creation took, 99 of 100 / at most",
        format!("{} / {}", milliseconds(outcome.p99()), milliseconds(outcome.slowest())),
    );
    figures.save();
    outcome.assert_whole(PODS);
}

pub(crate) fn milliseconds(duration: Duration) -> String {
    format!("{} ms", duration.as_millis())
}
