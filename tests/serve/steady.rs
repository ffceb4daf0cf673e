//! An API server that sends a fixed number of requests a second, whether or not the previous one
//! was answered. It keeps connections as client-go does: the one used last is taken first, at most
//! 25 stay idle, one that was closed in the meantime is not used, and a request is sent once.

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use prestop_test_support::process::Serve;
use prestop_test_support::wire::{ClientTerms, Connection, head};

/// Maximum number of concurrent requests.
const CLIENTS: usize = 32;
/// Number of idle connections that client-go keeps for one host.
const MOST_IDLE: usize = 25;

/// `webhook.timeoutSeconds` of the chart, after which the API server continues without an answer.
const TIMEOUT: Duration = Duration::from_secs(2);

pub(super) struct Steady<'a> {
    serve: &'a Serve,
    /// Head and body.
    request: Vec<u8>,
    idle: Mutex<Vec<Connection>>,
}

/// Results of the requests.
#[derive(Default)]
pub(super) struct Measured {
    /// Times from when each request was due until its answer, in ascending order.
    latencies: Vec<Duration>,
    pub(super) failures: Vec<String>,
    /// Answers without a patch.
    pub(super) unchanged: usize,
}

impl<'a> Steady<'a> {
    pub(super) fn new(serve: &'a Serve, body: &[u8]) -> Self {
        let request = [&head("/mutate?timeout=2s", body.len()).into_bytes()[..], body].concat();
        Self { serve, request, idle: Mutex::default() }
    }

    /// Sends requests for this time.
    pub(super) fn ask(&self, per_second: u32, duration: Duration) -> Measured {
        let interval = Duration::from_secs(1) / per_second;
        let count = usize::try_from(duration.as_nanos() / interval.as_nanos()).unwrap();
        let (next, measured) = (AtomicUsize::new(0), Mutex::<Measured>::default());
        let start = Instant::now() + Duration::from_millis(50);
        thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| {
                    let mut own = Measured::default();
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= count {
                            break;
                        }
                        let due = start + interval * u32::try_from(number).unwrap();
                        thread::sleep(due.saturating_duration_since(Instant::now()));
                        own.add(self.answer(), due.elapsed());
                    }
                    measured.lock().unwrap().append(own);
                });
            }
        });
        let mut measured = measured.into_inner().unwrap();
        measured.latencies.sort_unstable();
        measured
    }

    /// Sends a request. Returns whether the answer has a patch.
    fn answer(&self) -> io::Result<bool> {
        let mut connection = match self.kept() {
            Some(connection) => connection,
            None => Connection::open_with(self.serve, ClientTerms::default())?,
        };
        connection.send(&self.request)?;
        let answer = connection.answer()?;
        if answer.status != 200 {
            return Err(io::Error::other(format!("status {}", answer.status)));
        }
        let has_patch = answer.response().get("patch").is_some();
        let mut idle = self.idle.lock().unwrap();
        if answer.header("connection") != Some("close") && idle.len() < MOST_IDLE {
            idle.push(connection);
        }
        Ok(has_patch)
    }

    fn kept(&self) -> Option<Connection> {
        loop {
            let connection = self.idle.lock().unwrap().pop()?;
            let socket = connection.socket();
            socket.set_nonblocking(true).ok()?;
            let seen = socket.peek(&mut [0]);
            socket.set_nonblocking(false).ok()?;
            // The server has neither closed the connection nor sent an alert.
            if seen.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
                return Some(connection);
            }
        }
    }
}

impl Measured {
    fn add(&mut self, answer: io::Result<bool>, took: Duration) {
        self.latencies.push(took);
        match answer {
            Ok(_) if took > TIMEOUT => self.failures.push(format!("answered after {took:?}")),
            Ok(has_patch) => self.unchanged += usize::from(!has_patch),
            Err(error) => self.failures.push(error.to_string()),
        }
    }

    fn append(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.failures.extend(other.failures);
        self.unchanged += other.unchanged;
    }

    pub(super) fn count(&self) -> usize {
        self.latencies.len()
    }

    /// Returns the time within which this many of 1,000 requests were answered.
    pub(super) fn quantile(&self, per_thousand: usize) -> Duration {
        self.latencies[(self.latencies.len() - 1) * per_thousand / 1_000]
    }

    /// `12000 requests, 0 failed, 0 without a patch, p50 0.4 ms, p99 2.1 ms, at most 12.0 ms`.
    pub(super) fn in_words(&self) -> String {
        format!(
            "{} requests, {} failed, {} without a patch, p50 {}, p99 {}, at most {}",
            self.count(),
            self.failures.len(),
            self.unchanged,
            milliseconds(self.quantile(500)),
            milliseconds(self.quantile(990)),
            milliseconds(self.quantile(1_000))
        )
    }
}

pub(super) fn milliseconds(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}
