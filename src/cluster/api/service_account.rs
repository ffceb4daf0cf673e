//! A client with the service account of the pod that this process runs in: the environment has the
//! address of the API server, and the kubelet renews a file with the token
//! (<https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/>).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::header::AUTHORIZATION;
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Request, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client as HttpClient, ResponseFuture};
use hyper_util::rt::TokioExecutor;
use kube::Client;
use kube::client::Body;
use thiserror::Error;
use tower::Service;

use super::trust::trusting;
use crate::cluster::certificates::Authorities;

/// The folder in which every kubelet mounts the service account.
const FOLDER: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Interval for reading the token again, as in client-go. Tokens expire after about an hour, and
/// their files are renewed long before.
const READ_TOKEN_EVERY: Duration = Duration::from_secs(60);
/// Hint for people who run the image's program outside a cluster.
const HINT: &str =
    if cfg!(feature = "kubeconfig") { "" } else { "; this build reads no kubeconfig" };
/// Time limit for connecting, as in kube's own clients.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// Time limit for reading, as in kube's own clients: longer than API servers leave a watch open
/// without sending data.
const READ_TIMEOUT: Duration = Duration::from_secs(295);

/// Reason why a client could not be created.
#[derive(Debug, Error)]
pub enum ServiceAccountError {
    /// The process does not run in a pod.
    #[error("no cluster to connect to: {0} is not set, although it is set in every pod{HINT}")]
    NotInAPod(&'static str),
    /// The value is not an address.
    #[error("{0:?} is no address of an API server")]
    Address(String),
    /// The pod has no service account, or `automountServiceAccountToken` is off.
    #[error("{}: {error}", .file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// The error.
        error: io::Error,
    },
    /// The CA file has no certificate.
    #[error("{}: no certificate", .0.display())]
    NoCertificate(PathBuf),
    /// The content of the file is not a token.
    #[error("{}: not a token", .0.display())]
    NoToken(PathBuf),
    /// TLS can't be set up.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// The address of the API server, and the credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAccount {
    /// Host and port.
    pub address: String,
    /// Folder with the files `token` and `ca.crt`.
    pub folder: PathBuf,
}

/// Sends requests with the token to the API server.
struct Connection {
    client: HttpClient<TimeoutConnector<HttpsConnector<HttpConnector>>, Body>,
    address: Authority,
    token: Arc<Token>,
}

struct Token {
    file: PathBuf,
    read: Mutex<(HeaderValue, Instant)>,
}

impl ServiceAccount {
    /// Returns the service account of the pod that this process runs in.
    ///
    /// # Errors
    /// When the environment does not contain the address of the API server.
    pub fn of_this_pod(
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ServiceAccountError> {
        let variable =
            |name: &'static str| environment(name).ok_or(ServiceAccountError::NotInAPod(name));
        let host = variable("KUBERNETES_SERVICE_HOST")?;
        let port = variable("KUBERNETES_SERVICE_PORT")?;
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        Ok(Self { address: format!("{host}:{port}"), folder: PathBuf::from(FOLDER) })
    }

    /// Creates a client that trusts only the pod's CA.
    ///
    /// # Errors
    /// When a file is missing or invalid.
    pub fn client(&self) -> Result<Client, ServiceAccountError> {
        let no_address = || ServiceAccountError::Address(self.address.clone());
        let address: Authority = self.address.parse().map_err(|_| no_address())?;
        address.port_u16().ok_or_else(no_address)?;
        let mut connector = TimeoutConnector::new(self.connector()?);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_read_timeout(Some(READ_TIMEOUT));
        let client = HttpClient::builder(TokioExecutor::new()).build(connector);
        let token = Arc::new(Token::read(self.folder.join("token"), Instant::now())?);
        let namespace = fs::read_to_string(self.folder.join("namespace")).unwrap_or_default();
        Ok(Client::new(Connection { client, address, token }, namespace))
    }

    fn connector(&self) -> Result<HttpsConnector<HttpConnector>, ServiceAccountError> {
        let file = self.folder.join("ca.crt");
        let pem = fs::read(&file).map_err(|error| error_of(&file, error))?;
        let roots = Authorities::read(&pem).usable();
        if roots.is_empty() {
            return Err(ServiceAccountError::NoCertificate(file));
        }
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        let builder = HttpsConnectorBuilder::new().with_tls_config(trusting(roots)?).https_only();
        Ok(builder.enable_http1().wrap_connector(connector))
    }
}

impl Token {
    fn read(file: PathBuf, now: Instant) -> Result<Self, ServiceAccountError> {
        let read = Mutex::new((header(&file)?, now));
        Ok(Self { file, read })
    }

    /// Returns the content of the file, or the last content that could be read.
    fn header(&self, now: Instant) -> HeaderValue {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if now.duration_since(read.1) >= READ_TOKEN_EVERY {
            read.1 = now;
            if let Ok(header) = header(&self.file) {
                read.0 = header;
            }
        }
        read.0.clone()
    }
}

fn header(file: &Path) -> Result<HeaderValue, ServiceAccountError> {
    let token = fs::read_to_string(file).map_err(|error| error_of(file, error))?;
    let no_token = || ServiceAccountError::NoToken(file.to_owned());
    if token.trim().is_empty() {
        return Err(no_token());
    }
    let mut header =
        HeaderValue::from_str(&format!("Bearer {}", token.trim())).map_err(|_| no_token())?;
    header.set_sensitive(true);
    Ok(header)
}

fn error_of(file: &Path, error: io::Error) -> ServiceAccountError {
    ServiceAccountError::File { file: file.to_owned(), error }
}

impl Service<Request<Body>> for Connection {
    type Response = http::Response<hyper::body::Incoming>;
    type Error = hyper_util::client::legacy::Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> ResponseFuture {
        request.headers_mut().insert(AUTHORIZATION, self.token.header(Instant::now()));
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme = Some(Scheme::HTTPS);
        parts.authority = Some(self.address.clone());
        // kube's requests always have a path; without one, the client reports the error.
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
        self.client.request(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(host: Option<&str>, port: Option<&str>) -> Result<String, String> {
        let account = ServiceAccount::of_this_pod(|name| {
            let value = if name == "KUBERNETES_SERVICE_HOST" { host } else { port };
            value.map(str::to_owned)
        });
        account.map(|account| account.address).map_err(|error| error.to_string())
    }

    #[test]
    fn the_environment_says_where_the_api_server_is() {
        assert_eq!(found(Some("10.0.0.1"), Some("443")).as_deref(), Ok("10.0.0.1:443"));
        assert_eq!(found(Some("fd00::1"), Some("6443")).as_deref(), Ok("[fd00::1]:6443"));
        assert_eq!(found(Some("api.example"), Some("443")).as_deref(), Ok("api.example:443"));
        assert!(found(None, Some("443")).unwrap_err().contains("KUBERNETES_SERVICE_HOST"));
        assert!(found(Some("10.0.0.1"), None).unwrap_err().contains("KUBERNETES_SERVICE_PORT"));
    }

    #[test]
    fn a_renewed_token_is_taken_and_a_lost_one_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        fs::write(&file, "first\n").unwrap();
        let began = Instant::now();
        let token = Token::read(file.clone(), began).unwrap();
        fs::write(&file, "second").unwrap();
        let mut now = began + Duration::from_secs(59);
        assert_eq!(token.header(now), "Bearer first");
        now += Duration::from_secs(1);
        assert_eq!(token.header(now), "Bearer second");
        fs::remove_file(&file).unwrap();
        assert_eq!(token.header(now + 2 * READ_TOKEN_EVERY), "Bearer second");
    }

    #[test]
    fn what_can_not_be_used_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = |address: &str| {
            let account =
                ServiceAccount { address: address.to_owned(), folder: folder.path().to_owned() };
            account.client().err().map(|error| error.to_string()).unwrap_or_default()
        };
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        assert!(error("a b:443").contains("\"a b:443\" is no address"));
        assert!(error("host").contains("is no address"));
        assert!(error("host:443").contains("ca.crt: No such file"), "{}", error("host:443"));
        write("ca.crt", "nothing");
        assert!(error("host:443").contains("ca.crt: no certificate"));
        let made = rcgen::generate_simple_self_signed(["host".to_owned()]).unwrap();
        write("ca.crt", &made.cert.pem());
        assert!(error("host:443").contains("token: No such file"));
        for token in [" \n", "a\u{7}b"] {
            write("token", token);
            assert!(error("host:443").contains("token: not a token"), "{token:?}");
        }
    }
}
