//! The workloads of a cluster, and their fronts.

use anyhow::anyhow;
use prestop_core::audit::Topic;
use prestop_core::engine::template::Object;
use prestop_core::fronts::{FrontTable, PodShape, Surroundings};

use super::super::from_cluster::{self, Cluster, Progress};
use super::Subject;
use crate::cli::FrontsArguments;
use crate::cluster::reading::{Aspect, Belongs, Owners, Read, Reading, Scope, Selected};

/// Reads the workloads that the arguments select.
///
/// # Errors
/// When the cluster can't be reached or read, or none of its workloads may be read.
pub(super) fn read(
    arguments: &FrontsArguments,
) -> anyhow::Result<(Surroundings<'static>, Vec<Subject>)> {
    let cluster = Cluster::connect(&arguments.from.choice())?;
    let scope = cluster.scope(&arguments.from, arguments.namespace.as_deref());
    cluster.run(all(&cluster, arguments, &scope, &Progress::new()))
}

async fn all(
    cluster: &Cluster,
    arguments: &FrontsArguments,
    scope: &Scope,
    progress: &Progress,
) -> anyhow::Result<(Surroundings<'static>, Vec<Subject>)> {
    let name = &cluster.name;
    let wanted = from_cluster::wanted(scope.clone(), &arguments.from, &arguments.kinds);
    let told = |resource: &str, count| progress.show(resource, count);
    let failed = |error| anyhow!("{name}: {error}");
    let mut reading = Reading::new(&cluster.api, wanted, &told).await.map_err(failed)?;
    let mut around = Surroundings::new(FrontTable::built_in(), "default");
    let is_front = |topic| matches!(topic, Topic::Services | Topic::Routes);
    let surroundings = reading.surroundings(is_front, |Read { resource, object }| {
        around.add(&resource.api_version(), &resource.kind, &object);
    });
    surroundings.await.map_err(failed)?;
    let mut owners = Owners::default();
    let mut subjects = Vec::new();
    let workloads =
        reading.workloads(&mut owners, |read| subjects.extend(subject(&read, arguments)));
    workloads.await.map_err(failed)?;
    if !reading.may_list_workloads() {
        return Err(from_cluster::nothing_to_read(name, scope));
    }
    let pods = reading.pods(|read, selected| {
        if !from_cluster::is_running(&read.object) {
            return;
        }
        let owner = owners.of_pod(&read.object, |_| true);
        if selected == Selected::Yes && owner == Belongs::ToNobody {
            let namespace = read.object.pointer("/metadata/namespace").and_then(|it| it.as_str());
            subjects.push(Subject {
                place: None,
                kind: "Pod".to_owned(),
                name: from_cluster::name_of(&read.object).to_owned(),
                pod: PodShape::of_value(&read.object, namespace.unwrap_or_default()),
            });
        }
    });
    pods.await.map_err(failed)?;
    progress.clear();
    from_cluster::tell_missing(&reading, scope, |forbidden| match forbidden.aspect {
        Aspect::Workload | Aspect::Pods => "they are skipped",
        Aspect::Around(_) => "fronts that depend on them are missing",
    });
    Ok((around, subjects))
}

fn subject(Read { resource, object }: &Read<'_>, arguments: &FrontsArguments) -> Option<Subject> {
    let api_version = resource.api_version();
    let object = Object::of_kind(object, &api_version, &resource.kind);
    let workload = object.workload(&arguments.kinds)?;
    let pod = workload.pod_shape("default");
    Some(Subject {
        place: None,
        kind: workload.kind.to_owned(),
        name: workload.name.to_owned(),
        pod,
    })
}
