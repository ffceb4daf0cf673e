//! A steady stream of pods, each retried until it is created: nine of ten as a dry run, which
//! passes admission and is not stored; the tenth is stored, and deleted immediately. One node would
//! not accept a hundred thousand.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::task::JoinSet;

const STATUS: &str = "prestop.dev/status";
/// Maximum number of requests in flight; beyond that the stream waits.
const MOST_UNDER_WAY: usize = 64;
/// One of this many pods is stored.
const FOR_GOOD: u32 = 10;
/// Longer than the webhook's timeout and anything that a working API server needs.
pub(super) const BLOCKED: Duration = Duration::from_secs(10);
/// Pause before a retry: an API server that has just started is busy.
const TRIED_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Result for a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    WithHook,
    WithoutHook,
    /// The pod was refused, with the API server's message.
    Refused(String),
}

/// The attempt that decided the result for a pod.
#[derive(Debug, Clone)]
pub(super) struct Creation {
    pub(super) fate: Fate,
    pub(super) began: Instant,
    pub(super) ended: Instant,
}

#[derive(Debug, Default)]
pub(super) struct Creations {
    pub(super) all: Vec<Creation>,
    /// Attempts that no API server answered, or only one that was not ready: time and reason.
    pub(super) unanswered: Vec<(Instant, String)>,
}

/// Pods that are created in the background.
pub(super) struct Stream {
    stop: Arc<AtomicBool>,
    created: Arc<AtomicUsize>,
    thread: JoinHandle<Creations>,
}

impl Stream {
    pub(super) fn start(namespace: &str, per_second: u32) -> Self {
        let (stop, created) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (namespace, is_stopped, count) = (namespace.to_owned(), stop.clone(), created.clone());
        let thread = thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            runtime.unwrap().block_on(run(&namespace, per_second, &is_stopped, &count))
        });
        Self { stop, created, thread }
    }

    pub(super) fn created(&self) -> usize {
        self.created.load(Ordering::Relaxed)
    }

    pub(super) fn finish(self) -> Creations {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

async fn run(
    namespace: &str,
    per_second: u32,
    stop: &AtomicBool,
    created: &AtomicUsize,
) -> Creations {
    let api: Api<Pod> = Api::namespaced(Client::try_default().await.unwrap(), namespace);
    let (mut creations, mut under_way) = (Creations::default(), JoinSet::new());
    let (began, mut number) = (Instant::now(), 0_u32);
    while !stop.load(Ordering::Relaxed) {
        while let Some(done) = under_way.try_join_next() {
            creations.add(done.unwrap());
        }
        created.store(creations.all.len(), Ordering::Relaxed);
        // Pods that could not be created while the API server was unavailable are created later.
        let is_due = began.elapsed() >= Duration::from_secs(1) * number / per_second;
        if is_due && under_way.len() < MOST_UNDER_WAY {
            number += 1;
            under_way.spawn(create(api.clone(), number));
        } else {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    while let Some(done) = under_way.join_next().await {
        creations.add(done.unwrap());
    }
    creations
}

impl Creations {
    fn add(&mut self, (creation, unanswered): (Creation, Vec<(Instant, String)>)) {
        self.all.push(creation);
        self.unanswered.extend(unanswered);
    }
}

/// Retries until a working API server has answered.
async fn create(api: Api<Pod>, number: u32) -> (Creation, Vec<(Instant, String)>) {
    let is_dry = !number.is_multiple_of(FOR_GOOD);
    let parameters = PostParams { dry_run: is_dry, ..PostParams::default() };
    let mut unanswered = Vec::new();
    loop {
        // A new name for each attempt: an attempt whose answer was lost may have created the pod.
        let name = format!("web-{number}-{}", unanswered.len());
        let began = Instant::now();
        let answer = tokio::time::timeout(2 * BLOCKED, api.create(&parameters, &pod(&name))).await;
        let ended = Instant::now();
        let fate = match answer {
            Err(_) => Fate::Refused(format!("no answer within {:?}", 2 * BLOCKED)),
            Ok(Ok(pod)) if has_status(&pod) => Fate::WithHook,
            Ok(Ok(_)) => Fate::WithoutHook,
            Ok(Err(error)) if is_away(&error) => {
                unanswered.push((began, error.to_string()));
                tokio::time::sleep(TRIED_AGAIN_AFTER).await;
                continue;
            }
            Ok(Err(error)) => Fate::Refused(error.to_string()),
        };
        if !is_dry && !matches!(fate, Fate::Refused(_)) {
            delete(&api, &name).await;
        }
        return (Creation { fate, began, ended }, unanswered);
    }
}

/// Pods that are left after some attempts are deleted with the namespace.
async fn delete(api: &Api<Pod>, name: &str) {
    let at_once = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    for _ in 0..3 {
        if api.delete(name, &at_once).await.is_ok() {
            return;
        }
        tokio::time::sleep(TRIED_AGAIN_AFTER).await;
    }
}

fn pod(name: &str) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": name, "labels": {"app": "e2e-created"}},
        "spec": {
            "schedulerName": "nobody",
            "containers": [{"name": "web", "image": "nginx:1.15"}],
        },
    }))
    .unwrap()
}

fn has_status(pod: &Pod) -> bool {
    let annotations = pod.metadata.annotations.as_ref();
    annotations.is_some_and(|annotations| annotations.contains_key(STATUS))
}

/// Whether the API server or its etcd does not work; no webhook is involved.
fn is_away(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else { return true };
    let message = status.message.as_str();
    let is_starting = status.code == 403 && message.contains("not yet ready to handle request");
    let is_busy = matches!(status.code, 429 | 500 | 503 | 504);
    (is_starting || is_busy) && !message.contains("webhook")
}
