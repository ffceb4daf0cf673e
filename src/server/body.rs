//! A request's body, read in bounds of size, memory and time.

use bytes::Bytes;
use http_body_util::BodyExt as _;
use thiserror::Error;
use tokio::sync::SemaphorePermit;
use tokio::time::{Instant, timeout_at};

use super::limits::Share;

/// So much of a body is kept where there is no room for all of it. The API server writes the uid
/// within the first hundred bytes.
const HEAD_BYTES: usize = 16 * 1024;
/// So much room is made for a body on the word of its sender.
const TRUSTED_BYTES: usize = 256 * 1024;

/// What was read of a body.
#[derive(Debug)]
pub(super) enum Body<'a> {
    /// All of it.
    Whole(Bytes, Option<SemaphorePermit<'a>>),
    /// There was no room for it: its head, and nothing was kept of the rest.
    Head(Bytes),
}

/// A body could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum BodyError {
    #[error("the body is too large")]
    TooLarge,
    #[error("the body did not come in time")]
    Late,
    #[error("the body broke off")]
    Broken,
}

/// How a body is read.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    /// In bytes.
    pub(super) limit: usize,
    pub(super) deadline: Instant,
    /// What all bodies share, in bytes; `None` where this one is to have none of it.
    pub(super) room: Option<&'a Share>,
}

impl<'a> Reading<'a> {
    pub(super) async fn read(self, body: axum::body::Body) -> Result<Body<'a>, BodyError> {
        let deadline = self.deadline;
        timeout_at(deadline, self.collect(body)).await.unwrap_or(Err(BodyError::Late))
    }

    async fn collect(mut self, mut body: axum::body::Body) -> Result<Body<'a>, BodyError> {
        let announced = http_body::Body::size_hint(&body).exact();
        let announced = announced.and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
        if announced > self.limit {
            return Err(BodyError::TooLarge);
        }
        let mut kept = Kept::default();
        let mut permit: Option<SemaphorePermit<'a>> = None;
        let mut length = 0_usize;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else { continue };
            length = length.saturating_add(data.len());
            if length > self.limit {
                return Err(BodyError::TooLarge);
            }
            // By what has come and not by what was announced: to take room away from others, one has
            // to send.
            let more = match self.room {
                Some(room) => room.take(data.len()).await,
                None => None,
            };
            match (more, &mut permit) {
                (Some(more), Some(permit)) => permit.merge(more),
                (Some(more), None) => permit = Some(more),
                (None, _) => {
                    self.room = None;
                    permit = None;
                }
            }
            kept.push(data, announced);
            if self.room.is_none() {
                kept.truncate(HEAD_BYTES);
            }
        }
        let bytes = kept.into_bytes();
        // What fits into the head is whole; it is still not worked on, as others wait.
        Ok(if self.room.is_some() { Body::Whole(bytes, permit) } else { Body::Head(bytes) })
    }
}

/// Most bodies come in one piece, which is then not copied.
#[derive(Debug, Default)]
struct Kept {
    first: Bytes,
    all: Vec<u8>,
}

impl Kept {
    fn push(&mut self, data: Bytes, announced: usize) {
        if self.all.is_empty() && self.first.is_empty() {
            self.first = data;
            return;
        }
        if self.all.is_empty() {
            self.all.reserve(announced.min(TRUSTED_BYTES));
            self.all.extend_from_slice(&self.first);
            self.first = Bytes::new();
        }
        self.all.extend_from_slice(&data);
    }

    fn truncate(&mut self, length: usize) {
        self.first.truncate(length);
        if self.all.len() > length {
            self.all.truncate(length);
            self.all.shrink_to_fit();
        }
    }

    fn into_bytes(self) -> Bytes {
        if self.all.is_empty() { self.first } else { Bytes::from(self.all) }
    }
}
