//! The client, as a pod of its own in the cluster.

use serde_json::{Value, json};

use crate::cluster::{Cluster, Namespace, wait_until};
use crate::workloads::{Server, WORKLOAD};

/// Requests a second: 300 with a connection each, 20 kept connections of 10, 10 short and 3 long downloads.
pub(crate) const PER_SECOND: f64 = 300.0 + 20.0 * 10.0 + 10.0 + 3.0;
/// The same times between requests in each run.
const SEED: u64 = 20_261_124;

pub(crate) struct Load<'a> {
    cluster: &'a Cluster,
    /// Not one that has opted in: the client is nobody's business.
    namespace: Namespace,
}

impl<'a> Load<'a> {
    /// Requests to the Service `web` of this namespace; they have begun.
    pub(crate) fn start(cluster: &'a Cluster, target: &str, server: Server) -> Self {
        let namespace = cluster.namespace("client", &json!({}));
        let service = cluster.get(&["service", "web", "--namespace", target]);
        let [short, long] = server.paths();
        let address = service["spec"]["clusterIP"].as_str().unwrap();
        cluster.apply(&json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "load", "namespace": namespace.name},
            "spec": {"restartPolicy": "Never", "containers": [{
                "name": "load", "image": WORKLOAD, "imagePullPolicy": "IfNotPresent",
                "args": [
                    "load", format!("-address={address}:80"), format!("-seed={SEED}"), "-bound=10m",
                    format!("-short-path={short}"), format!("-long-path={long}"),
                ],
            }]},
        }));
        let load = Self { cluster, namespace };
        wait_until("the first answers", || load.told().contains("begun"));
        load
    }

    /// No more requests; what became of all of them.
    pub(crate) fn finish(self) -> Value {
        let namespace = &self.namespace.name;
        self.cluster.kubectl(&[
            "exec",
            "load",
            "--namespace",
            namespace,
            "--",
            "/workload",
            "stop",
        ]);
        wait_until("the client's report", || {
            self.cluster.get(&["pod", "load", "--namespace", namespace])["status"]["phase"]
                == "Succeeded"
        });
        let told = self.told();
        serde_json::from_str(told.lines().last().unwrap()).unwrap_or_else(|_| panic!("{told}"))
    }

    fn told(&self) -> String {
        self.cluster.try_kubectl(&["logs", "load", "--namespace", &self.namespace.name]).1
    }
}

/// Why requests were dropped, most frequent first.
pub(crate) fn causes(report: &Value) -> String {
    let mut causes: Vec<(String, u64)> = Vec::new();
    for stream in report["streams"].as_object().unwrap().values() {
        for (cause, count) in stream["causes"].as_object().unwrap() {
            let count = count.as_u64().unwrap();
            match causes.iter_mut().find(|(known, _)| known == cause) {
                Some((_, sum)) => *sum += count,
                None => causes.push((cause.clone(), count)),
            }
        }
    }
    causes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    causes.iter().map(|(cause, count)| format!("{count} {cause}")).collect::<Vec<_>>().join(", ")
}
