//! A single GET: for probes, hooks and the first check of a server.

use std::net::SocketAddr;

use super::connection;
use crate::recording::Ending;

/// Requests a path and reads the complete answer; returns its status.
///
/// # Errors
/// Returns how the request ended if there was no complete answer. There is no timeout here.
pub(crate) async fn status_of(address: SocketAddr, path: &str) -> Result<u16, Ending> {
    connection::open(address, None).await?.status(path).await
}
