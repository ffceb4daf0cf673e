//! One HTTP/1.1 connection of a client.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::recording::Ending;

/// The result of one attempt, and the replica that it reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attempt {
    pub(super) ending: Ending,
    pub(super) replica: Option<u32>,
}

/// An open connection; closed when it is dropped.
pub(super) struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    received: Arc<AtomicU64>,
    host: String,
    driver: JoinHandle<()>,
}

/// A stream that counts what it receives.
struct Counted {
    stream: TcpStream,
    received: Arc<AtomicU64>,
}

/// Connects. Requests use this host name, or else the address.
pub(super) async fn open(address: SocketAddr, host: Option<&str>) -> Result<Connection, Ending> {
    let stream = TcpStream::connect(address).await.map_err(|error| not_connected(&error))?;
    // Requests are small, so it is useless to wait for more data.
    let _ = stream.set_nodelay(true);
    let received = Arc::new(AtomicU64::new(0));
    let counted = Counted { stream, received: Arc::clone(&received) };
    let (sender, connection) = handshake(TokioIo::new(counted)).await.map_err(|_| Ending::Reset)?;
    // Errors of the connection are returned to the caller that waits for an answer.
    let driver = tokio::spawn(async move {
        let _ = connection.await;
    });
    let host = host.map_or_else(|| address.to_string(), str::to_owned);
    Ok(Connection { sender, received, host, driver })
}

impl Connection {
    /// Requests a path and reads the complete answer.
    pub(super) async fn get(&mut self, path: &str) -> Ending {
        match self.status(path).await {
            Ok(status) if status < 400 => Ending::Ok,
            Ok(_) => Ending::ErrorStatus,
            Err(ending) => ending,
        }
    }

    /// Like `get`, but returns the status of the answer.
    pub(super) async fn status(&mut self, path: &str) -> Result<u16, Ending> {
        let before = self.received();
        let request = Request::get(path).header("host", &self.host).header("user-agent", "prestop");
        let request = request.body(Empty::new()).map_err(|_| Ending::ErrorStatus)?;
        let answer = self.sender.send_request(request).await;
        let answer = answer.map_err(|_| self.broken(before))?;
        let status = answer.status().as_u16();
        let mut body = answer.into_body();
        while let Some(frame) = body.frame().await {
            frame.map_err(|_| Ending::CutShort)?;
        }
        Ok(status)
    }

    /// Returns the number of bytes received so far.
    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Returns whether the next request can be sent, as far as the client can know.
    pub(super) async fn is_usable(&mut self) -> bool {
        !self.sender.is_closed() && self.sender.ready().await.is_ok()
    }

    fn broken(&self, before: u64) -> Ending {
        if self.received() == before { Ending::Reset } else { Ending::CutShort }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Returns the ending for a failed connection: the replica refused it, or its network no longer
/// exists.
fn not_connected(error: &io::Error) -> Ending {
    match error.kind() {
        io::ErrorKind::TimedOut => Ending::TimeOut,
        io::ErrorKind::ConnectionReset => Ending::Reset,
        _ => Ending::Refused,
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        let count = u64::try_from(buffer.filled().len() - before).unwrap_or(0);
        self.received.fetch_add(count, Ordering::Relaxed);
        polled
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
