//! Load on a server: closed loop (as fast as it answers), open loop (requests are sent when they
//! are due, whether the previous one has been answered or not), bursts, and connections that are
//! recreated.
//!
//! Connections are pooled as in the API server: the one used last is taken first, at most 25 stay
//! idle, and a missing one is opened with a complete handshake.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};

use crate::client::{Connection, Request, Target};

/// Connections in the closed loop.
pub(crate) const CONNECTIONS: usize = 8;
/// Number of idle connections that client-go keeps for one host.
const MOST_IDLE: usize = 25;
/// Stack size of a client's thread; with the default, 200 of them would take most of the client's
/// memory.
const STACK_BYTES: usize = 256 * 1024;

struct Pool<'a> {
    target: &'a Target,
    idle: Mutex<Vec<Connection>>,
}

impl Pool<'_> {
    fn review(&self, request: &Request) -> anyhow::Result<()> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => self.target.connect()?,
        };
        connection.review(request)?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MOST_IDLE {
            idle.push(connection);
        }
        Ok(())
    }
}

/// Runs the same function in this many threads and collects the measurements.
fn together(
    threads: usize,
    each: impl Fn(usize) -> anyhow::Result<Vec<Duration>> + Sync,
) -> anyhow::Result<Vec<Duration>> {
    thread::scope(|scope| {
        let each = &each;
        let mut running = Vec::new();
        for index in 0..threads {
            let thread = thread::Builder::new().stack_size(STACK_BYTES);
            running.push(thread.spawn_scoped(scope, move || each(index))?);
        }
        let mut all = Vec::new();
        for thread in running {
            all.extend(thread.join().map_err(|_| anyhow!("a client panicked"))??);
        }
        Ok(all)
    })
}

/// Sends a request on each connection as soon as the previous one is answered, for this duration.
pub(crate) fn closed_loop(
    connections: &mut [Connection],
    request: &Request,
    duration: Duration,
) -> anyhow::Result<Vec<Duration>> {
    let end = Instant::now() + duration;
    let connections: Vec<_> = connections.iter_mut().map(Mutex::new).collect();
    together(connections.len(), |index| {
        let connection = connections.get(index).context("a connection each")?;
        let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
        let mut latencies = Vec::new();
        loop {
            let began = Instant::now();
            if began >= end {
                return Ok(latencies);
            }
            connection.review(request)?;
            latencies.push(began.elapsed());
        }
    })
}

/// Sends this many requests per second; latencies are counted from when a request was due.
pub(crate) fn open_loop(
    target: &Target,
    request: &Request,
    per_second: u32,
    duration: Duration,
) -> anyhow::Result<Vec<Duration>> {
    const CLIENTS: usize = 64;
    let pool = Pool { target, idle: Mutex::default() };
    let interval = Duration::from_secs(1) / per_second;
    let count = usize::try_from(duration.as_nanos() / interval.as_nanos())?;
    let next = AtomicUsize::new(0);
    let start = Instant::now() + Duration::from_millis(50);
    together(CLIENTS, |_| {
        let mut latencies = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return Ok(latencies);
            }
            let due = start + interval * u32::try_from(number)?;
            if let Some(left) = due.checked_duration_since(Instant::now()) {
                thread::sleep(left);
            }
            pool.review(request)?;
            latencies.push(due.elapsed());
        }
    })
}

/// Sends bursts of this many concurrent requests, with pauses between them.
pub(crate) fn bursts(
    target: &Target,
    request: &Request,
    at_once: usize,
    times: usize,
    pause: Duration,
) -> anyhow::Result<Vec<Duration>> {
    let pool = Pool { target, idle: Mutex::default() };
    let barrier = Barrier::new(at_once);
    let start = Instant::now() + pause;
    together(at_once, |_| {
        let mut latencies = Vec::new();
        // A thread that failed must still reach the barrier; otherwise the others would wait
        // forever.
        let mut result = Ok(());
        for number in 0..times {
            let due = start + pause * u32::try_from(number)?;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            barrier.wait();
            let began = Instant::now();
            if result.is_ok() {
                result = pool.review(request);
                latencies.push(began.elapsed());
            }
        }
        result.map(|()| latencies)
    })
}

/// Opens this many connections, one after another, with one request each.
pub(crate) fn fresh_connections(
    target: &Target,
    request: &Request,
    count: usize,
) -> anyhow::Result<()> {
    for _ in 0..count {
        target.connect()?.review(request)?;
    }
    Ok(())
}

/// Opens this many connections and keeps them open, with one request each.
pub(crate) fn open_connections(
    target: &Target,
    request: &Request,
    count: usize,
) -> anyhow::Result<Vec<Connection>> {
    let mut connections = Vec::with_capacity(count);
    for _ in 0..count {
        let mut connection = target.connect()?;
        connection.review(request)?;
        connections.push(connection);
    }
    Ok(connections)
}
