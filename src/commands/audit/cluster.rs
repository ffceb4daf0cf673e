//! The workloads of a cluster with their running pods, and the objects around them.

use std::collections::HashMap;

use anyhow::anyhow;
use prestop_core::audit::{LivePods, Setting, Topic};
use prestop_core::engine::settings::NamespaceSettings;
use prestop_core::engine::template::Object;
use prestop_core::fronts::{FrontTable, Surroundings};
use prestop_core::policy::KubernetesVersion;
use serde_json::Value;

use super::super::from_cluster::{self, Cluster, Progress};
use super::super::tell;
use crate::cli::AuditArguments;
use crate::cluster::reading::{
    Aspect, Belongs, Forbidden, Owners, Read, Reading, Resource, Scope, Selected, key,
};

/// Everything that was read from a cluster.
pub(super) struct FromCluster {
    /// Address and context of the cluster, for people.
    pub(super) name: String,
    pub(super) version: KubernetesVersion,
    pub(super) around: Surroundings<'static>,
    pub(super) setting: Setting,
    pub(super) namespaces: HashMap<String, NamespaceSettings>,
    pub(super) workloads: Vec<Kept>,
}

/// A workload that is audited after everything was read. As text it takes a tenth of the memory of
/// a tree.
pub(super) struct Kept {
    pub(super) api_version: String,
    pub(super) kind: String,
    pub(super) object: Box<str>,
    /// `None` if pods may not be listed.
    pub(super) pods: Option<LivePods>,
}

/// Workloads by their keys.
#[derive(Default)]
struct Workloads {
    kept: Vec<Kept>,
    places: HashMap<String, usize>,
}

/// Reads the workloads that the arguments select.
///
/// # Errors
/// When the cluster can't be reached or read, or none of its workloads may be read.
pub(super) fn read(arguments: &AuditArguments) -> anyhow::Result<FromCluster> {
    let cluster = Cluster::connect(&arguments.from.choice())?;
    let scope = cluster.scope(&arguments.from, arguments.namespace.as_deref());
    cluster.run(all(&cluster, arguments, &scope, &Progress::new()))
}

async fn all(
    cluster: &Cluster,
    arguments: &AuditArguments,
    scope: &Scope,
    progress: &Progress,
) -> anyhow::Result<FromCluster> {
    let name = &cluster.name;
    let wanted = from_cluster::wanted(scope.clone(), &arguments.from, &arguments.kinds);
    let told = |resource: &str, count| progress.show(resource, count);
    let failed = |error| anyhow!("{name}: {error}");
    let mut reading = Reading::new(&cluster.api, wanted, &told).await.map_err(failed)?;
    let mut around = Surroundings::new(FrontTable::built_in(), "default");
    let mut setting = Setting::of_cluster();
    let mut namespaces = HashMap::new();
    let every_topic = |_: Topic| true;
    let surroundings = reading.surroundings(every_topic, |Read { resource, object }| {
        let api_version = resource.api_version();
        around.add(&api_version, &resource.kind, &object);
        setting.add(&api_version, &resource.kind, &object, "default");
        if resource.is_namespaces() {
            namespaces.extend(Object::of_kind(&object, "v1", "Namespace").namespace_settings());
        }
    });
    surroundings.await.map_err(failed)?;
    if let (true, Scope::Namespaces(names)) = (reading.is_namespace_missing(), scope) {
        let namespace = names.join(", ");
        return Err(anyhow!("{name}: there is no namespace {namespace}; name another one with -n"));
    }
    let mut owners = Owners::default();
    let mut workloads = Workloads::default();
    let read = reading.workloads(&mut owners, |read| {
        let Read { resource, object } = &read;
        // Cluster autoscalers are workloads.
        setting.add(&resource.api_version(), &resource.kind, object, "default");
        workloads.add(&read);
    });
    read.await.map_err(failed)?;
    if !reading.may_list_workloads() {
        return Err(from_cluster::nothing_to_read(name, scope));
    }
    let pods = reading.pods(|read, selected| workloads.take_pod(&read, &mut owners, selected));
    pods.await.map_err(failed)?;
    for topic in reading.forbidden().iter().filter_map(|it| topic_of(it.aspect)) {
        setting.miss(topic);
        if topic == Topic::Pods {
            workloads.kept.iter_mut().for_each(|kept| kept.pods = None);
        }
    }
    progress.clear();
    from_cluster::tell_missing(&reading, scope, consequence);
    for (kind, count) in owners.left() {
        let plural = if count == 1 { "pod" } else { "pods" };
        tell(&format!(
            "note: {count} {plural} of {kind} skipped: the pod template of that kind is not known; add --kind if it is at spec.template"
        ));
    }
    let Workloads { kept, .. } = workloads;
    let (name, version) = (name.clone(), cluster.version);
    Ok(FromCluster { name, version, around, setting, namespaces, workloads: kept })
}

fn topic_of(aspect: Aspect) -> Option<Topic> {
    match aspect {
        Aspect::Around(topic) => Some(topic),
        Aspect::Pods => Some(Topic::Pods),
        Aspect::Workload => None,
    }
}

fn consequence(forbidden: &Forbidden) -> &'static str {
    match forbidden.aspect {
        Aspect::Workload if forbidden.resource == "replicasets.apps" => {
            "those without a Deployment are skipped, and pods are matched with Deployments by their labels"
        }
        Aspect::Workload => "they are skipped",
        Aspect::Pods | Aspect::Around(Topic::Pods) => {
            "findings about hooks are less certain, and pods without a controller are skipped"
        }
        Aspect::Around(Topic::Services) => "findings about requests are less certain",
        Aspect::Around(Topic::Routes) => "findings about delays are less certain",
        Aspect::Around(Topic::Budgets) => "findings about drains are less certain",
        Aspect::Around(Topic::Nodes) => "findings about nodes are less certain",
        Aspect::Around(Topic::Autoscalers) => "findings about numbers of pods are less certain",
        Aspect::Around(Topic::Namespaces) => {
            "findings that a namespace label would fix are less certain"
        }
    }
}

impl Workloads {
    fn add(&mut self, Read { resource, object }: &Read<'_>) {
        self.keep(resource, object, LivePods::default());
    }

    fn keep(&mut self, resource: &Resource, object: &Value, pods: LivePods) {
        let text =
            |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let api_version = resource.api_version();
        let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
        let key = key(namespace, &resource.kind, &api_version, name);
        self.places.insert(key, self.kept.len());
        self.kept.push(Kept {
            api_version,
            kind: resource.kind.clone(),
            object: object.to_string().into_boxed_str(),
            pods: Some(pods),
        });
    }

    fn take_pod(&mut self, read: &Read<'_>, owners: &mut Owners, selected: Selected) {
        let Read { resource, object } = read;
        if !from_cluster::is_running(object) {
            return;
        }
        match owners.of_pod(object, |key| self.places.contains_key(key)) {
            Belongs::ToNobody if selected == Selected::Yes => {
                let mut pods = LivePods::default();
                pods.add(object);
                self.keep(resource, object, pods);
            }
            Belongs::To(key) => {
                let kept = self.places.get(&key).and_then(|place| self.kept.get_mut(*place));
                if let Some(pods) = kept.and_then(|kept| kept.pods.as_mut()) {
                    pods.add(object);
                }
            }
            Belongs::ToNobody | Belongs::Elsewhere => {}
        }
    }
}
