//! The kubelet's own log, compared with the lines of `prestop watch`: the times at which it learned
//! of the deletion of a pod, ran the hooks of a container, sent the stop signal, and saw the
//! container end. The lines are those of
//! [kuberuntime_container.go](https://github.com/kubernetes/kubernetes/blob/v1.37.2/pkg/kubelet/kuberuntime/kuberuntime_container.go)
//! and of its sync loop, at verbosity 3.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use jiff::civil::DateTime;
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::cluster::{Cluster, state};

/// The kubelet learns of ends by a poll once a second, and the machine is busy.
const LATE: SignedDuration = SignedDuration::from_secs(3);
const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// A kubelet with more log output, until this is dropped.
pub(crate) struct Kubelet<'a> {
    cluster: &'a Cluster,
    node: String,
    log: PathBuf,
    /// Offset of the log's times from UTC.
    offset: Offset,
}

/// A container's stop, according to the kubelet's log.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    deleted: Option<Timestamp>,
    hook_began: Option<Timestamp>,
    hook_completed: Option<Timestamp>,
    hook_failed: bool,
    /// Time of the stop signal, and the seconds of grace that were left.
    signalled: Option<(Timestamp, i64)>,
    ended: Option<Timestamp>,
}

impl<'a> Kubelet<'a> {
    /// Returns the kubelet of the scripts' cluster; `None` in another cluster, whose log is not a
    /// local file.
    pub(crate) fn that_logs_more(cluster: &'a Cluster) -> Option<Self> {
        let log = state()?.join("log/kubelet.log");
        let node = cluster.list(&["nodes"])[0]["metadata"]["name"].as_str().unwrap().to_owned();
        let kubelet = Self { cluster, node, log, offset: offset() };
        kubelet.set_verbosity(3);
        Some(kubelet)
    }

    fn set_verbosity(&self, verbosity: u8) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("verbosity");
        fs::write(&file, verbosity.to_string()).unwrap();
        let path = format!("/api/v1/nodes/{}/proxy/debug/flags/v", self.node);
        self.cluster.kubectl(&["replace", "--raw", &path, "--filename", file.to_str().unwrap()]);
    }

    /// Returns the stop of this container, in a pod that has been deleted.
    pub(crate) fn stop(&self, namespace: &str, pod: &str, uid: &str, container: &str) -> Stop {
        let (pod, uid) = (format!("{namespace}/{pod}"), format!("podUID=\"{uid}\""));
        let container = format!("containerName=\"{container}\"");
        let mut stop = Stop::default();
        let mut id = String::new();
        let text = fs::read_to_string(&self.log).unwrap();
        for line in text.lines() {
            let at = || timestamp(line, self.offset);
            if line.contains("\"SyncLoop DELETE\"") && line.contains(&format!("\"{pod}\"")) {
                stop.deleted = stop.deleted.or(at());
            }
            if line.contains("\"Type\":\"ContainerDied\"") && !id.is_empty() && line.contains(&id) {
                stop.ended = stop.ended.or(at());
            }
            if !line.contains(&uid) || !line.contains(&container) {
                continue;
            }
            if let Some(found) = field(line, "containerID=") {
                found.rsplit('/').next().unwrap().clone_into(&mut id);
            }
            if line.contains("\"Running preStop hook\"") {
                stop.hook_began = stop.hook_began.or(at());
            } else if line.contains("\"PreStop hook completed\"") {
                stop.hook_completed = stop.hook_completed.or(at());
            } else if line.contains("\"PreStop hook failed\"") {
                stop.hook_failed = true;
            } else if line.contains("\"Killing container with a grace period\"") {
                let left = field(line, "gracePeriod=").unwrap().parse().unwrap();
                stop.signalled = stop.signalled.or(at().map(|at| (at, left)));
            } else if line.contains("\"Container exited normally\"") {
                stop.ended = stop.ended.or(at());
            }
        }
        stop
    }
}

impl Drop for Kubelet<'_> {
    fn drop(&mut self) {
        self.set_verbosity(0);
    }
}

impl Stop {
    /// Panics if this line of the watch disagrees.
    pub(crate) fn agrees_with(&self, end: &Value) {
        let told = format!("{self:#?} and {end:#}");
        let deleted_at: Timestamp = end["deletedAt"].as_str().unwrap().parse().unwrap();
        // The API has whole seconds.
        let is_at = |logged: Option<Timestamp>, said: Timestamp| {
            logged.is_some_and(|logged| said <= logged && logged < said + SECOND + LATE)
        };
        assert!(is_at(self.deleted, deleted_at), "deleted: {told}");
        assert!(is_at(self.ended, after(deleted_at, &end["exitedAfterSeconds"])), "ended: {told}");
        let hook = &end["hook"]["endedAfterSeconds"];
        if let Some(logged) = self.hook_completed.filter(|_| !hook.is_null()) {
            let said = after(deleted_at, hook);
            assert!((logged - LATE..=logged + SECOND).contains(&said), "hook: {told}");
        }
        let (signalled, left) = self.signalled.unwrap_or_else(|| panic!("signalled: {told}"));
        let took = self.ended.unwrap().duration_since(signalled);
        let is_killed = took >= SignedDuration::from_secs(left);
        let is_as_logged = match end["verdict"].as_str().unwrap() {
            "no-hook" => self.hook_began.is_none() && !is_killed,
            "hook-failed" => self.hook_failed,
            "killed-at-grace-end" => is_killed,
            "ended-at-once" => {
                let delay = self.hook_began.map(|began| self.ended.unwrap().duration_since(began));
                delay.is_some_and(|delay| delay < LATE) && !is_killed
            }
            "ended-by-itself" | "obeyed-stop-signal" => {
                self.hook_began.is_some() && !self.hook_failed && !is_killed
            }
            other => panic!("{other}: {told}"),
        };
        assert!(is_as_logged, "verdict: {told}");
    }
}

fn after(at: Timestamp, seconds: &Value) -> Timestamp {
    at + SignedDuration::from_secs_f64(seconds.as_f64().unwrap())
}

/// Parses `I1128 23:33:39.123456   1234 file.go:1] ...`, in the local time of its process, without
/// a year.
fn timestamp(line: &str, offset: Offset) -> Option<Timestamp> {
    let (date, rest) = line.get(1..)?.split_once(' ')?;
    let time = rest.split(' ').next()?;
    let year = offset.to_datetime(Timestamp::now()).year();
    let (month, day) = date.split_at_checked(2)?;
    let text = format!("{year:04}-{month}-{day}T{time}");
    offset.to_timestamp(text.parse::<DateTime>().ok()?).ok()
}

/// Returns the UTC offset of this machine, which the kubelet shares.
fn offset() -> Offset {
    let output = Command::new("date").arg("+%z").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let minutes: i32 = text.trim().parse().unwrap();
    Offset::from_seconds((minutes / 100 * 60 + minutes % 100) * 60).unwrap()
}

/// Returns the value of `name=value` or `name="value"`.
fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(name)?;
    let rest = rest.split(' ').next()?;
    Some(rest.trim_matches('"'))
}
