//! However a rehearsal ends, nothing of it is left: no process, no namespace, no interface, no file.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use super::{Case, alone, can_rehearse};

const PATIENCE: Duration = Duration::from_secs(60);

/// A rehearsal whose servers are running.
struct Running {
    prestop: Child,
    /// PID 1 of the sandbox, as the outside numbers it.
    inner: u32,
    namespaces: BTreeSet<String>,
    temporary: TempDir,
    _case: Case,
}

impl Running {
    fn start(marker: &str) -> Self {
        let case = Case::python("", &json!({}), &json!({}));
        let temporary = tempfile::tempdir().unwrap();
        let mut command = case.command();
        // Known again by its last argument.
        command.arg(marker).env("TMPDIR", temporary.path());
        let prestop = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let servers = eventually("two replicas", || {
            let servers = processes(|command| {
                command.first().is_some_and(|program| program.contains("python"))
                    && command.last().is_some_and(|last| last == marker)
            });
            (servers.len() >= 2).then_some(servers)
        });
        let inner = processes(|command| command.iter().any(|word| word == "rehearse-sandbox"));
        let inner = inner.into_iter().find(|pid| is_below(*pid, prestop.id()) && !is_unshare(*pid));
        let inner = inner.unwrap();
        let all = servers.into_iter().chain([inner]);
        let namespaces = all.flat_map(namespaces_of).collect();
        Self { prestop, inner, namespaces, temporary, _case: case }
    }

    fn assert_leaves_nothing(mut self) -> ExitStatus {
        let status = eventually("the end of prestop", || self.prestop.try_wait().unwrap());
        let own: BTreeSet<_> = namespaces_of(std::process::id()).collect();
        let theirs: Vec<_> = self.namespaces.difference(&own).cloned().collect();
        // Each replica has at least a network, a PID and a mount namespace of its own.
        assert!(theirs.len() >= 9, "{theirs:?}");
        eventually("the end of every process in those namespaces", || {
            let left = processes(|_| true);
            let left = left.into_iter().flat_map(namespaces_of);
            left.collect::<BTreeSet<_>>()
                .is_disjoint(&theirs.iter().cloned().collect())
                .then_some(())
        });
        let links = Command::new("ip").args(["-o", "link"]).output().unwrap().stdout;
        let links = String::from_utf8_lossy(&links).into_owned();
        assert!(!links.contains("replica") && !links.contains("prestop"), "{links}");
        assert_eq!(fs::read_dir(self.temporary.path()).unwrap().count(), 0);
        status
    }
}

#[test]
fn after_ctrl_c() {
    if !can_rehearse(&["python3"]) {
        return;
    }
    let _alone = alone();
    let running = Running::start("ctrl-c");
    signal("INT", running.prestop.id());
    assert_eq!(running.assert_leaves_nothing().code(), Some(130));
}

#[test]
fn after_kill_9() {
    if !can_rehearse(&["python3"]) {
        return;
    }
    let _alone = alone();
    let running = Running::start("kill-9");
    signal("KILL", running.prestop.id());
    assert_eq!(running.assert_leaves_nothing().signal(), Some(9));
}

/// What a panic does to the outer process at worst.
#[test]
fn after_an_abort() {
    if !can_rehearse(&["python3"]) {
        return;
    }
    let _alone = alone();
    let running = Running::start("abort");
    signal("ABRT", running.prestop.id());
    assert_eq!(running.assert_leaves_nothing().signal(), Some(6));
}

/// What a panic does to the inner process at worst.
#[test]
fn after_the_end_of_the_sandbox() {
    if !can_rehearse(&["python3"]) {
        return;
    }
    let _alone = alone();
    let running = Running::start("sandbox");
    signal("KILL", running.inner);
    assert_eq!(running.assert_leaves_nothing().code(), Some(2));
}

fn signal(name: &str, pid: u32) {
    let sent = Command::new("kill").args(["-s", name, &pid.to_string()]).status().unwrap();
    assert!(sent.success());
}

/// The processes with such a command line.
fn processes(wanted: impl Fn(&[String]) -> bool) -> Vec<u32> {
    let all = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
        let words: Vec<_> = line.split_terminator('\0').map(str::to_owned).collect();
        wanted(&words).then_some(pid)
    });
    all.collect()
}

fn namespaces_of(pid: u32) -> impl Iterator<Item = String> {
    ["net", "pid", "mnt"].into_iter().filter_map(move |kind| {
        let link = fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok()?;
        Some(link.to_string_lossy().into_owned())
    })
}

fn is_unshare(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "unshare")
}

/// Whether a process descends from another.
fn is_below(pid: u32, ancestor: u32) -> bool {
    let mut pid = pid;
    while pid > 1 {
        if pid == ancestor {
            return true;
        }
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
        let Some((_, rest)) = stat.rsplit_once(')') else { return false };
        pid = rest.split_whitespace().nth(1).and_then(|parent| parent.parse().ok()).unwrap_or(0);
    }
    false
}

fn eventually<T>(what: &str, mut question: impl FnMut() -> Option<T>) -> T {
    let asked = Instant::now();
    loop {
        if let Some(answer) = question() {
            return answer;
        }
        assert!(asked.elapsed() < PATIENCE, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
