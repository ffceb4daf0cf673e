//! One replica: the server as PID 1 of separate PID, mount, network and IPC namespaces within the
//! sandbox.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::os::unix::fs::FileExt;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal as Number, kill_process};
use thiserror::Error;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::timeout;

use prestop_core::engine::DEFAULT_TERMINATION_MESSAGE_PATH;

use super::kubelet::Container;
use super::load::get::status_of;
use super::plan::container::{HookAction, ProbeAction};
use super::plan::{Plan, Termination};
use super::recording::{HookReport, HookResult};

/// The script that becomes a replica.
const SOURCE: &str = include_str!("replica.sh");
/// The text that the script prints before it becomes the server, followed by the number of its PID
/// 1.
const STARTED: &str = "replica ";
/// The sandbox's end of each replica's network.
const GATEWAY: &str = "10.91.255.254";
/// The number of replicas that can have an address.
const MOST_REPLICAS: u32 = 200 * 200;
/// Limits for the kept output of a server: number of lines, and length of each.
const LINES_KEPT: usize = 30;
const LONGEST_LINE: usize = 500;
/// The text that the script prints in addition if the termination message can't be mounted.
const NO_MESSAGE: &str = "no-message";
/// `MaxContainerTerminationMessageLength` of the kubelet.
const LONGEST_MESSAGE: usize = 4096;
/// Time limit for creating namespaces, which takes milliseconds; a busy machine needs more.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// Length limit for the kept output of a hook.
const LONGEST_HOOK_OUTPUT: usize = 2000;

/// A running server.
pub(super) struct Replica {
    pub(super) number: u32,
    pub(super) address: Ipv4Addr,
    pub(super) notes: Vec<String>,
    pid: Pid,
    stop_signal: Number,
    /// Keeps the network: connections to a replica that has ended are refused, as they are while
    /// the pod's sandbox still exists, and packets are not lost.
    _network: Option<File>,
    exited: watch::Receiver<Option<String>>,
    output: Output,
    message: Option<File>,
    exec_fails: Option<String>,
}

/// Reason why a replica could not be started.
#[derive(Debug, Error)]
pub(super) enum StartError {
    /// No more addresses are available.
    #[error("more than {MOST_REPLICAS} replicas in one rehearsal")]
    TooMany,
    /// `unshare` could not be run.
    #[error("unshare (util-linux) can't be run: {0}")]
    Unshare(std::io::Error),
    /// The script ended before it became the server.
    #[error("the replica could not be set up in its namespaces")]
    SetUp {
        /// Output of the script.
        output: Vec<String>,
    },
}

/// The last lines that a server printed.
#[derive(Clone, Default)]
struct Output(Arc<Mutex<VecDeque<String>>>);

impl Replica {
    /// Starts the server of the plan, for one way of stopping it.
    pub(super) async fn start(
        plan: &Plan,
        how: &Termination,
        number: u32,
    ) -> Result<Self, StartError> {
        let address = address(number).ok_or(StartError::TooMany)?;
        let file = how.measured.as_ref().map(|measured| measured.file.as_str());
        let mut unshare = spawn(plan, number, address, file).map_err(StartError::Unshare)?;
        let output = Output::default();
        if let Some(stderr) = unshare.stderr.take() {
            tokio::spawn(output.clone().read(BufReader::new(stderr)));
        }
        let no_output = || StartError::Unshare(std::io::Error::other("it has no standard output"));
        let mut stdout = BufReader::new(unshare.stdout.take().ok_or_else(no_output)?);
        let mut first = String::new();
        let read = timeout(START_TIMEOUT, stdout.read_line(&mut first)).await;
        let started = first.strip_prefix(STARTED).filter(|_| matches!(read, Ok(Ok(_))));
        let mut words = started.unwrap_or_default().split_whitespace();
        let Some(pid) = words.next().and_then(|pid| Pid::from_raw(pid.parse().ok()?)) else {
            let _ = unshare.kill().await;
            output.push(first.trim_end());
            return Err(StartError::SetUp { output: output.lines() });
        };
        let (no_message, shared): (Vec<_>, Vec<_>) = words.partition(|word| *word == NO_MESSAGE);
        let mut notes = Vec::new();
        if !shared.is_empty() {
            notes.push(format!(
                "replicas share {} with this machine, because there is no overlay file system",
                shared.join(" ")
            ));
        }
        let file = file.filter(|_| no_message.is_empty());
        if let (None, Some(measured)) = (file, &how.measured) {
            notes.push(format!(
                "hooks write no report: this machine has no {} to mount the termination message on",
                measured.file
            ));
        }
        let own = format!("/proc/{}", pid.as_raw_nonzero());
        tokio::spawn(output.clone().read(stdout));
        Ok(Self {
            number,
            address,
            notes,
            pid,
            stop_signal: number_of(&plan.stop_signal),
            _network: File::open(format!("{own}/ns/net")).ok(),
            message: file.and_then(|_| {
                File::open(format!("{own}/root{DEFAULT_TERMINATION_MESSAGE_PATH}")).ok()
            }),
            exited: watched(unshare),
            output,
            exec_fails: how.exec_fails.clone(),
        })
    }

    /// Returns the hook's report in the termination message, if there is one. Reads as many bytes
    /// as the kubelet does.
    pub(super) fn report(&self) -> Option<HookReport> {
        let mut message = [0; LONGEST_MESSAGE];
        let read = self.message.as_ref()?.read_at(&mut message, 0).ok()?;
        HookReport::of(&String::from_utf8_lossy(message.get(..read)?))
    }

    /// Returns how PID 1 ended, if it has ended.
    pub(super) fn end(&self) -> Option<String> {
        self.exited.borrow().clone()
    }

    /// Returns the last lines of the server's output.
    pub(super) fn output(&self) -> Vec<String> {
        self.output.lines()
    }

    /// Runs the check of the readiness probe once.
    pub(super) async fn is_ready(&self, check: &ProbeAction, patience: Duration) -> bool {
        let asked = timeout(patience, async {
            match check {
                ProbeAction::Connect { port } => {
                    tokio::net::TcpStream::connect((self.address, *port)).await.is_ok()
                }
                ProbeAction::HttpGet { path, port } => {
                    let status = status_of((self.address, *port).into(), path).await;
                    status.is_ok_and(|status| (200..400).contains(&status))
                }
                ProbeAction::Exec { command } => self.run(command).await.0 == HookResult::Done,
            }
        });
        asked.await.unwrap_or(false)
    }

    /// Returns the TCP ports in the replica on which a process listens.
    pub(super) fn listening(&self) -> Vec<u16> {
        let mut ports = Vec::new();
        for file in ["tcp", "tcp6"] {
            let path = format!("/proc/{}/net/{file}", self.pid.as_raw_nonzero());
            let text = fs::read_to_string(path).unwrap_or_default();
            ports.extend(text.lines().skip(1).filter_map(listening_port));
        }
        ports.sort_unstable();
        ports.dedup();
        ports
    }

    /// Runs a program in the replica's namespaces, as the runtime's `ExecSync` does.
    async fn run(&self, command: &[String]) -> (HookResult, String) {
        let output = Command::new("nsenter")
            .args(["--target", &self.pid.as_raw_nonzero().to_string()])
            .args(["--pid", "--mount", "--net", "--ipc", "--"])
            .args(command)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await;
        match output {
            Err(error) => (HookResult::Failed(format!("nsenter: {error}")), String::new()),
            Ok(output) => {
                let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
                text.push_str(&String::from_utf8_lossy(&output.stderr));
                (result_of(output.status), tail(text.trim_end(), LONGEST_HOOK_OUTPUT).to_owned())
            }
        }
    }

    fn send(&self, signal: Number) {
        // The PID can't belong to another process: `unshare` reports the end of the process before
        // the PID is free again, and nothing else runs in the sandbox. An error means that the
        // process has ended.
        if !self.has_exited() {
            let _ = kill_process(self.pid, signal);
        }
    }
}

impl Container for Replica {
    async fn hook(&self, action: &HookAction) -> (HookResult, String) {
        match action {
            HookAction::Sleep { seconds } => {
                tokio::time::sleep(Duration::from_secs(*seconds)).await;
                (HookResult::Done, String::new())
            }
            HookAction::Exec { command } => match &self.exec_fails {
                Some(why) => (HookResult::Failed(why.clone()), String::new()),
                None => self.run(command).await,
            },
            HookAction::HttpGet { path, port } => {
                match status_of((self.address, *port).into(), path).await {
                    // As in the kubelet's probes, a status from 200 to 399 is a success.
                    Ok(status) if (200..400).contains(&status) => (HookResult::Done, String::new()),
                    Ok(status) => (
                        HookResult::Failed(format!("answered with status {status}")),
                        String::new(),
                    ),
                    Err(ending) => (HookResult::Failed(ending.words().to_owned()), String::new()),
                }
            }
            HookAction::Failing { why } => (HookResult::Failed(why.clone()), String::new()),
        }
    }

    fn stop(&self) {
        self.send(self.stop_signal);
    }

    fn kill(&self) {
        self.send(Number::KILL);
    }

    async fn exited(&self) {
        let _ = self.exited.clone().wait_for(Option::is_some).await;
    }

    fn has_exited(&self) -> bool {
        self.exited.borrow().is_some()
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Output {
    async fn read(self, mut from: impl AsyncRead + Unpin + AsyncBufReadExt) {
        let mut line = Vec::new();
        while matches!(from.read_until(b'\n', &mut line).await, Ok(count) if count > 0) {
            let text = String::from_utf8_lossy(&line);
            self.push(text.trim_end());
            line.clear();
        }
    }

    fn push(&self, line: &str) {
        if line.is_empty() {
            return;
        }
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LINES_KEPT {
            lines.pop_front();
        }
        lines.push_back(line.chars().take(LONGEST_LINE).collect());
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

fn spawn(
    plan: &Plan,
    number: u32,
    address: Ipv4Addr,
    message: Option<&str>,
) -> std::io::Result<Child> {
    let code: Vec<_> = SOURCE.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    Command::new("unshare")
        .args(["--net", "--mount", "--pid", "--ipc", "--fork", "--kill-child", "--"])
        .args(["sh", "-c", &code.join("\n"), "replica"])
        .args([address.to_string(), format!("replica{number}"), GATEWAY.to_owned()])
        .arg(message.unwrap_or_default())
        .args(&plan.command)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
}

/// Reports how the server ended, when it has ended.
fn watched(mut unshare: Child) -> watch::Receiver<Option<String>> {
    let (tell, exited) = watch::channel(None);
    tokio::spawn(async move {
        let status = unshare.wait().await;
        let words = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        tell.send_replace(Some(words));
    });
    exited
}

fn address(number: u32) -> Option<Ipv4Addr> {
    let third = u8::try_from(number / 200).ok().filter(|third| *third < 200)?;
    let fourth = u8::try_from(number % 200 + 1).ok()?;
    Some(Ipv4Addr::new(10, 91, third, fourth))
}

/// Parses `sl local_address rem_address st …`, with numbers in hexadecimal; state 0A is LISTEN.
fn listening_port(line: &str) -> Option<u16> {
    let mut words = line.split_whitespace().skip(1);
    let (local, _, state) = (words.next()?, words.next()?, words.next()?);
    let port = local.rsplit(':').next()?;
    if state == "0A" { u16::from_str_radix(port, 16).ok() } else { None }
}

fn result_of(status: ExitStatus) -> HookResult {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(0), _) => HookResult::Done,
        (Some(code), _) => HookResult::Status(code),
        (None, Some(signal)) => HookResult::Status(128 + signal),
        (None, None) => HookResult::Failed(status.to_string()),
    }
}

fn tail(text: &str, most: usize) -> &str {
    let from = text.len().saturating_sub(most);
    let from = (from..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    text.get(from..).unwrap_or_default()
}

/// Returns the system's number of a signal. Names are validated when they are parsed, so none is
/// unknown here.
fn number_of(name: &str) -> Number {
    match name {
        "ABRT" => Number::ABORT,
        "ALRM" => Number::ALARM,
        "CONT" => Number::CONT,
        "HUP" => Number::HUP,
        "INT" => Number::INT,
        "PIPE" => Number::PIPE,
        "QUIT" => Number::QUIT,
        "TSTP" => Number::TSTP,
        "TTIN" => Number::TTIN,
        "TTOU" => Number::TTOU,
        "URG" => Number::URG,
        "USR1" => Number::USR1,
        "USR2" => Number::USR2,
        "WINCH" => Number::WINCH,
        _ => Number::TERM,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_different_and_bounded() {
        assert_eq!(address(0), Some(Ipv4Addr::new(10, 91, 0, 1)));
        assert_eq!(address(200), Some(Ipv4Addr::new(10, 91, 1, 1)));
        assert!(address(MOST_REPLICAS - 1).is_some());
        assert_eq!(address(MOST_REPLICAS), None);
    }

    #[test]
    fn listening_ports_are_read() {
        let line = "   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000";
        assert_eq!(listening_port(line), Some(8080));
        assert_eq!(listening_port(&line.replace("0A", "01")), None);
    }

    #[test]
    fn long_output_keeps_its_end() {
        assert_eq!(tail("abcdef", 3), "def");
        assert_eq!(tail("aé", 1), "");
        assert_eq!(tail("ab", 5), "ab");
    }
}
