//! The sandbox: user, network, PID, mount and IPC namespaces created by `unshare` of util-linux, in
//! which this program runs itself again as PID 1. When its PID 1 ends, the kernel ends all its
//! processes, and removes its network and mounts.
//!
//! No process outlives the outer one: the inner process reads its standard input and ends with it,
//! which also works if the outer process is killed.

use std::io;
use std::path::Path;
use std::process::{Output, Stdio};

use thiserror::Error;

/// The subcommand that runs in the sandbox; not for users.
pub const INNER_COMMAND: &str = "rehearse-sandbox";

/// A script that checks the requirements of a sandbox before anything is started.
const TRIAL: &str = "ip link set lo up && ip link add prestop0 type veth peer name prestop1 && command -v nsenter >/dev/null";

/// Method of creating the namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// As root.
    Privileged,
    /// As any user, in a user namespace with all users of `/etc/subuid`.
    UserNamespaceWithRange,
    /// As any user, in a user namespace with a single user.
    UserNamespace,
}

/// Reason why there can be no sandbox.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// A program is missing.
    #[error("unshare can't be run ({0}); install util-linux and iproute2 (Linux only)")]
    NoUnshare(io::Error),
    /// The system does not allow it.
    #[error("namespaces can't be made here: {reason}\n{ADVICE}")]
    NotAllowed {
        /// Message of `unshare` or `ip`.
        reason: String,
    },
}

const ADVICE: &str = "\
Needed are util-linux (unshare, nsenter), iproute2 (ip), and either root or user namespaces:
  sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0   Ubuntu: user namespaces for everybody
  sudo sysctl kernel.unprivileged_userns_clone=1               older Debian: the same
  docker run --privileged ...                                  in a container";

impl Way {
    /// Returns the first method that works on this machine.
    ///
    /// # Errors
    /// Returns an error if none works.
    pub fn find() -> Result<Self, SandboxError> {
        let mut reason = String::new();
        let mut ways = vec![Self::UserNamespaceWithRange, Self::UserNamespace];
        if rustix::process::geteuid().is_root() {
            ways.insert(0, Self::Privileged);
        }
        for way in ways {
            let tried = way.trial().map_err(SandboxError::NoUnshare)?;
            if tried.status.success() {
                return Ok(way);
            }
            let said = String::from_utf8_lossy(&tried.stderr);
            said.trim().clone_into(&mut reason);
        }
        Err(SandboxError::NotAllowed { reason })
    }

    /// Returns the command that runs this program in a sandbox.
    #[must_use]
    pub fn command(self, program: &Path) -> tokio::process::Command {
        let mut command = tokio::process::Command::new("unshare");
        command
            .args(self.arguments())
            .arg("--")
            .arg(program)
            .arg(INNER_COMMAND)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C is handled only by the outer process, not by the servers.
            .process_group(0)
            .kill_on_drop(true);
        command
    }

    fn trial(self) -> io::Result<Output> {
        let mut command = std::process::Command::new("unshare");
        command.args(self.arguments()).args(["--", "sh", "-c", TRIAL]).stdin(Stdio::null()).output()
    }

    fn arguments(self) -> Vec<&'static str> {
        let mut arguments =
            vec!["--net", "--mount", "--pid", "--ipc", "--fork", "--kill-child", "--mount-proc"];
        match self {
            Self::Privileged => {}
            Self::UserNamespaceWithRange => {
                arguments.extend(["--user", "--map-root-user", "--map-auto"]);
            }
            Self::UserNamespace => arguments.extend(["--user", "--map-root-user"]),
        }
        arguments
    }
}
