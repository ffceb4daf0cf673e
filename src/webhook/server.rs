//! The servers: admission reviews over TLS, and the administration port in plain HTTP.
//!
//! An accept loop on top of hyper, because limits on slow and silent clients need one:
//! - `connections`: the maximum number of connections, and which one is closed for a new one;
//! - [`tls`]: TLS, and which clients may connect;
//! - `stream`: observes the stage of a connection, and limits the time for reading an answer;
//! - `deadline`: the time that the caller has left;
//! - `body`: request bodies, bounded in length, time and memory;
//! - [`routes`]: the paths of both ports;
//! - `readiness`: readiness checks.
//!
//! Decisions about pods are made elsewhere; this module does not know where certificates, policies and
//! namespaces come from.

mod body;
mod connections;
mod deadline;
mod stream;

pub(crate) mod readiness;
pub mod routes;
pub mod tls;

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::HeaderValue;
use axum::http::header::CONNECTION;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::net::sockopt::set_socket_send_buffer_size;
use rustix::process::{Resource, getrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};
use tower::ServiceExt;
use tracing::{debug, warn};

use self::connections::{Connections, Slot, Stage};
use self::stream::{Socket, Watched};
use self::tls::Acceptor;
use crate::webhook::events::{ConnectionEnd, HandshakeError};
use crate::webhook::metrics::Metrics;
use crate::webhook::settings::Limits;
use crate::webhook::shutdown::{Phase, Shutdown};

/// Maximum number of request headers. The API server sends about ten.
const MOST_HEADERS: usize = 64;
/// Maximum size of a request head, and of the part of a body that is read ahead.
const LARGEST_HEAD_BYTES: usize = 32 * 1024;
/// Maximum wait after a failed accept before the next attempt; it ends early when a connection
/// ends.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(50);
/// Minimum interval between two log lines about failed accepts. Each failure is counted.
const TOLD_EVERY: Duration = Duration::from_secs(10);
/// File descriptors that are left for other uses: probes, the API server's client, reloaded files.
const RESERVED_FILES: u64 = 32;
/// Size of the kernel's send buffer of a connection; the kernel doubles it for its own bookkeeping.
/// Nearly all answers fit; without a bound it may grow to several megabytes for a client that does
/// not read.
const UNREAD_IN_KERNEL_BYTES: usize = 64 * 1024;

/// A port and the service on it.
pub struct Server {
    /// Plain HTTP or TLS.
    pub transport: Transport,
    /// The routes of this port.
    pub router: Router,
    /// Limits for clients.
    pub limits: Limits,
    /// Counts connections; `None` for the administration port.
    pub metrics: Option<Arc<Metrics>>,
}

/// The protocol below HTTP.
#[derive(Clone)]
pub enum Transport {
    /// No encryption.
    Plain,
    /// TLS.
    Tls(Arc<Acceptor>),
}

impl Server {
    /// Serves until the phase is [`Phase::Stopping`], then until the last request has ended, at
    /// most `drain_timeout` longer.
    pub async fn serve(
        self,
        listener: TcpListener,
        mut shutdown: Shutdown,
        drain_timeout: Duration,
    ) {
        let server = Arc::new(self);
        let connections = Arc::new(Connections::new(server.most_connections()));
        let mut stopping = shutdown.clone();
        let mut told = None;
        // Accepted connections inherit the size. If it can't be set, the limit of the system
        // applies.
        let _ = set_socket_send_buffer_size(&listener, UNREAD_IN_KERNEL_BYTES);
        loop {
            let accepted = tokio::select! {
                accepted = accept(&listener, &connections) => accepted,
                () = stopping.reached(Phase::Stopping) => break,
            };
            match accepted {
                Ok((stream, slot)) => {
                    tokio::spawn(server.clone().connection(stream, slot, shutdown.clone()));
                }
                Err(error) => {
                    server.not_accepted(&error, &mut told);
                    // Most likely there are no file descriptors left.
                    connections.set_most(server.most_connections());
                    let wait = connections.evict_one().unwrap_or(ACCEPT_AGAIN_AFTER);
                    let _ = timeout(wait, connections.one_ended()).await;
                }
            }
        }
        drop(listener);
        shutdown.reached(Phase::Stopping).await;
        if timeout(drain_timeout, connections.all_ended()).await.is_err() {
            warn!("requests were still in flight at the end of the drain timeout");
        }
    }

    /// Returns the maximum number of connections: the configured limit, or fewer if there are not
    /// enough file descriptors.
    fn most_connections(&self) -> usize {
        let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let most = usize::try_from(files.saturating_sub(RESERVED_FILES)).unwrap_or(usize::MAX);
        self.limits.connections.min(most.max(1))
    }

    fn not_accepted(&self, error: &io::Error, told: &mut Option<Instant>) {
        if let Some(metrics) = &self.metrics {
            metrics.connection_not_accepted();
        }
        if told.is_none_or(|told| told.elapsed() >= TOLD_EVERY) {
            *told = Some(Instant::now());
            warn!(%error, "a connection could not be accepted");
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, slot: Slot, shutdown: Shutdown) {
        let count = |end| {
            if let Some(metrics) = &self.metrics {
                metrics.connection_closed(end);
            }
        };
        if let Some(metrics) = &self.metrics {
            metrics.connection_opened();
        }
        // Answers are written as a whole.
        let _ = stream.set_nodelay(true);
        let end = match &self.transport {
            Transport::Plain => self.http(stream, &slot, shutdown).await,
            Transport::Tls(acceptor) => {
                let handshake = timeout(self.limits.handshake_timeout, acceptor.accept(stream));
                let result = tokio::select! {
                    result = handshake => result,
                    () = slot.evicted() => return count(ConnectionEnd::Evicted),
                };
                match result {
                    Ok(Ok(stream)) => self.http(stream, &slot, shutdown).await,
                    Ok(Err(why)) => {
                        self.handshake_failed(why);
                        ConnectionEnd::Error
                    }
                    Err(_) => {
                        self.handshake_failed(HandshakeError::Timeout);
                        ConnectionEnd::HandshakeTimeout
                    }
                }
            }
        };
        count(end);
    }

    fn handshake_failed(&self, why: HandshakeError) {
        debug!(?why, "TLS handshake failed");
        if let Some(metrics) = &self.metrics {
            metrics.handshake_failed(why);
        }
    }

    async fn http<S>(&self, stream: S, slot: &Slot, shutdown: Shutdown) -> ConnectionEnd
    where
        S: Socket,
    {
        let service = service_fn(|mut request: hyper::Request<Incoming>| {
            let (router, shutdown) = (self.router.clone(), shutdown.clone());
            let state = slot.state().clone();
            state.request_begins();
            request.extensions_mut().insert(slot.connections().clone());
            async move {
                let response = router.oneshot(request).await;
                state.set(Stage::Answer);
                response.map(|mut response| {
                    if shutdown.phase() != Phase::Serving {
                        let close = HeaderValue::from_static("close");
                        response.headers_mut().insert(CONNECTION, close);
                    }
                    response
                })
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            // Also limits the time between two requests.
            .header_read_timeout(self.limits.idle_timeout)
            .max_headers(MOST_HEADERS)
            .max_buf_size(LARGEST_HEAD_BYTES)
            .serve_connection(TokioIo::new(Watched::new(stream, slot.state().clone())), service);
        let mut connection = pin!(connection);
        let mut first_request = pin!(sleep(self.limits.first_request_timeout));
        let (mut is_first_awaited, mut is_stopping) = (true, false);
        let mut stopping = shutdown.clone();
        loop {
            tokio::select! {
                result = connection.as_mut() => return match result {
                    Ok(()) if is_stopping => ConnectionEnd::Drained,
                    Ok(()) => ConnectionEnd::Finished,
                    Err(_) if slot.state().is_unread() => ConnectionEnd::AnswerTimeout,
                    Err(error) if error.is_timeout() => ConnectionEnd::IdleTimeout,
                    Err(error) if error.is_parse() => {
                        debug!(%error, "malformed head");
                        ConnectionEnd::MalformedHead
                    }
                    Err(error) => {
                        debug!(%error, "connection ended");
                        ConnectionEnd::Error
                    }
                },
                () = slot.evicted() => return ConnectionEnd::Evicted,
                () = &mut first_request, if is_first_awaited => {
                    if !slot.was_used() {
                        return ConnectionEnd::FirstRequestTimeout;
                    }
                    is_first_awaited = false;
                }
                () = stopping.reached(Phase::Stopping), if !is_stopping => {
                    is_stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

async fn accept(
    listener: &TcpListener,
    connections: &Arc<Connections>,
) -> io::Result<(TcpStream, Slot)> {
    let (stream, source) = listener.accept().await?;
    Ok((stream, connections.slot(source.ip()).await))
}
