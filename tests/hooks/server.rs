//! Parts of every server under test: a folder with a file to download, a port, and a container that
//! is terminated with requests in flight.

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use super::container::{Container, End, Termination};
use super::download::{self, Download, Outcome};
use super::{eventually, text};

/// File that is served at about a quarter of its size per second.
pub(crate) const FILE: &str = "/file";

/// Grace period far longer than any of the downloads.
pub(crate) const GRACE_PERIOD: Duration = Duration::from_secs(30);

/// A server as PID 1 of a container.
pub(crate) struct Server {
    pub(crate) container: Container,
    pub(crate) port: u16,
    // Dropped after the container, which writes into it.
    _folder: Folder,
}

/// A temporary folder that is readable for the users of worker processes.
pub(crate) struct Folder(TempDir);

/// Results of the requests, and of the server's termination.
pub(crate) struct Stopped {
    pub(crate) in_flight: Outcome,
    /// Result of a request that was sent while the hook ran, if there was a hook.
    pub(crate) late: Option<Outcome>,
    pub(crate) end: End,
}

impl Folder {
    /// Creates a folder with the file to download in `htdocs`.
    pub(crate) fn new() -> Self {
        let readable = Permissions::from_mode(0o755);
        let folder = tempfile::Builder::new()
            .prefix("prestop-hooks-")
            .permissions(readable)
            .tempdir()
            .unwrap();
        fs::create_dir(folder.path().join("htdocs")).unwrap();
        fs::write(folder.path().join("htdocs/file"), download::body()).unwrap();
        Self(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file and returns its path.
    pub(crate) fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }
}

impl Server {
    /// Starts a server and waits until it listens.
    pub(crate) fn start(folder: Folder, port: u16, command: &[&str]) -> Self {
        let mut container = Container::start(folder.path(), command);
        eventually("a server that is ready", || {
            assert!(container.is_running(), "ended: {}", container.log());
            let listens = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
            // HAProxy's master executes itself again after it has started a worker. Until it has
            // set its handlers again, the kernel drops the signals for PID 1.
            (listens && container.catches_term()).then_some(())
        });
        Self { container, port, _folder: folder }
    }

    /// Stops the server with downloads in flight, and one more that begins while the hook runs.
    pub(crate) fn stop_under_load(&mut self, hook: Option<&[String]>, signal: &str) -> Stopped {
        let downloads = download::begin_several(self.port, FILE);
        let hook = hook.map(|arguments| self.container.exec(arguments));
        let late = hook.as_ref().map(|_| Download::begin(self.port, FILE));
        let end =
            self.container.terminate(hook, &Termination { signal, grace_period: GRACE_PERIOD });
        Stopped {
            in_flight: download::outcome_of_all(downloads),
            late: late.map(Download::outcome),
            end,
        }
    }
}

impl Stopped {
    /// Asserts that nothing was dropped and that the server exited by itself, before its stop
    /// signal and well within the grace period.
    pub(crate) fn assert_graceful(&self) {
        assert_eq!(self.in_flight, Outcome::Complete);
        assert_eq!(self.late, Some(Outcome::Complete));
        let hook = self.end.hook.as_ref().unwrap();
        assert!(hook.ended_with_container(), "{:?} {}", hook.status, hook.stderr);
        assert!(self.end.took < GRACE_PERIOD / 2, "{:?}", self.end.took);
    }
}

/// Returns a free port, below the range that the kernel assigns to clients.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    eventually("a free port", || {
        let offset = process::id() * 97 + NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 20_000 + u16::try_from(offset % 12_000).unwrap();
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
        Some(port)
    })
}

/// Returns the path of a file in the folder as text.
pub(crate) fn path_in(folder: &Folder, name: &str) -> String {
    text(&folder.path().join(name)).to_owned()
}
