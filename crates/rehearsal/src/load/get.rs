//! A single GET: for probes, hooks and the first check of a server.

use std::net::SocketAddr;

use super::connection;
use crate::recording::Ending;

/// The status with which a path is answered; the answer is read to its end.
///
/// # Errors
/// How it ended if there was no whole answer. There is no time-out here.
pub(crate) async fn status_of(address: SocketAddr, path: &str) -> Result<u16, Ending> {
    connection::open(address, None).await?.status(path).await
}
