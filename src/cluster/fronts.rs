//! Services and the objects in front of them, kept up to date by watches, so that the server sends
//! no request between a review and its answer. Only what the table of fronts needs is kept.
//!
//! Each kind of object has its own watch. A kind that the cluster does not have, because its CRD is
//! missing, is tried again at intervals. If a kind can't be watched, its last known state stays in
//! use.

mod kinds;

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::pin;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use kube::Client;
use kube::api::{Api, DynamicObject};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use prestop_core::admission::Fronts;
use prestop_core::fronts::{FrontDelay, FrontTable, PodShape, Surroundings};
use prestop_core::policy::DELAY_WITHOUT_FRONTS;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{info, warn};

pub(crate) use self::kinds::{KINDS, WatchedKind};

/// Objects per page; the objects of a page are in memory together.
const OBJECTS_A_PAGE: u32 = 20;
/// Interval between attempts to watch a kind that the cluster does not have.
const LOOK_AGAIN: Duration = Duration::from_secs(20);

/// The fronts of pods, as last seen by the watches.
#[derive(Debug)]
pub(crate) struct WatchedFronts(RwLock<State>);

#[derive(Debug)]
struct State {
    known: Surroundings<'static>,
    /// One for each of [`KINDS`].
    watches: Vec<Watch>,
}

/// State of the watch of one kind.
#[derive(Debug, Clone, Copy, Default)]
struct Watch {
    /// Whether all objects have been read, or the cluster does not have the kind.
    is_synced: bool,
    failing_since: Option<SystemTime>,
}

/// The watch of one version of a kind.
struct Follower<'w> {
    fronts: &'w WatchedFronts,
    place: usize,
    kind: &'static WatchedKind,
    api_version: String,
    /// Hashes of the names in the list that is being read.
    listed: HashSet<u64>,
}

impl Default for WatchedFronts {
    fn default() -> Self {
        let known = Surroundings::new(FrontTable::built_in(), "");
        Self(RwLock::new(State { known, watches: vec![Watch::default(); KINDS.len()] }))
    }
}

impl WatchedFronts {
    /// Keeps all kinds up to date, forever. `now` is called when a watch fails.
    pub(crate) async fn watch(self: Arc<Self>, client: Client, now: fn() -> SystemTime) {
        let mut tasks = JoinSet::new();
        for (place, kind) in KINDS.iter().enumerate() {
            tasks.spawn(self.clone().watch_kind(place, kind, client.clone(), now));
        }
        while tasks.join_next().await.is_some() {}
    }

    /// Whether every kind has been read once, or does not exist in the cluster.
    #[must_use]
    pub(crate) fn is_synced(&self) -> bool {
        self.read().is_synced()
    }

    /// Returns the time since which the known state may be outdated.
    #[must_use]
    pub(crate) fn failing_since(&self) -> Option<SystemTime> {
        self.read().watches.iter().filter_map(|watch| watch.failing_since).min()
    }

    async fn watch_kind(
        self: Arc<Self>,
        place: usize,
        kind: &'static WatchedKind,
        client: Client,
        now: fn() -> SystemTime,
    ) {
        loop {
            for version in kind.versions {
                let resource = kind.resource(version);
                let api = Api::all_with(client.clone(), &resource);
                let api_version = resource.api_version;
                let listed = HashSet::new();
                let follower = Follower { fronts: &self, place, kind, api_version, listed };
                follower.follow(api, now).await;
            }
            self.absent(place, kind);
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Removes all objects of a kind that the cluster does not have.
    fn absent(&self, place: usize, kind: &WatchedKind) {
        let mut state = self.write();
        let State { known, watches } = &mut *state;
        for version in kind.versions {
            known.retain(&kind.resource(version).api_version, kind.kind, |_, _| false);
        }
        if let Some(watch) = watches.get_mut(place) {
            *watch = Watch { is_synced: true, failing_since: None };
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        // No code that holds the lock can leave the value inconsistent.
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Follower<'_> {
    /// Watches the version as long as the cluster has it.
    async fn follow(mut self, api: Api<DynamicObject>, now: fn() -> SystemTime) {
        let config = watcher::Config::default().page_size(OBJECTS_A_PAGE);
        let mut events = pin!(watcher(api, config).default_backoff());
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => self.take(event),
                Err(error) if is_absent(&error) => return,
                Err(error) => self.failed(&error, now()),
            }
        }
    }

    fn take(&mut self, event: Event<DynamicObject>) {
        let mut state = self.fronts.write();
        let State { known, watches } = &mut *state;
        let Some(watch) = watches.get_mut(self.place) else { return };
        let (api_version, kind) = (self.api_version.as_str(), self.kind.kind);
        match event {
            Event::Init => self.listed.clear(),
            Event::InitApply(object) => {
                let (namespace, name) = names(&object);
                self.listed.insert(hash(namespace, name));
                known.replace(api_version, kind, &shortened(&object));
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut self.listed);
                known.retain(api_version, kind, |namespace, name| {
                    listed.contains(&hash(namespace, name))
                });
                if watch.failing_since.take().is_some() || !watch.is_synced {
                    info!(kind = self.kind.plural, objects = listed.len(), "fronts are known");
                }
                watch.is_synced = true;
            }
            Event::Apply(object) => {
                watch.failing_since = None;
                known.replace(api_version, kind, &shortened(&object));
            }
            Event::Delete(object) => {
                watch.failing_since = None;
                let (namespace, name) = names(&object);
                known.remove(api_version, kind, namespace, name);
            }
        }
    }

    fn failed(&self, error: &watcher::Error, now: SystemTime) {
        let mut state = self.fronts.write();
        let Some(watch) = state.watches.get_mut(self.place) else { return };
        // Logged once; the watch is retried for as long as it takes.
        if watch.failing_since.is_none() {
            let kind = self.kind.plural;
            warn!(kind, %error, "fronts can't be watched; keeping the last known state");
            watch.failing_since = Some(now);
        }
    }
}

impl State {
    fn is_synced(&self) -> bool {
        self.watches.iter().all(|watch| watch.is_synced)
    }
}

impl Fronts for WatchedFronts {
    fn of(&self, pod: &PodShape) -> Option<FrontDelay> {
        let state = self.read();
        let front = FrontDelay::of(&state.known.fronts(pod))?;
        if state.is_synced() {
            return Some(front);
        }
        // There may be a slower front that has not been read yet.
        Some(FrontDelay { delay: front.delay.and(DELAY_WITHOUT_FRONTS), ..front })
    }
}

/// Whether the API server has no such resource.
fn is_absent(error: &watcher::Error) -> bool {
    use watcher::Error::{InitialListFailed, WatchError, WatchFailed, WatchStartFailed};
    let (InitialListFailed(kube::Error::Api(status))
    | WatchStartFailed(kube::Error::Api(status))
    | WatchFailed(kube::Error::Api(status))
    | WatchError(status)) = error
    else {
        return false;
    };
    status.code == 404
}

/// Returns the namespace, empty for cluster-scoped kinds, and the name.
fn names(object: &DynamicObject) -> (&str, &str) {
    let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
    (namespace, object.metadata.name.as_deref().unwrap_or_default())
}

/// Returns the fields of an object that the search reads.
fn shortened(object: &DynamicObject) -> Value {
    let (namespace, name) = names(object);
    let annotations = &object.metadata.annotations;
    json!({
        "metadata": {"namespace": namespace, "name": name, "annotations": annotations},
        "spec": object.data.get("spec"),
    })
}

fn hash(namespace: &str, name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (namespace, name).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn place_of(kind: &str) -> usize {
        KINDS.iter().position(|known| known.kind == kind).unwrap()
    }

    fn follower<'w>(fronts: &'w WatchedFronts, kind: &str) -> Follower<'w> {
        let place = place_of(kind);
        let kind = &KINDS[place];
        let api_version = kind.resource(kind.versions[0]).api_version;
        Follower { fronts, place, kind, api_version, listed: HashSet::new() }
    }

    fn service(name: &str, of_type: &str) -> DynamicObject {
        let spec = json!({"type": of_type, "selector": {"app": "web"}, "ports": [{"port": 80}]});
        let object = json!({"metadata": {"name": name, "namespace": "shop"}, "spec": spec});
        serde_json::from_value(object).unwrap()
    }

    fn refused(code: u16) -> watcher::Error {
        let status = Status::failure("no", "no").with_code(code);
        watcher::Error::InitialListFailed(kube::Error::Api(Box::new(status)))
    }

    /// Returns the name of the front of a pod behind the Services.
    fn front(fronts: &WatchedFronts) -> Option<&'static str> {
        let labels = vec![("app".to_owned(), "web".to_owned())];
        let pod = PodShape { namespace: "shop".to_owned(), labels, ..PodShape::default() };
        fronts.of(&pod).map(|front| front.kind.name.as_str())
    }

    fn list(follower: &mut Follower<'_>, objects: Vec<DynamicObject>) {
        follower.take(Event::Init);
        for object in objects {
            follower.take(Event::InitApply(object));
        }
        follower.take(Event::InitDone);
    }

    fn absent_but(fronts: &WatchedFronts, kind: &str) {
        for (place, other) in KINDS.iter().enumerate().filter(|(_, other)| other.kind != kind) {
            fronts.absent(place, other);
        }
    }

    #[test]
    fn services_that_come_change_and_go_are_followed() {
        let fronts = WatchedFronts::default();
        let mut services = follower(&fronts, "Service");
        assert_eq!(front(&fronts), None);
        list(&mut services, vec![service("web", "ClusterIP"), service("old", "LoadBalancer")]);
        let (slow, usual) = (front(&fronts), "cluster-ip");
        assert!(slow.is_some_and(|name| name != usual), "{slow:?}");
        // The list is read again and lacks one object; until it ends, no object is removed.
        services.take(Event::Init);
        services.take(Event::InitApply(service("web", "ClusterIP")));
        assert_eq!(front(&fronts), slow);
        services.take(Event::InitDone);
        assert_eq!(front(&fronts), Some(usual));
        services.take(Event::Apply(service("web", "LoadBalancer")));
        assert_eq!(front(&fronts), slow);
        services.take(Event::Delete(service("web", "LoadBalancer")));
        assert_eq!(front(&fronts), None);
    }

    #[test]
    fn it_is_synced_when_every_kind_was_read_or_is_absent() {
        let fronts = WatchedFronts::default();
        absent_but(&fronts, "Service");
        assert!(!fronts.is_synced());
        list(&mut follower(&fronts, "Service"), Vec::new());
        assert!(fronts.is_synced() && fronts.failing_since().is_none());
    }

    #[test]
    fn a_failure_is_kept_until_something_comes_and_forgets_nothing() {
        let fronts = WatchedFronts::default();
        absent_but(&fronts, "Service");
        let mut services = follower(&fronts, "Service");
        list(&mut services, vec![service("web", "ClusterIP")]);
        services.failed(&refused(403), NOW);
        services.failed(&refused(403), NOW + LOOK_AGAIN);
        assert_eq!(fronts.failing_since(), Some(NOW));
        assert_eq!(front(&fronts), Some("cluster-ip"));
        services.take(Event::Apply(service("web", "ClusterIP")));
        assert_eq!(fronts.failing_since(), None);
    }

    #[test]
    fn a_kind_that_is_gone_is_in_front_of_nothing() {
        let fronts = WatchedFronts::default();
        list(&mut follower(&fronts, "Service"), vec![service("web", "ClusterIP")]);
        let place = place_of("Service");
        fronts.absent(place, &KINDS[place]);
        assert_eq!(front(&fronts), None);
        assert!(is_absent(&refused(404)) && !is_absent(&refused(403)));
    }

    #[test]
    fn until_all_is_read_no_delay_is_below_the_usual_one() {
        let fronts = WatchedFronts::default();
        list(&mut follower(&fronts, "Service"), vec![service("web", "ClusterIP")]);
        let labels = vec![("app".to_owned(), "web".to_owned())];
        let pod = PodShape { namespace: "shop".to_owned(), labels, ..PodShape::default() };
        let delay = fronts.of(&pod).unwrap().delay;
        assert_eq!(delay.and(DELAY_WITHOUT_FRONTS), delay);
        absent_but(&fronts, "Service");
        assert!(fronts.of(&pod).unwrap().delay.most_seconds <= delay.most_seconds);
    }
}
