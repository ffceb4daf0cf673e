//! The program as a process of the test: on free ports of this machine, stopped when the test ends.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;
use tempfile::TempDir;

/// Arguments of a replica that manages the shared CA: the names of its Secret, webhook and Service.
pub const SELF_MANAGED: [&str; 7] = [
    "--cluster",
    "--authority-secret",
    "prestop-authority",
    "--webhook",
    "prestop",
    "--service",
    "prestop",
];

/// Time limit for waiting, longer than any step takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Serve {
    child: Child,
    pub address: SocketAddr,
    pub administration: SocketAddr,
    /// The CA that clients trust.
    pub authority: Option<CertificateDer<'static>>,
    lines: Arc<Mutex<Vec<String>>>,
    new_line: Mutex<Receiver<()>>,
    /// While this is locked, the log is not read.
    reading: Arc<Mutex<()>>,
    pub folder: TempDir,
}

impl Serve {
    /// Starts the server with additional arguments. `{folder}` in them stands for a temporary
    /// folder.
    pub fn start(arguments: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), arguments)
    }

    /// Starts the server with a configuration that continues with this text.
    pub fn configured(rest: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("prestop.yaml"), configuration(rest)).unwrap();
        Self::start_in(folder, &["--config", "{folder}/prestop.yaml"])
    }

    pub fn start_in(folder: TempDir, arguments: &[&str]) -> Self {
        Self::launch(folder, &[], arguments)
    }

    /// Starts the server with these environment variables.
    pub fn start_with(environment: &[(&str, &str)], arguments: &[&str]) -> Self {
        Self::launch(tempfile::tempdir().unwrap(), environment, arguments)
    }

    pub fn launch(folder: TempDir, environment: &[(&str, &str)], arguments: &[&str]) -> Self {
        let mut command = Command::new(crate::program());
        command.envs(environment.iter().copied());
        Self::launch_by(command, folder, arguments)
    }

    /// Starts the server with this command.
    pub fn launch_by(mut command: Command, folder: TempDir, arguments: &[&str]) -> Self {
        let path = |text: &str| text.replace("{folder}", folder.path().to_str().unwrap());
        command.arg("serve");
        for flag in ["--listen", "--admin-listen"] {
            if !arguments.contains(&flag) {
                command.args([flag, "127.0.0.1:0"]);
            }
        }
        command.args(arguments.iter().map(|argument| path(argument)));
        let has_own =
            ["--tls-cert", "--authority-secret"].iter().any(|own| arguments.contains(own));
        let authority = folder.path().join("ca.crt");
        if !has_own {
            command.arg("--ca-out").arg(&authority);
        }
        if !arguments.contains(&"--poll-interval") {
            command.args(["--poll-interval", "1"]);
        }
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (told, new_line) = channel();
        let reader = BufReader::new(child.stderr.take().unwrap());
        let reading = Arc::new(Mutex::new(()));
        thread::spawn({
            let (lines, reading) = (lines.clone(), reading.clone());
            move || {
                for line in reader.lines().map_while(Result::ok) {
                    drop(reading.lock());
                    lines.lock().unwrap().push(line);
                    if told.send(()).is_err() {
                        break;
                    }
                }
            }
        });
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut serve = Self {
            child,
            address: nowhere,
            administration: nowhere,
            authority: None,
            lines,
            new_line: Mutex::new(new_line),
            reading,
            folder,
        };
        let line = serve
            .wait_for("serving", |line| line.contains("administration").then(|| line.to_owned()));
        (serve.address, serve.administration) =
            (address(&line, "address"), address(&line, "administration"));
        serve.authority = CertificateDer::from_pem_file(&authority).ok();
        serve
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the first log line with this message.
    pub fn wait_for_line(&mut self, message: &str) -> Value {
        self.wait_for(message, |line| with_message(line, message))
    }

    fn wait_for<T>(&mut self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        let until = Instant::now() + PATIENCE;
        loop {
            let found = self.lines.lock().unwrap().iter().find_map(|line| find(line));
            if let Some(found) = found {
                return found;
            }
            let left = until.saturating_duration_since(Instant::now());
            let is_over = self.new_line.get_mut().unwrap().recv_timeout(left).is_err();
            assert!(!is_over, "no line {what:?} in\n{}", self.log());
        }
    }

    /// Stops reading the log until the returned guard is dropped.
    pub fn stop_reading(&self) -> MutexGuard<'_, ()> {
        self.reading.lock().unwrap()
    }

    /// Returns the first log line with this message.
    pub fn line(&self, message: &str) -> Option<Value> {
        self.lines.lock().unwrap().iter().find_map(|line| with_message(line, message))
    }

    /// Removes the log lines with this text, and returns their number: for runs that write millions
    /// of lines.
    pub fn take_lines(&self, part: &str) -> usize {
        let mut lines = self.lines.lock().unwrap();
        let before = lines.len();
        lines.retain(|line| !line.contains(part));
        before - lines.len()
    }

    pub fn log(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }

    /// Requests a path of the administration port; returns status and text.
    pub fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.administration).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// Returns the value of a series, which has to exist: `prestop_panics_total`.
    pub fn metric(&self, series: &str) -> u64 {
        let (_, all) = self.get("/metrics");
        let line = all.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no series {series} in\n{all}")).parse().unwrap()
    }

    /// Waits until a series has at least this value.
    pub fn wait_for_metric(&self, series: &str, least: u64) {
        wait_until(series, || self.metric(series) >= least);
    }

    pub fn signal(&self, name: &str) {
        signal(self.id(), name);
    }

    /// Waits until the program has ended by itself.
    pub fn ended(&mut self) -> ExitStatus {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < until, "still running:\n{}", self.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn with_message(line: &str, message: &str) -> Option<Value> {
    serde_json::from_str(line).ok().filter(|line: &Value| line["message"] == message)
}

/// Parses `name=…` in a line for people, `"name":"…"` in a JSON line.
fn address(line: &str, name: &str) -> SocketAddr {
    let (_, rest) = line
        .split_once(&format!("{name}="))
        .or_else(|| line.split_once(&format!("{name}\":\"")))
        .unwrap();
    rest.split([' ', '"']).next().unwrap().parse().unwrap()
}

/// Returns a configuration file with this text after its first two lines.
pub fn configuration(rest: &str) -> String {
    format!("apiVersion: prestop.dev/v1alpha1\nkind: Configuration\n{rest}")
}

pub fn signal(id: u32, name: &str) {
    let status = Command::new("kill").args(["-s", name, &id.to_string()]).status().unwrap();
    assert!(status.success(), "kill -s {name} {id}");
}

/// Polls until the condition is true.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "{what}: did not come");
        thread::sleep(Duration::from_millis(10));
    }
}
