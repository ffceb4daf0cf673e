//! Writes log lines to standard error: immediately or, while a server runs, in batches.
//!
//! A write wakes the reader of the log, which takes longer than the logged decision. So a line
//! A write wakes the reader of the log, which takes longer than the logged decision. So a line
//! after a pause is written when the answers that are ready have been sent; lines that follow
//! within [`WRITTEN_EVERY`] are written together, earlier if there are [`ENOUGH_WAITING_BYTES`]. No
//! request waits for the log: if its reader blocks (for example because the node's disk is full),
//! lines are kept up to [`MOST_WAITING_BYTES`], and later ones are dropped and counted.

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::pipe::PIPE_BUF;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::warn;

/// Maximum time that a line waits for others: too short to notice for a person who follows the log.
const WRITTEN_EVERY: Duration = Duration::from_millis(10);
/// At this many bytes, some fifty lines, waiting for more lines brings no gain.
const ENOUGH_WAITING_BYTES: usize = 16 * 1024;
/// Maximum number of bytes that wait for a blocked reader: several hundred lines.
const MOST_WAITING_BYTES: usize = 256 * 1024;
/// Time until the first retry if the reader has no room; it doubles as long as nothing can be
/// written.
const TRIED_AGAIN_AFTER: Duration = Duration::from_millis(1);
/// Maximum time between two retries.
const TRIED_AGAIN_WITHIN: Duration = Duration::from_millis(100);
/// Maximum time that each piece of the last lines waits for a blocked reader when the program ends.
const LAST_LINES_WITHIN: Duration = Duration::from_secs(1);

/// Log lines that are written or waiting.
#[derive(Debug)]
pub(super) struct Lines<S> {
    sink: S,
    waiting: Mutex<Waiting>,
    /// Lines that could not be written and have not been counted yet.
    failed: AtomicU64,
    /// Notifies that a line is waiting.
    come: Notify,
    /// Notifies that [`ENOUGH_WAITING_BYTES`] are waiting.
    enough: Notify,
}

/// Counts of lines that were lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    /// Lines that found no room in memory.
    NoRoom(u64),
    /// Lines that the system refused: a full disk, a pipe without a reader.
    Failed(u64),
}

#[derive(Debug)]
struct Waiting {
    order: Order,
    lines: Vec<u8>,
    dropped: u64,
}

/// Time at which a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Immediately; the caller waits until it is written.
    AtOnce,
    /// Later, by [`Lines::write_together`].
    Together,
}

impl<S: AsFd> Lines<S> {
    pub(super) const fn to(sink: S) -> Self {
        Self {
            sink,
            waiting: Mutex::new(Waiting { order: Order::AtOnce, lines: Vec::new(), dropped: 0 }),
            failed: AtomicU64::new(0),
            come: Notify::const_new(),
            enough: Notify::const_new(),
        }
    }

    /// Writes or queues one or more lines.
    pub(super) fn push(&self, line: &[u8]) {
        let mut waiting = self.waiting();
        match waiting.order {
            Order::AtOnce => {
                self.write(line, Duration::MAX);
            }
            Order::Together if waiting.lines.len() + line.len() > MOST_WAITING_BYTES => {
                waiting.dropped += 1;
            }
            Order::Together => {
                let before = waiting.lines.len();
                waiting.lines.extend_from_slice(line);
                let after = waiting.lines.len();
                drop(waiting);
                if before == 0 {
                    self.come.notify_one();
                }
                if (before..after).contains(&ENOUGH_WAITING_BYTES) {
                    self.enough.notify_one();
                }
            }
        }
    }

    /// Writes lines in batches, from now on and until [`Self::end`]. `lose` is called with the
    /// number of lost lines whenever there are some.
    pub(super) async fn write_together(&self, lose: impl Fn(Lost)) {
        self.waiting().order = Order::Together;
        let mut lines = Vec::new();
        let mut next = Instant::now();
        loop {
            self.come.notified().await;
            if Instant::now() < next {
                // Ends early if enough lines are waiting.
                let _ = timeout_at(next, self.enough.notified()).await;
            }
            let mut without_room = 0;
            let mut pause = TRIED_AGAIN_AFTER;
            loop {
                std::mem::swap(&mut self.waiting().lines, &mut lines);
                let written = self.write(&lines, Duration::ZERO);
                lines.drain(..written);
                let failed = self.failed.swap(0, Ordering::Relaxed);
                if failed > 0 {
                    lose(Lost::Failed(failed));
                }
                let more = std::mem::take(&mut self.waiting().dropped);
                if more > 0 {
                    lose(Lost::NoRoom(more));
                    without_room += more;
                }
                if lines.is_empty() {
                    break;
                }
                self.put_back(&mut lines);
                sleep(pause).await;
                pause = if written > 0 { TRIED_AGAIN_AFTER } else { pause * 2 };
                pause = pause.min(TRIED_AGAIN_WITHIN);
            }
            next = Instant::now() + WRITTEN_EVERY;
            // Now there is room for this message.
            if without_room > 0 {
                warn!(
                    lines = without_room,
                    "log lines were dropped because they were not read in time"
                );
            }
        }
    }

    /// Puts lines that were not written back, before newer ones, so that [`Self::end`] finds them
    /// whenever the program ends.
    fn put_back(&self, lines: &mut Vec<u8>) {
        let mut waiting = self.waiting();
        lines.append(&mut waiting.lines);
        std::mem::swap(&mut waiting.lines, lines);
    }

    /// Writes the waiting lines; from now on each line is written immediately.
    pub(super) fn end(&self) {
        let mut waiting = self.waiting();
        waiting.order = Order::AtOnce;
        self.write(&std::mem::take(&mut waiting.lines), LAST_LINES_WITHIN);
    }

    /// Writes lines as long as their reader has room, waiting up to `patience` for each piece.
    /// Returns the number of bytes that are done: all of them if there is no reader.
    fn write(&self, lines: &[u8], patience: Duration) -> usize {
        let mut rest = lines;
        while !rest.is_empty() {
            match self.write_piece(rest, patience) {
                Err(Errno::AGAIN) => break,
                Ok(0) | Err(_) => {
                    let failed = rest.split_inclusive(|byte| *byte == b'\n').count();
                    self.failed.fetch_add(failed as u64, Ordering::Relaxed);
                    return lines.len();
                }
                Ok(length) => rest = rest.get(length..).unwrap_or_default(),
            }
        }
        lines.len() - rest.len()
    }

    /// Writes as much of the lines as a pipe accepts as a whole. `AGAIN` if it has no room.
    fn write_piece(&self, lines: &[u8], patience: Duration) -> rustix::io::Result<usize> {
        // `None`, without limit, if the duration is longer than the system can express.
        let patience = Timespec::try_from(patience).ok();
        let mut sink = [PollFd::new(&self.sink, PollFlags::OUT)];
        // A file that `poll` does not support always has room.
        if retry_on_intr(|| poll(&mut sink, patience.as_ref())) == Ok(0) {
            return Err(Errno::AGAIN);
        }
        retry_on_intr(|| rustix::io::write(&self.sink, first_lines(lines)))
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // The value is consistent even after a panic.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns as many whole lines as a pipe with room is sure to accept; of a longer line, its first
/// part.
fn first_lines(lines: &[u8]) -> &[u8] {
    let Some(piece) = lines.get(..PIPE_BUF) else { return lines };
    let end = piece.iter().rposition(|byte| *byte == b'\n');
    end.and_then(|end| piece.get(..=end)).unwrap_or(piece)
}

/// Takes the line of one event from the subscriber.
pub(super) struct EventWriter<S: 'static>(pub(super) &'static Lines<S>);

impl<S: AsFd> io::Write for EventWriter<S> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{PipeReader, PipeWriter, Read};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use tokio::task::JoinHandle;

    use super::*;

    const LINE: &[u8] = b"a line of forty bytes, as log lines are.\n";

    fn pipe() -> (PipeReader, Lines<PipeWriter>) {
        let (reader, writer) = io::pipe().unwrap();
        (reader, Lines::to(writer))
    }

    fn read_all(mut reader: PipeReader, lines: Lines<PipeWriter>) -> Vec<u8> {
        drop(lines);
        let mut text = Vec::new();
        reader.read_to_end(&mut text).unwrap();
        text
    }

    fn start_writing(
        lines: &Arc<Lines<PipeWriter>>,
        lose: impl Fn(Lost) + Send + Sync + 'static,
    ) -> JoinHandle<()> {
        let lines = lines.clone();
        tokio::spawn(async move { lines.write_together(lose).await })
    }

    async fn turn() {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }

    #[test]
    fn without_a_server_a_line_is_written_when_it_comes() {
        let (mut reader, lines) = pipe();
        lines.push(LINE);
        let mut text = vec![0; LINE.len()];
        reader.read_exact(&mut text).unwrap();
        assert_eq!(text, LINE);
        assert_eq!(read_all(reader, lines), b"");
    }

    fn readable(reader: &PipeReader) -> usize {
        usize::try_from(rustix::io::ioctl_fionread(reader).unwrap()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_after_a_pause_is_written_at_once_and_others_together() {
        let (reader, lines) = pipe();
        let lines = Arc::new(lines);
        let writing = start_writing(&lines, |_| {});
        turn().await;
        lines.push(LINE);
        turn().await;
        assert_eq!(readable(&reader), LINE.len());
        // These are written together, `WRITTEN_EVERY` after the first line.
        lines.push(LINE);
        turn().await;
        lines.push(LINE);
        turn().await;
        assert_eq!(readable(&reader), LINE.len());
        sleep(WRITTEN_EVERY).await;
        turn().await;
        assert_eq!(readable(&reader), 3 * LINE.len());
        // These are written immediately: there are enough of them.
        let count = ENOUGH_WAITING_BYTES / LINE.len() + 1;
        for _ in 0..count {
            lines.push(LINE);
        }
        turn().await;
        assert_eq!(readable(&reader), (3 + count) * LINE.len());
        sleep(WRITTEN_EVERY).await;
        lines.push(LINE);
        turn().await;
        assert_eq!(readable(&reader), (4 + count) * LINE.len());
        writing.abort();
    }

    #[tokio::test]
    async fn a_blocked_reader_delays_nothing_and_dropped_lines_are_counted() {
        let (mut reader, lines) = pipe();
        let lines = Arc::new(lines);
        let dropped = Arc::new(AtomicU64::new(0));
        let writing = start_writing(&lines, {
            let dropped = dropped.clone();
            move |lost| {
                let Lost::NoRoom(more) = lost else { panic!("{lost:?}") };
                dropped.fetch_add(more, Ordering::Relaxed);
            }
        });
        turn().await;
        // More than the pipe, the lines being written and the waiting lines can hold together.
        let count = 4 * MOST_WAITING_BYTES / LINE.len();
        for number in 0..count {
            lines.push(LINE);
            if number % 100 == 0 {
                turn().await;
            }
        }
        while dropped.load(Ordering::Relaxed) == 0 || lines.waiting().dropped > 0 {
            sleep(TRIED_AGAIN_AFTER).await;
        }
        let lost = dropped.load(Ordering::Relaxed);
        assert!(lost > 0);
        // The reader continues: the remaining lines arrive complete and in order.
        let kept = (count - usize::try_from(lost).unwrap()) * LINE.len();
        let reading = std::thread::spawn(move || {
            let mut text = vec![0; kept];
            reader.read_exact(&mut text).unwrap();
            (text, reader)
        });
        while !reading.is_finished() {
            sleep(TRIED_AGAIN_AFTER).await;
        }
        let (text, reader) = reading.join().unwrap();
        assert!(text.chunks(LINE.len()).all(|line| line == LINE));
        assert_eq!(dropped.load(Ordering::Relaxed), lost);
        lines.push(b"more\n");
        turn().await;
        writing.abort();
        assert!(writing.await.unwrap_err().is_cancelled());
        lines.push(b"last\n");
        lines.end();
        lines.push(b"at once\n");
        let lines = Arc::into_inner(lines).unwrap();
        assert_eq!(read_all(reader, lines), b"more\nlast\nat once\n");
    }

    #[tokio::test]
    async fn what_has_no_room_when_the_writing_ends_is_written_at_the_end() {
        let (mut reader, lines) = pipe();
        let lines = Arc::new(lines);
        let writing = start_writing(&lines, |_| {});
        turn().await;
        // More than the capacity of a pipe, but fewer lines than are kept.
        let count = MOST_WAITING_BYTES / LINE.len() / 2;
        for _ in 0..count {
            lines.push(LINE);
        }
        turn().await;
        writing.abort();
        assert!(writing.await.unwrap_err().is_cancelled());
        let reading = std::thread::spawn(move || {
            let mut text = Vec::new();
            reader.read_to_end(&mut text).unwrap();
            text
        });
        lines.end();
        drop(lines);
        assert!(reading.join().unwrap() == LINE.repeat(count));
    }

    #[tokio::test]
    async fn lines_without_a_reader_are_counted_and_forgotten() {
        let (reader, lines) = pipe();
        drop(reader);
        let lines = Arc::new(lines);
        lines.push(LINE);
        let failed = Arc::new(AtomicU64::new(0));
        let writing = start_writing(&lines, {
            let failed = failed.clone();
            move |lost| {
                let Lost::Failed(more) = lost else { panic!("{lost:?}") };
                failed.fetch_add(more, Ordering::Relaxed);
            }
        });
        turn().await;
        lines.push(LINE);
        turn().await;
        assert!(lines.waiting().lines.is_empty());
        // Including the first line, which failed before `write_together` ran.
        assert_eq!(failed.load(Ordering::Relaxed), 2);
        writing.abort();
        lines.end();
    }

    #[test]
    fn a_piece_ends_where_a_line_ends() {
        let many = LINE.repeat(1000);
        let piece = first_lines(&many);
        assert!(piece.len() <= PIPE_BUF && piece.len() > PIPE_BUF - LINE.len());
        assert_eq!(piece.len() % LINE.len(), 0);
        let long = vec![b'x'; 3 * PIPE_BUF];
        assert_eq!(first_lines(&long).len(), PIPE_BUF);
        assert_eq!(first_lines(LINE), LINE);
    }
}
