//! The labels and annotations of namespaces, kept up to date by a watch, so that the server sends
//! no request between a review and its answer.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::SystemTime;

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt};
use prestop_core::admission::Namespaces;
use prestop_core::engine::settings::NamespaceSettings;
use tracing::{info, warn};

/// Maximum number of shared settings. Clusters have a few different settings of namespaces;
/// comparing with more of them would cost more than it saves.
const MOST_COMMON: usize = 64;

/// Objects per page; the objects of a page are in memory together.
const NAMESPACES_A_PAGE: u32 = 100;

/// Namespaces as last seen by the watch. For namespaces without settings, only the names are kept.
#[derive(Debug, Default)]
pub(crate) struct WatchedNamespaces(RwLock<State>);

#[derive(Debug, Default)]
struct State {
    known: HashMap<String, Arc<NamespaceSettings>>,
    /// Settings that several namespaces share, stored once.
    common: Vec<Arc<NamespaceSettings>>,
    /// The objects read so far while a list is read again.
    incoming: HashMap<String, Arc<NamespaceSettings>>,
    is_synced: bool,
    failing_since: Option<SystemTime>,
}

impl WatchedNamespaces {
    /// Keeps the namespaces up to date, forever. `now` is called when the watch fails.
    pub(crate) async fn watch(self: Arc<Self>, client: Client, now: impl Fn() -> SystemTime) {
        // Only the metadata of each namespace is read.
        let api: Api<PartialObjectMeta<Namespace>> = Api::all(client);
        let config = watcher::Config::default().page_size(NAMESPACES_A_PAGE);
        let mut events = pin!(watcher(api, config).default_backoff());
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => self.take(event),
                Err(error) => self.failed(&error, now()),
            }
        }
    }

    /// Whether all namespaces have been read at least once.
    #[must_use]
    pub(crate) fn is_synced(&self) -> bool {
        self.read().is_synced
    }

    /// Returns the time since which the known state may be outdated.
    #[must_use]
    pub(crate) fn failing_since(&self) -> Option<SystemTime> {
        self.read().failing_since
    }

    fn take(&self, event: Event<PartialObjectMeta<Namespace>>) {
        let mut state = self.write();
        let state = &mut *state;
        match event {
            Event::Init => state.incoming.clear(),
            Event::InitApply(namespace) => keep(&mut state.incoming, &mut state.common, &namespace),
            Event::InitDone => {
                state.known = std::mem::take(&mut state.incoming);
                state.known.shrink_to_fit();
                if state.failing_since.take().is_some() || !state.is_synced {
                    info!(namespaces = state.known.len(), "namespaces are known");
                }
                state.is_synced = true;
            }
            Event::Apply(namespace) => {
                state.failing_since = None;
                keep(&mut state.known, &mut state.common, &namespace);
            }
            Event::Delete(namespace) => {
                state.failing_since = None;
                state.known.remove(&namespace.name_any());
            }
        }
    }

    fn failed(&self, error: &watcher::Error, now: SystemTime) {
        let mut state = self.write();
        // Logged once; the watch is retried for as long as it takes.
        if state.failing_since.is_none() {
            warn!(%error, "namespaces can't be watched; keeping the last known state");
            state.failing_since = Some(now);
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

impl Namespaces for WatchedNamespaces {
    fn settings(&self, namespace: &str) -> Option<Arc<NamespaceSettings>> {
        self.read().known.get(namespace).cloned()
    }
    fn may_exist(&self, namespace: &str) -> bool {
        self.read().known.contains_key(namespace)
    }
}

fn keep(
    known: &mut HashMap<String, Arc<NamespaceSettings>>,
    common: &mut Vec<Arc<NamespaceSettings>>,
    namespace: &PartialObjectMeta<Namespace>,
) {
    let settings = NamespaceSettings::read(
        namespace.labels().iter().map(|(key, value)| (key.as_str(), value.as_str())),
        namespace.annotations().iter().map(|(key, value)| (key.as_str(), value.as_str())),
    );
    known.insert(namespace.name_any(), shared(common, settings));
}

/// Returns the equal settings of another namespace, or these.
fn shared(
    common: &mut Vec<Arc<NamespaceSettings>>,
    settings: NamespaceSettings,
) -> Arc<NamespaceSettings> {
    if let Some(known) = common.iter().find(|known| ***known == settings) {
        return known.clone();
    }
    let settings = Arc::new(settings);
    if common.len() >= MOST_COMMON {
        common.retain(|known| Arc::strong_count(known) > 1);
    }
    if common.len() < MOST_COMMON {
        common.push(settings.clone());
    }
    settings
}
