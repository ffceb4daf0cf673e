//! Sections 8 and 9 of the rules: the status of an earlier pass, and the rewritten pod.

use prestop_core::policy::Policy;
use serde_json::{Map, Value, json};

use super::hook::hook_of_ours;
use super::settings::name;
use super::{INJECTED, Plan, Problems, STATUS, containers, grace_seconds, own_hook};

/// Content of a trusted status annotation.
pub(super) struct Earlier {
    pub(super) before: i64,
    pub(super) main: Option<String>,
    pub(super) doubtful: bool,
    delays: Map<String, Value>,
}

impl Earlier {
    /// Returns delay and wait of a container whose hook we injected.
    pub(super) fn of(&self, container: &Value) -> Option<(i64, i64)> {
        let entry = self.delays.get(name(container)?)?;
        own_hook(container)?;
        let number = |field: &str| entry.get(field).and_then(Value::as_i64);
        Some((number("delay")?, number("wait").unwrap_or(0)))
    }
}

pub(super) fn believed_status(pod: &Value, problems: &mut Problems) -> Option<Earlier> {
    let status = pod.pointer("/metadata/annotations/prestop.dev~1status")?;
    if status.is_null() {
        return None;
    }
    let earlier = read_status(status, pod);
    if earlier.is_none() {
        problems.insert("status-not-trusted");
    }
    earlier
}

fn read_status(status: &Value, pod: &Value) -> Option<Earlier> {
    let status: Value = serde_json::from_str(status.as_str()?).ok()?;
    let before = status.pointer("/grace/before")?.as_i64()?;
    let after = status.pointer("/grace/after")?.as_i64()?;
    let delays = status.get("containers")?.as_object()?;
    let holds = |(wanted, entry): (&String, &Value)| {
        containers(pod).iter().any(|container| {
            name(container) == Some(wanted)
                && own_hook(container)
                    .and_then(hook_of_ours)
                    .is_some_and(|delay| entry.get("delay") == Some(&delay.into()))
        })
    };
    let believed = !delays.is_empty()
        && status.get("version") == Some(&json!(1))
        && (1..=after).contains(&before)
        && after == grace_seconds(pod)
        && delays.iter().all(holds);
    let main = status.get("main").and_then(Value::as_str).map(str::to_owned);
    let doubtful = status.get("doubtfulHooks") == Some(&json!(true));
    believed.then(|| Earlier { before, main, doubtful, delays: delays.clone() })
}

pub(super) fn rewritten(
    pod: &Value,
    plans: &[Plan<'_>],
    policy: &Policy,
    (grace, after): (i64, i64),
    doubtful: bool,
    earlier: Option<Earlier>,
    main: Option<&str>,
) -> Value {
    let mut result = pod.clone();
    let mut delays = earlier.map(|earlier| earlier.delays).unwrap_or_default();
    for (index, plan) in plans.iter().enumerate() {
        if plan.code != INJECTED {
            continue;
        }
        let hook = plan.hook(pod, &result["spec"]["containers"][index], policy);
        let container = &mut result["spec"]["containers"][index];
        // Indexing turns a null or missing value into an object.
        container["lifecycle"]["preStop"] = hook;
        if let Some(name) = name(container) {
            delays.insert(name.to_owned(), json!({"delay": plan.delay, "wait": plan.wait}));
        }
    }
    if after != grace_seconds(pod) {
        result["spec"]["terminationGracePeriodSeconds"] = after.into();
    }
    let status = json!({
        "version": 1,
        "grace": {"before": grace, "after": after},
        "containers": delays,
        "main": main,
        "doubtfulHooks": doubtful,
    });
    result["metadata"]["annotations"][STATUS] = status.to_string().into();
    result
}
