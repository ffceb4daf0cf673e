//! The state machine: objects and the time go in, terminations and gaps come out.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::cause::{Cause, Evidence, deleted_pod};
use super::endpoints::Endpoints;
use super::facts::PodFacts;
use super::gaps::{Connection, Gap, Source};
use super::judge::HookFailure;
use super::objects::{EndpointSlice, Event, Pod, Workload};
use super::pending::{Gone, Pending, Start, Surroundings};
use super::termination::Termination;

/// Time for which the contents of events are kept.
const REMEMBERED: SignedDuration = SignedDuration::from_mins(15);

/// An observation.
#[derive(Debug, Clone)]
pub enum Input {
    /// A change of the pods.
    Pods(Change<Pod>),
    /// A change of the events.
    Events(Change<Event>),
    /// A change of the endpoint slices.
    Slices(Change<EndpointSlice>),
    /// The API server has responded.
    Heard,
    /// The API server can't be reached, or rejects the request.
    Failed(String),
    /// Time has passed.
    Tick,
}

/// A change of objects of one kind.
#[derive(Debug, Clone)]
pub enum Change<T> {
    /// A list of all objects begins; objects that are not in it no longer exist.
    ListBegins,
    /// An object in the list.
    Listed(T),
    /// The list is complete.
    ListDone,
    /// An object is new or has changed.
    Applied(T),
    /// An object was deleted; contains its last state.
    Deleted(T),
}

/// A result to report.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// A container has ended.
    Ended(Box<Termination>),
    /// The API server could not be watched for a while.
    Gap(Gap),
}

/// The state machine.
#[derive(Debug, Default)]
pub struct Watch {
    pods: HashMap<Arc<str>, Known>,
    facts: HashSet<Arc<PodFacts>>,
    namespaces: HashSet<Arc<str>>,
    pending: HashMap<Arc<str>, Pending>,
    endpoints: Endpoints,
    connection: Connection,
    told: Told,
    /// While pods are listed: those that have not occurred in the list so far.
    unlisted: Option<HashSet<Arc<str>>>,
    /// Pods that the kubelet ended itself and that have been reported; they can continue to exist
    /// for a long time.
    reported: HashSet<Arc<str>>,
    newest: HashMap<(Arc<str>, Workload), Newest>,
}

/// A running pod.
#[derive(Debug)]
struct Known {
    facts: Arc<PodFacts>,
    namespace: Arc<str>,
    name: Box<str>,
}

/// The newest template of a workload.
#[derive(Debug)]
struct Newest {
    created: Timestamp,
    revision: String,
}

/// The contents of events, by pod and by node, the oldest first.
#[derive(Debug, Default)]
struct Told {
    by_pod: HashMap<String, PodTold>,
    reclaimed: HashMap<String, Timestamp>,
    order: VecDeque<(Timestamp, String)>,
}

/// The contents of the events about a pod.
#[derive(Debug, Default)]
struct PodTold {
    hook_failures: Vec<(String, HookFailure)>,
    said: Option<Cause>,
    is_by_controller: bool,
}

impl Watch {
    /// Processes an observation at a given time; returns the results to report now.
    pub fn take(&mut self, at: Timestamp, input: Input) -> Vec<Output> {
        match input {
            Input::Failed(why) => self.connection.failed(at, &why),
            Input::Heard => self.connection.heard(at),
            Input::Pods(change) => self.take_pods(at, change),
            Input::Events(change) => self.take_events(at, change),
            Input::Slices(change) => self.take_slices(at, change),
            Input::Tick => return self.settle(at),
        }
        Vec::new()
    }

    /// Ends the watch; returns the results for pods that no longer exist.
    pub fn finish(&mut self, at: Timestamp) -> Vec<Output> {
        let mut outputs = self.settle(at);
        let gone: Vec<_> = self.pending.values().filter(|it| it.gone.is_some()).cloned().collect();
        outputs.extend(self.report(gone, at));
        outputs.extend(self.connection.finish(at).map(Output::Gap));
        outputs
    }

    /// Returns whether every kind has been listed once.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.connection.is_synced()
    }

    /// Returns the time since which the API server has been silent, if it is.
    #[must_use]
    pub fn silent_since(&self) -> Option<Timestamp> {
        self.connection.silent_since()
    }

    /// Returns the pods that are terminating, in the order of their deletion.
    #[must_use]
    pub fn ending(&self) -> Vec<&Pending> {
        let mut pending: Vec<_> = self.pending.values().collect();
        pending.sort_by(|one, other| (one.deleted, &one.name).cmp(&(other.deleted, &other.name)));
        pending
    }

    /// Returns the number of running pods.
    #[must_use]
    pub fn running(&self) -> usize {
        self.pods.len()
    }

    fn take_pods(&mut self, at: Timestamp, change: Change<Pod>) {
        match change {
            Change::ListBegins => {
                self.connection.list_begins(Source::Pods, at);
                self.unlisted =
                    Some(self.pods.keys().chain(self.pending.keys()).cloned().collect());
            }
            Change::Listed(pod) => {
                if let Some(unlisted) = &mut self.unlisted {
                    unlisted.remove(pod.metadata.uid.as_str());
                }
                let is_first = self.connection.is_first_list(Source::Pods);
                self.pod_applied(&pod, if is_first { None } else { Some(at) });
            }
            Change::ListDone => {
                let vanished = self.unlisted.take().unwrap_or_default();
                let mut count = 0;
                for uid in vanished {
                    count += u64::from(self.pod_vanished(&uid, at));
                }
                self.connection.heard(at);
                self.connection.list_done(Source::Pods, count);
            }
            Change::Applied(pod) => {
                self.connection.heard(at);
                self.pod_applied(&pod, Some(at));
            }
            Change::Deleted(pod) => {
                self.connection.heard(at);
                self.pod_deleted(&pod, at);
            }
        }
    }

    /// Processes a state of a pod. `at` is `None` for a state from before the watch started.
    fn pod_applied(&mut self, pod: &Pod, at: Option<Timestamp>) {
        let uid = pod.metadata.uid.as_str();
        let facts = self.shared_facts(pod, uid);
        self.remember_revision(pod, &facts);
        let Some(start) = Start::of(pod) else {
            self.pods.entry(uid.into()).or_insert_with(|| Known {
                facts,
                namespace: shared(&mut self.namespaces, pod.metadata.namespace.as_str()),
                name: pod.metadata.name.as_str().into(),
            });
            return;
        };
        if self.reported.contains(uid) {
            return;
        }
        self.pods.remove(uid);
        match self.pending.get_mut(uid) {
            Some(pending) => pending.update(pod, start, at),
            // It ended long ago: the kubelet ended it before the watch started, and it is in every
            // new list.
            None if at.is_none() && pod.metadata.deletion_timestamp.is_none() => {
                self.reported.insert(uid.into());
            }
            None => {
                self.pending.insert(uid.into(), Pending::new(pod, start, facts, at));
            }
        }
    }

    fn pod_deleted(&mut self, pod: &Pod, at: Timestamp) {
        let uid = pod.metadata.uid.as_str();
        self.pods.remove(uid);
        if self.reported.remove(uid) {
            return;
        }
        let facts = self.shared_facts(pod, uid);
        let start = Start::of(pod).unwrap_or_else(|| Start::at(at));
        let pending = self.pending.entry(uid.into());
        let pending = pending.or_insert_with(|| Pending::new(pod, start, facts, Some(at)));
        pending.update(pod, start, Some(at));
        pending.gone.get_or_insert(Gone { seen: at, is_missed: false });
    }

    /// Processes a pod that is missing in a new list; returns whether its end had not been
    /// observed.
    fn pod_vanished(&mut self, uid: &Arc<str>, at: Timestamp) -> bool {
        self.reported.remove(uid);
        if let Some(known) = self.pods.remove(uid) {
            let Known { facts, namespace, name } = known;
            let pending = Pending::vanished(uid.clone(), namespace, &name, facts, at);
            self.pending.insert(uid.clone(), pending);
            return true;
        }
        let Some(pending) = self.pending.get_mut(uid) else { return false };
        if pending.gone.is_some() {
            return false;
        }
        let is_missed = !pending.has_ended();
        pending.gone = Some(Gone { seen: at, is_missed });
        is_missed
    }

    fn shared_facts(&mut self, pod: &Pod, uid: &str) -> Arc<PodFacts> {
        let known = self.pods.get(uid).map(|known| &known.facts);
        if let Some(facts) = known.or_else(|| self.pending.get(uid).map(|pending| &pending.facts)) {
            return facts.clone();
        }
        shared(&mut self.facts, &PodFacts::of(pod))
    }

    fn remember_revision(&mut self, pod: &Pod, facts: &PodFacts) {
        let (Some(workload), Some(revision)) = (&facts.workload, &facts.revision) else { return };
        let Some(created) = pod.metadata.creation_timestamp else { return };
        let key = (shared(&mut self.namespaces, pod.metadata.namespace.as_str()), workload.clone());
        let newest = self.newest.entry(key);
        let newest = newest.or_insert_with(|| Newest { created, revision: revision.clone() });
        if created >= newest.created && *revision != newest.revision {
            *newest = Newest { created, revision: revision.clone() };
        } else {
            newest.created = newest.created.max(created);
        }
    }

    fn take_events(&mut self, at: Timestamp, change: Change<Event>) {
        match change {
            Change::ListBegins => self.connection.list_begins(Source::Events, at),
            Change::ListDone => {
                self.connection.heard(at);
                self.connection.list_done(Source::Events, 0);
            }
            Change::Listed(event) | Change::Applied(event) => self.told.event(&event, at),
            // Events expire.
            Change::Deleted(_) => {}
        }
    }

    fn take_slices(&mut self, at: Timestamp, change: Change<EndpointSlice>) {
        match change {
            Change::ListBegins => {
                self.connection.list_begins(Source::EndpointSlices, at);
                self.endpoints.list_begins();
            }
            Change::ListDone => {
                self.endpoints.list_done(at);
                self.connection.heard(at);
                self.connection.list_done(Source::EndpointSlices, 0);
            }
            Change::Listed(slice) | Change::Applied(slice) => self.endpoints.applied(&slice, at),
            Change::Deleted(slice) => self.endpoints.deleted(&slice, at),
        }
    }

    /// Returns the terminations about which no more information is expected.
    fn settle(&mut self, at: Timestamp) -> Vec<Output> {
        let is_settled =
            |pending: &&Pending| pending.is_settled(at, self.endpoints.of(&pending.uid));
        // While the API server is silent, information about a pod may still arrive.
        let settled: Vec<_> = if self.connection.silent_since().is_some() || !self.is_synced() {
            Vec::new()
        } else {
            self.pending.values().filter(is_settled).cloned().collect()
        };
        let mut outputs = self.report(settled, at);
        outputs.extend(self.connection.over(at).map(Output::Gap));
        self.told.forget(at);
        outputs
    }

    fn report(&mut self, mut settled: Vec<Pending>, at: Timestamp) -> Vec<Output> {
        settled.sort_by(|one, other| (one.deleted, &one.name).cmp(&(other.deleted, &other.name)));
        let mut outputs = Vec::new();
        for pending in settled {
            let terminations = pending.terminations(&self.surroundings(&pending), at);
            outputs.extend(terminations.into_iter().map(|it| Output::Ended(Box::new(it))));
            self.pending.remove(&pending.uid);
            if pending.gone.is_some() {
                self.endpoints.forget(&pending.uid);
            } else {
                self.reported.insert(pending.uid);
            }
        }
        outputs
    }

    fn surroundings(&self, pending: &Pending) -> Surroundings<'_> {
        let told = self.told.by_pod.get(&key(&pending.namespace, &pending.name));
        let facts = &pending.facts;
        let newest = facts
            .workload
            .as_ref()
            .and_then(|workload| self.newest.get(&(pending.namespace.clone(), workload.clone())));
        let is_outdated =
            newest.is_some_and(|newest| Some(&newest.revision) != facts.revision.as_ref());
        Surroundings {
            endpoint: self.endpoints.of(&pending.uid),
            hook_failures: told.map(|told| &*told.hook_failures).unwrap_or_default(),
            evidence: Evidence {
                said: told.and_then(|told| told.said),
                is_by_controller: told.is_some_and(|told| told.is_by_controller),
                is_outdated,
                is_node_reclaimed: self.told.reclaimed.contains_key(&pending.node),
            },
        }
    }
}

impl Told {
    fn event(&mut self, event: &Event, at: Timestamp) {
        let about = &event.involved_object;
        let reason = event.reason.as_deref().unwrap_or_default();
        let message = event.message.as_deref().unwrap_or_default();
        let time = event.time().unwrap_or(at);
        if at.duration_since(time) > REMEMBERED {
            return;
        }
        let namespace = about.namespace.as_deref().unwrap_or(&event.metadata.namespace);
        match (about.kind.as_str(), reason) {
            ("Pod", "FailedPreStopHook") => {
                let failure =
                    HookFailure { at: time, says_killed: message.contains("exited with 137") };
                let container = about.container().unwrap_or_default().to_owned();
                self.pod(namespace, &about.name, at).hook_failures.push((container, failure));
            }
            ("Pod", reason) => {
                if let Some(said) = Cause::of_event(reason) {
                    self.pod(namespace, &about.name, at).said = Some(said);
                }
            }
            ("Node", reason) if Cause::is_reclaim(reason) => {
                self.reclaimed.insert(about.name.clone(), at);
            }
            (_, "SuccessfulDelete") => {
                if let Some(name) = deleted_pod(message) {
                    self.pod(namespace, name, at).is_by_controller = true;
                }
            }
            _ => {}
        }
    }

    fn pod(&mut self, namespace: &str, name: &str, at: Timestamp) -> &mut PodTold {
        let key = key(namespace, name);
        self.order.push_back((at, key.clone()));
        self.by_pod.entry(key).or_default()
    }

    fn forget(&mut self, at: Timestamp) {
        let is_old = |time: Timestamp| at.duration_since(time) > REMEMBERED;
        while self.order.front().is_some_and(|(time, _)| is_old(*time)) {
            if let Some((_, key)) = self.order.pop_front() {
                self.by_pod.remove(&key);
            }
        }
        self.reclaimed.retain(|_, time| !is_old(*time));
    }
}

fn key(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

/// Returns the known value that equals this one, or adds this one.
fn shared<T>(known: &mut HashSet<Arc<T>>, value: &T) -> Arc<T>
where
    T: ?Sized + Eq + Hash + ToOwned,
    Arc<T>: From<T::Owned>,
{
    if let Some(shared) = known.get(value) {
        return shared.clone();
    }
    let shared: Arc<T> = value.to_owned().into();
    known.insert(shared.clone());
    shared
}
