//! Checks that all contestants do the same work: each contestant's patch, applied to each request,
//! must give the same pod as prestop's patch.

use anyhow::{Context, ensure};
use prestop_bench::naive::STATUS;
use prestop_bench::reviews::{Review, apply, patch_of};
use serde_json::Value;

use crate::client::Request;
use crate::contestants::Contestant;
use crate::process::Stage;

/// Starts each contestant, sends it each request, and compares the resulting pods.
pub(crate) fn check(stage: &Stage<'_>) -> anyhow::Result<()> {
    let wanted = pods(Contestant::Prestop, stage)?;
    for contestant in [Contestant::Naive, Contestant::NetHttp, Contestant::ControllerRuntime] {
        let pods = pods(contestant, stage)?;
        for ((review, pod), wanted) in Review::ALL.iter().zip(&pods).zip(&wanted) {
            ensure!(
                pod == wanted,
                "{} makes another pod of {} than prestop:\n{pod}\n\n{wanted}",
                contestant.name(),
                review.name()
            );
        }
    }
    Ok(())
}

fn pods(contestant: Contestant, stage: &Stage<'_>) -> anyhow::Result<Vec<Value>> {
    let server = stage.start(contestant)?;
    let mut connection = server.target.connect()?;
    let pod = |review: &Review| {
        let body = review.committed()?;
        let answer = connection.review(&Request::mutate(&body))?;
        let mut value: Value = serde_json::from_slice(&body)?;
        let patch = patch_of(&answer)?;
        ensure!(patch.is_some() != (*review == Review::Patched), "{}: {patch:?}", review.name());
        if let Some(patch) = patch {
            apply(&patch, &mut value)?;
        }
        let pod = value.pointer("/request/object").context("no object")?;
        normal(pod).with_context(|| format!("{}, {}", contestant.name(), review.name()))
    };
    Review::ALL.iter().map(pod).collect()
}

/// Removes differences without a meaning: the order of keys in the status, and empty fields that a
/// typed pod contains.
fn normal(pod: &Value) -> anyhow::Result<Value> {
    let mut pod = pod.clone();
    let status = pod.pointer("/metadata/annotations").and_then(|all| all.get(STATUS));
    let status = status.and_then(Value::as_str).context("no status")?;
    let status: Value = serde_json::from_str(status)?;
    if let Some(annotations) =
        pod.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut)
    {
        annotations.insert(STATUS.to_owned(), status);
    }
    if let Some(metadata) = pod.get_mut("metadata").and_then(Value::as_object_mut)
        && metadata.get("creationTimestamp") == Some(&Value::Null)
    {
        metadata.remove("creationTimestamp");
    }
    Ok(pod)
}
