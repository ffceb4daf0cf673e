//! A client that behaves like the API server towards a webhook: HTTP/1.1 over TLS 1.3, AES-128-GCM
//! preferred, no session resumption, connections are kept.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rustls::client::Resumption;
use rustls::crypto::ring::{cipher_suite, default_provider};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// Longer than the API server's timeout, for measurements of an overloaded server.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// The server to which requests are sent.
#[derive(Clone)]
pub(crate) struct Target {
    address: SocketAddr,
    name: ServerName<'static>,
    config: Arc<ClientConfig>,
}

/// A connection with one request at a time.
pub(crate) struct Connection {
    stream: StreamOwned<ClientConnection, TcpStream>,
    received: Vec<u8>,
}

/// A request as bytes.
pub(crate) struct Request(Vec<u8>);

impl Request {
    /// Creates a request with a review for `/mutate`.
    pub(crate) fn mutate(body: &[u8]) -> Self {
        let head = format!(
            "POST /mutate?timeout=10s HTTP/1.1\r\nHost: localhost:10250\r\nUser-Agent: kube-apiserver-admission\r\n\
             Content-Length: {}\r\nAccept: application/json, */*\r\nContent-Type: application/json\r\n\
             Accept-Encoding: gzip\r\n\r\n",
            body.len()
        );
        Self([head.as_bytes(), body].concat())
    }

    /// Creates any other request, for a connection that stays open.
    pub(crate) fn new(method: &str, path: &str, token: &str, body: &[u8]) -> Self {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nAccept: application/json\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        Self([head.as_bytes(), body].concat())
    }
}

impl Target {
    /// Creates a target whose certificate is for this name, and signed by one of these CAs.
    pub(crate) fn new(
        address: SocketAddr,
        name: &str,
        authorities: Vec<CertificateDer<'static>>,
    ) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        for authority in authorities {
            roots.add(authority)?;
        }
        let mut provider = default_provider();
        // The preference of clients written in Go.
        provider.cipher_suites =
            vec![cipher_suite::TLS13_AES_128_GCM_SHA256, cipher_suite::TLS13_AES_256_GCM_SHA384];
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = Resumption::disabled();
        let name = ServerName::try_from(name.to_owned())?;
        Ok(Self { address, name, config: Arc::new(config) })
    }

    /// Opens a new connection and completes its handshake.
    pub(crate) fn connect(&self) -> anyhow::Result<Connection> {
        let mut socket = TcpStream::connect(self.address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        let mut session = ClientConnection::new(self.config.clone(), self.name.clone())?;
        while session.is_handshaking() {
            session.complete_io(&mut socket)?;
        }
        Ok(Connection { stream: StreamOwned::new(session, socket), received: Vec::new() })
    }
}

impl Connection {
    /// Sends a request and waits for its answer; returns status and body.
    pub(crate) fn send(&mut self, request: &Request) -> anyhow::Result<(u16, Vec<u8>)> {
        self.stream.write_all(&request.0)?;
        self.received.clear();
        let mut piece = [0; 16 * 1024];
        loop {
            if let Some(answer) = parse(&self.received)? {
                return Ok(answer);
            }
            let length = self.stream.read(&mut piece)?;
            ensure!(length > 0, "the server closed the connection");
            self.received.extend_from_slice(piece.get(..length).unwrap_or_default());
        }
    }

    /// Sends a review, which must be answered with status 200.
    pub(crate) fn review(&mut self, request: &Request) -> anyhow::Result<Vec<u8>> {
        let (status, body) = self.send(request)?;
        ensure!(status == 200, "status {status}: {}", String::from_utf8_lossy(&body));
        Ok(body)
    }
}

/// Parses an answer, if it is complete.
fn parse(received: &[u8]) -> anyhow::Result<Option<(u16, Vec<u8>)>> {
    let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = str::from_utf8(received.get(..end).unwrap_or_default())?;
    let body = received.get(end + 4..).unwrap_or_default();
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    let header = |name: &str| {
        head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    };
    if let Some(length) = header("content-length") {
        let length: usize = length.parse()?;
        return Ok(body.get(..length).map(|body| (status, body.to_vec())));
    }
    if header("transfer-encoding") == Some("chunked") {
        return Ok(joined(body)?.map(|body| (status, body)));
    }
    bail!("an answer without a length: {head}")
}

/// Joins the chunks of a body, if all of them have arrived.
fn joined(mut chunks: &[u8]) -> anyhow::Result<Option<Vec<u8>>> {
    let mut whole = Vec::new();
    loop {
        let Some(end) = chunks.windows(2).position(|window| window == b"\r\n") else {
            return Ok(None);
        };
        let length = str::from_utf8(chunks.get(..end).unwrap_or_default())?;
        let length = usize::from_str_radix(length.trim(), 16)?;
        let Some(chunk) = chunks.get(end + 2..end + 2 + length) else { return Ok(None) };
        let Some(rest) = chunks.get(end + 4 + length..) else { return Ok(None) };
        if length == 0 {
            return Ok(Some(whole));
        }
        whole.extend_from_slice(chunk);
        chunks = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_both_kinds_and_parts_of_them() {
        let known = b"HTTP/1.1 200 OK\r\nContent-length: 3\r\n\r\nabc".as_slice();
        let chunked =
            b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
                .as_slice();
        for (answer, status) in [(known, 200), (chunked, 201)] {
            assert_eq!(parse(answer).unwrap(), Some((status, b"abc".to_vec())));
            for length in 0..answer.len() {
                assert_eq!(parse(&answer[..length]).unwrap(), None, "{length}");
            }
        }
    }
}
