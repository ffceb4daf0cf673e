//! A container's hook in a report: its delay, quit and wait.

use std::fmt::{self, Write};

use prestop_core::catalogue::Signal;
use prestop_core::duration::{Delay, HumanSeconds};
use prestop_core::engine::hook::{Quit, Task, Watch};
use prestop_core::engine::printable::printable;
use prestop_core::engine::{Injected, Obstacle, Source};
use prestop_core::fronts::{FrontDelay, FrontKind};
use serde::Serialize;

use super::LONGEST_TITLE;

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HookReport<'a> {
    form: &'static str,
    delay_seconds: i64,
    delay_from: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    front: Option<FrontReport<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    watch: Option<WatchReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unwatched: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<TimeoutReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quit: Option<QuitReport<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold: Option<HoldReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    report_to: Option<&'a str>,
}

/// The front that a delay is for.
#[derive(Debug, Clone, Serialize)]
struct FrontReport<'a> {
    name: &'a str,
    title: &'a str,
    /// The path of a request to the pod; empty if the pod itself names the front.
    path: Vec<String>,
    reason: &'a str,
    link: &'a str,
}

/// A delay that ends when no new connections arrive.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
struct WatchReport {
    least_seconds: i64,
    most_seconds: i64,
    quiet_seconds: i64,
    allowed_connections: i64,
    extra_seconds: i64,
}

/// A wait until the connections are closed.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
struct HoldReport {
    longest_seconds: i64,
    from: &'static str,
}

/// Maximum time for the application to finish.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
struct TimeoutReport {
    seconds: i64,
    from: &'static str,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct QuitReport<'a> {
    command: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<&'static str>,
    process_names: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    longest_wait_seconds: Option<i64>,
    from: &'static str,
}

impl HookReport<'_> {
    pub(super) fn write_text(&self, out: &mut impl Write) -> fmt::Result {
        self.write_delay(out)?;
        if let Some(front) = &self.front {
            front.write_text(out)?;
        }
        if let Some(TimeoutReport { seconds, from }) = self.timeout {
            let seconds = HumanSeconds(seconds);
            writeln!(out, "    finish   {seconds} for its requests after that (from {from})")?;
        }
        if let Some(quit) = &self.quit {
            quit.write_text(out)?;
        }
        match (self.hold, &self.quit) {
            (Some(HoldReport { longest_seconds, from }), _) => writeln!(
                out,
                "    hold     until no connection is left, at most {}, before the stop signal (from {from})",
                HumanSeconds(longest_seconds)
            )?,
            (None, Some(QuitReport { longest_wait_seconds: Some(seconds), .. })) => writeln!(
                out,
                "    wait     until it is done, at most {}, before the stop signal",
                HumanSeconds(*seconds)
            )?,
            (None, Some(quit)) if quit.from == Source::OwnHook.name() => {
                writeln!(out, "    wait     none: the stop signal follows when it is done")?;
            }
            (None, Some(_)) => {
                writeln!(out, "    wait     none: the image's own stop signal is graceful")?;
            }
            (None, None) => {}
        }
        if let Some(path) = self.report_to {
            writeln!(out, "    report   to {}", printable(path, LONGEST_TITLE))?;
        }
        Ok(())
    }

    fn write_delay(&self, out: &mut impl Write) -> fmt::Result {
        let how = match self.form {
            "sleep" => "the native sleep action",
            "exec-sleep" => "the image's sleep program",
            _ => "/bin/sh of the image",
        };
        let from = self.delay_from;
        let Some(watch) = self.watch else {
            let delay = HumanSeconds(self.delay_seconds);
            return writeln!(out, "    delay    {delay} (from {from}), by {how}");
        };
        let WatchReport { least_seconds, most_seconds, extra_seconds, .. } = watch;
        let delay = Delay { least_seconds, most_seconds };
        write!(out, "    delay    {delay} (from {from}), by {how}: ends when at most ")?;
        let quiet = HumanSeconds(watch.quiet_seconds);
        write!(out, "{} new connections come in {quiet}", watch.allowed_connections)?;
        if extra_seconds > 0 {
            write!(out, ", and {} later", HumanSeconds(extra_seconds))?;
        }
        writeln!(out)
    }
}

impl FrontReport<'_> {
    fn write_text(&self, out: &mut impl Write) -> fmt::Result {
        let Self { name, title, path, reason, link } = self;
        let path = path.join(" > ");
        let path = if path.is_empty() { "the pod itself" } else { &path };
        writeln!(out, "    front    {name}: {title} ({})", printable(path, LONGEST_TITLE))?;
        writeln!(out, "             {reason} ({link})")
    }
}

impl QuitReport<'_> {
    fn write_text(&self, out: &mut impl Write) -> fmt::Result {
        write!(out, "    quit     ")?;
        if !self.command.is_empty() {
            write!(out, "{}", printable(&self.command.join(" "), LONGEST_TITLE))?;
        }
        if let Some(signal) = self.signal {
            let otherwise = if self.command.is_empty() { "" } else { ", else " };
            write!(out, "{otherwise}{signal} to PID 1")?;
            if !self.process_names.is_empty() {
                write!(out, " if that is {}", self.process_names.join(" or "))?;
            }
        }
        writeln!(out, " (from {})", self.from)
    }
}

impl<'a> From<&'a Injected<'a>> for HookReport<'a> {
    fn from(injected: &'a Injected<'a>) -> Self {
        let script = injected.hook.script();
        let quit = script.and_then(|script| match &script.task {
            Task::Quit(quit) => Some(QuitReport::new(quit, injected)),
            Task::Own { command } => Some(QuitReport::of_own(command, injected)),
            Task::None => None,
        });
        Self {
            form: injected.hook.form(),
            delay_seconds: injected.hook.delay_seconds(),
            delay_from: injected.delay_from.name(),
            front: injected.front.as_ref().map(FrontReport::from),
            timeout: injected
                .timeout
                .map(|(seconds, from)| TimeoutReport { seconds, from: from.name() }),
            quit,
            watch: injected.hook.watch().copied().map(WatchReport::from),
            unwatched: injected.unwatched.map(Obstacle::name),
            hold: injected.hook.wait_seconds().and_then(|longest_seconds| {
                Some(HoldReport { longest_seconds, from: injected.hold_from?.name() })
            }),
            report_to: script.and_then(|script| script.report.as_deref()),
        }
    }
}

impl<'a> From<&'a FrontDelay> for FrontReport<'a> {
    fn from(FrontDelay { kind, path, .. }: &'a FrontDelay) -> Self {
        let path = path.iter().map(ToString::to_string).collect();
        let FrontKind { name, title, reason, link, .. } = kind;
        Self { name, title, path, reason, link }
    }
}

impl From<Watch> for WatchReport {
    fn from(watch: Watch) -> Self {
        Self {
            least_seconds: watch.least_seconds,
            most_seconds: watch.most_seconds,
            quiet_seconds: watch.quiet_seconds,
            allowed_connections: watch.allowed_connections,
            extra_seconds: watch.extra_seconds,
        }
    }
}

impl<'a> QuitReport<'a> {
    /// Creates the report on the command of an existing hook.
    fn of_own(command: &'a [String], injected: &Injected<'_>) -> Self {
        Self {
            command,
            signal: None,
            process_names: &[],
            longest_wait_seconds: injected.hook.wait_seconds(),
            from: Source::OwnHook.name(),
        }
    }

    fn new(quit: &'a Quit<'a>, injected: &Injected<'_>) -> Self {
        Self {
            command: &quit.command,
            signal: quit.signal.map(Signal::name),
            process_names: quit.process_names,
            longest_wait_seconds: injected.hook.wait_seconds(),
            from: injected.quit_from.map_or("", Source::name),
        }
    }
}
