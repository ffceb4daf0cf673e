//! Requests and answers over TLS.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme,
    StreamOwned, SupportedProtocolVersion,
};
use serde_json::{Value, json};

use crate::process::{PATIENCE, Serve};

/// A connection to the TLS port.
pub struct Connection {
    stream: StreamOwned<ClientConnection, TcpStream>,
    /// Bytes that have been read but not used yet.
    rest: Vec<u8>,
}

pub struct Answer {
    pub status: u16,
    /// The head, in lower case.
    pub head: String,
    pub body: Vec<u8>,
}

/// Options of a client's connection.
pub struct ClientTerms {
    pub versions: Vec<&'static SupportedProtocolVersion>,
    pub protocols: Vec<&'static str>,
    pub certificate: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

impl Default for ClientTerms {
    fn default() -> Self {
        Self {
            versions: vec![&rustls::version::TLS13],
            protocols: vec!["http/1.1"],
            certificate: None,
        }
    }
}

impl Connection {
    pub fn open(serve: &Serve) -> Self {
        Self::open_with(serve, ClientTerms::default()).unwrap()
    }

    pub fn open_with(serve: &Serve, terms: ClientTerms) -> io::Result<Self> {
        let mut connection = Self::begin(serve.address, serve.authority.clone(), terms);
        while connection.stream.conn.is_handshaking() {
            let Self { stream, .. } = &mut connection;
            stream.conn.complete_io(&mut stream.sock)?;
        }
        // The server rejects the client's certificate only after the client's part of the
        // handshake.
        Ok(connection)
    }

    /// Connects without the handshake.
    pub fn begin(
        address: SocketAddr,
        authority: Option<CertificateDer<'static>>,
        terms: ClientTerms,
    ) -> Self {
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&terms.versions)
            .unwrap();
        let builder = match authority {
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority).unwrap();
                builder.with_root_certificates(roots)
            }
            None => builder.dangerous().with_custom_certificate_verifier(Arc::new(TrustsAnybody)),
        };
        let mut config = match terms.certificate {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols =
            terms.protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        Self { stream: StreamOwned::new(connection, socket), rest: Vec::new() }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())?;
        self.stream.flush()
    }

    /// Returns the TCP stream below TLS.
    pub const fn socket(&self) -> &TcpStream {
        &self.stream.sock
    }

    /// Sends a review with `POST /mutate`.
    pub fn post(&mut self, body: impl AsRef<[u8]>) -> Answer {
        let body = body.as_ref();
        self.send([&head("/mutate", body.len()).into_bytes()[..], body].concat()).unwrap();
        self.answer().unwrap()
    }

    /// Reads the next answer.
    pub fn answer(&mut self) -> io::Result<Answer> {
        let end = loop {
            if let Some(end) = find(&self.rest, b"\r\n\r\n") {
                break end;
            }
            self.read_more()?;
        };
        let head = String::from_utf8(self.rest[..end].to_vec()).unwrap().to_ascii_lowercase();
        self.rest.drain(..end + 4);
        let length = header(&head, "content-length").map_or(0, |length| length.parse().unwrap());
        while self.rest.len() < length {
            self.read_more()?;
        }
        let body = self.rest.drain(..length).collect();
        Ok(Answer { status: head.split(' ').nth(1).unwrap().parse().unwrap(), head, body })
    }

    fn read_more(&mut self) -> io::Result<()> {
        let mut piece = [0; 4096];
        let length = self.stream.read(&mut piece)?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.rest.extend_from_slice(&piece[..length]);
        Ok(())
    }

    /// Returns whether the server closes the connection without sending anything before.
    pub fn is_closed_by_server(&mut self) -> bool {
        match self.read_more() {
            Ok(()) => false,
            Err(error) => {
                !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
            }
        }
    }
}

impl Answer {
    pub fn json(&self) -> Value {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// Returns the response of a review, after checking that it allows the request, as every
    /// response must.
    pub fn response(&self) -> Value {
        let review = self.json();
        assert_eq!(review["kind"], "AdmissionReview");
        let response = review["response"].clone();
        assert_eq!(response["allowed"], true);
        assert_eq!(response.get("patch").is_some(), response.get("patchType").is_some());
        if let Some(kind) = response.get("patchType") {
            assert_eq!(kind, "JSONPatch");
            assert!(!self.patch().as_array().unwrap().is_empty());
        }
        for warning in response["warnings"].as_array().into_iter().flatten() {
            let warning = warning.as_str().unwrap();
            assert!(warning.len() <= 120, "{warning}");
            assert!(warning.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{warning:?}");
        }
        response
    }

    /// Returns the operations; `null` if there are none.
    pub fn patch(&self) -> Value {
        match self.json()["response"]["patch"].as_str() {
            None => Value::Null,
            Some(text) => {
                let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
                serde_json::from_slice(&bytes).unwrap()
            }
        }
    }
}

/// Connects to the server with this name, and trusts only these CAs (PEM). The handshake takes
/// place with the first byte.
///
/// # Errors
/// Returns an error if the connection fails.
pub fn trusting(
    authorities: &[u8],
    name: &str,
    address: SocketAddr,
    patience: Duration,
) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(authorities).flatten());
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(patience))?;
    Ok(StreamOwned::new(connection, socket))
}

/// Returns the head of a request with a JSON body.
pub fn head(path: &str, length: usize) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    )
}

/// Returns a review for the creation of this pod.
pub fn review(pod: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "0df28fbd-5f5f-11e8-bc74-36e6bb280816",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "requestKind": {"group": "", "version": "v1", "kind": "Pod"},
            "name": "web",
            "namespace": "shop",
            "operation": "CREATE",
            "userInfo": {"username": "somebody"},
            "object": pod,
            "oldObject": null,
            "dryRun": false,
        }
    })
}

/// Returns a pod that gets a hook.
pub fn pod() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {
            "terminationGracePeriodSeconds": 30,
            "restartPolicy": "Always",
            "containers": [{"name": "web", "image": "registry.example/web:1"}],
        }
    })
}

/// Returns the review of that pod as bytes.
pub fn body() -> Vec<u8> {
    review(&pod()).to_string().into_bytes()
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

/// Accepts every certificate, for tests that are not about the server's certificate.
#[derive(Debug)]
struct TrustsAnybody;

impl ServerCertVerifier for TrustsAnybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}
