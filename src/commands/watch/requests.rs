//! The requests of `--url`: sent by the clients of rehearsals, counted by second and by cause.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, anyhow};
use jiff::Timestamp;
use prestop_rehearsal::load::remote::{self, Remote};
use prestop_rehearsal::picture::Bar;
use prestop_rehearsal::recording::{Client, Ending, Sample};
use prestop_watch::termination::API_VERSION;
use prestop_watch::words::{clock, count};
use serde_json::{Value, json};
use tokio::net::lookup_host;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::cli::Url;
use crate::cluster::watching::now;
use crate::commands::open_files;

const MICROS_A_SECOND: u64 = 1_000_000;
/// Delay from which this program is considered too busy for its work.
const LATE_MICROS: u64 = 250_000;
/// Open files for everything but requests.
const OWN_FILES: u64 = 64;

/// The requests of `--url`.
pub(super) struct Requests {
    url: String,
    remote: Remote,
    running: Option<Running>,
    counts: Counts,
}

struct Running {
    over: watch::Sender<bool>,
    done: oneshot::Receiver<()>,
    samples: UnboundedReceiver<Sample>,
    began: Timestamp,
}

/// The results of the requests.
#[derive(Debug, Default)]
struct Counts {
    sent: u64,
    dropped: u64,
    causes: BTreeMap<Ending, u64>,
    /// Sent and dropped requests: with a new connection each, and on kept connections.
    clients: [(u64, u64); 2],
    /// Requests by the second in which they ended.
    seconds: Vec<Bar>,
    /// Causes of lost requests in seconds that were not reported yet.
    fresh: BTreeMap<usize, BTreeMap<Ending, u64>>,
    most_late_micros: u64,
}

/// The requests that were lost in one second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lost {
    at: Timestamp,
    all: u64,
    causes: BTreeMap<Ending, u64>,
}

/// Checks that there are enough files: while a server hangs, there is a connection for each
/// request, and one that can't be created would be counted as the server's fault.
fn check_files(rate: u32, timeout: Duration, most: u64) -> anyhow::Result<()> {
    let needed = u64::from(rate).saturating_mul(timeout.as_secs());
    if needed > most.saturating_sub(OWN_FILES) {
        return Err(anyhow!(
            "--rate {rate} with --timeout {}s can need {needed} connections at once, and this process may open {most} files: take less of one of them, or raise the limit (ulimit -n)",
            timeout.as_secs()
        ));
    }
    Ok(())
}

impl Requests {
    /// Resolves the address and sends one request. The inner error is the server's, the outer one
    /// is wrong usage.
    pub(super) async fn prepare(
        url: &Url,
        rate: u32,
        timeout: Duration,
    ) -> anyhow::Result<anyhow::Result<Self>> {
        // If this fails, the current limit applies.
        let _ = open_files::raise_limit();
        check_files(rate, timeout, open_files::limit())?;
        let found = lookup_host((url.host.as_str(), url.port)).await;
        let found = found.with_context(|| format!("the address of {}", url.host))?;
        let remote = Remote {
            addresses: found.collect(),
            host: url.authority.clone(),
            path: url.path.clone(),
            rate_per_second: rate,
            timeout,
            seed: u64::from(std::process::id()),
        };
        let url = format!("http://{}{}", url.authority, url.path);
        Ok(match remote::check(&remote).await {
            Ending::Ok => Ok(Self { url, remote, running: None, counts: Counts::default() }),
            ending => {
                Err(anyhow!("{url}: {}; it has to answer before the watch begins", ending.words()))
            }
        })
    }

    /// Starts sending requests, unless already started.
    pub(super) fn start(&mut self) -> anyhow::Result<()> {
        if self.running.is_some() {
            return Ok(());
        }
        let (over, is_over) = watch::channel(false);
        let (send, samples) = unbounded_channel();
        let take = move |sample| {
            // There is no receiver once the watch has ended.
            let _ = send.send(sample);
        };
        let began = now();
        let done =
            remote::start(self.remote.clone(), Instant::now(), is_over, take).context("threads")?;
        self.running = Some(Running { over, done, samples, began });
        Ok(())
    }

    /// Stops sending, and waits for the last answers.
    pub(super) async fn stop(&mut self) {
        if let Some(running) = &mut self.running {
            running.over.send_replace(true);
            let _ = (&mut running.done).await;
        }
    }

    /// Counts the requests that have ended; returns those that were lost in seconds that are over.
    pub(super) fn take(&mut self, at: Timestamp) -> Vec<Lost> {
        let Some(running) = &mut self.running else { return Vec::new() };
        while let Ok(sample) = running.samples.try_recv() {
            self.counts.add(&sample);
        }
        let over = at.duration_since(running.began).as_secs() - 1;
        let over = usize::try_from(over).unwrap_or(0);
        let later = self.counts.fresh.split_off(&over);
        let fresh = std::mem::replace(&mut self.counts.fresh, later);
        let lost = fresh.into_iter().map(|(second, causes)| {
            let bar = self.counts.seconds.get(second).copied().unwrap_or_default();
            let after = jiff::SignedDuration::from_secs(i64::try_from(second).unwrap_or(i64::MAX));
            let at = running.began.checked_add(after).unwrap_or(running.began);
            Lost { at, all: u64::from(bar.answered) + u64::from(bar.dropped), causes }
        });
        lost.collect()
    }

    /// Returns the time at which the first request was sent.
    pub(super) fn began(&self) -> Option<Timestamp> {
        self.running.as_ref().map(|running| running.began)
    }

    /// Returns the requests by second.
    pub(super) fn seconds(&self) -> &[Bar] {
        &self.counts.seconds
    }

    /// Returns the numbers of sent and lost requests.
    pub(super) const fn counts(&self) -> (u64, u64) {
        (self.counts.sent, self.counts.dropped)
    }

    /// Returns the lines for people.
    pub(super) fn lines(&self) -> Vec<String> {
        let Counts { sent, dropped, causes, clients: [new, kept], most_late_micros, .. } =
            &self.counts;
        let mut lines = vec![format!(
            "{} to {}: {dropped} lost{}",
            count(*sent, "request"),
            self.url,
            words(causes)
        )];
        lines.push(format!(
            "  with a new connection each: {} of {} lost; on kept connections: {} of {} lost",
            new.1, new.0, kept.1, kept.0
        ));
        if *most_late_micros > LATE_MICROS {
            lines.push(format!(
                "  note: requests were sent up to {} ms late: this machine is too busy for times to mean much",
                most_late_micros / 1000
            ));
        }
        lines
    }

    /// Returns the result as JSON.
    pub(super) fn json(&self) -> Value {
        let Counts { sent, dropped, causes, clients: [new, kept], most_late_micros, .. } =
            &self.counts;
        json!({
            "apiVersion": API_VERSION,
            "kind": "Requests",
            "url": self.url,
            "sent": sent,
            "lost": dropped,
            "causes": codes(causes),
            "newConnections": {"sent": new.0, "lost": new.1},
            "keptConnections": {"sent": kept.0, "lost": kept.1},
            "mostLateMilliseconds": most_late_micros / 1000,
        })
    }
}

impl Counts {
    fn add(&mut self, sample: &Sample) {
        let is_dropped = !sample.last.is_ok();
        self.sent += 1;
        self.most_late_micros = self.most_late_micros.max(sample.late_micros);
        let second = usize::try_from(sample.ended_micros() / MICROS_A_SECOND).unwrap_or_default();
        if self.seconds.len() <= second {
            self.seconds.resize(second + 1, Bar::default());
        }
        let [new, kept] = &mut self.clients;
        let client = if sample.client == Client::KeptAlive { kept } else { new };
        client.0 += 1;
        let bar = self.seconds.get_mut(second);
        if is_dropped {
            let cause = sample.last;
            self.dropped += 1;
            client.1 += 1;
            *self.causes.entry(cause).or_default() += 1;
            *self.fresh.entry(second).or_default().entry(cause).or_default() += 1;
        }
        if let Some(bar) = bar {
            bar.dropped += u32::from(is_dropped);
            bar.answered += u32::from(!is_dropped);
        }
    }
}

impl Lost {
    /// Returns the line for people.
    pub(super) fn line(&self) -> String {
        let lost: u64 = self.causes.values().sum();
        let (all, at) = (self.all, clock(self.at));
        format!("× {at} {lost} of {} lost{}", count(all, "request"), words(&self.causes))
    }

    /// Returns the JSON object.
    pub(super) fn json(&self) -> Value {
        json!({
            "apiVersion": API_VERSION,
            "kind": "LostRequests",
            "at": self.at.to_string(),
            "sent": self.all,
            "lost": self.causes.values().sum::<u64>(),
            "causes": codes(&self.causes),
        })
    }
}

fn codes(causes: &BTreeMap<Ending, u64>) -> BTreeMap<&'static str, u64> {
    causes.iter().map(|(cause, number)| (cause.code(), *number)).collect()
}

/// Lists the causes, as in ` (3 connection refused, 1 no answer in time)`.
fn words(causes: &BTreeMap<Ending, u64>) -> String {
    if causes.is_empty() {
        return String::new();
    }
    let causes: Vec<_> =
        causes.iter().map(|(cause, number)| format!("{number} {}", cause.words())).collect();
    format!(" ({})", causes.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_connections_than_files_are_wrong_usage() {
        let check = |rate, seconds, most| check_files(rate, Duration::from_secs(seconds), most);
        assert!(check(20, 5, 1024).is_ok() && check(1000, 60, 1_048_576).is_ok());
        let told = check(1000, 5, 1024).unwrap_err().to_string();
        assert!(told.contains("can need 5000 connections at once"), "{told}");
        assert!(check(1, 1, 64).is_err());
    }

    #[test]
    fn each_request_is_counted_once_by_second_and_by_client() {
        let sample = |second: u64, client, last| Sample {
            due_micros: second * MICROS_A_SECOND,
            late_micros: 5,
            took_micros: 1000,
            client,
            replica: None,
            first: last,
            last,
        };
        let mut counts = Counts::default();
        counts.add(&sample(0, Client::NewConnection, Ending::Ok));
        counts.add(&sample(2, Client::NewConnection, Ending::Refused));
        counts.add(&sample(2, Client::KeptAlive, Ending::CutShort));
        counts.add(&sample(2, Client::KeptAlive, Ending::Ok));
        assert_eq!((counts.sent, counts.dropped), (4, 2));
        assert_eq!(counts.clients, [(2, 1), (2, 1)]);
        let bars: Vec<_> = counts.seconds.iter().map(|bar| (bar.answered, bar.dropped)).collect();
        assert_eq!(bars, [(1, 0), (0, 0), (1, 2)]);
        assert_eq!(words(&counts.fresh[&2]), " (1 connection refused, 1 answer cut short)");
        let lost = Lost { at: Timestamp::UNIX_EPOCH, all: 3, causes: counts.fresh[&2].clone() };
        assert_eq!(
            lost.line(),
            "× 00:00:00 2 of 3 requests lost (1 connection refused, 1 answer cut short)"
        );
    }
}
