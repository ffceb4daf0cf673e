//! `prestop rehearse` with real servers in real namespaces.
//!
//! Needs Linux, util-linux, iproute2, root or user namespaces, Python 3 and nginx. Therefore these
//! tests are ignored unless they are requested: `just test-tools`. The parts without such needs
//! (the kubelet's rules, counting, the picture) are tested next to their code.

mod endings;
mod measured;
mod servers;
mod wrong;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use serde_json::{Value, json};
use tempfile::TempDir;

const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/rehearse/server.py");

/// A folder with a manifest, and the arguments of a rehearsal.
struct Case {
    folder: TempDir,
    arguments: Vec<String>,
    server: Vec<String>,
}

impl Case {
    /// A Deployment with one container.
    fn new(container: &Value, pod: &Value, server: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut spec = json!({"containers": [container]});
        for (key, value) in pod.as_object().into_iter().flatten() {
            spec[key] = value.clone();
        }
        let manifest = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
            "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": {
                "metadata": {"annotations": {"prestop.dev/delay": "2s"}}, "spec": spec}},
        });
        let file = folder.path().join("deployment.json");
        fs::write(&file, manifest.to_string()).unwrap();
        let file = file.to_str().unwrap();
        // Well below the delay of 2 s.
        let arguments = [
            "rehearse",
            "-q",
            "-o",
            "json",
            "-f",
            file,
            "--rate",
            "400",
            "--requests",
            "2000",
            "--endpoint-delay",
            "0.4-0.9",
        ];
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Self { folder, arguments: owned(&arguments), server: owned(server) }
    }

    /// The Python server; `server.py` documents its behaviours.
    fn python(behaviour: &str, container: &Value, pod: &Value) -> Self {
        let mut whole = json!({"name": "web", "image": "registry.example/web:1",
            "ports": [{"containerPort": 8080}]});
        for (key, value) in container.as_object().into_iter().flatten() {
            whole[key] = value.clone();
        }
        Self::new(&whole, pod, &["python3", SERVER, "8080", behaviour])
    }

    /// Adds annotations to the pods.
    fn annotated(self, annotations: &Value) -> Self {
        let file = self.path("deployment.json");
        let mut manifest: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        for (key, value) in annotations.as_object().into_iter().flatten() {
            manifest["spec"]["template"]["metadata"]["annotations"][key] = value.clone();
        }
        fs::write(&file, manifest.to_string()).unwrap();
        self
    }

    fn with(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    /// Sets another range for the time until endpoints are withdrawn.
    fn withdrawn_after(mut self, spread: &str) -> Self {
        let option = self.arguments.iter().position(|argument| argument == "--endpoint-delay");
        spread.clone_into(&mut self.arguments[option.unwrap() + 1]);
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_prestop"));
        command.args(&self.arguments).arg("--").args(&self.server).stdin(Stdio::null());
        command
    }

    fn run(&self) -> Output {
        let _alone = alone();
        self.command().output().unwrap()
    }

    /// Returns the report of a complete rehearsal, which has to exit with this status. A rehearsal
    /// whose clients were late proves nothing and is repeated, at most twice.
    fn report(&self, status: i32) -> Value {
        let mut output = self.run();
        for _ in 0..2 {
            let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
            let late = |run: &str| report[run]["mostLateSeconds"].as_f64().unwrap_or_default();
            if late("asWritten").max(late("asInjected")) < 0.5 {
                break;
            }
            println!("the machine is too busy, again");
            output = self.run();
        }
        let stderr = String::from_utf8_lossy(&output.stderr);
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(status), "{stderr}\n{stdout}");
        let report: Value = serde_json::from_str(&stdout).unwrap();
        assert_adds_up(&report["asWritten"]);
        assert_adds_up(&report["asInjected"]);
        report
    }

    /// Returns the message about a rehearsal that can't be run.
    fn refusal(&self) -> String {
        let output = self.run();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(3), "{stderr}");
        assert!(output.stdout.is_empty());
        stderr
    }
}

/// Waits until no other rehearsal is running: two at the same time would slow each other down.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Asserts that sent = ok + dropped, in total and in each count.
fn assert_adds_up(run: &Value) {
    let number = |value: &Value| value.as_u64().unwrap();
    let all = &run["requests"];
    assert_eq!(number(&all["sent"]), number(&all["ok"]) + number(&all["dropped"]), "{all}");
    assert!(number(&all["sent"]) >= 2000, "{all}");
    let causes = run["droppedByCause"].as_object().unwrap();
    assert_eq!(causes.values().map(number).sum::<u64>(), number(&all["dropped"]));
    for by in ["byClient", "byPhase"] {
        for field in ["sent", "ok", "dropped", "droppedWithoutRetry"] {
            let parts = run[by].as_object().unwrap().values();
            let sum: u64 = parts.map(|part| number(&part[field])).sum();
            assert_eq!(sum, number(&all[field]), "{by} {field}");
        }
    }
}

fn dropped(run: &Value) -> u64 {
    run["requests"]["dropped"].as_u64().unwrap()
}

/// Panics if rehearsals can't be run with these programs.
fn need_to_rehearse(programs: &[&str]) {
    static SANDBOX: OnceLock<Result<(), String>> = OnceLock::new();
    for name in ["unshare", "nsenter", "ip"].iter().chain(programs) {
        assert!(is_there(name), "no {name} here");
    }
    let sandbox = SANDBOX.get_or_init(|| {
        prestop_rehearsal::sandbox::Way::find().map(|_| ()).map_err(|error| error.to_string())
    });
    assert_eq!(*sandbox, Ok(()));
}

fn is_there(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join(program)).any(|candidate: PathBuf| Path::is_file(&candidate))
}
