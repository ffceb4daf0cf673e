//! The cluster of the current kubeconfig, through kubectl and helm.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use prestop_test_support::command::feed;
use serde_json::{Value, json};

/// Time limit for operations of the cluster. It is long: a busy machine is not a fault of prestop.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

static TURN: Mutex<()> = Mutex::new(());

/// The cluster, which one test uses at a time.
pub(crate) struct Cluster {
    _turn: MutexGuard<'static, ()>,
}

impl Cluster {
    /// Returns the cluster of the current kubeconfig, if its use was allowed.
    pub(crate) fn connect() -> Self {
        let is_allowed = std::env::var_os("PRESTOP_E2E").is_some_and(|value| value == "1");
        assert!(
            is_allowed,
            "no cluster: tests/e2e/run brings one up; PRESTOP_E2E=1 takes the current one"
        );
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self { _turn: turn }
    }

    /// Runs kubectl, which must succeed. Returns its output.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        let (is_done, told) = self.try_kubectl(arguments);
        assert!(is_done, "kubectl {arguments:?}: {told}");
        told
    }

    pub(crate) fn try_kubectl(&self, arguments: &[&str]) -> (bool, String) {
        told(Command::new("kubectl").args(arguments).output().unwrap())
    }

    /// Starts a kubectl that continues to run, such as a watch.
    pub(crate) fn start_kubectl(&self, arguments: &[&str], out: &Path) -> Child {
        let out = std::fs::File::create(out).unwrap();
        Command::new("kubectl").args(arguments).stdout(out).stderr(Stdio::null()).spawn().unwrap()
    }

    pub(crate) fn helm(&self, arguments: &[&str]) -> String {
        let root = env!("CARGO_MANIFEST_DIR");
        let output = Command::new("helm").args(arguments).current_dir(root).output().unwrap();
        let (is_done, told) = told(output);
        assert!(is_done, "helm {arguments:?}: {told}");
        told
    }

    /// Runs the program with the administrator's rights. Returns whether it succeeded, and its
    /// output.
    pub(crate) fn prestop(&self, arguments: &[&str]) -> (bool, String) {
        told(Command::new(env!("CARGO_BIN_EXE_prestop")).args(arguments).output().unwrap())
    }

    /// Returns objects as JSON: `get(&["pods", "--namespace", "x"])`.
    pub(crate) fn get(&self, arguments: &[&str]) -> Value {
        let text = self.kubectl(&[&["get", "--output", "json"], arguments].concat());
        serde_json::from_str(&text).unwrap()
    }

    /// Returns the objects of a list.
    pub(crate) fn list(&self, arguments: &[&str]) -> Vec<Value> {
        self.get(arguments)["items"].as_array().unwrap().clone()
    }

    pub(crate) fn apply(&self, object: &Value) {
        let (is_done, told) = self
            .feed_kubectl(&["apply", "--server-side", "--force-conflicts", "--filename=-"], object);
        assert!(is_done, "{told}");
    }

    /// Runs kubectl with one object on its standard input.
    pub(crate) fn feed_kubectl(&self, arguments: &[&str], object: &Value) -> (bool, String) {
        told(fed(arguments, object))
    }

    /// Returns the warnings that users get when they apply this object, which is not created.
    pub(crate) fn warnings(&self, object: &Value) -> String {
        let output = fed(&["apply", "--dry-run=server", "--filename=-"], object);
        let warnings = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{warnings}");
        warnings
    }

    /// Creates a namespace for the test, which is deleted on drop.
    pub(crate) fn namespace(&self, name: &str, labels: &Value) -> Namespace {
        let unique = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() % 10_000_000;
        let name = format!("e2e-{name}-{unique}");
        self.apply(&json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels},
        }));
        let account = ["get", "serviceaccount", "default", "--namespace", &name];
        wait_until("the default service account", || self.try_kubectl(&account).0);
        Namespace { name }
    }

    /// Creates a namespace that has opted in.
    pub(crate) fn enabled_namespace(&self, name: &str) -> Namespace {
        self.namespace(name, &json!({"prestop.dev/inject": "enabled"}))
    }

    /// Returns the number of nodes on which pods can run.
    pub(crate) fn schedulable_nodes(&self) -> usize {
        let is_free = |node: &&Value| {
            let taints = node["spec"]["taints"].as_array();
            taints.is_none_or(|taints| taints.iter().all(|taint| taint["effect"] != "NoSchedule"))
        };
        self.list(&["nodes"]).iter().filter(is_free).count()
    }
}

/// A namespace that is deleted with its objects on drop, without waiting.
pub(crate) struct Namespace {
    pub(crate) name: String,
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let arguments = ["delete", "namespace", &self.name, "--wait=false"];
        let _ = Command::new("kubectl").args(arguments).output();
    }
}

/// Returns the folder of the scripts' cluster, with its logs and pids; `None` in another cluster.
pub(crate) fn state() -> Option<PathBuf> {
    std::env::var_os("STATE").map(PathBuf::from)
}

fn fed(arguments: &[&str], object: &Value) -> Output {
    feed(Command::new("kubectl").args(arguments), object.to_string())
}

fn told(output: Output) -> (bool, String) {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    if output.status.success() {
        return (true, text(output.stdout));
    }
    (false, text(output.stdout) + &text(output.stderr))
}

pub(crate) fn wait_until(what: &str, is_so: impl FnMut() -> bool) {
    wait_at_most(PATIENCE, what, is_so);
}

pub(crate) fn wait_at_most(
    limit: Duration,
    what: &str,
    mut is_so: impl FnMut() -> bool,
) -> Duration {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < limit, "{what}: not within {} s", limit.as_secs());
        thread::sleep(Duration::from_millis(200));
    }
    start.elapsed()
}
