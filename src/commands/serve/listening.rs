//! Listening sockets.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::Context;
use rustix::net::sockopt::set_ipv6_v6only;
use tokio::net::{TcpListener, TcpSocket};

use crate::cli::ListenAddress;

/// Maximum number of connections that the kernel completes before they are accepted; tokio uses the
/// same number.
const BACKLOG: u32 = 1024;

/// Listens on an address. `flag` names its argument in errors.
pub(super) async fn listen(address: ListenAddress, flag: &str) -> anyhow::Result<TcpListener> {
    let listener = match address {
        ListenAddress::At(address) => TcpListener::bind(address).await,
        ListenAddress::Everywhere(port) => match dual_stack(port) {
            Err(error) if is_without_ipv6(&error) => {
                TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await
            }
            result => result,
        },
    };
    listener.with_context(|| format!("{flag} {address}"))
}

/// Creates one socket for IPv4 and IPv6, regardless of `net.ipv6.bindv6only`.
fn dual_stack(port: u16) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v6()?;
    set_ipv6_v6only(&socket, false)?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)))?;
    socket.listen(BACKLOG)
}

/// Whether the kernel has no IPv6: disabled at boot, or not built in.
fn is_without_ipv6(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errors = [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL, Errno::PROTONOSUPPORT];
    Errno::from_io_error(error).is_some_and(|error| errors.contains(&error))
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn only_a_kernel_without_ipv6_is_a_reason_for_ipv4_alone() {
        assert!(is_without_ipv6(&Errno::AFNOSUPPORT.into()));
        assert!(is_without_ipv6(&Errno::ADDRNOTAVAIL.into()));
        assert!(!is_without_ipv6(&Errno::ADDRINUSE.into()));
        assert!(!is_without_ipv6(&Errno::ACCESS.into()));
    }
}
