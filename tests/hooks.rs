//! The injected hook, run for real: its script in the shells that images have, and real servers as
//! PID 1 of their own PID namespace, terminated as by the kubelet with requests in flight.
//!
//! Needs Linux, root (for `unshare`), util-linux, dash, bash, busybox, nginx, Apache httpd and
//! `HAProxy`. Therefore the tests are ignored unless they are requested: `just test-tools`.

mod container;
mod download;
mod drain;
mod guard;
mod haproxy;
mod httpd;
mod network;
mod nginx;
mod script;
mod server;
mod shell;

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use prestop_core::engine::hook::{Delay, Hook, Quit, ScriptHook, Task, Wait};

/// Time limit for something that takes milliseconds, with room for a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Returns the command of the preStop `exec` action as the engine builds it from: delay and wait in
/// seconds (or `none`), the fallback signal (or empty), accepted names of PID 1, separated by
/// commas (or empty), the quit command (or empty).
fn hook_arguments(
    delay: u32,
    wait: &str,
    signal: &str,
    names: &str,
    command: &[&str],
) -> Vec<String> {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let names = owned(&names.split_terminator(',').collect::<Vec<_>>());
    let hook = Hook::Script(ScriptHook {
        delay: Delay::Fixed { seconds: delay.into() },
        wait: match wait {
            "none" => Wait::No,
            seconds => Wait::AtMost { seconds: seconds.parse().unwrap() },
        },
        task: Task::Quit(Quit {
            signal: (!signal.is_empty()).then(|| signal.parse().unwrap()),
            process_names: &names,
            command: owned(command).into(),
        }),
        report: None,
    });
    let body = serde_json::to_value(&hook).unwrap();
    serde_json::from_value(body["exec"]["command"].clone()).unwrap()
}

/// Panics if one of the programs is missing or PID namespaces can't be created.
fn need_containers(programs: &[&str]) {
    static NAMESPACES: OnceLock<Result<(), String>> = OnceLock::new();
    for name in ["unshare", "nsenter"].iter().chain(programs) {
        assert!(program(name).is_some(), "no {name} here");
    }
    assert_eq!(*NAMESPACES.get_or_init(try_namespaces), Ok(()));
}

fn try_namespaces() -> Result<(), String> {
    let output = Command::new("unshare")
        .args(["--pid", "--fork", "--kill-child", "--mount-proc", "true"])
        .output()
        .map_err(|error| format!("no unshare: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(format!("no PID namespace: {}", stderr.trim()))
}

/// Returns the path of a program: on `PATH`, or in the folders of servers even if `PATH` lacks
/// them.
fn program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
}

/// Returns a path as text; those of temporary folders and programs are UTF-8.
fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Repeats the question until it gives an answer; panics after [`PATIENCE`].
fn eventually<T>(what: &str, mut question: impl FnMut() -> Option<T>) -> T {
    let asked = Instant::now();
    loop {
        if let Some(answer) = question() {
            return answer;
        }
        assert!(asked.elapsed() < PATIENCE, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}
