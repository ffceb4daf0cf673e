//! `prestop rehearse`: reads and decides like `inject`, has the sandbox play both runs, and
//! reports.

mod subject;

use std::fs;
use std::io::{self, Read, Write};
use std::process::Stdio;

use anyhow::Context;
use prestop_rehearsal::picture;
use prestop_rehearsal::plan::{Plan, Variant};
use prestop_rehearsal::play::{self, Message};
use prestop_rehearsal::recording::{Happened, Phase, Recording};
use prestop_rehearsal::report::{Played, Rehearsal, json};
use prestop_rehearsal::sandbox::Way;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Child;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Duration, timeout};

use super::{Exit, tell};
use crate::cli::{RehearseArguments, RehearseForm};

/// Time limit for ending the sandbox. The kernel takes milliseconds; a busy machine takes longer.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// Outcome of the sandbox.
enum End {
    /// All runs were played.
    Played(Vec<Recording>),
    /// A run can't be played because of the server.
    Failed { why: String, output: Vec<String> },
    /// A signal asked to end.
    Interrupted,
}

/// Rehearses, in the outer process.
pub(super) fn run(arguments: &RehearseArguments) -> anyhow::Result<Exit> {
    let policy = subject::policy(arguments)?;
    let (subject, plan) = match subject::read(arguments, &policy) {
        Ok(read) => read,
        Err(error) => {
            tell(&format!("error: {error:#}"));
            return Ok(Exit::BadInput);
        }
    };
    let way = Way::find();
    let way = way.map_err(|error| anyhow::anyhow!("{error}\nas root: sudo {}", command_line()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let end = runtime.block_on(outer(way, &plan, arguments.quiet))?;
    let recordings = match end {
        End::Played(recordings) => recordings,
        End::Interrupted => return Ok(Exit::Interrupted),
        End::Failed { why, output } => {
            tell(&format!("error: {why}"));
            if !output.is_empty() {
                tell("last output of the server:");
            }
            for line in output {
                tell(&format!("  {line}"));
            }
            return Ok(Exit::BadInput);
        }
    };
    let runs = plan.runs.iter().cloned().zip(recordings);
    let runs = runs.map(|(how, recording)| Played::new(how, recording)).collect();
    let rehearsal = Rehearsal { subject, plan, runs };
    if let Some(path) = &arguments.svg {
        fs::write(path, picture::of(&rehearsal)).with_context(|| path.display().to_string())?;
    }
    let mut out = io::stdout().lock();
    match arguments.output {
        RehearseForm::Text => out.write_all(rehearsal.text().as_bytes())?,
        RehearseForm::Json => {
            serde_json::to_writer_pretty(&mut out, &json::report(&rehearsal))?;
            out.write_all(b"\n")?;
        }
    }
    Ok(if rehearsal.dropped_as_injected() > 0 { Exit::Found } else { Exit::Done })
}

/// Plays the plan on standard input, in the inner process.
pub(super) fn inner() -> anyhow::Result<Exit> {
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    let plan: Plan = serde_json::from_str(&line).context("this command is internal")?;
    // The outer process has the other end; when it ends, this process (PID 1) ends too.
    std::thread::spawn(|| {
        let mut rest = [0; 64];
        while matches!(io::stdin().read(&mut rest), Ok(count) if count > 0) {}
        std::process::exit(1);
    });
    let loopback = std::process::Command::new("ip").args(["link", "set", "lo", "up"]).status();
    anyhow::ensure!(loopback.context("ip (iproute2)")?.success(), "lo could not be set up");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    play::tell(&Message::Ready);
    runtime.block_on(play::play(&plan));
    Ok(Exit::Done)
}

async fn outer(way: Way, plan: &Plan, is_quiet: bool) -> anyhow::Result<End> {
    let program = std::env::current_exe().context("the path of this program")?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut command = way.command(&program);
    let mut sandbox = command.stderr(Stdio::inherit()).spawn().context("unshare")?;
    let mut stdin = sandbox.stdin.take().context("standard input of the sandbox")?;
    let stdout = sandbox.stdout.take().context("standard output of the sandbox")?;
    let mut text = serde_json::to_vec(plan)?;
    text.push(b'\n');
    // Fails if the sandbox has already ended, which the end of its output shows.
    let _ = stdin.write_all(&text).await;
    let mut lines = BufReader::new(stdout).lines();
    let mut progress = Progress { is_quiet, variant: Variant::AsWritten };
    let mut recordings = Vec::new();
    let mut end = None;
    while end.is_none() {
        let line = tokio::select! {
            line = lines.next_line() => line?,
            _ = interrupt.recv() => { end = Some(End::Interrupted); continue; }
            _ = terminate.recv() => { end = Some(End::Interrupted); continue; }
        };
        let Some(line) = line else { break };
        match serde_json::from_str(&line).context("a message of the sandbox")? {
            Message::Recording(recording) => recordings.push(*recording),
            Message::Failed { why, output } => end = Some(End::Failed { why, output }),
            other => progress.show(&other),
        }
    }
    drop(stdin);
    let status = ended(&mut sandbox).await?;
    if end.is_none() && recordings.len() != plan.runs.len() {
        anyhow::bail!("the sandbox ended before the rehearsal ({status})");
    }
    Ok(end.unwrap_or(End::Played(recordings)))
}

async fn ended(sandbox: &mut Child) -> anyhow::Result<String> {
    if let Ok(status) = timeout(END_TIMEOUT, sandbox.wait()).await {
        return Ok(status?.to_string());
    }
    sandbox.kill().await?;
    Ok("killed".to_owned())
}

/// Progress on standard error.
struct Progress {
    is_quiet: bool,
    variant: Variant,
}

impl Progress {
    fn show(&mut self, message: &Message) {
        let words = match message {
            Message::Run(variant) => {
                self.variant = *variant;
                "starting".to_owned()
            }
            Message::Event(event) => match &event.happened {
                Happened::Phase(phase) if Phase::PLAYED.contains(phase) => {
                    format!("{:.1}s {}", seconds(event.at_micros), phase.words())
                }
                Happened::Killed { replica } => {
                    format!("{:.1}s replica {replica} had to be killed", seconds(event.at_micros))
                }
                _ => return,
            },
            Message::Progress { ended, dropped } => format!("{ended} requests, {dropped} dropped"),
            Message::Ready | Message::Recording(_) | Message::Failed { .. } => return,
        };
        if !self.is_quiet {
            tell(&format!("{}: {words}", self.variant.words()));
        }
    }
}

/// Returns the command line of this program, quoted for a shell.
fn command_line() -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=,@%+".contains(&byte);
    let words = std::env::args().map(|word| {
        if !word.is_empty() && word.bytes().all(plain) {
            word
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

fn seconds(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64()
}
