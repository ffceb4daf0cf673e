//! A container as far as its termination is concerned: a process that is PID 1 of a PID namespace,
//! and the kubelet's termination of it.

use std::fs::{self, File};
use std::io::{Read, Seek};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::eventually;

/// Minimum time that the runtime leaves a container after its stop signal, however long the hook
/// took.
const LEAST_TIME_TO_STOP: Duration = Duration::from_secs(2);

/// A process in its own PID namespace, in which it is PID 1. Killed on drop.
pub(crate) struct Container {
    unshare: Child,
    /// PID 1 by its number in the outer namespace.
    pid: u32,
    log: PathBuf,
}

/// A hook started in a container.
pub(crate) struct Hook {
    /// `nsenter`, which exits as the hook in the namespace exits.
    process: Child,
    stderr: File,
}

/// Result of a hook.
pub(crate) struct HookEnd {
    /// None if it was still running at the end of the grace period.
    pub(crate) status: Option<ExitStatus>,
    pub(crate) stderr: String,
}

/// Stop signal and grace period of a termination.
pub(crate) struct Termination<'a> {
    /// The image's stop signal, without `SIG`.
    pub(crate) signal: &'a str,
    pub(crate) grace_period: Duration,
}

/// Result of a termination.
pub(crate) struct End {
    pub(crate) hook: Option<HookEnd>,
    /// Whether it took SIGKILL at the end of the grace period.
    pub(crate) killed: bool,
    /// Time since the start of the termination.
    pub(crate) took: Duration,
}

impl Container {
    /// Starts a command as PID 1; its output goes to a file in the folder.
    pub(crate) fn start(folder: &Path, command: &[&str]) -> Self {
        let log = folder.join("container.log");
        let output = File::create(&log).unwrap();
        let mut unshare = Command::new("unshare")
            .args(["--pid", "--fork", "--kill-child", "--mount-proc", "--"])
            .args(command)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        let pid = eventually("PID 1", || {
            assert!(unshare.try_wait().unwrap().is_none(), "{command:?} ended");
            started_child(unshare.id())
        });
        Self { unshare, pid, log }
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.unshare.try_wait().unwrap().is_none()
    }

    /// Returns the output of PID 1 so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Returns the kernel's name of PID 1.
    pub(crate) fn process_name(&self) -> String {
        let name = fs::read_to_string(format!("/proc/{}/comm", self.pid)).unwrap();
        name.trim_end_matches('\n').to_owned()
    }

    /// Whether PID 1 has a handler for SIGTERM.
    pub(crate) fn catches_term(&self) -> bool {
        const TERM: u64 = 1 << 14;
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = u64::from_str_radix(caught.unwrap().trim(), 16).unwrap();
        caught & TERM != 0
    }

    /// Runs a command as the runtime runs an `exec` action: in the container's namespaces.
    pub(crate) fn exec<S: AsRef<str>>(&self, command: &[S]) -> Hook {
        let stderr = tempfile::tempfile().unwrap();
        let process = Command::new("nsenter")
            .args(["--target", &self.pid.to_string()])
            .args(["--pid", "--mount", "--"])
            .args(command.iter().map(AsRef::as_ref))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr.try_clone().unwrap())
            .spawn()
            .unwrap();
        Hook { process, stderr }
    }

    /// Does the kubelet's part after the start of the hook: waits for the hook within the grace
    /// period, then has the container stopped in the remaining time.
    pub(crate) fn terminate(&mut self, hook: Option<Hook>, how: &Termination<'_>) -> End {
        let started = Instant::now();
        let hook = hook.map(|hook| hook.end_within(how.grace_period));
        let used = Duration::from_secs(started.elapsed().as_secs());
        let left = how.grace_period.saturating_sub(used);
        let killed = self.stop(how.signal, left.max(LEAST_TIME_TO_STOP));
        End { hook, killed, took: started.elapsed() }
    }

    /// Sends the stop signal, and SIGKILL after the given time. Returns whether SIGKILL was needed.
    fn stop(&mut self, signal: &str, time: Duration) -> bool {
        if !self.is_running() {
            return false;
        }
        self.signal(signal);
        if within(time, || (!self.is_running()).then_some(())).is_some() {
            return false;
        }
        self.signal("KILL");
        eventually("the end of PID 1", || (!self.is_running()).then_some(()));
        true
    }

    fn signal(&self, name: &str) {
        // The number is still that of PID 1: `unshare` is its parent and has not reaped it.
        let pid = self.pid.to_string();
        Command::new("sh")
            .args(["-c", "kill -s \"$1\" \"$2\"", "kill", name, &pid])
            .stderr(Stdio::null())
            .status()
            .unwrap();
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if matches!(self.unshare.try_wait(), Ok(None)) {
            self.signal("KILL");
        }
        // Errors mean that the process has already exited.
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
    }
}

impl Hook {
    /// Waits until the hook exits.
    pub(crate) fn end(self) -> HookEnd {
        self.end_within(super::PATIENCE)
    }

    fn end_within(mut self, time: Duration) -> HookEnd {
        let status = within(time, || self.process.try_wait().unwrap());
        let mut stderr = String::new();
        self.stderr.rewind().unwrap();
        self.stderr.read_to_string(&mut stderr).unwrap();
        HookEnd { status, stderr }
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        // Errors mean that the process has already exited.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl HookEnd {
    /// Returns the exit status, unless the hook was ended by a signal or is still running.
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.and_then(|status| status.code())
    }

    /// Whether the hook ended because PID 1 did.
    pub(crate) fn ended_with_container(&self) -> bool {
        self.status.is_some_and(|status| status.signal() == Some(9))
    }
}

/// Repeats the question until it gives an answer or the time is over.
fn within<T>(time: Duration, mut question: impl FnMut() -> Option<T>) -> Option<T> {
    let asked = Instant::now();
    loop {
        let answer = question();
        if answer.is_some() || asked.elapsed() >= time {
            return answer;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Returns the child of `unshare`, once it runs its command.
fn started_child(unshare: u32) -> Option<u32> {
    fs::read_dir("/proc").unwrap().find_map(|entry| {
        let folder = entry.ok()?.path();
        let pid = folder.file_name()?.to_str()?.parse().ok()?;
        let stat = fs::read_to_string(folder.join("stat")).ok()?;
        // `PID (NAME) STATE PARENT …`, and the name can contain any character.
        let (name, rest) = stat.rsplit_once(')')?;
        let parent = rest.split_whitespace().nth(1)?;
        let started = !name.ends_with("(unshare");
        (parent == unshare.to_string() && started).then_some(pid)
    })
}
