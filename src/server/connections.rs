//! How many connections there may be. When all places are taken, the connection that has been idle
//! longest goes: it has no request to lose, while a new one may bring a pod. So nobody can keep the
//! API server out by holding connections open.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

/// The places of one port.
pub(super) struct Connections {
    most: usize,
    open: Mutex<Open>,
    /// A place became free, or a connection idle.
    moved: Notify,
}

#[derive(Default)]
struct Open {
    next: u64,
    places: HashMap<u64, Place>,
}

struct Place {
    /// `None` while a request is answered.
    idle_since: Option<Instant>,
    evict: Arc<Notify>,
}

/// One connection's place; free again when this is dropped.
pub(super) struct Slot {
    connections: Arc<Connections>,
    id: u64,
    evict: Arc<Notify>,
    was_used: AtomicBool,
}

/// A request of a connection is being answered; until this is dropped.
pub(super) struct InUse {
    connections: Arc<Connections>,
    id: u64,
}

impl Connections {
    pub(super) fn new(most: usize) -> Self {
        Self { most, open: Mutex::default(), moved: Notify::new() }
    }

    /// A place, as soon as there is one.
    pub(super) async fn slot(self: &Arc<Self>) -> Slot {
        loop {
            let moved = self.moved.notified();
            if let Some(slot) = self.take() {
                return slot;
            }
            self.evict_one();
            moved.await;
        }
    }

    /// Waits until no connection is left.
    pub(super) async fn all_ended(&self) {
        loop {
            let moved = self.moved.notified();
            if self.lock().places.is_empty() {
                return;
            }
            moved.await;
        }
    }

    fn take(self: &Arc<Self>) -> Option<Slot> {
        let mut open = self.lock();
        if open.places.len() >= self.most {
            return None;
        }
        let id = open.next;
        open.next += 1;
        let evict = Arc::new(Notify::new());
        let place = Place { idle_since: Some(Instant::now()), evict: evict.clone() };
        open.places.insert(id, place);
        let was_used = AtomicBool::new(false);
        Some(Slot { connections: self.clone(), id, evict, was_used })
    }

    /// Closes the connection that has been idle longest.
    pub(super) fn evict_one(&self) {
        let open = self.lock();
        let idle = open.places.values().filter_map(|place| Some((place.idle_since?, place)));
        if let Some((_, place)) = idle.min_by_key(|(since, _)| *since) {
            place.evict.notify_one();
        }
    }

    fn set_idle(&self, id: u64, idle_since: Option<Instant>) {
        if let Some(place) = self.lock().places.get_mut(&id) {
            place.idle_since = idle_since;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        // Nothing that holds the lock can leave it half done.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Waits until the connection has to go.
    pub(super) async fn evicted(&self) {
        self.evict.notified().await;
    }

    /// A request begins.
    pub(super) fn in_use(&self) -> InUse {
        self.was_used.store(true, Ordering::Relaxed);
        self.connections.set_idle(self.id, None);
        InUse { connections: self.connections.clone(), id: self.id }
    }

    /// Whether there was ever a request.
    pub(super) fn was_used(&self) -> bool {
        self.was_used.load(Ordering::Relaxed)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.connections.lock().places.remove(&self.id);
        self.connections.moved.notify_waiters();
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.connections.set_idle(self.id, Some(Instant::now()));
        self.connections.moved.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn the_longest_idle_goes_and_busy_ones_stay() {
        let connections = Arc::new(Connections::new(2));
        let busy = connections.slot().await;
        let in_use = busy.in_use();
        let idle = connections.slot().await;
        let new = tokio::spawn({
            let connections = connections.clone();
            async move { connections.slot().await }
        });
        idle.evicted().await;
        drop(idle);
        let new = new.await.unwrap();
        assert!(!new.was_used() && busy.was_used());
        // All are busy: whoever comes waits until one is idle, and takes its place.
        let also_in_use = new.in_use();
        let mut later = std::pin::pin!(connections.slot());
        assert!(tokio::time::timeout(Duration::from_millis(5), &mut later).await.is_err());
        drop(in_use);
        tokio::select! {
            () = busy.evicted() => {}
            _ = &mut later => panic!("there is no place yet"),
        }
        drop(busy);
        let later = later.await;
        drop((also_in_use, new, later));
        connections.all_ended().await;
    }
}
