//! The facts that are kept about a pod while it runs. Pods with the same template share them.

use std::hash::Hash;

use prestop_core::engine::planned::PlannedHook;

use super::objects::{Container, Pod, Workload};

/// Facts that the pods with the same template share.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct PodFacts {
    /// The pods' workload.
    pub workload: Option<Workload>,
    /// The revision of the workload's template.
    pub revision: Option<String>,
    /// Containers and native sidecars.
    pub containers: Vec<ContainerFacts>,
}

/// Facts about a container.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ContainerFacts {
    /// Name of the container.
    pub name: String,
    /// The `preStop` hook, if there is one.
    pub hook: Option<PlannedHook>,
    /// The declared ports.
    pub ports: Vec<u32>,
    /// The role in the pod.
    pub role: Role,
}

/// The role of a container in its pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The default container of `kubectl logs`, or else the first.
    Main,
    /// Another container.
    Beside,
    /// A native sidecar: Kubernetes stops it after the others.
    Sidecar,
}

impl PodFacts {
    /// Reads the facts from a pod.
    #[must_use]
    pub fn of(pod: &Pod) -> Self {
        let named = pod.metadata.annotations.get("kubectl.kubernetes.io/default-container");
        let main = named.filter(|name| pod.spec.containers.iter().any(|it| it.name == **name));
        let main = main.or_else(|| pod.spec.containers.first().map(|container| &container.name));
        let containers = pod.spec.containers.iter().map(|container| {
            let role = if Some(&container.name) == main { Role::Main } else { Role::Beside };
            ContainerFacts::of(container, role)
        });
        let sidecars = pod.spec.init_containers.iter();
        let sidecars = sidecars.filter(|it| it.restart_policy.as_deref() == Some("Always"));
        let sidecars = sidecars.map(|container| ContainerFacts::of(container, Role::Sidecar));
        Self {
            workload: pod.workload(),
            revision: pod.revision().map(str::to_owned),
            containers: containers.chain(sidecars).collect(),
        }
    }

    /// Returns whether a container serves the requests to these ports of the pod: it declares one
    /// of them, or it is the main container and no container declares one.
    #[must_use]
    pub fn serves(&self, container: &ContainerFacts, ports: &[u32]) -> bool {
        let names = |it: &ContainerFacts| it.ports.iter().any(|port| ports.contains(port));
        if self.containers.iter().any(names) {
            return names(container);
        }
        container.role == Role::Main
    }
}

impl ContainerFacts {
    fn of(container: &Container, role: Role) -> Self {
        let hook = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.pre_stop.as_ref());
        Self {
            name: container.name.clone(),
            hook: hook.map(PlannedHook::of),
            ports: container.ports.iter().map(|port| port.container_port).collect(),
            role,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_container_of_the_port_serves_or_else_the_main_one() {
        let pod = json!({
            "metadata": {"annotations": {"kubectl.kubernetes.io/default-container": "app"}},
            "spec": {"containers": [
                {"name": "proxy", "ports": [{"containerPort": 15001}]},
                {"name": "app", "ports": [{"containerPort": 8080}],
                 "lifecycle": {"preStop": {"sleep": {"seconds": 5}}}},
            ], "initContainers": [
                {"name": "init"}, {"name": "mesh", "restartPolicy": "Always"},
            ]},
        });
        let facts = PodFacts::of(&serde_json::from_value(pod).unwrap());
        let names: Vec<_> = facts.containers.iter().map(|it| (it.name.as_str(), it.role)).collect();
        let expected = [("proxy", Role::Beside), ("app", Role::Main), ("mesh", Role::Sidecar)];
        assert_eq!(names, expected);
        assert_eq!(facts.containers[1].hook.unwrap().delay_seconds, Some(5));
        let serving = |ports: &[u32]| {
            let serving = facts.containers.iter().filter(|it| facts.serves(it, ports));
            serving.map(|it| it.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(serving(&[15001]), ["proxy"]);
        assert_eq!(serving(&[8080]), ["app"]);
        // No container declares the port.
        assert_eq!(serving(&[9000]), ["app"]);
    }
}
