//! The workload of `--until-rolled`.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, anyhow};
use prestop_watch::rollout::{Kind, Progress, selector};
use prestop_watch::state::Watch;
use serde_json::Value;
use tokio::time::{Instant, timeout};

use crate::cli::WorkloadName;
use crate::cluster::api::{Api, Collection, failure};

/// Time limit for each answer of the API server.
const PATIENCE: Duration = Duration::from_secs(5);
/// Time within which the deletion of the last old pod is seen.
const LAST_DELETION: Duration = Duration::from_secs(2);

/// A workload whose rollout is awaited.
pub(super) struct Rolled {
    api: Api,
    collection: Collection,
    kind: Kind,
    name: String,
    selector: String,
    done_since: Option<Instant>,
}

/// Progress of the rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// It is not done, for this reason.
    Waits(String),
    /// It is done, and the old pods have ended.
    Done,
    /// It will not succeed, for this reason.
    Failed(String),
    /// The workload does not roll out by itself, for this reason.
    NeverRolls(String),
}

impl Rolled {
    /// Finds the workload. The inner error is wrong usage, the outer one is the cluster's.
    pub(super) async fn find(
        api: Api,
        namespace: &str,
        workload: &WorkloadName,
    ) -> anyhow::Result<anyhow::Result<Self>> {
        let WorkloadName { kind, name } = workload.clone();
        let (group_version, plural) = kind.api();
        let collection = Collection::of(group_version, namespace, plural);
        let what = format!("{} {name} in namespace {namespace}", kind.word());
        let asked = timeout(PATIENCE, api.get::<Value>(&collection, &name)).await;
        let asked = asked.with_context(|| format!("{what}: no answer"))?;
        let object = asked.map_err(|error| anyhow!("{what}: {}", failure::reason(&error)))?;
        let object = object.ok_or_else(|| anyhow!("there is no {what}"))?;
        if let Progress::NeverRolls(why) = kind.progress(&object) {
            return Ok(Err(anyhow!("{what} does not roll by itself: {why}")));
        }
        let selector = selector(&object).ok_or_else(|| anyhow!("{what} has no selector"))?;
        Ok(Ok(Self { api, collection, kind, name, selector, done_since: None }))
    }

    /// Returns the label selector of the workload's pods.
    pub(super) fn selector(&self) -> &str {
        &self.selector
    }

    /// Polls the workload. If the API server does not answer, the result is to wait.
    pub(super) async fn look(&mut self, state: &Watch) -> Step {
        let asked = timeout(PATIENCE, self.api.get::<Value>(&self.collection, &self.name)).await;
        let object = match asked {
            Ok(Ok(Some(object))) => object,
            Ok(Ok(None)) => return Step::Failed("it was deleted".to_owned()),
            Ok(Err(error)) => return Step::Waits(failure::reason(&error)),
            Err(_) => return Step::Waits("the API server to answer".to_owned()),
        };
        match self.kind.progress(&object) {
            Progress::Done => self.old_pods(state),
            Progress::Failed(why) => Step::Failed(why),
            Progress::NeverRolls(why) => Step::NeverRolls(why),
            Progress::Waiting(why) => {
                self.done_since = None;
                Step::Waits(why)
            }
        }
    }

    fn old_pods(&mut self, state: &Watch) -> Step {
        let since = *self.done_since.get_or_insert_with(Instant::now);
        match state.ending().len() {
            _ if state.silent_since().is_some() => {
                Step::Waits("the API server to answer".to_owned())
            }
            0 if since.elapsed() >= LAST_DELETION => Step::Done,
            0 => Step::Waits("the last old pods".to_owned()),
            count => Step::Waits(format!("{count} old pods to end")),
        }
    }
}

impl fmt::Display for Rolled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.word(), self.name)
    }
}
