//! The client, as a pod of its own in the cluster.

use serde_json::{Value, json};

use crate::cluster::{Cluster, Namespace, wait_until};
use crate::workloads::{Server, WORKLOAD};

/// The same times between requests in each run.
const SEED: u64 = 20_261_124;

/// Requests a second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rates {
    /// Each with a connection.
    pub(crate) new: f64,
    pub(crate) kept_connections: u32,
    /// On each of them.
    pub(crate) kept: f64,
    /// Downloads of 2 s.
    pub(crate) short: f64,
    /// Downloads of 8 s.
    pub(crate) long: f64,
}

impl Rates {
    pub(crate) const FULL: Self =
        Self { new: 300.0, kept_connections: 20, kept: 10.0, short: 10.0, long: 3.0 };
    /// For servers that have only `/`.
    pub(crate) const WITHOUT_DOWNLOADS: Self = Self { short: 0.0, long: 0.0, ..Self::FULL };

    pub(crate) fn per_second(self) -> f64 {
        self.new + f64::from(self.kept_connections) * self.kept + self.short + self.long
    }
}

/// The container that sends requests to this address.
pub(crate) fn container(address: &str, server: Server, rates: Rates) -> Value {
    let [short, long] = server.paths();
    let Rates { new, kept_connections, kept, short: short_rate, long: long_rate } = rates;
    json!({
        "name": "load", "image": WORKLOAD, "imagePullPolicy": "IfNotPresent",
        "args": [
            "load", format!("-address={address}"), format!("-seed={SEED}"), "-bound=10m",
            format!("-short-path={short}"), format!("-long-path={long}"),
            format!("-new={new}"), format!("-kept={kept_connections}"), format!("-kept-rate={kept}"),
            format!("-short={short_rate}"), format!("-long={long_rate}"),
        ],
    })
}

pub(crate) struct Load<'a> {
    cluster: &'a Cluster,
    namespace: String,
    pod: String,
    /// Goes with the client, if it has one for itself.
    _own: Option<Namespace>,
}

impl<'a> Load<'a> {
    /// Requests to the Service `web` of this namespace; they have begun.
    pub(crate) fn start(cluster: &'a Cluster, target: &str, server: Server) -> Self {
        Self::start_with(cluster, target, server, Rates::FULL)
    }

    pub(crate) fn start_with(
        cluster: &'a Cluster,
        target: &str,
        server: Server,
        rates: Rates,
    ) -> Self {
        // It has not opted in: the client gets no hook.
        let namespace = cluster.namespace("client", &json!({}));
        let service = cluster.get(&["service", "web", "--namespace", target]);
        let address = format!("{}:80", service["spec"]["clusterIP"].as_str().unwrap());
        cluster.apply(&json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "load", "namespace": namespace.name},
            "spec": {"restartPolicy": "Never", "containers": [container(&address, server, rates)]},
        }));
        let name = namespace.name.clone();
        let load = Self { _own: Some(namespace), ..Self::of_pod(cluster, &name, "load") };
        load.wait();
        load
    }

    /// A pod that is there already, with a container `load`.
    pub(crate) fn of_pod(cluster: &'a Cluster, namespace: &str, pod: &str) -> Self {
        Self { cluster, namespace: namespace.to_owned(), pod: pod.to_owned(), _own: None }
    }

    /// Until requests have begun.
    pub(crate) fn wait(&self) {
        wait_until("the first answers", || self.told().contains("begun"));
    }

    /// No more requests; what became of all of them.
    pub(crate) fn finish(self) -> Value {
        self.stop();
        self.report()
    }

    /// No more requests; those under way are finished.
    pub(crate) fn stop(&self) {
        let stop = ["--container=load", "--", "/workload", "stop"];
        self.cluster.kubectl(
            &[&["exec", self.pod.as_str(), "--namespace", self.namespace.as_str()], &stop[..]]
                .concat(),
        );
    }

    /// What became of all requests, after `stop`.
    pub(crate) fn report(self) -> Value {
        wait_until("the client's report", || {
            self.cluster.get(&["pod", &self.pod, "--namespace", &self.namespace])["status"]["phase"]
                == "Succeeded"
        });
        let told = self.told();
        serde_json::from_str(told.lines().last().unwrap()).unwrap_or_else(|_| panic!("{told}"))
    }

    fn told(&self) -> String {
        let arguments = ["logs", &self.pod, "--container=load", "--namespace", &self.namespace]
            .map(str::as_ref);
        self.cluster.try_kubectl(&arguments).1
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
