//! The limit of open files, for commands that hold many connections.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit to as many files as the system allows: each connection is one, and the usual limit
/// for programs is lower.
///
/// # Errors
/// When the system refuses; the limit is then as before.
pub(super) fn raise_limit() -> rustix::io::Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
}

/// How many files this process may have open.
#[cfg(feature = "watch")]
pub(super) fn limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}
