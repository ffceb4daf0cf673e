//! The maximum number of connections, and which one is closed for a new one. A new connection does
//! not wait until another one ends by itself: any client can be slow on purpose, and the new
//! connection may bring a pod.
//!
//! A connection either waits for its client (handshake, head, body, an answer that is not read) or
//! is idle between two requests. Connections that wait longer than any honest client needs are
//! closed first. If there are none, the connection that has been idle longest is closed as long as
//! at most half of all connections are waiting; if more than half are, one that waits is closed. So
//! slow clients can't displace idle API servers, and idle clients can't displace API servers that
//! connect. In each case a connection of the address with the most connections is closed, the
//! oldest of them: a pod that floods the port harms only itself.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::timeout;

/// A connection that waits longer is slow: the network and a busy client need less for a handshake,
/// or from a head to the end of its body.
const SLOW_AFTER: Duration = Duration::from_secs(1);
/// The same limit while a body waits for memory that another connection holds; shorter than that
/// wait.
const HOLDS_TOO_LONG_AFTER: Duration = Duration::from_millis(100);
/// Minimum time that every new connection has for its handshake and first request, even if many
/// others arrive: those wait this long to be accepted.
const AT_LEAST: Duration = Duration::from_millis(25);
/// Bits for the stage in a number that also contains the time since when a connection is in it, in
/// microseconds.
const STAGE_BITS: u32 = 2;

/// The connections of one port.
pub(super) struct Connections {
    most: AtomicUsize,
    began: Instant,
    open: Mutex<OpenConnections>,
    /// Notifies that a connection has ended.
    ended: Notify,
}

#[derive(Default)]
struct OpenConnections {
    next: u64,
    places: HashMap<u64, OpenConnection>,
    /// Number of connections that were asked to close and are still open.
    leaving: usize,
}

struct OpenConnection {
    source: IpAddr,
    state: Arc<State>,
    is_leaving: bool,
}

/// Stage of a connection: what it is waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The handshake, or the rest of a head.
    Head = 0,
    /// The rest of a body.
    Body = 1,
    /// The client, which has to read its answer.
    Answer = 2,
    /// The next request.
    Idle = 3,
}

/// The state of a connection; written by the connection, read by code that needs room for another
/// one.
pub(super) struct State {
    began: Instant,
    stage: AtomicU64,
    was_used: AtomicBool,
    is_unread: AtomicBool,
    evict: Notify,
}

/// The slot of one connection; it is free again when this is dropped.
pub(super) struct Slot {
    connections: Arc<Connections>,
    id: u64,
    state: Arc<State>,
}

impl Connections {
    pub(super) fn new(most: usize) -> Self {
        let most = AtomicUsize::new(most);
        Self { most, began: Instant::now(), open: Mutex::default(), ended: Notify::new() }
    }

    /// Sets the maximum number of connections.
    pub(super) fn set_most(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
    }

    /// Waits for a slot for a client of this address; closes another connection if there is none.
    pub(super) async fn slot(self: &Arc<Self>, source: IpAddr) -> Slot {
        loop {
            let ended = self.ended.notified();
            if let Some(slot) = self.take(source) {
                return slot;
            }
            match self.evict_one() {
                Some(wait) => _ = timeout(wait, ended).await,
                None => ended.await,
            }
        }
    }

    /// Waits until a connection has ended.
    pub(super) async fn one_ended(&self) {
        self.ended.notified().await;
    }

    /// Waits until no connection is left.
    pub(super) async fn all_ended(&self) {
        loop {
            let ended = self.ended.notified();
            if self.lock().places.is_empty() {
                return;
            }
            ended.await;
        }
    }

    fn take(self: &Arc<Self>, source: IpAddr) -> Option<Slot> {
        let mut open = self.lock();
        if open.places.len() >= self.most.load(Ordering::Relaxed) {
            return None;
        }
        let id = open.next;
        open.next += 1;
        let state = Arc::new(State::new(self.began));
        let place = OpenConnection {
            source: source.to_canonical(),
            state: state.clone(),
            is_leaving: false,
        };
        open.places.insert(id, place);
        Some(Slot { connections: self.clone(), id, state })
    }

    /// Closes the connection that is next in line, unless another one is still closing. If it has
    /// not had its minimum time (`AT_LEAST`) yet, closes nothing and returns the rest of that time.
    pub(super) fn evict_one(&self) -> Option<Duration> {
        let mut open = self.lock();
        if open.leaving > 0 {
            return None;
        }
        let waiting = open.first_to_go(|stage| stage != Stage::Idle);
        let idle = open.first_to_go(|stage| stage == Stage::Idle);
        let is_slow = |candidate: &Candidate| {
            candidate.all * 2 > open.places.len() || candidate.state.age() > SLOW_AFTER
        };
        let victim = match (waiting, idle) {
            (Some(waiting), Some(idle)) => Some(if is_slow(&waiting) { waiting } else { idle }),
            (waiting, idle) => waiting.or(idle),
        };
        let has_time = |victim: &Candidate| {
            let left = AT_LEAST.checked_sub(victim.state.age())?;
            (victim.state.stage() != Stage::Idle && !left.is_zero()).then_some(left)
        };
        let left = victim.as_ref().and_then(has_time);
        if left.is_none() {
            open.evict(victim);
        }
        left
    }

    /// Closes a connection that holds memory for longer than a body or an answer takes: a body that is
    /// sent slowly, or an answer that is not read.
    pub(super) fn evict_for_memory(&self) {
        let mut open = self.lock();
        let victim = open
            .first_to_go(|stage| matches!(stage, Stage::Body | Stage::Answer))
            .filter(|victim| victim.state.age() > HOLDS_TOO_LONG_AFTER);
        open.evict(victim);
    }

    fn lock(&self) -> MutexGuard<'_, OpenConnections> {
        // No code that holds the lock can leave the value inconsistent.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The connection to close next, and the number of connections in the same group of stages.
struct Candidate {
    id: u64,
    state: Arc<State>,
    all: usize,
}

impl OpenConnections {
    /// Returns the connection to close among those in these stages: of the address with the most of
    /// them, the one that has been in its stage longest.
    fn first_to_go(&self, is_meant: impl Fn(Stage) -> bool) -> Option<Candidate> {
        let meant = || {
            self.places.iter().filter_map(|(id, place)| {
                let (stage, since) = place.state.now();
                (!place.is_leaving && is_meant(stage)).then_some((id, place, since))
            })
        };
        let mut of_source: HashMap<IpAddr, usize> = HashMap::new();
        let mut all = 0;
        for (_, place, _) in meant() {
            *of_source.entry(place.source).or_default() += 1;
            all += 1;
        }
        let (id, place, _) = meant().max_by_key(|(_, place, since)| {
            (of_source.get(&place.source).copied(), std::cmp::Reverse(*since))
        })?;
        Some(Candidate { id: *id, state: place.state.clone(), all })
    }

    fn evict(&mut self, victim: Option<Candidate>) {
        let Some(victim) = victim else { return };
        if let Some(place) = self.places.get_mut(&victim.id) {
            place.is_leaving = true;
            self.leaving += 1;
            place.state.evict.notify_one();
        }
    }
}

impl State {
    fn new(began: Instant) -> Self {
        let state = Self {
            began,
            stage: AtomicU64::new(0),
            was_used: AtomicBool::new(false),
            is_unread: AtomicBool::new(false),
            evict: Notify::new(),
        };
        state.set(Stage::Head);
        state
    }

    /// Sets the stage, which begins now.
    pub(super) fn set(&self, stage: Stage) {
        let since = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.stage.store(since << STAGE_BITS | stage as u64, Ordering::Relaxed);
    }

    /// Records the start of a request.
    pub(super) fn request_begins(&self) {
        self.was_used.store(true, Ordering::Relaxed);
        self.set(Stage::Body);
    }

    /// Returns the current stage.
    pub(super) fn stage(&self) -> Stage {
        self.now().0
    }

    /// Whether the client did not read its answer in time.
    pub(super) fn is_unread(&self) -> bool {
        self.is_unread.load(Ordering::Relaxed)
    }

    pub(super) fn set_unread(&self) {
        self.is_unread.store(true, Ordering::Relaxed);
    }

    /// Returns the stage and its start, in microseconds since `began`.
    fn now(&self) -> (Stage, u64) {
        let number = self.stage.load(Ordering::Relaxed);
        let known = [Stage::Head, Stage::Body, Stage::Answer, Stage::Idle];
        let is_it = |stage: &Stage| *stage as u64 == number & ((1 << STAGE_BITS) - 1);
        (known.into_iter().find(is_it).unwrap_or(Stage::Idle), number >> STAGE_BITS)
    }

    fn age(&self) -> Duration {
        self.began.elapsed().saturating_sub(Duration::from_micros(self.now().1))
    }
}

impl Slot {
    /// Waits until the connection has to close.
    pub(super) async fn evicted(&self) {
        self.state.evict.notified().await;
    }

    /// Returns the state of the connection.
    pub(super) const fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// Returns all connections of this port.
    pub(super) const fn connections(&self) -> &Arc<Connections> {
        &self.connections
    }

    /// Whether the connection has had a request.
    pub(super) fn was_used(&self) -> bool {
        self.state.was_used.load(Ordering::Relaxed)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.connections.lock();
        if open.places.remove(&self.id).is_some_and(|place| place.is_leaving) {
            open.leaving -= 1;
        }
        drop(open);
        self.connections.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const API_SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    const SOMEBODY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

    async fn in_stage(connections: &Arc<Connections>, source: IpAddr, stage: Stage) -> Slot {
        let slot = connections.slot(source).await;
        slot.state().set(stage);
        // Makes each connection older than the next one, by a few microseconds.
        let began = Instant::now();
        while began.elapsed() < Duration::from_micros(3) {}
        slot
    }

    /// Admits one more connection, and returns which of these was closed for it.
    async fn who_goes(connections: &Arc<Connections>, slots: &mut Vec<Slot>) -> usize {
        if let Some(wait) = connections.evict_one() {
            tokio::time::sleep(wait + Duration::from_millis(1)).await;
            assert_eq!(connections.evict_one(), None);
        }
        // Asking again before it is closed is harmless.
        assert_eq!(connections.evict_one(), None);
        let leaving: Vec<_> = {
            let open = connections.lock();
            let is_leaving =
                |slot: &Slot| open.places.get(&slot.id).is_some_and(|place| place.is_leaving);
            (0..slots.len()).filter(|index| is_leaving(&slots[*index])).collect()
        };
        assert_eq!(leaving.len(), 1);
        slots[leaving[0]].evicted().await;
        drop(slots.remove(leaving[0]));
        leaving[0]
    }

    async fn made(of: &[(IpAddr, Stage)]) -> (Arc<Connections>, Vec<Slot>) {
        let connections = Arc::new(Connections::new(of.len()));
        let mut slots = Vec::new();
        for (source, stage) in of {
            slots.push(in_stage(&connections, *source, *stage).await);
        }
        (connections, slots)
    }

    #[tokio::test]
    async fn while_many_wait_the_longest_waiting_is_closed_and_idle_ones_stay() {
        for stage in [Stage::Head, Stage::Body, Stage::Answer] {
            let (connections, mut slots) = made(&[
                (SOMEBODY, Stage::Idle),
                (SOMEBODY, stage),
                (SOMEBODY, Stage::Body),
                (SOMEBODY, Stage::Head),
            ])
            .await;
            assert_eq!(who_goes(&connections, &mut slots).await, 1, "{stage:?}");
            assert_eq!(who_goes(&connections, &mut slots).await, 1);
        }
    }

    #[tokio::test]
    async fn while_few_wait_the_longest_idle_is_closed_and_new_ones_stay() {
        let (connections, mut slots) = made(&[
            (SOMEBODY, Stage::Head),
            (SOMEBODY, Stage::Idle),
            (SOMEBODY, Stage::Idle),
            (SOMEBODY, Stage::Idle),
        ])
        .await;
        assert_eq!(who_goes(&connections, &mut slots).await, 1);
        assert_eq!(who_goes(&connections, &mut slots).await, 1);
        // One waiting connection of two is not more than half.
        assert_eq!(who_goes(&connections, &mut slots).await, 1);
        assert_eq!(who_goes(&connections, &mut slots).await, 0);
        assert_eq!(connections.evict_one(), None);
        connections.all_ended().await;
    }

    #[tokio::test]
    async fn the_address_with_the_most_connections_gives_one_up() {
        for stage in [Stage::Idle, Stage::Body] {
            let (connections, mut slots) =
                made(&[(API_SERVER, stage), (SOMEBODY, stage), (SOMEBODY, stage)]).await;
            assert_eq!(who_goes(&connections, &mut slots).await, 1, "{stage:?}");
            // Now both have one, and the older one is closed.
            assert_eq!(who_goes(&connections, &mut slots).await, 0);
        }
    }

    #[tokio::test]
    async fn connections_that_wait_too_long_are_closed_before_idle_ones() {
        let (connections, mut slots) = made(&[
            (SOMEBODY, Stage::Idle),
            (SOMEBODY, Stage::Idle),
            (SOMEBODY, Stage::Idle),
            (SOMEBODY, Stage::Body),
        ])
        .await;
        slots[3].state().stage.store(Stage::Body as u64, Ordering::Relaxed);
        connections.evict_for_memory();
        assert_eq!(connections.lock().leaving, 0, "it has not waited long");
        tokio::time::sleep(SLOW_AFTER + Duration::from_millis(1)).await;
        assert_eq!(who_goes(&connections, &mut slots).await, 3);
    }

    #[tokio::test]
    async fn memory_is_taken_back_from_bodies_and_answers_only() {
        for (stage, does_go) in
            [(Stage::Head, false), (Stage::Idle, false), (Stage::Body, true), (Stage::Answer, true)]
        {
            let (connections, slots) = made(&[(SOMEBODY, stage)]).await;
            tokio::time::sleep(HOLDS_TOO_LONG_AFTER + Duration::from_millis(1)).await;
            connections.evict_for_memory();
            assert_eq!(connections.lock().leaving, usize::from(does_go), "{stage:?}");
            drop(slots);
            assert_eq!(connections.lock().leaving, 0);
        }
    }

    #[tokio::test]
    async fn a_new_connection_replaces_the_one_to_close() {
        let (connections, mut slots) = made(&[(SOMEBODY, Stage::Body)]).await;
        let new = tokio::spawn({
            let connections = connections.clone();
            async move { connections.slot(API_SERVER).await }
        });
        slots[0].evicted().await;
        slots.clear();
        let new = new.await.unwrap();
        assert!(!new.was_used());
        new.state().request_begins();
        assert!(new.was_used() && new.state().stage() == Stage::Body);
        // With a maximum of 0 there is no room for a new connection.
        connections.set_most(0);
        let later = connections.slot(API_SERVER);
        assert!(timeout(2 * AT_LEAST, later).await.is_err());
        new.evicted().await;
    }
}
