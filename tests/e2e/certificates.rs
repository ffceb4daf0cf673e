//! Certificates that the replicas manage themselves, in a live cluster: CAs that change every few
//! seconds, a deleted Secret, an overwritten bundle.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::cluster::{Cluster, wait_at_most, wait_until};
use super::creation::Stream;
use super::figures::{Figures, seconds};
use super::installation::{self, NAMESPACE};

const WEBHOOK: [&str; 2] = ["mutatingwebhookconfiguration", "prestop"];
/// A CA is followed by the next one after 30 seconds.
const SHORT_LIVES: [&str; 4] = [
    "config.certificates.authorityLifetime=45s",
    "config.certificates.lifetime=10s",
    "config.certificates.overlap=5s",
    "config.certificates.lookInterval=1s",
];

fn bundle(cluster: &Cluster) -> String {
    cluster.get(&WEBHOOK)["webhooks"][0]["clientConfig"]["caBundle"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

pub(crate) fn generation(cluster: &Cluster) -> u64 {
    let value = &cluster.get(&WEBHOOK)["metadata"]["annotations"]["prestop.dev/ca-generation"];
    value.as_str().unwrap().parse().unwrap()
}

#[test]
#[ignore = "needs a cluster to throw away; run: tests/e2e/run"]
fn authorities_that_live_for_seconds_cost_no_hook() {
    let cluster = Cluster::connect();
    // Lifetimes apply only to new certificates, so no CA may be left from before.
    installation::remove(&cluster);
    installation::ensure(&cluster, &SHORT_LIVES);
    let shop = cluster.enabled_namespace("rotation");
    let stream = Stream::start(&shop.name, 20);
    let (start, first) = (Instant::now(), generation(&cluster));
    let mut bundles = BTreeSet::new();
    let mut restarts = 0;
    // The first CA; it and the second; the second; it and the third; the third.
    while bundles.len() < 5 {
        assert!(start.elapsed() < Duration::from_secs(300), "it does not go on: {bundles:?}");
        bundles.insert(bundle(&cluster));
        // Also with replicas that are restarted.
        if start.elapsed().as_secs() / 30 > restarts {
            cluster.kubectl(&[
                "rollout",
                "restart",
                "deployment/prestop",
                "--namespace",
                NAMESPACE,
            ]);
            restarts += 1;
        }
        thread::sleep(Duration::from_millis(500));
    }
    let outcome = stream.finish(1000);
    let mut figures = Figures::new("rotation", &["what", "figure"]);
    let steps = generation(&cluster) - first;
    figures.note(
        "changes of what is to be trusted",
        format!("{steps} in {}", seconds(start.elapsed())),
    );
    figures.note("different bundles seen", bundles.len());
    figures.note("restarts of the Deployment meanwhile", restarts);
    figures.note("pods created meanwhile", outcome.created);
    figures.note("refused", outcome.refused.len());
    figures.note("without a hook", outcome.without_hook);
    figures.save();
    outcome.assert_whole(1000);
}

#[test]
#[ignore = "needs a cluster to throw away; run: tests/e2e/run"]
fn what_others_break_is_healed() {
    let cluster = Cluster::connect();
    // A CA from before may have a lifetime of seconds, and then the expected state changes
    // meanwhile.
    installation::remove(&cluster);
    installation::ensure(&cluster, &[]);
    let shop = cluster.enabled_namespace("healed");
    let mut figures = Figures::new(
        "healed",
        &[
            "what somebody did",
            "healed after",
            "pods created meanwhile",
            "refused",
            "without a hook",
        ],
    );
    let mut row = |what: &str, took: Duration, outcome: super::creation::Outcome| {
        figures.add(&[
            what.to_owned(),
            seconds(took),
            outcome.created.to_string(),
            outcome.refused.len().to_string(),
            outcome.without_hook.to_string(),
        ]);
        assert!(outcome.refused.is_empty(), "{:?}", outcome.refused);
        outcome
    };

    let good = bundle(&cluster);
    let stream = Stream::start(&shop.name, 10);
    cluster.kubectl(&[
        "patch",
        WEBHOOK[0],
        WEBHOOK[1],
        "--type=json",
        &format!("--patch={}", replaced(&foreign_authority())),
    ]);
    let took = wait_at_most(Duration::from_secs(60), "the bundle", || bundle(&cluster) == good);
    row("`caBundle` overwritten with another authority", took, stream.finish(50));
    // Noticed by the watch, not by the next poll.
    assert!(took < Duration::from_secs(15), "{took:?}");

    // The replicas may not create a Secret: that right can't be limited to one name.
    let stream = Stream::start(&shop.name, 10);
    let secret = ["secret", "prestop-authority", "--namespace", NAMESPACE];
    cluster.kubectl(&[&["delete"][..], &secret].concat());
    thread::sleep(Duration::from_secs(5));
    let start = Instant::now();
    installation::helm(&cluster, &["upgrade"], &[]);
    wait_until("a new authority", || {
        let (is_there, told) =
            cluster.try_kubectl(&[&["get", "--output=json"][..], &secret].concat());
        is_there && serde_json::from_str::<Value>(&told).unwrap()["data"].is_object()
    });
    let took = start.elapsed();
    let outcome = row("the Secret deleted; after `helm upgrade`", took, stream.finish(50));
    assert_eq!(outcome.without_hook, 0, "what is served goes on");

    let stream = Stream::start(&shop.name, 10);
    let before = generation(&cluster);
    cluster.kubectl(&[
        "patch",
        "secret",
        "prestop-authority",
        "--namespace",
        NAMESPACE,
        "--type=json",
        "--patch=[{\"op\": \"remove\", \"path\": \"/data\"}]",
    ]);
    let took = wait_at_most(Duration::from_secs(90), "another authority", || {
        generation(&cluster) > before
    });
    let outcome = row("the Secret emptied", took, stream.finish(50));
    assert_eq!(outcome.without_hook, 0, "the old authority stays trusted");
    figures.save();
}

fn replaced(bundle: &str) -> Value {
    json!([{"op": "replace", "path": "/webhooks/0/clientConfig/caBundle", "value": bundle}])
}

/// Returns a foreign CA, as base64 of PEM.
fn foreign_authority() -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    STANDARD.encode(parameters.self_signed(&key).unwrap().pem())
}
