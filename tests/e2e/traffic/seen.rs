//! Visible effects of pods that end: the end of containers, its duration, events.

use std::collections::BTreeMap;
use std::fs;
use std::process::Child;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Serialize;
use serde_json::Value;
use tempfile::TempDir;

use crate::cluster::Cluster;

/// Warnings that are unrelated to the end of a pod: a cluster without DNS, and readiness probes
/// before a container listens or after it has stopped.
const OF_OTHER_THINGS: [&str; 2] = ["MissingClusterDNS", "Unhealthy"];

/// A kubectl that watches the pods of a namespace.
pub(crate) struct Watch<'a> {
    cluster: &'a Cluster,
    namespace: String,
    child: Child,
    folder: TempDir,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Seen {
    /// Number of pods that ended.
    ended: usize,
    /// Ends of their containers: reason and exit status.
    statuses: BTreeMap<String, usize>,
    /// The longest time from the deletion to the end of the containers.
    longest_seconds: i64,
    /// Events by type and reason, with one message each.
    events: BTreeMap<String, (u64, String)>,
}

/// A pod that ended, by its first container.
#[derive(Debug, Serialize)]
pub(crate) struct Ended {
    /// The label `app`.
    pub(crate) app: String,
    pub(crate) pod: String,
    /// Reason and exit status.
    pub(crate) how: String,
    /// Seconds from the deletion to the end of the container, plus or minus one.
    pub(crate) seconds: Option<i64>,
    /// The termination message.
    pub(crate) message: String,
}

impl<'a> Watch<'a> {
    pub(crate) fn start(cluster: &'a Cluster, namespace: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let arguments = [
            "get",
            "pods",
            "--namespace",
            namespace,
            "--watch",
            "--output-watch-events",
            "--output=json",
        ];
        let child = cluster.start_kubectl(&arguments, &folder.path().join("pods.json"));
        Self { cluster, namespace: namespace.to_owned(), child, folder }
    }

    pub(crate) fn finish(self) -> Seen {
        let (cluster, namespace) = (self.cluster, self.namespace.clone());
        let mut seen = Seen::default();
        for pod in self.ended() {
            seen.add_pod(pod);
        }
        for event in cluster.list(&["events", "--namespace", &namespace]) {
            seen.add_event(&event);
        }
        seen
    }

    /// Returns the pods that ended, without events.
    pub(crate) fn ended(mut self) -> Vec<Ended> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let text = fs::read_to_string(self.folder.path().join("pods.json")).unwrap();
        // The first and the last state of each after its deletion: at the end, the kubelet deletes
        // once more, without a grace period, which changes the timestamp.
        let mut deleted: BTreeMap<String, (Value, Value)> = BTreeMap::new();
        // The last event may be cut off.
        for event in
            serde_json::Deserializer::from_str(&text).into_iter::<Value>().map_while(Result::ok)
        {
            let pod = &event["object"];
            if !pod["metadata"]["deletionTimestamp"].is_null() {
                let name = pod["metadata"]["name"].as_str().unwrap().to_owned();
                deleted.entry(name).or_insert_with(|| (pod.clone(), Value::Null)).1 = pod.clone();
            }
        }
        deleted.values().map(|(first, last)| Ended::new(first, last)).collect()
    }
}

impl Ended {
    fn new(first: &Value, last: &Value) -> Self {
        let terminated = &last["status"]["containerStatuses"][0]["state"]["terminated"];
        let how = match terminated["exitCode"].as_i64() {
            Some(status) => format!("{} ({status})", terminated["reason"].as_str().unwrap_or("?")),
            None => "gone before its status was seen".to_owned(),
        };
        let metadata = &first["metadata"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        // The timestamp is the end of the grace period.
        let deadline = second(&metadata["deletionTimestamp"]);
        let grace = metadata["deletionGracePeriodSeconds"].as_i64();
        let deleted = deadline.zip(grace).map(|(deadline, grace)| deadline - grace);
        let finished = second(&terminated["finishedAt"]);
        Self {
            app: text(&metadata["labels"]["app"]),
            pod: text(&metadata["name"]),
            how,
            seconds: finished.zip(deleted).map(|(finished, deleted)| finished - deleted),
            message: text(&terminated["message"]),
        }
    }
}

impl Seen {
    fn add_pod(&mut self, pod: Ended) {
        self.ended += 1;
        *self.statuses.entry(pod.how).or_default() += 1;
        self.longest_seconds = self.longest_seconds.max(pod.seconds.unwrap_or_default());
    }

    fn add_event(&mut self, event: &Value) {
        let [kind, reason, message] =
            ["type", "reason", "message"].map(|field| event[field].as_str().unwrap_or_default());
        let count = event["count"].as_u64().or(event["series"]["count"].as_u64()).unwrap_or(1);
        let entry =
            self.events.entry(format!("{kind} {reason}")).or_insert((0, message.to_owned()));
        entry.0 += count;
    }

    /// Formats as `7 pods ended: 7 Completed (0), after 18 s at most; 7 FailedPreStopHook`.
    pub(crate) fn in_words(&self) -> String {
        let ended: Vec<_> =
            self.statuses.iter().map(|(how, count)| format!("{count} {how}")).collect();
        let warnings = self.events.iter().filter_map(|(kind, (count, _))| {
            let reason = kind.strip_prefix("Warning ")?;
            if OF_OTHER_THINGS.contains(&reason) {
                return None;
            }
            Some(format!("{count} {reason}"))
        });
        let warnings = warnings.collect::<Vec<_>>().join(", ");
        let warnings = if warnings.is_empty() {
            "no warning events".to_owned()
        } else {
            format!("warnings: {warnings}")
        };
        format!(
            "{} pods ended within {} s: {}; {warnings}",
            self.ended,
            self.longest_seconds,
            ended.join(", ")
        )
    }
}

fn second(time: &Value) -> Option<i64> {
    serde_json::from_value::<Time>(time.clone()).ok().map(|time| time.0.as_second())
}
