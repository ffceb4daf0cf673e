//! The limit of open files, for commands with many connections.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit as far as the system allows: each connection is an open file, and the default
/// limit of programs is lower.
///
/// # Errors
/// When the system refuses; the limit then stays unchanged.
pub(super) fn raise_limit() -> rustix::io::Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
}

/// Returns the maximum number of files that this process may have open.
#[cfg(feature = "watch")]
pub(super) fn limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}
