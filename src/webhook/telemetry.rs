//! Log lines: their format (`json`), how they are written (`lines`), and the line for each
//! decision.

mod json;
mod lines;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::os::fd::BorrowedFd;
use std::time::Duration;

use tracing::{Level, debug, enabled, error, info};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt, reload};

use self::json::JsonLine;
pub(crate) use self::lines::Lost;
use self::lines::{EventWriter, Lines};
use crate::webhook::settings::{LogFormat, LogLevel, LogSettings};
use prestop_core::admission::{Event, Verdict, Warned};
use prestop_core::engine::hook::Hook;
use prestop_core::engine::printable::{is_printable, printable};
use prestop_core::engine::{ContainerOutcome, Decision, Outcome};

/// The log lines of the process.
static LINES: Lines<BorrowedFd<'static>> = Lines::to(rustix::stdio::stderr());

/// Maximum length of a name. Names in Kubernetes are shorter.
const LONGEST_NAME: usize = 256;
/// Maximum length of the list of a pod's containers, and of its problems.
const LONGEST_LIST: usize = 1024;
/// Bytes that most containers take in such a list.
const USUAL_CONTAINER: usize = 48;

/// Changes the log level while the program runs.
#[derive(Debug, Clone)]
pub(crate) struct LevelHandle(reload::Handle<LevelFilter, Registry>);

/// Sends log lines to standard error from now on. `None` if a subscriber is already set.
#[must_use]
pub(crate) fn start(settings: LogSettings) -> Option<LevelHandle> {
    let (filter, handle) = reload::Layer::new(filter(settings.level));
    let registry = tracing_subscriber::registry().with(filter);
    let is_text = match settings.format {
        LogFormat::Auto => io::stderr().is_terminal(),
        LogFormat::Json => false,
        LogFormat::Text => true,
    };
    let started = if is_text {
        let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let lines =
            fmt::layer().with_writer(|| EventWriter(&LINES)).with_target(false).with_ansi(colours);
        registry.with(lines).try_init()
    } else {
        let lines = fmt::layer().event_format(JsonLine).with_writer(|| EventWriter(&LINES));
        registry.with(lines).try_init()
    };
    started.ok()?;
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let message = panic.payload_as_str().unwrap_or_default();
        error!(place, message = printable(message, LONGEST_LIST), "panic");
    }));
    Some(LevelHandle(handle))
}

/// Writes log lines in batches from now on, without waiting for their reader; for use while a
/// server runs. `lose` is called with the number of lost lines whenever there are some. Runs until
/// it is dropped; call [`write_the_last`] after that.
pub(crate) async fn write_together(lose: impl Fn(Lost)) {
    LINES.write_together(lose).await;
}

/// Writes the waiting lines; later lines are written immediately.
pub(crate) fn write_the_last() {
    LINES.end();
}

impl LevelHandle {
    /// Sets the level: less important lines are not written.
    pub(crate) fn set(&self, level: LogLevel) {
        // The subscriber lives as long as the process.
        let _ = self.0.modify(|now| *now = filter(level));
    }
}

const fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

/// Logs one line for a workload's review: at `info` if there were warnings, otherwise at `debug`.
/// It contains escaped names and the ids of rules.
pub(crate) fn warned(warned: &Warned<'_>, duration: Duration) {
    let Warned { kind, namespace, name, rules, is_dry_run, .. } = *warned;
    if !enabled!(Level::INFO) {
        return;
    }
    let uid = printable(warned.uid, LONGEST_NAME);
    let workload = printable(&format!("{kind} {namespace}/{name}"), LONGEST_NAME);
    let ids: Vec<_> = rules.iter().map(|rule| rule.text().id).collect();
    let warnings = printable(&ids.join(" "), LONGEST_LIST);
    let duration_microseconds = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    if rules.is_empty() {
        debug!(%uid, %workload, dry_run = is_dry_run, duration_microseconds, "workload");
    } else {
        info!(%uid, %workload, %warnings, dry_run = is_dry_run, duration_microseconds, "workload");
    }
}

/// Logs one line for a decision: at `info` if it changed the pod or found a problem, otherwise at
/// `debug`. It contains no text of a pod except escaped names.
pub(crate) fn decided(event: &Event<'_>, duration: Duration) {
    let decision = match event.verdict {
        Verdict::Decided(decision) => decision,
        Verdict::SelfCheckFailed(fault) => {
            let (uid, pod) = (printable(event.uid, LONGEST_NAME), pod_name(event));
            error!(%uid, %pod, fault, "patch withheld: please report this");
            return;
        }
    };
    let is_noteworthy = decision.is_injected() || !decision.problems.is_empty();
    // Disabled lines are not built.
    if is_noteworthy && enabled!(Level::INFO) {
        let line = Line::new(event, decision, duration);
        info!(
            pod = line.pod.as_str(),
            owner = &*line.owner,
            decision = line.decision,
            reason = line.reason,
            containers = line.containers.as_str(),
            grace_before_seconds = line.grace.map(|grace| grace.0),
            grace_after_seconds = line.grace.map(|grace| grace.1),
            problems = line.problems.as_str(),
            dry_run = event.is_dry_run,
            duration_microseconds = line.duration_microseconds,
            "pod"
        );
    } else if enabled!(Level::DEBUG) {
        let line = Line::new(event, decision, duration);
        debug!(
            pod = line.pod.as_str(),
            owner = &*line.owner,
            decision = line.decision,
            reason = line.reason,
            operation = event.operation.name(),
            duration_microseconds = line.duration_microseconds,
            "pod"
        );
    }
}

/// The fields of a log line.
struct Line<'a> {
    pod: String,
    owner: Cow<'a, str>,
    decision: &'static str,
    reason: &'static str,
    containers: String,
    /// The grace period before and after the decision, in seconds.
    grace: Option<(i64, i64)>,
    problems: String,
    duration_microseconds: u64,
}

impl<'a> Line<'a> {
    fn new(event: &Event<'a>, decision: &Decision<'_>, duration: Duration) -> Self {
        let (outcome, reason, grace) = match decision.outcome {
            Outcome::Injected(injection) => {
                let grace = injection.grace;
                ("injected", "", Some((grace.before_seconds, grace.after_seconds)))
            }
            Outcome::Skipped(reason) => ("skipped", reason.code(), None),
        };
        Self {
            pod: pod_name(event),
            owner: printed(event.owner_kind.unwrap_or_default(), LONGEST_NAME),
            decision: outcome,
            reason,
            containers: containers(decision),
            grace,
            problems: problems(decision),
            duration_microseconds: u64::try_from(duration.as_micros()).unwrap_or(u64::MAX),
        }
    }
}

/// Returns the text as printable ASCII of at most `longest` characters; borrowed if it already is.
fn printed(text: &str, longest: usize) -> Cow<'_, str> {
    if is_printable(text, longest) { text.into() } else { printable(text, longest).into() }
}

/// Returns `namespace/name`.
fn pod_name(event: &Event<'_>) -> String {
    let name = [event.namespace, "/", event.name].concat();
    if is_printable(&name, LONGEST_NAME) { name } else { printable(&name, LONGEST_NAME) }
}

/// Lists the containers, for example
/// `web quit 10s wait 25s, proxy sleep 60s for aws-alb-ip from default, log own-hook`.
fn containers(decision: &Decision<'_>) -> String {
    let mut text = String::with_capacity(decision.containers.len() * USUAL_CONTAINER);
    for container in &decision.containers {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(container.name);
        text.push(' ');
        match &container.outcome {
            ContainerOutcome::Injected(injected) => {
                push_hook(&mut text, &injected.hook);
                if let Some(obstacle) = injected.unwatched {
                    text.push_str(" unwatched ");
                    text.push_str(obstacle.name());
                }
                if let Some(front) = &injected.front {
                    for part in [" for ", &front.kind.name, " from ", injected.delay_from.name()] {
                        text.push_str(part);
                    }
                }
            }
            ContainerOutcome::Earlier(_) => text.push_str("earlier-pass"),
            ContainerOutcome::LeftAlone(reason) => text.push_str(reason.code()),
        }
    }
    if is_printable(&text, LONGEST_LIST) { text } else { printable(&text, LONGEST_LIST) }
}

fn push_hook(text: &mut String, hook: &Hook<'_>) {
    text.push_str(hook.form());
    text.push(' ');
    if let Some(watch) = hook.watch() {
        push_seconds(text, watch.least_seconds);
        text.push('-');
    }
    push_seconds(text, hook.delay_seconds());
    if let Some(seconds) = hook.wait_seconds() {
        text.push_str(if hook.holds() { " hold " } else { " wait " });
        push_seconds(text, seconds);
    }
}

fn push_seconds(text: &mut String, seconds: i64) {
    text.push_str(itoa::Buffer::new().format(seconds));
    text.push('s');
}

fn problems(decision: &Decision<'_>) -> String {
    let mut text = String::new();
    for problem in &decision.problems {
        let separator = if text.is_empty() { "" } else { "; " };
        // Writing to a String never fails.
        let _ = write!(text, "{separator}{problem}");
    }
    if is_printable(&text, LONGEST_LIST) { text } else { printable(&text, LONGEST_LIST) }
}
