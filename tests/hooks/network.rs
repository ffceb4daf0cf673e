//! A network namespace like that of a pod, with a server and its clients in this process: a test
//! runs itself again in a new namespace for each shell.

use std::any::type_name;
use std::env;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::need_containers;
use super::shell::{Shell, in_each_shell};

/// Port of the server.
const PORT: u16 = 8080;

/// Environment variable with the shell for which this process was started in a namespace.
const SHELL: &str = "PRESTOP_TEST_SHELL";

/// A hook that runs in a network namespace.
pub(crate) struct Running {
    process: Child,
    started: Instant,
}

/// Result of a hook.
pub(crate) struct Ended {
    pub(crate) output: Output,
    pub(crate) took: Duration,
}

/// Clients that connect repeatedly until they are stopped.
pub(crate) struct Traffic {
    goes_on: Arc<AtomicBool>,
    client: JoinHandle<TcpListener>,
}

/// Runs the test in each shell, each time in its own network namespace. The argument has to be a
/// closure in the test function: the name of its type contains the name of the test, which is
/// needed to run it again.
pub(crate) fn in_each_network<T: Fn(&Shell) + Sync>(test: T) {
    if let Ok(wanted) = env::var(SHELL) {
        return in_each_shell(|shell| {
            if shell.name() == wanted {
                test(shell);
            }
        });
    }
    need_containers(&["ip", "sleep", "setpriv"]);
    // `prestop::hooks::drain::NAME::{{closure}}`.
    let name = type_name::<T>().trim_end_matches("::{{closure}}");
    let (_, name) = name.split_once("::").unwrap();
    let program = env::current_exe().unwrap();
    in_each_shell(|shell| {
        let output = Command::new("unshare")
            .args(["--net", "sh", "-c", "ip link set lo up && exec \"$@\"", "sh"])
            .arg(&program)
            .args(["--exact", name, "--nocapture", "--include-ignored"])
            .env(SHELL, shell.name())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(output.status.success(), "{}: {said}", shell.name());
        assert!(said.contains("1 passed"), "{name} was not run: {said}");
    });
}

/// Returns a listening server.
pub(crate) fn listen() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, PORT)).unwrap()
}

pub(crate) fn connect() -> TcpStream {
    TcpStream::connect((Ipv4Addr::LOCALHOST, PORT)).unwrap()
}

/// Starts a client that connects to the server at this interval.
pub(crate) fn traffic(server: TcpListener, every: Duration) -> Traffic {
    let goes_on = Arc::new(AtomicBool::new(true));
    let until = Arc::clone(&goes_on);
    let client = thread::spawn(move || {
        while until.load(Ordering::Relaxed) {
            let client = connect();
            drop((client, server.accept().unwrap()));
            thread::sleep(every);
        }
        server
    });
    Traffic { goes_on, client }
}

/// Starts a hook.
pub(crate) fn start(shell: &Shell, hook: &[String]) -> Running {
    start_command(&shell.run_by(hook))
}

/// Starts a program.
pub(crate) fn start_command(words: &[String]) -> Running {
    let started = Instant::now();
    let process = Command::new(&words[0])
        .args(&words[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    Running { process, started }
}

/// Runs a hook to its end.
pub(crate) fn run(shell: &Shell, hook: &[String]) -> Ended {
    start(shell, hook).end()
}

impl Running {
    pub(crate) fn is_over(&mut self) -> bool {
        self.process.try_wait().unwrap().is_some()
    }

    /// Waits until this time has passed since the start, and asserts that the hook is still
    /// running.
    pub(crate) fn outlives(&mut self, time: Duration) {
        thread::sleep(time.saturating_sub(self.started.elapsed()));
        assert!(!self.is_over(), "over before {time:?}");
    }

    pub(crate) fn end(self) -> Ended {
        let output = self.process.wait_with_output().unwrap();
        Ended { output, took: self.started.elapsed() }
    }
}

impl Ended {
    pub(crate) fn code(&self) -> Option<i32> {
        self.output.status.code()
    }
}

impl Traffic {
    /// Stops the clients. Returns the server, still listening.
    pub(crate) fn stop(self) -> TcpListener {
        self.goes_on.store(false, Ordering::Relaxed);
        self.client.join().unwrap()
    }
}
