//! Addresses on which a server listens.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

/// The address on which a server listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListenAddress {
    /// Every address of this machine, IPv4 and IPv6, written `:PORT`.
    Everywhere(u16),
    /// One address; `[::]` is every address too.
    At(SocketAddr),
}

/// Error: the text is not an address with a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not an address with a port; write :10250 for every address (IPv4 and IPv6), \
     127.0.0.1:10250 or [::1]:10250 for this machine only"
)]
pub(crate) struct NotAnAddress;

impl FromStr for ListenAddress {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        match text.strip_prefix(':') {
            // `u16` alone would accept `+80` too.
            Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                port.parse().map(Self::Everywhere).map_err(|_| NotAnAddress)
            }
            _ => text.parse().map(Self::At).map_err(|_| NotAnAddress),
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everywhere(port) => write!(f, ":{port}"),
            Self::At(address) => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_every_address() {
        assert_eq!(":10250".parse(), Ok(ListenAddress::Everywhere(10250)));
        for text in ["127.0.0.1:10250", "[::]:10250", "[::1]:0"] {
            assert_eq!(text.parse(), Ok(ListenAddress::At(text.parse().unwrap())));
        }
        for text in [":10250", "0.0.0.0:1", "[::]:10250"] {
            assert_eq!(text.parse::<ListenAddress>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn anything_else_is_refused_with_the_forms_there_are() {
        for text in
            ["", ":", "10250", "::10250", ":+80", ":65536", ":-1", "localhost:10250", "[::]"]
        {
            assert_eq!(text.parse::<ListenAddress>(), Err(NotAnAddress), "{text}");
        }
        assert!(NotAnAddress.to_string().contains(":10250 for every address"));
    }
}
