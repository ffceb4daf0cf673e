//! The servers that are measured.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::ensure;

use crate::certificates::Certificates;

/// A webhook server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Contestant {
    /// The product's server with a constant answer.
    Floor,
    /// The product as it is installed.
    Prestop,
    /// The product without log lines about pods, and without counters by namespace.
    Quiet,
    /// The implementation of the kube-rs example, on the product's server.
    Naive,
    /// Go's standard library.
    NetHttp,
    /// Go's controller-runtime.
    ControllerRuntime,
}

impl Contestant {
    /// All contestants.
    pub(crate) const ALL: [Self; 6] = [
        Self::Floor,
        Self::Prestop,
        Self::Quiet,
        Self::Naive,
        Self::NetHttp,
        Self::ControllerRuntime,
    ];

    /// Contestants with a program of their own.
    pub(crate) const PROGRAMS: [Self; 5] =
        [Self::Floor, Self::Prestop, Self::Naive, Self::NetHttp, Self::ControllerRuntime];

    /// Returns the name in tables.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Prestop => "prestop",
            Self::Quiet => "prestop, quiet",
            Self::Naive => "kube-rs, typed",
            Self::NetHttp => "Go, net/http",
            Self::ControllerRuntime => "controller-runtime",
        }
    }

    /// Returns the path of the program.
    pub(crate) fn program(self, folder: &Path) -> PathBuf {
        folder.join(match self {
            Self::Floor => "floor",
            Self::Prestop | Self::Quiet => "prestop",
            Self::Naive => "naive",
            Self::NetHttp => "net-http",
            Self::ControllerRuntime => "controller-runtime",
        })
    }

    /// Returns the command that starts it on a port of this machine, after the words of `wrapper`.
    pub(crate) fn command(
        self,
        folder: &Path,
        port: u16,
        certificates: &Certificates,
        wrapper: &[String],
    ) -> anyhow::Result<Command> {
        let program = self.program(folder);
        ensure!(program.exists(), "{} is missing: bench/run builds it", program.display());
        let mut command = match wrapper {
            [] => Command::new(program),
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
        };
        if matches!(self, Self::Prestop | Self::Quiet) {
            command.args(["serve", "--admin-listen", "127.0.0.1:0"]);
            command.args(["--kubernetes-version", "1.37"]);
        }
        if self == Self::Quiet {
            command.arg("--config").arg(certificates.quiet_configuration());
        }
        command.args(["--listen", &format!("127.0.0.1:{port}")]);
        command.arg("--tls-cert").arg(certificates.chain());
        command.arg("--tls-key").arg(certificates.key());
        Ok(command)
    }
}
