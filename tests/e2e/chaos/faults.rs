//! The faults, each for a while, and a log of their times.

use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::delay::{Rule, Slow};
use crate::cluster::{Cluster, wait_at_most, wait_until};
use crate::installation::{self, NAMESPACE, is_ready};

/// Time for which a fault may have effects after its end: restarted watches, probes that have to
/// pass.
const AFTERMATH: Duration = Duration::from_secs(10);
const SECURE_PORT: u16 = 10250;
/// Delay of the slow network.
const SLOWER_BY: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Killed,
    Garbage,
    Kubelet,
    ApiServer,
    Etcd,
    Cut,
    Slow,
    Burner,
    Clock,
}

impl Fault {
    pub(super) const ALL: [Self; 9] = [
        Self::Killed,
        Self::Garbage,
        Self::Kubelet,
        Self::ApiServer,
        Self::Etcd,
        Self::Cut,
        Self::Slow,
        Self::Burner,
        Self::Clock,
    ];

    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Killed => "a replica killed with SIGKILL",
            Self::Garbage => "the configuration is garbage",
            Self::Kubelet => "the kubelet restarts",
            Self::ApiServer => "the API server restarts",
            Self::Etcd => "etcd stands still for 10 s",
            Self::Cut => "no packet from the API server to the webhook for 10 s",
            Self::Slow => "new connections to the webhook 500 ms slower",
            Self::Burner => "four busy loops on two cores",
            Self::Clock => "one replica's clock jumps by hours",
        }
    }
}

/// The times of each fault.
#[derive(Default)]
pub(super) struct Log(Mutex<Vec<(Fault, Instant, Option<Instant>)>>);

impl Log {
    /// Runs a fault and logs its times.
    pub(super) fn during(&self, fault: Fault, work: impl FnOnce()) {
        let index = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.push((fault, Instant::now(), None));
            all.len() - 1
        };
        println!("fault: {}", fault.text());
        work();
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[index].2 = Some(Instant::now());
    }

    pub(super) fn count(&self, fault: Fault) -> usize {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter(|(known, ..)| *known == fault).count()
    }

    /// Returns the faults that may have affected an operation between these times.
    pub(super) fn at(&self, began: Instant, ended: Instant) -> Vec<Fault> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let meets = |from: Instant, until: Option<Instant>| {
            ended >= from && until.is_none_or(|until| began <= until + AFTERMATH)
        };
        let met = all.iter().filter(|(_, from, until)| meets(*from, *until));
        met.map(|(fault, ..)| *fault).collect()
    }

    /// Returns the fault that ended last, and how long ago.
    pub(super) fn last_before(&self, at: Instant) -> Option<(Fault, Duration)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = all.iter().filter_map(|(fault, _, until)| Some((*fault, (*until)?)));
        let before = ended.filter(|(_, until)| *until <= at);
        before.map(|(fault, until)| (fault, at - until)).min_by_key(|(_, ago)| *ago)
    }
}

/// Parameters of the faults.
pub(super) struct Faults<'a> {
    cluster: &'a Cluster,
    /// The commands of tests/e2e/run.
    commands: PathBuf,
    service: SocketAddrV4,
    pub(super) log: Log,
}

impl<'a> Faults<'a> {
    pub(super) fn new(cluster: &'a Cluster, commands: PathBuf) -> Self {
        let service = cluster.get(&["service", "prestop", "--namespace", NAMESPACE]);
        let address = service["spec"]["clusterIP"].as_str().unwrap().parse().unwrap();
        Self { cluster, commands, service: SocketAddrV4::new(address, 443), log: Log::default() }
    }

    fn run(&self, command: &str, argument: &str) {
        let output = Command::new(self.commands.join(command)).arg(argument).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command} {argument}: {told}");
    }

    /// Runs kubectl, with retries while the API server is unavailable.
    fn kubectl(&self, arguments: &[&str]) {
        let mut told = String::new();
        let is_done = || {
            let (is_done, now) = self.cluster.try_kubectl(arguments);
            told = now;
            is_done
        };
        wait_at_most(Duration::from_secs(180), &format!("kubectl {arguments:?}"), is_done);
    }

    /// Kills the first ready replica, unless it is the only one.
    pub(super) fn kill_a_replica(&self) {
        let arguments = ["get", "pods", "--namespace", NAMESPACE, "--output=json", "--selector"];
        let selector = "app.kubernetes.io/name=prestop,!shifted";
        let (_, told) = self.cluster.try_kubectl(&[&arguments[..], &[selector]].concat());
        let Ok(pods) = serde_json::from_str::<Value>(&told) else { return };
        let pods = pods["items"].as_array().cloned().unwrap_or_default();
        let ready: Vec<_> = pods.iter().filter(|pod| is_ready(pod)).collect();
        let [victim, _, ..] = ready[..] else { return };
        let id = victim["status"]["containerStatuses"][0]["containerID"].as_str().unwrap();
        self.log.during(Fault::Killed, || {
            self.run("kill-container", id.split_once("://").unwrap().1);
            // A container that is killed repeatedly is restarted later and later; a new pod is not.
            let name = victim["metadata"]["name"].as_str().unwrap();
            let arguments = ["delete", "pod", name, "--namespace", NAMESPACE];
            let at_once = ["--grace-period=0", "--force", "--wait=false"];
            let _ = self.cluster.try_kubectl(&[&arguments[..], &at_once].concat());
        });
    }

    pub(super) fn restart_kubelet(&self) {
        self.log.during(Fault::Kubelet, || self.run("restart", "kubelet"));
    }

    pub(super) fn restart_api_server(&self) {
        self.log.during(Fault::ApiServer, || {
            self.run("restart", "kube-apiserver");
            wait_until("the API server", || self.cluster.try_kubectl(&["get", "--raw=/readyz"]).0);
        });
    }

    pub(super) fn stop_etcd(&self) {
        self.log.during(Fault::Etcd, || self.run("pause-etcd", "10"));
    }

    pub(super) fn cut(&self) {
        self.log.during(Fault::Cut, || {
            let rule = Rule::cut("10.244.0.0/24", SECURE_PORT);
            thread::sleep(Duration::from_secs(10));
            drop(rule);
        });
    }

    /// To be called after a cut: the old connections are gone, and new ones go through the relay.
    pub(super) fn slow_down(&self) {
        self.log.during(Fault::Slow, || {
            let slow = Slow::start(self.service, SLOWER_BY);
            thread::sleep(Duration::from_secs(15));
            drop(slow);
        });
    }

    pub(super) fn burn(&self) {
        self.log.during(Fault::Burner, || {
            let burner = || Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
            let burners: [Burner; 4] = std::array::from_fn(|_| Burner(burner()));
            thread::sleep(Duration::from_secs(15));
            drop(burners);
        });
    }

    /// Writes the configuration. The kubelet reads a `ConfigMap` when something about a pod
    /// changes.
    fn configure(&self, text: &str) {
        let patch = json!({"data": {"prestop.yaml": text}}).to_string();
        let arguments = ["patch", "configmap", "prestop", "--namespace", NAMESPACE];
        self.kubectl(&[&arguments[..], &["--type=merge", "--patch", &patch]].concat());
        let now = format!("poked={}", text.len());
        let arguments = ["annotate", "pods", "--namespace", NAMESPACE, "--overwrite"];
        let which = ["--selector=app.kubernetes.io/name=prestop", &now];
        // A pod may be gone in the meantime.
        let _ = self.cluster.try_kubectl(&[&arguments[..], &which].concat());
    }

    pub(super) fn garble_the_configuration(&self) {
        let mut good = None;
        wait_until("the configuration", || {
            let arguments =
                ["get", "configmap", "prestop", "--namespace", NAMESPACE, "--output=json"];
            let (_, told) = self.cluster.try_kubectl(&arguments);
            let map = serde_json::from_str::<Value>(&told).ok();
            good = map.and_then(|map| map["data"]["prestop.yaml"].as_str().map(str::to_owned));
            good.is_some()
        });
        self.log.during(Fault::Garbage, || {
            self.configure("{{{ no configuration: [");
            thread::sleep(Duration::from_secs(25));
            self.configure(&good.unwrap());
        });
    }

    /// Adds a replica with its own clock (libfaketime; it can't change that of a static program),
    /// in the Service like the others.
    pub(super) fn add_shifted_replica(&self) {
        let mut replica = self.cluster.get(&["deployment", "prestop", "--namespace", NAMESPACE]);
        replica["metadata"] = json!({"name": "prestop-shifted", "namespace": NAMESPACE});
        replica["spec"]["replicas"] = json!(1);
        replica["spec"]["selector"]["matchLabels"]["shifted"] = json!("yes");
        replica["spec"]["template"]["metadata"]["labels"]["shifted"] = json!("yes");
        replica.as_object_mut().unwrap().shift_remove("status");
        let pod = &mut replica["spec"]["template"]["spec"];
        pod.as_object_mut().unwrap().shift_remove("topologySpreadConstraints");
        let container = &mut pod["containers"][0];
        container["image"] = json!("prestop-shifted:1");
        container["imagePullPolicy"] = json!("Never");
        let environment = container["env"].as_array_mut().unwrap();
        // The monotonic clock of timers is not changed.
        for (name, value) in [
            ("LD_PRELOAD", "/libfaketime.so.1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("FAKETIME", "+0"),
        ] {
            environment.push(json!({"name": name, "value": value}));
        }
        self.cluster.apply(&replica);
        let arguments =
            ["rollout", "status", "deployment/prestop-shifted", "--namespace", NAMESPACE];
        self.kubectl(&[&arguments[..], &["--timeout=60s"]].concat());
    }

    /// Restarts the replica with another clock, as if a node's clock had been set and its processes
    /// restarted.
    pub(super) fn shift_the_clock(&self, by: &str) {
        self.log.during(Fault::Clock, || {
            let arguments = ["set", "env", "deployment/prestop-shifted", "--namespace", NAMESPACE];
            self.kubectl(&[&arguments[..], &[&format!("FAKETIME={by}")]].concat());
            thread::sleep(Duration::from_secs(15));
        });
    }

    pub(super) fn remove_shifted_replica(&self) {
        let arguments = ["delete", "deployment", "prestop-shifted", "--namespace", NAMESPACE];
        self.kubectl(&[&arguments[..], &["--ignore-not-found", "--wait=false"]].concat());
        installation::settled(self.cluster);
    }
}

struct Burner(Child);

impl Drop for Burner {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
