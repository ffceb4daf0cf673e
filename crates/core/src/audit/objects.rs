//! Budgets, autoscalers and labels of namespaces.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde_json::Value;

use super::nodes::Nodes;
use super::removal::Removers;

/// Objects around workloads, apart from their fronts. They may be added in any order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Setting {
    /// Budgets by namespace.
    pub(super) budgets: HashMap<String, Vec<Budget>>,
    /// Minimum numbers of replicas, by namespace and by kind and name of the scaled workload.
    autoscalers: HashMap<(String, String, String), Vec<i64>>,
    /// Labels by the name of the namespace.
    pub(super) namespaces: HashMap<String, Vec<(String, String)>>,
    /// Autoscalers and node pools that remove nodes.
    pub(super) removers: Removers,
    /// Namespaces with a Service in the input.
    pub(super) with_services: HashSet<String>,
    pub(super) nodes: Nodes,
    extent: Extent,
}

/// Which part of the existing objects was added.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum Extent {
    /// Only some objects: those of the input files.
    #[default]
    Some,
    /// All objects of a cluster, except those of these topics.
    AllBut(BTreeSet<Topic>),
}

/// Topic of objects around workloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// Objects that send requests to pods.
    Services,
    /// Objects that send requests to Services: Ingresses, routes, Gateways and their classes.
    Routes,
    /// `PodDisruptionBudgets`.
    Budgets,
    /// `HorizontalPodAutoscalers`, and the autoscalers of KEDA.
    Autoscalers,
    /// Namespaces and their labels.
    Namespaces,
    /// Running pods, as admission changed them.
    Pods,
    /// Nodes and node pools.
    Nodes,
}

/// A `PodDisruptionBudget`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Budget {
    pub(super) name: String,
    pub(super) selector: Value,
    pub(super) min_available: Option<Amount>,
    pub(super) max_unavailable: Option<Amount>,
}

/// A number of pods, or a percentage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Amount {
    Pods(i64),
    Percent(i64),
}

impl Setting {
    /// Creates the setting for a complete cluster: objects that are not added do not exist.
    #[must_use]
    pub fn of_cluster() -> Self {
        Self { extent: Extent::AllBut(BTreeSet::new()), ..Self::default() }
    }

    /// Records that some or all objects of a topic could not be read.
    pub fn miss(&mut self, topic: Topic) {
        if let Extent::AllBut(unread) = &mut self.extent {
            unread.insert(topic);
        }
    }

    /// Returns whether all objects of the topic were added.
    pub(super) fn has_all(&self, topic: Topic) -> bool {
        matches!(&self.extent, Extent::AllBut(unread) if !unread.contains(&topic))
    }

    /// Returns whether some objects of the topic could not be read.
    pub(super) fn lacks(&self, topic: Topic) -> bool {
        matches!(&self.extent, Extent::AllBut(unread) if unread.contains(&topic))
    }

    /// Adds an object, if a rule reads its kind. `namespace` is the default for objects without
    /// one.
    pub fn add(&mut self, api_version: &str, kind: &str, object: &Value, namespace: &str) {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
        let namespace = text("/metadata/namespace").unwrap_or(namespace).to_owned();
        let name = text("/metadata/name").unwrap_or_default().to_owned();
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        match (group, kind) {
            ("", "Service") => {
                self.with_services.insert(namespace);
            }
            ("", "Namespace") => {
                let labels = object.pointer("/metadata/labels").and_then(Value::as_object);
                let labels = labels.into_iter().flatten();
                let labels = labels
                    .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
                self.namespaces.insert(name, labels.collect());
            }
            ("policy", "PodDisruptionBudget") => {
                self.budgets.entry(namespace).or_default().push(Budget {
                    name,
                    selector: object.pointer("/spec/selector").cloned().unwrap_or_default(),
                    min_available: Amount::read(object.pointer("/spec/minAvailable")),
                    max_unavailable: Amount::read(object.pointer("/spec/maxUnavailable")),
                });
            }
            ("autoscaling", "HorizontalPodAutoscaler") => {
                let min = object.pointer("/spec/minReplicas").and_then(Value::as_i64).unwrap_or(1);
                self.add_autoscaler(object, namespace, min);
            }
            ("apps", "Deployment") => {
                self.removers.add_deployment(object, &format!("{namespace}/{name}"));
            }
            ("keda.sh", "ScaledObject") => {
                let min = object.pointer("/spec/minReplicaCount").and_then(Value::as_i64);
                self.add_autoscaler(object, namespace, min.unwrap_or(0));
            }
            ("", "Node") => self.nodes.add_node(object),
            ("karpenter.sh", "NodePool") => {
                self.nodes.add_pool(object);
                self.removers.add_node_pool(object, &name);
            }
            _ => {}
        }
    }

    /// Adds a `HorizontalPodAutoscaler`, or a `ScaledObject` of KEDA.
    fn add_autoscaler(&mut self, object: &Value, namespace: String, min_replicas: i64) {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
        let kind = text("/spec/scaleTargetRef/kind").unwrap_or("Deployment").to_owned();
        let name = text("/spec/scaleTargetRef/name").unwrap_or_default().to_owned();
        self.autoscalers.entry((namespace, kind, name)).or_default().push(min_replicas);
    }

    /// Returns the minimum number of pods to which an autoscaler scales a workload; `None` without
    /// an autoscaler.
    pub(super) fn min_replicas(&self, namespace: &str, kind: &str, name: &str) -> Option<i64> {
        let key = (namespace.to_owned(), kind.to_owned(), name.to_owned());
        self.autoscalers.get(&key)?.iter().copied().min()
    }
}

impl Budget {
    /// Returns whether the budget selects pods with these labels. An empty selector selects all
    /// pods, a missing one selects none.
    pub(super) fn selects(&self, labels: &[(String, String)]) -> bool {
        let Some(selector) = self.selector.as_object() else { return false };
        let value =
            |key: &str| labels.iter().find(|(own, _)| own == key).map(|(_, it)| it.as_str());
        let wanted = selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten();
        let expressions = selector.get("matchExpressions").and_then(Value::as_array);
        let mut expressions = expressions.into_iter().flatten();
        let mut wanted = wanted;
        wanted.all(|(key, wanted)| wanted.as_str().is_some() && wanted.as_str() == value(key))
            && expressions.all(|expression| {
                let text = |field: &str| expression.get(field).and_then(Value::as_str);
                let own = value(text("key").unwrap_or_default());
                let values = expression.get("values").and_then(Value::as_array);
                let is_one = || {
                    let mut values = values.into_iter().flatten();
                    own.is_some() && values.any(|value| value.as_str() == own)
                };
                match text("operator") {
                    Some("In") => is_one(),
                    Some("NotIn") => !is_one(),
                    Some("Exists") => own.is_some(),
                    Some("DoesNotExist") => own.is_none(),
                    _ => false,
                }
            })
    }

    /// Returns how many of `replicas` pods the budget allows to be evicted.
    pub(super) fn allowed(&self, replicas: i64) -> i64 {
        match (self.max_unavailable, self.min_available) {
            (Some(unavailable), _) => unavailable.of_up(replicas),
            (None, Some(available)) => replicas.saturating_sub(available.of_up(replicas)),
            (None, None) => replicas,
        }
    }
}

impl Amount {
    pub(super) fn read(value: Option<&Value>) -> Option<Self> {
        match value? {
            Value::Number(number) => number.as_i64().map(Self::Pods),
            Value::String(text) => match text.strip_suffix('%') {
                Some(percent) => percent.parse().ok().map(Self::Percent),
                None => text.parse().ok().map(Self::Pods),
            },
            _ => None,
        }
    }

    /// Returns the number of pods, rounded up.
    pub(super) fn of_up(self, replicas: i64) -> i64 {
        match self {
            Self::Pods(pods) => pods,
            Self::Percent(percent) => {
                replicas.saturating_mul(percent).saturating_add(99).div_euclid(100)
            }
        }
    }

    /// Returns the number of pods, rounded down.
    pub(super) fn of_down(self, replicas: i64) -> i64 {
        match self {
            Self::Pods(pods) => pods,
            Self::Percent(percent) => replicas.saturating_mul(percent).div_euclid(100),
        }
    }
}
