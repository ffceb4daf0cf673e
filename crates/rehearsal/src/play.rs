//! The inner process: plays the runs of a plan and reports events, one JSON value per line.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;

use super::load::{self, Progress, Service};
use super::plan::{Plan, Termination, Variant};
use super::recording::{Event, Phase, Recording};
use super::rollout::{Entries, Journal, Rollout, RunError};

/// Duration of the load before the first deletion and after the last.
const STEADY: Duration = Duration::from_secs(1);
/// Interval of progress reports.
const TELL_INTERVAL: Duration = Duration::from_secs(2);

/// The messages of the sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Message {
    /// The sandbox is ready.
    Ready,
    /// A run begins.
    Run(Variant),
    /// An event of a replica.
    Event(Event),
    /// Progress of the load.
    Progress {
        /// Number of requests that have ended.
        ended: u64,
        /// Number of these requests that were dropped.
        dropped: u64,
    },
    /// A run is over.
    Recording(Box<Recording>),
    /// A run failed.
    Failed {
        /// Reason of the failure.
        why: String,
        /// Output of the server.
        output: Vec<String>,
    },
}

/// Plays all runs.
pub async fn play(plan: &Plan) {
    for how in &plan.runs {
        tell(&Message::Run(how.variant));
        match run(plan, how).await {
            Ok(recording) => tell(&Message::Recording(Box::new(recording))),
            Err(error) => {
                let output = error.output().to_vec();
                tell(&Message::Failed { why: error.to_string(), output });
                return;
            }
        }
    }
}

async fn run(plan: &Plan, how: &Termination) -> Result<Recording, RunError> {
    let service = Service::default();
    let journal = Journal::new(Arc::new(|event| tell(&Message::Event(event.clone()))));
    let mut rollout = Rollout::new(plan, how, service.clone(), journal.clone());
    rollout.begin().await?;
    let started = journal.start();
    let (over, is_over) = watch::channel(false);
    let (progress, seen) = watch::channel(Progress::default());
    let load = load::start(plan.load.clone(), service, started, is_over, progress);
    let mut load = load.map_err(RunError::NoThreads)?;
    let told = tokio::spawn(tell_progress(seen));
    let rollout_micros = phases(&mut rollout).await?;
    over.send_replace(true);
    let samples = loop {
        tokio::select! {
            samples = &mut load => break samples,
            well = rollout.wait(Duration::from_millis(200)) => well?,
        }
    };
    // The load generator ended without an answer: it panicked, and has reported the panic.
    let samples = samples.map_err(|_| RunError::NoAnswer)?;
    told.abort();
    let Entries { events, hooks, notes } = journal.take();
    Ok(Recording { variant: how.variant, samples, events, hooks, rollout_micros, notes })
}

/// Plays every phase; returns the duration of the phases in which something happens, in
/// microseconds.
async fn phases(rollout: &mut Rollout<'_>) -> Result<u64, RunError> {
    rollout.play(Phase::Steady).await?;
    rollout.wait(STEADY).await?;
    let began = Instant::now();
    for phase in Phase::PLAYED {
        rollout.play(phase).await?;
    }
    let took = began.elapsed();
    rollout.play(Phase::Settled).await?;
    rollout.wait(STEADY).await?;
    Ok(u64::try_from(took.as_micros()).unwrap_or(u64::MAX))
}

async fn tell_progress(mut seen: watch::Receiver<Progress>) {
    loop {
        tokio::time::sleep(TELL_INTERVAL).await;
        let Progress { ended, dropped } = *seen.borrow_and_update();
        tell(&Message::Progress { ended, dropped });
    }
}

/// Sends one message. If that fails, the outer process no longer exists, and this one exits too.
pub fn tell(message: &Message) {
    let mut out = std::io::stdout().lock();
    let told = serde_json::to_writer(&mut out, message).map_err(std::io::Error::from);
    if told.and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush()).is_err() {
        std::process::exit(1);
    }
}
