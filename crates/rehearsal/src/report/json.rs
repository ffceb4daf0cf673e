//! The report as JSON. New fields may be added; existing ones keep their meaning.

use serde_json::{Map, Value, json};

use super::{Played, Rehearsal};
use crate::plan::Range;
use crate::plan::container::HookAction;
use crate::recording::{Event, Happened, HookEnd, HookReport, HookResult, Phase, Sample};
use crate::tally::{Count, phases};

/// The version of the report.
pub const API_VERSION: &str = "prestop.dev/v1alpha1";
/// The kind of the report.
pub const KIND: &str = "RehearsalReport";

/// Returns the report as a JSON value.
#[must_use]
pub fn report(rehearsal: &Rehearsal) -> Value {
    let Rehearsal { subject, plan, runs } = rehearsal;
    let long = plan.load.long.as_ref();
    json!({
        "apiVersion": API_VERSION,
        "kind": KIND,
        "workload": subject.workload,
        "container": subject.container,
        "image": subject.image,
        "command": plan.command,
        "replicas": plan.replicas,
        "port": plan.port,
        "stopSignal": {"name": plan.stop_signal, "from": subject.stop_signal_from},
        "endpointDelaySeconds": {
            "least": plan.endpoint_delay.least.as_secs_f64(),
            "most": plan.endpoint_delay.most.as_secs_f64(),
        },
        "lateEndpointsSeconds": plan.late_endpoints.as_secs_f64(),
        "load": {
            "ratePerSecond": plan.load.rate_per_second,
            "leastRequests": plan.load.least_requests,
            "seed": plan.load.seed,
            "path": plan.load.path,
            "timeoutSeconds": plan.load.timeout.as_secs_f64(),
            "longPath": long.map(|long| long.path.as_str()),
            "longSeconds": long.map(|long| long.takes.as_secs_f64()),
            "longInFlight": long.map(|long| long.in_flight),
        },
        "unchanged": subject.unchanged,
        "asWritten": runs.first().map(run),
        "asInjected": runs.last().map(run),
        "notes": rehearsal.notes(),
        "verdict": rehearsal.verdict(),
    })
}

fn run(run: &Played) -> Value {
    let Played { how, recording, tally } = run;
    let endings: Map<_, _> = tally
        .endings
        .iter()
        .map(|(ending, count)| (ending.code().to_owned(), json!(count)))
        .collect();
    let clients: Map<_, _> =
        tally.clients.iter().map(|(client, of)| (client.code().to_owned(), count(of))).collect();
    let by_phase: Map<_, _> =
        tally.phases.iter().map(|(phase, of)| (phase.code().to_owned(), count(of))).collect();
    let began = phases(recording);
    let dropped = recording.samples.iter().filter(|sample| !sample.first.is_ok());
    json!({
        "hook": hook(how.hook.as_ref()),
        "hookWords": how.hook_words(),
        "watch": how.measured.as_ref().and_then(|measured| measured.range).map(range),
        "gracePeriodSeconds": how.grace_period_seconds,
        "requests": count(&tally.all),
        "droppedByCause": endings,
        "byClient": clients,
        "byPhase": by_phase,
        "answersSeconds": {
            "median": tally.latency.median.as_secs_f64(),
            "p99": tally.latency.p99.as_secs_f64(),
            "slowest": tally.latency.slowest.as_secs_f64(),
        },
        "rolloutSeconds": seconds(recording.rollout_micros),
        "mostLateSeconds": tally.most_late.as_secs_f64(),
        "hooks": recording.hooks.iter().map(hook_end).collect::<Vec<_>>(),
        "events": recording.events.iter().map(event).collect::<Vec<_>>(),
        "failedAttempts": dropped.map(|sample| attempt(sample, &began)).collect::<Vec<_>>(),
    })
}

fn count(count: &Count) -> Value {
    json!({
        "sent": count.sent,
        "ok": count.ok,
        "dropped": count.dropped,
        "droppedWithoutRetry": count.dropped_without_retry,
    })
}

fn attempt(sample: &Sample, began: &[(u64, Phase)]) -> Value {
    let ended = sample.ended_micros();
    let phase = began.iter().rev().find(|(micros, _)| *micros <= ended);
    json!({
        "atSeconds": seconds(sample.due_micros),
        "tookSeconds": seconds(sample.took_micros),
        "client": sample.client.code(),
        "replica": sample.replica,
        "phase": phase.map_or(Phase::Steady, |(_, phase)| *phase).code(),
        "firstAttempt": sample.first.code(),
        "ending": sample.last.code(),
    })
}

fn event(event: &Event) -> Value {
    let (what, replica) = match &event.happened {
        Happened::Phase(phase) => {
            return json!({"atSeconds": seconds(event.at_micros), "event": "phase", "phase": phase.code()});
        }
        Happened::Ready { replica } => ("ready", replica),
        Happened::Deleted { replica } => ("deleted", replica),
        Happened::Withdrawn { replica } => ("withdrawn", replica),
        Happened::DelayOver { replica } => ("delayOver", replica),
        Happened::HookOver { replica } => ("hookOver", replica),
        Happened::StopSignal { replica } => ("stopSignal", replica),
        Happened::Killed { replica } => ("killed", replica),
        Happened::Exited { replica } => ("exited", replica),
    };
    json!({"atSeconds": seconds(event.at_micros), "event": what, "replica": replica})
}

fn hook(hook: Option<&HookAction>) -> Value {
    match hook {
        None => Value::Null,
        Some(HookAction::Sleep { seconds }) => json!({"sleep": {"seconds": seconds}}),
        Some(HookAction::Exec { command }) => json!({"exec": {"command": command}}),
        Some(HookAction::HttpGet { path, port }) => {
            json!({"httpGet": {"path": path, "port": port}})
        }
        Some(HookAction::Failing { why }) => json!({"failing": why}),
    }
}

fn hook_end(hook: &HookEnd) -> Value {
    let (result, detail) = match &hook.result {
        HookResult::Done => ("done", Value::Null),
        HookResult::Status(status) => ("status", json!(status)),
        HookResult::Failed(why) => ("failed", json!(why)),
        HookResult::NotInTime => ("notInTime", Value::Null),
    };
    json!({
        "replica": hook.replica,
        "result": result,
        "detail": detail,
        "tookSeconds": seconds(hook.took_micros),
        "output": hook.output,
        "report": hook.report.as_ref().map(report_of_hook),
    })
}

fn range(range: Range) -> Value {
    let Range { least, most, quiet, allowed, extra } = range;
    json!({
        "leastSeconds": least,
        "mostSeconds": most,
        "quietSeconds": quiet,
        "allowedConnections": allowed,
        "extraSeconds": extra,
    })
}

fn report_of_hook(report: &HookReport) -> Value {
    let HookReport { delay, last, new, quit, left, waited, lines } = report;
    json!({
        "delaySeconds": delay,
        "lastSeconds": last,
        "newConnections": new,
        "quitStatus": quit,
        "connectionsLeft": left,
        "waitedSeconds": waited,
        "lines": lines,
    })
}

fn seconds(micros: u64) -> f64 {
    std::time::Duration::from_micros(micros).as_secs_f64()
}
