//! The byte stream of a connection: observed to know the stage of the connection, and limited in
//! the time that a client has to read its answer.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_rustls::server::TlsStream;

use super::connections::{Stage, State};

/// Maximum time in which a client takes nothing of its answer. The API server reads immediately; a
/// lost packet is resent within a second or two.
const READ_SOME_WITHIN: Duration = Duration::from_secs(5);
/// Maximum time for the whole answer. No admission request lasts longer by default, and the longest
/// answer takes much less on any network.
const READ_ALL_WITHIN: Duration = Duration::from_secs(10);

/// A TCP stream, plain or with TLS.
pub(super) trait Socket: AsyncRead + AsyncWrite + Unpin {
    fn tcp(&self) -> &TcpStream;
}

/// The observed stream of a connection.
pub(super) struct Watched<S: Socket> {
    socket: S,
    state: Arc<State>,
    /// Time limits, set while the client does not take the data to be written.
    unread: Option<Unread>,
}

struct Unread {
    whole: Instant,
    timer: Pin<Box<Sleep>>,
}

impl<S: Socket> Watched<S> {
    pub(super) const fn new(socket: S, state: Arc<State>) -> Self {
        Self { socket, state, unread: None }
    }

    /// Returns the outcome of a write. A client that is too slow is an error.
    fn written<T>(
        &mut self,
        context: &mut Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let now = Instant::now;
        match (&result, &mut self.unread) {
            (Poll::Ready(_), None) => return result,
            (Poll::Ready(_), Some(unread)) => {
                let next = unread.whole.min(now() + READ_SOME_WITHIN);
                unread.timer.as_mut().reset(next);
            }
            (Poll::Pending, None) => {
                let now = now();
                let timer = Box::pin(sleep_until(now + READ_SOME_WITHIN));
                self.unread = Some(Unread { whole: now + READ_ALL_WITHIN, timer });
            }
            (Poll::Pending, Some(_)) => {}
        }
        if let Some(unread) = &mut self.unread {
            let is_over = match &result {
                Poll::Ready(_) => now() >= unread.whole,
                Poll::Pending => unread.timer.as_mut().poll(context).is_ready(),
            };
            if is_over {
                self.state.set_unread();
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        result
    }
}

impl<S: Socket> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(context, buffer))?;
        if buffer.filled().len() > before && self.state.stage() == Stage::Idle {
            self.state.set(Stage::Head);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: Socket> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.written(context, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.socket).poll_write_vectored(context, bytes);
        self.written(context, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.socket).poll_flush(context);
        ready!(self.written(context, result))?;
        self.unread = None;
        if self.state.stage() == Stage::Answer {
            self.state.set(Stage::Idle);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.socket).poll_shutdown(context);
        self.written(context, result)
    }
}

impl<S: Socket> Drop for Watched<S> {
    fn drop(&mut self) {
        if self.unread.is_some() {
            // Otherwise the kernel keeps unread data for minutes.
            let _ = self.socket.tcp().set_zero_linger();
        }
    }
}

impl Socket for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Socket for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}
