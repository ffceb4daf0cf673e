//! How many connections there may be, and which one makes room for a new one. A place is never
//! waited for: any client can be slow on purpose, and a new connection may bring a pod.
//!
//! A connection waits for its client (handshake, head, body, an answer that is not read) or is idle
//! between two requests. Connections that wait longer than any honest client are closed first; as long
//! as no more than half of the places wait, the one that has been idle longest follows; and where more
//! than half of them do, again one that waits. So slow clients can't take the places of idle API
//! servers, nor idle clients those of API servers that connect. Of each kind, a client of the address
//! with the most connections goes, the oldest of them: a pod that floods the port harms only itself.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::timeout;

/// Longer than the network and a busy client need for a handshake, or from a head to its body's end.
const SLOW_AFTER: Duration = Duration::from_secs(1);
/// The same where a body waits for memory that another connection holds; less than the body waits.
const HOLDS_TOO_LONG_AFTER: Duration = Duration::from_millis(100);
/// The time that every new connection has for its handshake and first request, even if many others
/// arrive: those wait this long to be accepted.
const AT_LEAST: Duration = Duration::from_millis(25);
/// For a stage and the microseconds since when a connection is in it, in one number.
const STAGE_BITS: u32 = 2;

/// The places of one port.
pub(super) struct Connections {
    most: AtomicUsize,
    began: Instant,
    open: Mutex<OpenConnections>,
    /// A place became free.
    ended: Notify,
}

#[derive(Default)]
struct OpenConnections {
    next: u64,
    places: HashMap<u64, OpenConnection>,
    /// Connections that were asked to close and are still open.
    leaving: usize,
}

struct OpenConnection {
    source: IpAddr,
    state: Arc<State>,
    is_leaving: bool,
}

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The handshake, or the rest of a head.
    Head = 0,
    /// The rest of a body.
    Body = 1,
    /// That the client reads its answer.
    Answer = 2,
    /// The next request.
    Idle = 3,
}

/// The state of a connection; written by the connection, read by code that needs its place.
pub(super) struct State {
    began: Instant,
    stage: AtomicU64,
    was_used: AtomicBool,
    is_unread: AtomicBool,
    evict: Notify,
}

/// One connection's place; free again when this is dropped.
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

    /// As many places from now on.
    pub(super) fn set_most(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
    }

    /// A place for a client of this address, as soon as there is one.
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

    /// Closes the connection that has to go first. Until it has gone, no other one does. The time after
    /// which to ask again, where it has not been there for long enough.
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

/// Who would have to go, and how many there are of its kind.
struct Candidate {
    id: u64,
    state: Arc<State>,
    all: usize,
}

impl OpenConnections {
    /// Of the connections in these stages, the one that is in it longest, of the address with the most.
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

    /// What it waits for from now on.
    pub(super) fn set(&self, stage: Stage) {
        let since = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.stage.store(since << STAGE_BITS | stage as u64, Ordering::Relaxed);
    }

    /// A request begins.
    pub(super) fn request_begins(&self) {
        self.was_used.store(true, Ordering::Relaxed);
        self.set(Stage::Body);
    }

    /// What it waits for.
    pub(super) fn stage(&self) -> Stage {
        self.now().0
    }

    /// The answer was not read in time.
    pub(super) fn is_unread(&self) -> bool {
        self.is_unread.load(Ordering::Relaxed)
    }

    pub(super) fn set_unread(&self) {
        self.is_unread.store(true, Ordering::Relaxed);
    }

    /// The stage, and since when, in microseconds.
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
    /// Waits until the connection has to go.
    pub(super) async fn evicted(&self) {
        self.state.evict.notified().await;
    }

    /// What the connection does.
    pub(super) const fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// All connections of this port.
    pub(super) const fn connections(&self) -> &Arc<Connections> {
        &self.connections
    }

    /// Whether there was ever a request.
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
        // Each is older than the next one, to the microsecond.
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
        // Of two connections one that waits is not more than half.
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
        // Fewer places: no new one until two are free.
        connections.set_most(0);
        let later = connections.slot(API_SERVER);
        assert!(timeout(2 * AT_LEAST, later).await.is_err());
        new.evicted().await;
    }
}
