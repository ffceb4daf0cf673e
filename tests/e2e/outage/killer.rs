//! A pod that sends signals to the processes of other pods, like the kernel or an administrator on
//! the node: prestop's image has no program that could.

use serde_json::{Value, json};

use crate::cluster::{Cluster, Namespace, wait_until};
use crate::workloads::WORKLOAD;

pub(crate) const KILL: &str = "9";
pub(crate) const STOP: &str = "19";
pub(crate) const CONTINUE: &str = "18";

pub(crate) struct Killer<'a> {
    cluster: &'a Cluster,
    namespace: Namespace,
}

impl<'a> Killer<'a> {
    /// Starts a pod on each node.
    pub(crate) fn start(cluster: &'a Cluster) -> Self {
        let namespace = cluster.namespace("killer", &json!({}));
        cluster.apply(&json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet",
            "metadata": {"name": "killer", "namespace": namespace.name},
            "spec": {
                "selector": {"matchLabels": {"app": "killer"}},
                "template": {
                    "metadata": {"labels": {"app": "killer"}},
                    "spec": {
                        "hostPID": true,
                        "containers": [{
                            "name": "killer", "image": WORKLOAD, "imagePullPolicy": "IfNotPresent",
                            "args": ["wait", "-duration=1h"],
                            "securityContext": {"runAsUser": 0, "runAsGroup": 0, "privileged": true},
                        }],
                    },
                },
            },
        }));
        cluster.kubectl(&[
            "rollout",
            "status",
            "daemonset/killer",
            "--namespace",
            &namespace.name,
            "--timeout=120s",
        ]);
        let killer = Self { cluster, namespace };
        wait_until("the killers", || !killer.pods().is_empty());
        killer
    }

    fn pods(&self) -> Vec<Value> {
        self.cluster.list(&["pods", "--namespace", &self.namespace.name])
    }

    /// Sends a signal to the first container of a pod.
    pub(crate) fn signal(&self, pod: &Value, signal: &str) {
        let id = pod["status"]["containerStatuses"][0]["containerID"].as_str().unwrap();
        let (_, id) = id.split_once("://").unwrap();
        let node = &pod["spec"]["nodeName"];
        let there = self.pods().into_iter().find(|killer| killer["spec"]["nodeName"] == *node);
        let killer = there.expect("a killer on the node");
        self.cluster.kubectl(&[
            "exec",
            killer["metadata"]["name"].as_str().unwrap(),
            "--namespace",
            &self.namespace.name,
            "--",
            "/workload",
            "kill",
            &format!("-container={id}"),
            &format!("-signal={signal}"),
        ]);
    }
}
