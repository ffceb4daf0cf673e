//! A steady stream of pods that are created and never run, with the result for each.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::cluster::wait_at_most;

const STATUS: &str = "prestop.dev/status";
/// Maximum number of requests in flight; beyond that the stream waits.
const MOST_UNDER_WAY: usize = 200;

/// Results for the pods.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) created: usize,
    pub(crate) without_hook: usize,
    /// Messages of the API server for refused pods.
    pub(crate) refused: Vec<String>,
    took: Vec<Duration>,
}

impl Outcome {
    /// Returns the maximum duration of 99 of 100 creations.
    pub(crate) fn p99(&self) -> Duration {
        self.took[self.took.len() * 99 / 100]
    }

    pub(crate) fn slowest(&self) -> Duration {
        *self.took.last().unwrap()
    }

    /// Adds the results for further pods.
    pub(crate) fn append(&mut self, other: Self) {
        self.created += other.created;
        self.without_hook += other.without_hook;
        self.refused.extend(other.refused);
        self.took.extend(other.took);
        self.took.sort();
    }

    /// Asserts that no pod was refused, and that each has its hook.
    pub(crate) fn assert_whole(&self, at_least: usize) {
        assert!(self.created >= at_least, "only {} pods", self.created);
        assert!(self.refused.is_empty(), "{} refused: {}", self.refused.len(), self.refused[0]);
        assert_eq!(self.without_hook, 0, "of {}", self.created);
    }
}

/// Pods that are created in the background.
pub(crate) struct Stream {
    stop: Arc<AtomicBool>,
    created: Arc<AtomicUsize>,
    thread: JoinHandle<Outcome>,
}

impl Stream {
    /// Starts to create this many pods per second in a namespace. No scheduler assigns them.
    pub(crate) fn start(namespace: &str, per_second: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let created = Arc::new(AtomicUsize::new(0));
        let (namespace, is_stopped, count) =
            (namespace.to_owned(), Arc::clone(&stop), Arc::clone(&created));
        let thread = thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(run(&namespace, per_second, &is_stopped, &count))
        });
        Self { stop, created, thread }
    }

    /// Waits until this many were created, stops, and returns the results for all.
    pub(crate) fn finish(self, at_least: usize) -> Outcome {
        wait_at_most(Duration::from_secs(600), "pods to be created", || {
            self.created() >= at_least || self.thread.is_finished()
        });
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }

    pub(crate) fn created(&self) -> usize {
        self.created.load(Ordering::Relaxed)
    }
}

/// Creates this many pods one after the other.
pub(crate) fn some(namespace: &str, count: usize) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let api = Api::namespaced(Client::try_default().await.unwrap(), namespace);
        let mut outcome = Outcome::default();
        for _ in 0..count {
            outcome.add(create(&api).await);
        }
        outcome.took.sort();
        outcome
    })
}

async fn run(
    namespace: &str,
    per_second: u32,
    stop: &AtomicBool,
    created: &AtomicUsize,
) -> Outcome {
    let api: Api<Pod> = Api::namespaced(Client::try_default().await.unwrap(), namespace);
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / per_second);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut outcome, mut under_way) = (Outcome::default(), JoinSet::new());
    while !stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        while let Some(done) = under_way.try_join_next() {
            outcome.add(done.unwrap());
        }
        created.store(outcome.created, Ordering::Relaxed);
        if under_way.len() < MOST_UNDER_WAY {
            let api = api.clone();
            under_way.spawn(async move { create(&api).await });
        }
    }
    while let Some(done) = under_way.join_next().await {
        outcome.add(done.unwrap());
    }
    outcome.took.sort();
    outcome
}

/// Whether the pod has its hook, or why it was refused; and the duration.
type Creation = (Result<bool, String>, Duration);

async fn create(api: &Api<Pod>) -> Creation {
    let pod = serde_json::from_value(json!({
        "metadata": {"generateName": "web-", "labels": {"app": "e2e-created"}},
        "spec": {
            "schedulerName": "nobody",
            "containers": [{"name": "web", "image": "nginx:1.15"}],
        },
    }));
    let start = Instant::now();
    let answer = api.create(&PostParams::default(), &pod.unwrap()).await;
    let result = answer.map_err(|error| error.to_string()).map(|pod| {
        pod.metadata.annotations.is_some_and(|annotations| annotations.contains_key(STATUS))
    });
    (result, start.elapsed())
}

impl Outcome {
    fn add(&mut self, (result, took): Creation) {
        self.took.push(took);
        match result {
            Ok(has_hook) => {
                self.created += 1;
                self.without_hook += usize::from(!has_hook);
            }
            Err(reason) => self.refused.push(reason),
        }
    }
}
