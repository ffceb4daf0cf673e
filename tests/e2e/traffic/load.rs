//! The client, a separate pod in the cluster.

use serde_json::{Value, json};

use crate::cluster::{Cluster, Namespace, wait_until};
use crate::workloads::{Server, WORKLOAD};

/// Random seed: the same times between requests in each run.
const SEED: u64 = 20_261_124;

/// Rates of requests per second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rates {
    /// Requests with a new connection each.
    pub(crate) new: f64,
    pub(crate) kept_connections: u32,
    /// Requests on each kept connection.
    pub(crate) kept: f64,
    /// Downloads of 2 s.
    pub(crate) short: f64,
    /// Downloads of 8 s.
    pub(crate) long: f64,
}

impl Rates {
    pub(crate) const FULL: Self =
        Self { new: 300.0, kept_connections: 20, kept: 10.0, short: 10.0, long: 3.0 };
    /// Rates for servers that have only `/`.
    pub(crate) const WITHOUT_DOWNLOADS: Self = Self { short: 0.0, long: 0.0, ..Self::FULL };

    pub(crate) fn per_second(self) -> f64 {
        self.new + f64::from(self.kept_connections) * self.kept + self.short + self.long
    }
}

/// Returns the container that sends requests to this address.
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
    /// The client's own namespace, if it has one; deleted with the client.
    _own: Option<Namespace>,
}

impl<'a> Load<'a> {
    /// Starts to send requests to the Service `web` in this namespace.
    pub(crate) fn start(cluster: &'a Cluster, target: &str, server: Server) -> Self {
        Self::start_with(cluster, target, server, Rates::FULL)
    }

    pub(crate) fn start_with(
        cluster: &'a Cluster,
        target: &str,
        server: Server,
        rates: Rates,
    ) -> Self {
        // The namespace has not opted in: the client gets no hook.
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

    /// Uses an existing pod with a container `load`.
    pub(crate) fn of_pod(cluster: &'a Cluster, namespace: &str, pod: &str) -> Self {
        Self { cluster, namespace: namespace.to_owned(), pod: pod.to_owned(), _own: None }
    }

    /// Waits until requests have begun.
    pub(crate) fn wait(&self) {
        wait_until("the first answers", || self.told().contains("begun"));
    }

    /// Stops sending. Returns the results for all requests.
    pub(crate) fn finish(self) -> Value {
        self.stop();
        self.report()
    }

    /// Stops sending; requests in flight are finished.
    pub(crate) fn stop(&self) {
        let stop = ["--container=load", "--", "/workload", "stop"];
        self.cluster.kubectl(
            &[&["exec", self.pod.as_str(), "--namespace", self.namespace.as_str()], &stop[..]]
                .concat(),
        );
    }

    /// Returns the results for all requests, after `stop`.
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

/// Returns the causes of dropped requests, the most frequent first.
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
