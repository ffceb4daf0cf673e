//! Running contestants, and the system's data about them.

use std::fs;
use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::certificates::Certificates;
use crate::client::{Connection, Target};
use crate::contestants::Contestant;

/// Long enough for valgrind, which needs several seconds.
const START_TIMEOUT: Duration = Duration::from_secs(60);
const LOOK_AGAIN_AFTER: Duration = Duration::from_micros(100);

/// Assignment of processes to cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cores {
    /// The server on one core, the client on another.
    Apart,
    /// All processes on all cores.
    All,
}

/// The environment of all contestants.
pub(crate) struct Stage<'a> {
    /// The folder with their programs.
    pub(crate) folder: &'a Path,
    /// Their certificate and input files.
    pub(crate) certificates: Certificates,
    /// The server's core and the client's core, if they are separate.
    pub(crate) cores: Option<[usize; 2]>,
}

/// A running server. It is stopped when this is dropped.
pub(crate) struct Running {
    child: Child,
    /// Port of the server.
    pub(crate) port: u16,
    /// The server as a target of requests.
    pub(crate) target: Target,
    /// Time before the start of the server.
    pub(crate) began: Instant,
    /// The connection that showed that the server is ready.
    pub(crate) first_connection: Option<Connection>,
}

impl<'a> Stage<'a> {
    /// Pins this process to the client's core, and raises its limit of open files to the maximum.
    pub(crate) fn new(folder: &'a Path, cores: Cores) -> anyhow::Result<Self> {
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
        let cores = match cores {
            Cores::All => None,
            Cores::Apart => Some(two_cores()?),
        };
        if let Some([_, client]) = cores {
            pin(client)?;
        }
        Ok(Self { folder, certificates: Certificates::new()?, cores })
    }

    /// Starts a contestant.
    pub(crate) fn start(&self, contestant: Contestant) -> anyhow::Result<Running> {
        self.start_with(contestant, &[], &[])
    }

    /// Starts a contestant inside of another program, and with additional arguments.
    pub(crate) fn start_with(
        &self,
        contestant: Contestant,
        wrapper: &[String],
        arguments: &[String],
    ) -> anyhow::Result<Running> {
        let port = free_port()?;
        let mut command = contestant.command(self.folder, port, &self.certificates, wrapper)?;
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let authority = vec![self.certificates.authority().clone()];
        let target = Target::new(address, "localhost", authority)?;
        let began = Instant::now();
        let child = match self.cores {
            None => command.spawn(),
            Some([server, client]) => {
                pin(server)?;
                let child = command.spawn();
                pin(client)?;
                child
            }
        };
        let mut child = child.with_context(|| format!("{command:?}"))?;
        drain(&mut child);
        // Dropping it stops the server if the next step fails.
        let mut running = Running { child, port, target, began, first_connection: None };
        running.connect_first()?;
        Ok(running)
    }
}

/// Pins this thread, and the threads and programs that it starts from now on, to one core.
fn pin(core: usize) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).context("pinning to a core")
}

/// Returns the first two available cores; if there is only one, it is returned twice.
fn two_cores() -> anyhow::Result<[usize; 2]> {
    let set = sched_getaffinity(None)?;
    let mut ours = (0..CpuSet::MAX_CPU).filter(|&core| set.is_set(core));
    let first = ours.next().context("no core")?;
    Ok([first, ours.next().unwrap_or(first)])
}

impl Running {
    fn connect_first(&mut self) -> anyhow::Result<()> {
        loop {
            match self.target.connect() {
                Ok(connection) => {
                    self.first_connection = Some(connection);
                    return Ok(());
                }
                Err(error) if self.began.elapsed() > START_TIMEOUT => return Err(error),
                Err(_) => {}
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended at once: {status}");
            }
            thread::sleep(LOOK_AGAIN_AFTER);
        }
    }

    /// Returns the CPU time of all threads of the server.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        cpu_of(self.child.id())
    }

    /// Returns the current memory, in bytes.
    pub(crate) fn resident_bytes(&self) -> anyhow::Result<f64> {
        self.status("VmRSS:")
    }

    /// Returns the part of this memory that is not mapped from a file, and that the system
    /// therefore can't drop.
    pub(crate) fn anonymous_bytes(&self) -> anyhow::Result<f64> {
        self.status("RssAnon:")
    }

    /// Returns the peak of the memory, in bytes.
    pub(crate) fn peak_bytes(&self) -> anyhow::Result<f64> {
        self.status("VmHWM:")
    }

    fn status(&self, field: &str) -> anyhow::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field)).context("status")?;
        let kibibytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kibibytes * 1024.0)
    }

    /// Interrupts the server as Ctrl-C does, and waits for its end.
    pub(crate) fn interrupt(mut self) -> anyhow::Result<()> {
        interrupt(&mut self.child)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Interrupts a program as Ctrl-C does, and waits for its end.
pub(crate) fn interrupt(child: &mut Child) -> anyhow::Result<()> {
    let id = Pid::from_raw(i32::try_from(child.id())?).context("no process")?;
    kill_process(id, Signal::INT)?;
    child.wait()?;
    Ok(())
}

/// Returns the CPU time of all threads of a process.
pub(crate) fn cpu_of(id: u32) -> anyhow::Result<Duration> {
    let mut nanoseconds = 0;
    for task in fs::read_dir(format!("/proc/{id}/task"))? {
        // A thread may have ended in the meantime.
        let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
        nanoseconds += text.split(' ').next().context("schedstat")?.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// Returns the time that a core was busy since the system started, in whole ticks.
pub(crate) fn busy(core: usize) -> anyhow::Result<Duration> {
    const TICK: Duration = Duration::from_millis(10);
    let text = fs::read_to_string("/proc/stat")?;
    let name = format!("cpu{core} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&name)).context("/proc/stat")?;
    let ticks: Vec<u32> = line.split(' ').map_while(|number| number.parse().ok()).collect();
    // The columns are user, nice, system, idle, iowait, irq, softirq, steal.
    let idle = [3, 4].iter().filter_map(|&place| ticks.get(place)).sum::<u32>();
    Ok(TICK * (ticks.iter().take(8).sum::<u32>() - idle))
}

/// Reads the log of a program, as a container runtime does.
fn drain(child: &mut Child) {
    let Some(mut log) = child.stderr.take() else { return };
    thread::spawn(move || {
        let mut piece = vec![0; 64 * 1024];
        while log.read(&mut piece).is_ok_and(|length| length > 0) {}
    });
}

/// Returns a free port.
pub(crate) fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Returns the first line that a command prints, for tables.
pub(crate) fn version_of(program: &str, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).lines().next()?.to_owned())
}
