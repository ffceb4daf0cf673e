//! Request bodies: bounded in length, in time, and, together with the answers to them, in memory.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use super::connections::Connections;
use super::deadline::Alarms;

/// Maximum time that a body waits for memory before its pod is admitted without evaluation.
const WAIT_FOR_MEMORY: Duration = Duration::from_millis(250);
/// Time to wait until an evicted connection frees its memory, before the next one is evicted.
const NEXT_EVICTION_AFTER: Duration = Duration::from_millis(10);
/// Bytes kept of a body that finds no memory: the uid of a review is in the first few hundred.
const KEPT_BYTES: usize = 4096;
/// Maximum initial capacity of a buffer. Nearly all bodies are smaller; larger ones grow as they
/// arrive. Pages that are never written take no memory, whereas a buffer that grows in steps is
/// returned to the system and allocated again for each body.
const FIRST_CAPACITY_BYTES: usize = 512 * 1024;

/// Memory for bodies, held from the first byte of a body until its answer is sent.
#[derive(Clone)]
pub(super) struct BodyMemory(Arc<Semaphore>);

/// A body, with the memory that it occupies.
pub(super) struct ReadBody {
    pub(super) bytes: Bytes,
    memory: Option<OwnedSemaphorePermit>,
}

/// An answer, with the memory that it occupies until it is sent.
struct Answer {
    bytes: Vec<u8>,
    _memory: Option<OwnedSemaphorePermit>,
}

/// Reason why a body could not be read.
pub(super) enum BodyError {
    /// The body is longer than the limit.
    TooLarge,
    /// The body did not arrive in time. Contains the part that did.
    Late(Bytes),
    /// There is no memory for the body. Contains its start.
    NoMemory(Bytes),
    /// The client disconnected or violated the protocol.
    Broken,
}

/// Reads one body within limits.
pub(super) struct BodyReader<'a> {
    pub(super) memory: &'a BodyMemory,
    /// Connections that may be evicted to free memory.
    pub(super) connections: Option<&'a Connections>,
    pub(super) alarms: &'a Alarms,
    pub(super) most_bytes: usize,
    pub(super) deadline: Instant,
}

impl BodyMemory {
    pub(super) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))))
    }

    async fn take(
        &self,
        bytes: usize,
        connections: Option<&Connections>,
    ) -> Option<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes).ok()?;
        // Memory is nearly always available.
        if let Ok(taken) = self.0.clone().try_acquire_many_owned(bytes) {
            return Some(taken);
        }
        let mut take = pin!(self.0.clone().acquire_many_owned(bytes));
        let until = Instant::now() + WAIT_FOR_MEMORY;
        while Instant::now() < until {
            if let Some(connections) = connections {
                connections.evict_for_memory();
            }
            if let Ok(taken) = timeout(NEXT_EVICTION_AFTER, &mut take).await {
                return taken.ok();
            }
        }
        None
    }
}

impl ReadBody {
    /// Transfers the memory of the body to its answer, which may need more or less than the body.
    ///
    /// # Errors
    /// Returns the body if there is not enough memory for the answer.
    pub(super) fn answered(mut self, memory: &BodyMemory, answer: Vec<u8>) -> Result<Bytes, Bytes> {
        let taken = self.memory.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        if let Some(less) = taken.checked_sub(answer.len()) {
            drop(self.memory.as_mut().and_then(|all| all.split(less)));
        } else {
            let more = u32::try_from(answer.len() - taken).ok();
            let more = more.and_then(|more| memory.0.clone().try_acquire_many_owned(more).ok());
            match (&mut self.memory, more) {
                (_, None) => return Err(self.bytes),
                (Some(all), Some(more)) => all.merge(more),
                (none, more) => *none = more,
            }
        }
        Ok(Bytes::from_owner(Answer { bytes: answer, _memory: self.memory }))
    }
}

impl AsRef<[u8]> for Answer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl BodyReader<'_> {
    /// Reads a body whose length is `announced` bytes, according to the client.
    pub(super) async fn read(
        &self,
        mut body: Body,
        announced: Option<usize>,
    ) -> Result<ReadBody, BodyError> {
        if announced.is_some_and(|announced| announced > self.most_bytes) {
            return Err(BodyError::TooLarge);
        }
        let mut read = Growing::default();
        let mut late = self.alarms.at(self.deadline);
        loop {
            let frame = tokio::select! {
                biased;
                frame = body.frame() => frame,
                () = late.rings() => return Err(BodyError::Late(read.finish().bytes)),
            };
            let frame = match frame {
                None => return Ok(read.finish()),
                Some(Err(_)) => return Err(BodyError::Broken),
                Some(Ok(frame)) => frame,
            };
            let Ok(data) = frame.into_data() else { continue };
            if read.length() + data.len() > self.most_bytes {
                return Err(BodyError::TooLarge);
            }
            let Some(memory) = self.memory.take(data.len(), self.connections).await else {
                let mut start = read.start();
                start.extend_from_slice(data.get(..KEPT_BYTES.min(data.len())).unwrap_or(&data));
                drop(read);
                self.discard(body).await;
                return Err(BodyError::NoMemory(start.into()));
            };
            read.push(data, memory, announced);
        }
    }

    /// Reads and discards the rest of the body, so that the client is ready for the answer.
    async fn discard(&self, mut body: Body) {
        while let Ok(Some(Ok(_))) = timeout_at(self.deadline, body.frame()).await {}
    }
}

/// A body that is being read. A body that arrives in one piece is not copied.
#[derive(Default)]
struct Growing {
    whole: Option<Bytes>,
    pieces: Vec<u8>,
    memory: Option<OwnedSemaphorePermit>,
}

impl Growing {
    fn length(&self) -> usize {
        self.whole.as_ref().map_or(self.pieces.len(), Bytes::len)
    }

    fn push(&mut self, data: Bytes, memory: OwnedSemaphorePermit, announced: Option<usize>) {
        match &mut self.memory {
            Some(taken) => taken.merge(memory),
            None => self.memory = Some(memory),
        }
        if self.length() == 0 {
            self.whole = Some(data);
            return;
        }
        if let Some(first) = self.whole.take() {
            let capacity = announced.unwrap_or(0).min(FIRST_CAPACITY_BYTES);
            self.pieces.reserve(capacity.max(first.len() + data.len()));
            self.pieces.extend_from_slice(&first);
        }
        self.pieces.extend_from_slice(&data);
    }

    fn start(&self) -> Vec<u8> {
        let all = self.whole.as_deref().unwrap_or(&self.pieces);
        all.get(..KEPT_BYTES.min(all.len())).unwrap_or(all).to_vec()
    }

    fn finish(self) -> ReadBody {
        let bytes = self.whole.unwrap_or_else(|| self.pieces.into());
        ReadBody { bytes, memory: self.memory }
    }
}
