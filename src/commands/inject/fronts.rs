//! The fronts of the workloads in the input, for delays that depend on them: from the input and from a
//! cluster.

use std::collections::{BTreeSet, HashSet};

use anyhow::anyhow;
use prestop_core::audit::Topic;
use prestop_core::engine::template::Workload;
use prestop_core::fronts::{FrontDelay, FrontTable, Surroundings};
use serde_json::Value;

use super::super::from_cluster::{self, Cluster, Progress};
use super::super::input::Input;
use super::super::objects::input_objects;
use super::{Mode, Run};
use crate::cluster::api::Choice;
use crate::cluster::reading::{PAGE, Read, ReadError, Reading, Scope, Wanted};

/// The objects in the input that matter for fronts.
struct OfInput {
    around: Surroundings<'static>,
    /// Kind, namespace and name of these objects: they take precedence over objects of the same
    /// name in a cluster.
    names: HashSet<(String, String, String)>,
    /// The namespaces of its workloads.
    namespaces: BTreeSet<String>,
}

impl Run<'_> {
    /// Returns the Services of the input and of the cluster, with the objects that refer to them,
    /// if any delay depends on fronts. Files that can't be read here are reported later, in their
    /// order.
    ///
    /// # Errors
    /// When the cluster can't be read.
    pub(super) fn surroundings(
        &self,
        inputs: &[Input],
    ) -> anyhow::Result<Option<Surroundings<'static>>> {
        if !self.asks_for_fronts || self.mode == Mode::Uninject {
            if self.cluster.is_some() {
                self.note("note: no delay is auto, so --fronts-from-cluster has no effect");
            }
            return Ok(None);
        }
        let mut found = self.of_input(inputs);
        if let Some(choice) = &self.cluster {
            self.add_cluster(choice, &mut found)?;
        }
        Ok(Some(found.around))
    }

    /// Returns the delay that the known fronts of a workload need.
    pub(super) fn behind(&self, workload: &Workload<'_>) -> Option<FrontDelay> {
        let pod = workload.pod_shape(&self.arguments.namespace);
        FrontDelay::of(&self.around.as_ref()?.fronts(&pod))
    }

    fn of_input(&self, inputs: &[Input]) -> OfInput {
        let namespace = &self.arguments.namespace;
        let around = Surroundings::new(FrontTable::built_in(), namespace);
        let mut of = OfInput { around, names: HashSet::new(), namespaces: BTreeSet::new() };
        for input in inputs.iter().filter(|input| input.patch_of.is_none()) {
            let _ = input_objects(input, &mut |found| {
                let object = found.object;
                let (Some(api_version), Some(kind)) = (object.api_version(), object.kind()) else {
                    return;
                };
                if let Some(workload) = object.workload(&self.arguments.kinds) {
                    of.namespaces.insert(workload.namespace.unwrap_or(namespace).to_owned());
                } else {
                    of.around.add(api_version, kind, object.value());
                    of.names.insert(name(kind, object.value(), namespace));
                }
            });
        }
        of
    }

    fn add_cluster(&self, choice: &Choice, found: &mut OfInput) -> anyhow::Result<()> {
        let cluster = Cluster::connect(choice)?;
        let namespaces = found.namespaces.iter().cloned().collect();
        let scope = Scope::Namespaces(namespaces);
        let progress = Progress::new();
        let told = |resource: &str, count| progress.show(resource, count);
        let read = cluster.run(async {
            let wanted = Wanted { scope: scope.clone(), selector: None, kinds: &[], page: PAGE };
            let mut reading = Reading::new(&cluster.api, wanted, &told).await?;
            let is_front = |topic| matches!(topic, Topic::Services | Topic::Routes);
            let add = |Read { resource, object }: Read<'_>| {
                let own = name(&resource.kind, &object, &self.arguments.namespace);
                if !found.names.contains(&own) {
                    found.around.add(&resource.api_version(), &resource.kind, &object);
                }
            };
            reading.surroundings(is_front, add).await?;
            Ok::<_, ReadError>(reading)
        });
        progress.clear();
        let reading = read.map_err(|error| anyhow!("{}: {error}", cluster.name))?;
        if !self.arguments.quiet {
            from_cluster::tell_missing(
                &reading,
                &scope,
                |_| "fronts that depend on them are missing",
            );
        }
        Ok(())
    }
}

fn name(kind: &str, object: &Value, namespace: &str) -> (String, String, String) {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let namespace = text("/metadata/namespace").unwrap_or(namespace);
    let name = text("/metadata/name").unwrap_or_default();
    (kind.to_owned(), namespace.to_owned(), name.to_owned())
}
