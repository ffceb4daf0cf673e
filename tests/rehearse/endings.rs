//! However a rehearsal ends, it leaves no process, namespace, interface or file.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use prestop_rehearsal::plan::container::{Probe, ProbeAction};
use prestop_rehearsal::plan::{EndpointDelay, Load, Plan, Termination, Variant};
use prestop_rehearsal::sandbox::Way;
use serde_json::json;
use tempfile::TempDir;

use super::{Case, alone, need_to_rehearse};

const PATIENCE: Duration = Duration::from_secs(60);

/// Namespaces by their links in `/proc`, such as `net:[4026532281]`. They are kept open: the kernel
/// reuses the number of a namespace that has ended, perhaps for one of another test.
type Namespaces = BTreeMap<String, File>;

/// A rehearsal whose servers are running.
struct Running {
    prestop: Child,
    /// PID 1 of the sandbox, by its number outside.
    inner: u32,
    namespaces: Namespaces,
    temporary: TempDir,
    _case: Case,
}

impl Running {
    fn start(marker: &str) -> Self {
        let case = Case::python("", &json!({}), &json!({}));
        let temporary = tempfile::tempdir().unwrap();
        let mut command = case.command();
        // The last argument identifies the servers.
        command.arg(marker).env("TMPDIR", temporary.path());
        let prestop = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let servers = servers_of(marker);
        let inner = processes(|command| command.iter().any(|word| word == "rehearse-sandbox"));
        let inner = inner.into_iter().find(|pid| is_below(*pid, prestop.id()) && !is_unshare(*pid));
        let inner = inner.unwrap();
        let all = servers.into_iter().chain([inner]);
        let namespaces = all.flat_map(open_namespaces).collect();
        Self { prestop, inner, namespaces, temporary, _case: case }
    }

    fn assert_leaves_nothing(mut self) -> ExitStatus {
        let status = eventually("the end of prestop", || self.prestop.try_wait().unwrap());
        // The namespaces of two replicas and of the sandbox itself.
        assert!(self.namespaces.len() >= 9, "{:?}", self.namespaces);
        assert_all_gone(&self.namespaces);
        assert_eq!(fs::read_dir(self.temporary.path()).unwrap().count(), 0);
        status
    }
}

#[test]
#[ignore = "needs namespaces, iproute2, Python 3 and nginx; run: just test-tools"]
fn after_ctrl_c() {
    need_to_rehearse(&["python3"]);
    let _alone = alone();
    let running = Running::start("ctrl-c");
    signal("INT", running.prestop.id());
    assert_eq!(running.assert_leaves_nothing().code(), Some(130));
}

#[test]
#[ignore = "needs namespaces, iproute2, Python 3 and nginx; run: just test-tools"]
fn after_kill_9() {
    need_to_rehearse(&["python3"]);
    let _alone = alone();
    let running = Running::start("kill-9");
    signal("KILL", running.prestop.id());
    assert_eq!(running.assert_leaves_nothing().signal(), Some(9));
}

/// The process that owns a sandbox panics during a run; unwinding ends the sandbox.
#[test]
#[ignore = "needs namespaces, iproute2, Python 3 and nginx; run: just test-tools"]
fn after_a_panic() {
    need_to_rehearse(&["python3"]);
    let _alone = alone();
    let (tell, servers) = std::sync::mpsc::channel();
    let holder = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let program = Path::new(env!("CARGO_BIN_EXE_prestop"));
            let mut sandbox = Way::find().unwrap().command(program).spawn().unwrap();
            let plan = serde_json::to_string(&plan("panic")).unwrap() + "\n";
            let stdin = sandbox.stdin.as_mut().unwrap();
            tokio::io::AsyncWriteExt::write_all(stdin, plan.as_bytes()).await.unwrap();
            tell.send(servers_of("panic")).unwrap();
            panic!("as a mistake of ours would");
        });
    });
    let servers: Vec<u32> = servers.recv().unwrap();
    let namespaces: Namespaces = servers.into_iter().flat_map(open_namespaces).collect();
    assert!(holder.join().is_err(), "it did not panic");
    assert_all_gone(&namespaces);
}

/// Returns a plan whose run stays idle for long enough.
fn plan(marker: &str) -> Plan {
    let command = ["python3", super::SERVER, "8080", "", marker];
    let second = Duration::from_secs(1);
    Plan {
        command: command.map(str::to_owned).to_vec(),
        replicas: 2,
        port: 8080,
        probe: Probe {
            check: ProbeAction::Connect { port: 8080 },
            initial_delay: Duration::ZERO,
            period: second / 10,
            timeout: second,
            successes: 1,
            afterwards: None,
            note: None,
        },
        ready_timeout: PATIENCE,
        stop_signal: "TERM".to_owned(),
        endpoint_delay: EndpointDelay { least: second, most: second },
        late_endpoints: Duration::ZERO,
        load: Load {
            rate_per_second: 10,
            least_requests: 10_000,
            seed: 1,
            path: "/".to_owned(),
            long: None,
            timeout: second * 5,
        },
        runs: vec![Termination {
            variant: Variant::AsWritten,
            hook: None,
            measured: None,
            words: None,
            grace_period_seconds: 30,
            exec_fails: None,
        }],
    }
}

/// The worst effect of a panic on the outer process.
#[test]
#[ignore = "needs namespaces, iproute2, Python 3 and nginx; run: just test-tools"]
fn after_an_abort() {
    need_to_rehearse(&["python3"]);
    let _alone = alone();
    let running = Running::start("abort");
    signal("ABRT", running.prestop.id());
    assert_eq!(running.assert_leaves_nothing().signal(), Some(6));
}

/// The worst effect of a panic on the inner process.
#[test]
#[ignore = "needs namespaces, iproute2, Python 3 and nginx; run: just test-tools"]
fn after_the_end_of_the_sandbox() {
    need_to_rehearse(&["python3"]);
    let _alone = alone();
    let running = Running::start("sandbox");
    signal("KILL", running.inner);
    assert_eq!(running.assert_leaves_nothing().code(), Some(2));
}

fn signal(name: &str, pid: u32) {
    let sent = Command::new("kill").args(["-s", name, &pid.to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Waits for at least two replicas with this last argument and returns their PIDs.
fn servers_of(marker: &str) -> Vec<u32> {
    eventually("two replicas", || {
        let servers = processes(|command| {
            command.first().is_some_and(|program| program.contains("python"))
                && command.last().is_some_and(|last| last == marker)
        });
        (servers.len() >= 2).then_some(servers)
    })
}

fn assert_all_gone(namespaces: &Namespaces) {
    // Each replica has its own network, PID and mount namespaces.
    assert!(namespaces.len() >= 6, "{namespaces:?}");
    let own = namespaces_of(std::process::id()).find(|own| namespaces.contains_key(own));
    assert_eq!(own, None, "{namespaces:?}");
    eventually("the end of every process in those namespaces", || {
        let mut all = processes(|_| true).into_iter().flat_map(namespaces_of);
        all.all(|namespace| !namespaces.contains_key(&namespace)).then_some(())
    });
    let links = Command::new("ip").args(["-o", "link"]).output().unwrap().stdout;
    let links = String::from_utf8_lossy(&links).into_owned();
    assert!(!links.contains("replica") && !links.contains("prestop"), "{links}");
}

/// Returns the processes whose command line matches.
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
    namespace_places(pid).filter_map(|place| link(&place))
}

fn open_namespaces(pid: u32) -> impl Iterator<Item = (String, File)> {
    namespace_places(pid).filter_map(|place| Some((link(&place)?, File::open(place).ok()?)))
}

fn namespace_places(pid: u32) -> impl Iterator<Item = String> {
    ["net", "pid", "mnt"].into_iter().map(move |kind| format!("/proc/{pid}/ns/{kind}"))
}

fn link(place: &str) -> Option<String> {
    Some(fs::read_link(place).ok()?.to_string_lossy().into_owned())
}

fn is_unshare(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "unshare")
}

/// Whether a process is a descendant of another, or the same.
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
