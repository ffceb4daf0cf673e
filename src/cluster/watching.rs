//! Pods, events and endpoint slices by watch, for `prestop watch`: each object with only the needed
//! fields, in the types of [`prestop_watch::state`].

use std::borrow::Cow;
use std::fmt::Debug;
use std::pin::pin;
use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use kube::core::ObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, Event as WatchEvent, watcher};
use kube::{Client, Resource};
use prestop_watch::objects::{EndpointSlice, Event, Metadata, Pod};
use prestop_watch::state::{Change, Input};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer};
use tokio::sync::mpsc::Sender;
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

use super::api::{Api, failure};

/// Objects per page: the number of objects in memory while they are listed.
const OBJECTS_A_PAGE: u32 = 500;
/// Duration of a watch request: a connection that is dead without having ended is noticed after
/// this time.
const WATCH_SECONDS: u32 = 60;
/// Interval at which the API server is asked whether it answers.
const ASK_EVERY: Duration = Duration::from_secs(5);
/// Maximum pause after a failure. Pauses double up to this limit, because a longer pause means a
/// longer gap.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// An observation with its time.
pub(crate) type Seen = (Timestamp, Input);

/// The objects that are watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scope {
    /// The namespace; `None`: all namespaces.
    pub(crate) namespace: Option<String>,
    /// Only pods with these labels.
    pub(crate) selector: Option<String>,
}

/// Reason why the watches cannot be started.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) String);

/// A watched kind, with its names in the API.
trait Kind: Clone + Debug + DeserializeOwned + Send + 'static {
    const KIND: &'static str;
    const GROUP: &'static str;
    const PLURAL: &'static str;
    fn metadata(&self) -> &Metadata;
    fn input(change: Change<Self>) -> Input;
}

/// An object with the metadata that the watch needs.
#[derive(Debug, Clone)]
struct Watched<T> {
    metadata: ObjectMeta,
    object: T,
}

/// The pauses after failures.
struct Pauses(Duration);

/// Watches until the receiver is dropped. `refused` receives the first error that occurs before
/// everything was listed once, if retrying would not help.
pub(crate) async fn watch(
    client: Client,
    scope: Scope,
    seen: Sender<Seen>,
    refused: Sender<Refused>,
) {
    let mut tasks = JoinSet::new();
    let selector = scope.selector.as_deref();
    let namespace = scope.namespace.as_deref();
    let tell = (seen.clone(), refused);
    tasks.spawn(reflect::<Pod>(client.clone(), namespace, selector, tell.clone()));
    tasks.spawn(reflect::<Event>(client.clone(), namespace, None, tell.clone()));
    tasks.spawn(reflect::<EndpointSlice>(client.clone(), namespace, None, tell));
    tasks.spawn(ask(Api::new(client), seen));
    // Each task runs until the receiver is dropped.
    tasks.join_next().await;
}

fn reflect<T: Kind>(
    client: Client,
    namespace: Option<&str>,
    selector: Option<&str>,
    (seen, refused): (Sender<Seen>, Sender<Refused>),
) -> impl Future<Output = ()> + use<T> {
    let api: kube::Api<Watched<T>> = match namespace {
        Some(namespace) => kube::Api::namespaced(client, namespace),
        None => kube::Api::all(client),
    };
    let mut config = watcher::Config::default().page_size(OBJECTS_A_PAGE).timeout(WATCH_SECONDS);
    if let Some(selector) = selector {
        config = config.labels(selector);
    }
    async move {
        let mut events = pin!(watcher(api, config).backoff(Pauses(FIRST_PAUSE)));
        let mut was_listed = false;
        while let Some(event) = events.next().await {
            if let Err(error) = &event
                && !was_listed
                && let Some(why) = hopeless(error)
            {
                let _ = refused.send(Refused(why)).await;
                return;
            }
            was_listed |= matches!(event, Ok(WatchEvent::InitDone));
            let input = match event {
                Ok(WatchEvent::Init) => T::input(Change::ListBegins),
                Ok(WatchEvent::InitApply(it)) => T::input(Change::Listed(it.object)),
                Ok(WatchEvent::InitDone) => T::input(Change::ListDone),
                Ok(WatchEvent::Apply(it)) => T::input(Change::Applied(it.object)),
                Ok(WatchEvent::Delete(it)) => T::input(Change::Deleted(it.object)),
                Err(error) => Input::Failed(reason(&error)),
            };
            if seen.send((now(), input)).await.is_err() {
                return;
            }
        }
    }
}

/// Checks whether the API server answers: a silent watch does not show that it is broken.
async fn ask(api: Api, seen: Sender<Seen>) {
    let mut due = interval(ASK_EVERY);
    loop {
        due.tick().await;
        let input = match timeout(ASK_EVERY, api.date()).await {
            Ok(Ok(_)) => Input::Heard,
            Ok(Err(error)) => Input::Failed(failure::reason(&error)),
            Err(_) => Input::Failed(format!("no answer within {} s", ASK_EVERY.as_secs())),
        };
        if seen.send((now(), input)).await.is_err() {
            return;
        }
    }
}

/// Returns the reason of an error for which a retry does not help.
fn hopeless(error: &watcher::Error) -> Option<String> {
    let (watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error)) =
        error
    else {
        return None;
    };
    match error {
        kube::Error::Api(status) if matches!(status.code, 400 | 401 | 403 | 404) => {
            Some(failure::reason(error))
        }
        _ => None,
    }
}

fn reason(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => failure::reason(error),
        watcher::Error::WatchError(status) => format!("{} ({})", status.message, status.code),
        watcher::Error::NoResourceVersion => "its answer has no resource version".to_owned(),
    }
}

/// Returns the current time, which is passed to the pure part.
pub(crate) fn now() -> Timestamp {
    // A time outside the valid range (after the year 9999) becomes 1970.
    Timestamp::try_from(SystemTime::now()).unwrap_or(Timestamp::UNIX_EPOCH)
}

impl Kind for Pod {
    const KIND: &'static str = "Pod";
    const GROUP: &'static str = "";
    const PLURAL: &'static str = "pods";
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }
    fn input(change: Change<Self>) -> Input {
        Input::Pods(change)
    }
}

impl Kind for Event {
    const KIND: &'static str = "Event";
    const GROUP: &'static str = "";
    const PLURAL: &'static str = "events";
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }
    fn input(change: Change<Self>) -> Input {
        Input::Events(change)
    }
}

impl Kind for EndpointSlice {
    const KIND: &'static str = "EndpointSlice";
    const GROUP: &'static str = "discovery.k8s.io";
    const PLURAL: &'static str = "endpointslices";
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }
    fn input(change: Change<Self>) -> Input {
        Input::Slices(change)
    }
}

impl<'de, T: Kind> Deserialize<'de> for Watched<T> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        let object = T::deserialize(reader)?;
        let Metadata { name, namespace, resource_version, .. } = object.metadata();
        let metadata = ObjectMeta {
            name: Some(name.clone()),
            namespace: Some(namespace.clone()),
            resource_version: Some(resource_version.clone()),
            ..ObjectMeta::default()
        };
        Ok(Self { metadata, object })
    }
}

impl<T: Kind> Resource for Watched<T> {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;
    fn kind((): &()) -> Cow<'_, str> {
        T::KIND.into()
    }
    fn group((): &()) -> Cow<'_, str> {
        T::GROUP.into()
    }
    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }
    fn plural((): &()) -> Cow<'_, str> {
        T::PLURAL.into()
    }
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = self.0;
        self.0 = (pause * 2).min(LONGEST_PAUSE);
        Some(pause)
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {
        self.0 = FIRST_PAUSE;
    }
}

#[cfg(test)]
mod tests {
    use std::iter;

    use super::*;

    #[test]
    fn pauses_grow_to_a_bound() {
        let mut pauses = Pauses(FIRST_PAUSE);
        let all: Vec<_> =
            iter::from_fn(|| pauses.next()).take(7).map(|it| it.as_millis()).collect();
        assert_eq!(all, [250, 500, 1000, 2000, 4000, 5000, 5000]);
        pauses.reset();
        assert_eq!(pauses.next(), Some(FIRST_PAUSE));
    }
}
