//! Splits a stream into documents while it is read: at `---` and `...` lines, and between JSON
//! values. Holds one document at a time, and never more than a limit.
//!
//! A marker at the beginning of a line is always a marker in YAML, and can't occur inside a JSON
//! value; so YAML can be split by lines, and JSON by counting braces.

use std::io::{BufRead, ErrorKind};
use std::mem;

use super::json_scan::{JsonScan, Step};
use super::{Document, Format, ManifestError};

/// Default size limit for a document, which [`Documents::with_largest_document`] changes.
pub const LARGEST_DOCUMENT_BYTES: usize = 128 * 1024 * 1024;

/// Lines up to this length are read as a whole, longer ones in pieces.
const LONGEST_PIECE_BYTES: usize = 64 * 1024;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The documents of a stream, in order. Ends after the first error.
#[derive(Debug)]
pub struct Documents<R> {
    input: R,
    largest_document_bytes: usize,
    /// The piece that was read last (a line, or a part of a long one), and how much of it has been
    /// used.
    piece: Vec<u8>,
    used: usize,
    piece_begins: PieceBegins,
    /// The document that is being read, and its state, number and first line.
    text: Vec<u8>,
    progress: Progress,
    number: usize,
    first_line: usize,
    is_over: bool,
}

/// Position at which the last piece began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PieceBegins {
    Stream,
    Line,
    WithinLine,
}

/// State of the document so far.
#[derive(Debug, Clone)]
enum Progress {
    /// Only blank lines, comments and directives: no `---` yet, and no content.
    Opening,
    Yaml,
    Json(JsonScan),
    /// After a complete JSON value.
    JsonEnded,
    /// After a complete JSON value and a comment, which exists only in YAML.
    JsonCommented,
    /// After `...`.
    Closed,
}

impl<R: BufRead> Documents<R> {
    /// Creates the documents of a stream of UTF-8 text.
    pub const fn new(input: R) -> Self {
        Self {
            input,
            largest_document_bytes: LARGEST_DOCUMENT_BYTES,
            piece: Vec::new(),
            used: 0,
            piece_begins: PieceBegins::Stream,
            text: Vec::new(),
            progress: Progress::Opening,
            number: 1,
            first_line: 1,
            is_over: false,
        }
    }

    /// Sets another size limit for one document, in bytes.
    #[must_use]
    pub const fn with_largest_document(mut self, bytes: usize) -> Self {
        self.largest_document_bytes = bytes;
        self
    }

    fn advance(&mut self) -> Result<Option<Document>, ManifestError> {
        loop {
            if self.used == self.piece.len() && !self.read_piece()? {
                return self.finish();
            }
            if self.piece_begins_document() {
                return self.finish();
            }
            if let Some(document) = self.take_piece()? {
                return Ok(Some(document));
            }
        }
    }

    /// Returns whether the piece begins a document and there is another one before it.
    fn piece_begins_document(&self) -> bool {
        if self.text.is_empty() || self.piece_begins == PieceBegins::WithinLine || self.used > 0 {
            return false;
        }
        match self.progress {
            Progress::Closed => true,
            // Comments and directives above the first `---` belong to the document after it.
            Progress::Opening => false,
            _ => is_start_marker(&self.piece),
        }
    }

    /// Adds the piece, or the part of it that belongs to the document, to the document. Returns the
    /// document if another one begins within the piece.
    fn take_piece(&mut self) -> Result<Option<Document>, ManifestError> {
        if self.used == 0 && self.piece_begins != PieceBegins::WithinLine {
            if is_marker(&self.piece, b"...") {
                self.progress = Progress::Closed;
            } else if is_start_marker(&self.piece) {
                self.progress = Progress::Yaml;
            }
        }
        if matches!(self.progress, Progress::Opening) {
            self.progress = self.progress_of_opening();
        }
        match &mut self.progress {
            Progress::Json(scan) => {
                let rest = self.piece.get(self.used..).unwrap_or_default();
                let mut steps = rest.iter().map(|byte| scan.step(*byte)).enumerate();
                match steps.find(|(_, step)| *step != Step::Inside) {
                    Some((last, Step::Last)) => {
                        self.progress = Progress::JsonEnded;
                        self.append(self.used.saturating_add(last).saturating_add(1))?;
                    }
                    Some(_) => {
                        self.progress = Progress::Yaml;
                        self.append(self.piece.len())?;
                    }
                    None => self.append(self.piece.len())?,
                }
            }
            Progress::JsonEnded | Progress::JsonCommented => return self.take_after_json(),
            Progress::Opening | Progress::Yaml | Progress::Closed => {
                self.append(self.piece.len())?;
            }
        }
        Ok(None)
    }

    /// Returns the state after the piece is added to an opening.
    fn progress_of_opening(&self) -> Progress {
        let piece = self.piece.get(self.used..).unwrap_or_default();
        let piece = piece.strip_prefix(BYTE_ORDER_MARK).unwrap_or(piece);
        if piece.first() == Some(&b'%') {
            return Progress::Opening;
        }
        match piece.trim_ascii_start().first() {
            None | Some(b'#') if piece.ends_with(b"\n") => Progress::Opening,
            Some(b'{' | b'[') if self.text_is_blank() => Progress::Json(JsonScan::default()),
            _ => Progress::Yaml,
        }
    }

    fn text_is_blank(&self) -> bool {
        let text = self.text.as_slice();
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        text.trim_ascii().is_empty()
    }

    /// Continues after a JSON value: white space and comments still belong to it, and the next
    /// value begins the next document.
    fn take_after_json(&mut self) -> Result<Option<Document>, ManifestError> {
        let rest = self.piece.get(self.used..).unwrap_or_default();
        let blank = rest.iter().take_while(|byte| byte.is_ascii_whitespace());
        let next = self.used.saturating_add(blank.count());
        match self.piece.get(next) {
            None => {}
            Some(b'{' | b'[') => {
                self.append(next)?;
                return self.finish();
            }
            Some(b'#') if next > self.used && self.piece.ends_with(b"\n") => {
                self.progress = Progress::JsonCommented;
            }
            Some(b'#') if self.used == 0 && self.piece.ends_with(b"\n") => {
                self.progress = Progress::JsonCommented;
            }
            Some(_) => self.progress = Progress::Yaml,
        }
        self.append(self.piece.len())?;
        Ok(None)
    }

    /// Adds the piece to the document, up to an offset.
    fn append(&mut self, until: usize) -> Result<(), ManifestError> {
        let part = self.piece.get(self.used..until).unwrap_or_default();
        if self.text.len().saturating_add(part.len()) > self.largest_document_bytes {
            let limit = self.largest_document_bytes;
            let message = format!("document larger than {limit} bytes; split it with `---` lines");
            return Err(self.error_in_piece(0, message));
        }
        self.text.extend_from_slice(part);
        self.used = until;
        Ok(())
    }

    /// Returns the document that was read, `None` if it is empty, and begins the next one.
    fn finish(&mut self) -> Result<Option<Document>, ManifestError> {
        if self.text.is_empty() {
            return Ok(None);
        }
        let format = match mem::replace(&mut self.progress, Progress::Opening) {
            Progress::Json(_) | Progress::JsonEnded => Format::Json,
            _ => Format::Yaml,
        };
        let text = match String::from_utf8(mem::take(&mut self.text)) {
            Ok(text) => text,
            Err(error) => {
                let (good, bad) = error
                    .as_bytes()
                    .split_at_checked(error.utf8_error().valid_up_to())
                    .unwrap_or_default();
                let message = "not UTF-8; convert the file to UTF-8".to_owned();
                return Err(self.error_between(good, bad, message));
            }
        };
        let document = Document { number: self.number, first_line: self.first_line, format, text };
        self.number = self.number.saturating_add(1);
        self.first_line = self.first_line.saturating_add(line_breaks(document.text.as_bytes()));
        Ok(Some(document))
    }

    /// Reads the next line, or the next part of a long one; false at the end of the stream.
    fn read_piece(&mut self) -> Result<bool, ManifestError> {
        if !self.piece.is_empty() {
            self.piece_begins = if self.piece.ends_with(b"\n") {
                PieceBegins::Line
            } else {
                PieceBegins::WithinLine
            };
        }
        self.piece.clear();
        self.used = 0;
        while self.piece.len() < LONGEST_PIECE_BYTES && !self.piece.ends_with(b"\n") {
            let buffer = match self.input.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => {
                    return Err(self.error_in_piece(0, format!("reading failed: {error}")));
                }
            };
            if buffer.is_empty() {
                break;
            }
            let room = LONGEST_PIECE_BYTES.saturating_sub(self.piece.len());
            let line = buffer.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default();
            let part = line.get(..room).unwrap_or(line);
            self.piece.extend_from_slice(part);
            let taken = part.len();
            self.input.consume(taken);
        }
        if self.piece_begins == PieceBegins::Stream
            && (self.piece.starts_with(b"\xff\xfe") || self.piece.starts_with(b"\xfe\xff"))
        {
            let message = "UTF-16; convert the file to UTF-8 (iconv -f UTF-16 -t UTF-8)";
            return Err(self.error_between(b"", b"", message.to_owned()));
        }
        if let Some(offset) = self.piece.iter().position(|byte| *byte == 0) {
            let message = "binary data (a NUL byte); only UTF-8 text is read";
            return Err(self.error_in_piece(offset, message.to_owned()));
        }
        Ok(!self.piece.is_empty())
    }

    /// Creates an error at an offset of the piece.
    fn error_in_piece(&self, offset: usize, message: String) -> ManifestError {
        let unused = self.piece.get(self.used..).unwrap_or_default();
        let (before, after) = unused.split_at_checked(offset).unwrap_or_default();
        // Only the last line of the document is needed, but all its line breaks.
        let start = self
            .text
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |last| last.saturating_add(1));
        let (lines, line) = self.text.split_at_checked(start).unwrap_or_default();
        let mut error = self.error_between(&[line, before].concat(), after, message);
        error.line = error.line.saturating_add(line_breaks(lines));
        error
    }

    /// Creates an error between two parts of the document.
    fn error_between(&self, before: &[u8], after: &[u8], message: String) -> ManifestError {
        let line_before = before.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        let line_after = after.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let line = [line_before, line_after].concat();
        ManifestError::new(
            self.number,
            self.first_line.saturating_add(line_breaks(before)),
            String::from_utf8_lossy(line_before).chars().count().saturating_add(1),
            message,
            &String::from_utf8_lossy(&line),
        )
    }
}

impl<R: BufRead> Iterator for Documents<R> {
    type Item = Result<Document, ManifestError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let next = self.advance().transpose();
        self.is_over = !matches!(next, Some(Ok(_)));
        next
    }
}

/// Returns whether a line is `---`; in concatenated files it may follow a byte order mark.
fn is_start_marker(line: &[u8]) -> bool {
    is_marker(line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line), b"---")
}

fn is_marker(line: &[u8], marker: &[u8]) -> bool {
    line.strip_prefix(marker).is_some_and(|rest| rest.first().is_none_or(u8::is_ascii_whitespace))
}

fn line_breaks(text: &[u8]) -> usize {
    text.split(|byte| *byte == b'\n').count().saturating_sub(1)
}
