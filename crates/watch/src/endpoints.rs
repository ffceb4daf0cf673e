//! The pods that are ready endpoints of Services, and the times at which they were withdrawn. A
//! Service can have several slices, and a pod can be in several of them.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::objects::EndpointSlice;

/// All known endpoint slices.
#[derive(Debug, Default)]
pub(crate) struct Endpoints {
    /// Slices by namespace and name.
    slices: HashMap<String, Slice>,
    /// Endpoints by the pod's uid.
    pods: HashMap<Arc<str>, PodEndpoint>,
    /// While a new list is read: the slices that have not occurred in it so far.
    unseen: Option<HashSet<String>>,
}

/// A pod in all slices together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct PodEndpoint {
    /// Number of slices in which the pod is ready.
    ready: u32,
    /// Time at which the pod was last ready; `None` while it is ready.
    pub(crate) withdrawn: Option<Timestamp>,
    /// Whether a slice lists the pod as terminating.
    pub(crate) is_terminating: bool,
    /// The ports that receive requests.
    pub(crate) ports: Arc<[u32]>,
}

#[derive(Debug, Default)]
struct Slice {
    ports: Arc<[u32]>,
    ready: HashSet<Arc<str>>,
    terminating: HashSet<Arc<str>>,
}

impl PodEndpoint {
    /// Returns whether the pod gets new connections.
    pub(crate) const fn is_ready(&self) -> bool {
        self.ready > 0
    }
}

impl Endpoints {
    /// Returns the endpoint of a pod.
    pub(crate) fn of(&self, uid: &str) -> Option<&PodEndpoint> {
        self.pods.get(uid)
    }

    /// Removes a pod that no longer exists, unless it is still in a slice.
    pub(crate) fn forget(&mut self, uid: &str) {
        let is_in_slices =
            |slice: &Slice| slice.ready.contains(uid) || slice.terminating.contains(uid);
        if !self.slices.values().any(is_in_slices) {
            self.pods.remove(uid);
        }
    }

    pub(crate) fn list_begins(&mut self) {
        self.unseen = Some(self.slices.keys().cloned().collect());
    }

    pub(crate) fn list_done(&mut self, at: Timestamp) {
        for name in self.unseen.take().unwrap_or_default() {
            self.replace(&name, Slice::default(), at);
        }
    }

    pub(crate) fn applied(&mut self, slice: &EndpointSlice, at: Timestamp) {
        let name = key(slice);
        if let Some(unseen) = &mut self.unseen {
            unseen.remove(&name);
        }
        let slice = self.read(slice);
        self.replace(&name, slice, at);
    }

    pub(crate) fn deleted(&mut self, slice: &EndpointSlice, at: Timestamp) {
        self.replace(&key(slice), Slice::default(), at);
    }

    fn read(&self, slice: &EndpointSlice) -> Slice {
        let ports: BTreeSet<u32> = slice.ports.iter().filter_map(|port| port.port).collect();
        let mut read = Slice { ports: ports.into_iter().collect(), ..Slice::default() };
        for endpoint in &slice.endpoints {
            let target = endpoint.target_ref.as_ref().filter(|target| target.kind == "Pod");
            let Some(uid) = target.and_then(|target| target.uid.as_deref()) else { continue };
            let uid =
                self.pods.get_key_value(uid).map_or_else(|| uid.into(), |(uid, _)| uid.clone());
            if endpoint.conditions.terminating == Some(true) {
                read.terminating.insert(uid.clone());
            }
            if endpoint.conditions.ready != Some(false) {
                read.ready.insert(uid);
            }
        }
        read
    }

    /// Replaces a slice; an empty one stands for a deleted slice.
    fn replace(&mut self, name: &str, new: Slice, at: Timestamp) {
        let old = self.slices.remove(name).unwrap_or_default();
        for uid in new.ready.difference(&old.ready) {
            let pod = self.pods.entry(uid.clone()).or_default();
            pod.ready += 1;
            pod.withdrawn = None;
            pod.ports.clone_from(&new.ports);
        }
        for uid in old.ready.difference(&new.ready) {
            let pod = self.pods.entry(uid.clone()).or_default();
            pod.ready = pod.ready.saturating_sub(1);
            if pod.ready == 0 {
                pod.withdrawn = Some(at);
            }
        }
        for uid in new.terminating.difference(&old.terminating) {
            let pod = self.pods.entry(uid.clone()).or_default();
            pod.is_terminating = true;
            pod.ports.clone_from(&new.ports);
        }
        if !new.ready.is_empty() || !new.terminating.is_empty() {
            self.slices.insert(name.to_owned(), new);
        }
    }
}

fn key(slice: &EndpointSlice) -> String {
    format!("{}/{}", slice.metadata.namespace, slice.metadata.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    /// Creates a slice. Each endpoint has a uid, `ready` and `terminating`.
    fn slice(name: &str, endpoints: &[(&str, Option<bool>, bool)]) -> EndpointSlice {
        let endpoints = endpoints.iter().map(|(uid, ready, terminating)| {
            json!({"conditions": {"ready": ready, "terminating": terminating},
                "targetRef": {"kind": "Pod", "name": uid, "uid": uid}})
        });
        let endpoints: Vec<_> = endpoints.collect();
        serde_json::from_value(json!({"metadata": {"name": name, "namespace": "shop"},
            "endpoints": endpoints, "ports": [{"port": 8080}]}))
        .unwrap()
    }

    #[test]
    fn a_pod_is_withdrawn_when_no_slice_has_it_ready() {
        let mut endpoints = Endpoints::default();
        endpoints.applied(&slice("a", &[("x", None, false)]), at(1));
        endpoints
            .applied(&slice("b", &[("x", Some(true), false), ("y", Some(true), false)]), at(1));
        assert!(endpoints.of("x").unwrap().is_ready());
        assert_eq!(endpoints.of("x").unwrap().ports[..], [8080]);
        endpoints.applied(&slice("a", &[("x", Some(false), true)]), at(2));
        assert_eq!(endpoints.of("x").unwrap().withdrawn, None);
        endpoints.applied(&slice("b", &[("y", Some(true), false)]), at(3));
        let pod = endpoints.of("x").unwrap();
        assert_eq!((pod.withdrawn, pod.is_terminating), (Some(at(3)), true));
        // The pod is ready again.
        endpoints.applied(&slice("b", &[("x", Some(true), false)]), at(4));
        assert_eq!(endpoints.of("x").unwrap().withdrawn, None);
        assert_eq!(endpoints.of("y").unwrap().withdrawn, Some(at(4)));
        assert_eq!(endpoints.of("z"), None);
    }

    #[test]
    fn slices_that_are_not_in_a_new_list_are_gone() {
        let mut endpoints = Endpoints::default();
        endpoints.applied(&slice("a", &[("x", None, false)]), at(1));
        endpoints.applied(&slice("b", &[("y", None, false)]), at(1));
        endpoints.list_begins();
        endpoints.applied(&slice("a", &[("x", None, false)]), at(5));
        endpoints.list_done(at(5));
        assert!(endpoints.of("x").unwrap().is_ready());
        assert_eq!(endpoints.of("y").unwrap().withdrawn, Some(at(5)));
        endpoints.forget("x");
        endpoints.forget("y");
        assert!(endpoints.of("x").is_some() && endpoints.of("y").is_none());
        endpoints.deleted(&slice("a", &[]), at(6));
        assert_eq!(endpoints.of("x").unwrap().withdrawn, Some(at(6)));
        endpoints.forget("x");
        assert!(endpoints.pods.is_empty() && endpoints.slices.is_empty());
    }
}
