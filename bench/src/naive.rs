//! The answer as in the kube-rs example: a typed pod, a changed clone of it, and `json_patch::diff`
//! of both as values. It is also the reference for the work of every contestant.

use k8s_openapi::api::core::v1::{Lifecycle, LifecycleHandler, Pod, SleepAction};
use kube::core::DynamicObject;
use kube::core::admission::{AdmissionRequest, AdmissionResponse, AdmissionReview};
use serde_json::{Value, json};

/// Delay of the stop, in seconds: prestop's default.
pub const DELAY_SECONDS: i64 = 10;
/// prestop's status annotation.
pub const STATUS: &str = "prestop.dev/status";

/// Answers a review.
#[must_use]
pub fn answer(body: &[u8]) -> Vec<u8> {
    let review: AdmissionReview<Pod> = match serde_json::from_slice(body) {
        Ok(review) => review,
        Err(error) => return written(AdmissionResponse::invalid(error)),
    };
    let request: AdmissionRequest<Pod> = match review.try_into() {
        Ok(request) => request,
        Err(error) => return written(AdmissionResponse::invalid(error)),
    };
    let response = AdmissionResponse::from(&request);
    let Some(pod) = &request.object else { return written(response) };
    written(patched(response, pod).unwrap_or_else(AdmissionResponse::invalid))
}

fn patched(response: AdmissionResponse, pod: &Pod) -> Result<AdmissionResponse, String> {
    let mut changed = pod.clone();
    if !mutate(&mut changed) {
        return Ok(response);
    }
    let value = |pod: &Pod| serde_json::to_value(pod).map_err(|error| error.to_string());
    let patch = json_patch::diff(&value(pod)?, &value(&changed)?);
    response.with_patch(patch).map_err(|error| error.to_string())
}

fn written(response: AdmissionResponse) -> Vec<u8> {
    let review: AdmissionReview<DynamicObject> = response.into_review();
    serde_json::to_vec(&review).unwrap_or_default()
}

/// Adds a hook to each container that has none, raises the grace period, and adds the status.
/// Returns whether anything was changed.
pub fn mutate(pod: &mut Pod) -> bool {
    let Some(spec) = &mut pod.spec else { return false };
    let mut injected: Vec<Value> = Vec::new();
    for container in &mut spec.containers {
        let lifecycle = container.lifecycle.get_or_insert_with(Lifecycle::default);
        if lifecycle.pre_stop.is_some() {
            continue;
        }
        let sleep = Some(SleepAction { seconds: DELAY_SECONDS });
        lifecycle.pre_stop = Some(LifecycleHandler { sleep, ..LifecycleHandler::default() });
        injected.push(json!({
            "name": container.name, "hook": "sleep", "delay": DELAY_SECONDS, "delayFrom": "default",
        }));
    }
    if injected.is_empty() {
        return false;
    }
    let before = spec.termination_grace_period_seconds.unwrap_or(30);
    let after = before + DELAY_SECONDS;
    spec.termination_grace_period_seconds = Some(after);
    let grace = json!({"before": before, "after": after});
    let status = json!({"version": 1, "grace": grace, "containers": injected});
    let annotations = pod.metadata.annotations.get_or_insert_default();
    annotations.insert(STATUS.to_owned(), status.to_string());
    true
}
