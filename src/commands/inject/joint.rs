//! Joins the documents of several files on standard output, so that the output parses as all
//! documents in order.

use std::io::{self, Write};
use std::mem;

use prestop_manifest::{Document, Format};

const BYTE_ORDER_MARK: char = '\u{feff}';

/// The beginning and end of a file's documents.
#[derive(Debug, Default)]
pub(super) struct Joint {
    place: FilePlace,
    opening: Option<Opening>,
    /// Whether it begins with white space before a comment.
    is_indented: bool,
    /// Whether the next part is the file's first.
    is_at_start: bool,
    /// The last part, if it does not end with a line break: the next part determines what is added.
    held: String,
    ending: Ending,
}

/// Whether other files were printed before a file.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum FilePlace {
    /// It is the first file.
    #[default]
    First,
    /// It is a later file: a `---` line may be above it.
    Later,
}

/// The beginning of a file, after a byte order mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opening {
    /// Only comments.
    Nothing,
    /// `---`, possibly after comments.
    Marker,
    /// `%YAML` or another directive.
    Directive,
    Content,
}

/// The end of a file.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// Only comments.
    #[default]
    Nothing,
    Content,
    /// Closed by `...`.
    Closed,
}

impl Joint {
    pub(super) fn new(place: FilePlace) -> Self {
        Self { place, ..Self::default() }
    }

    /// Whether nothing was written.
    pub(super) fn is_empty(&self) -> bool {
        self.opening.is_none()
    }

    /// Returns the part that was held back.
    pub(super) fn held(&self) -> &str {
        &self.held
    }

    /// Begins another document. JSON values may follow each other, but not below a `---` line.
    pub(super) fn begin(&mut self, document: &Document, out: &mut impl Write) -> io::Result<()> {
        let text = document.text.trim_start_matches(BYTE_ORDER_MARK);
        let opening = Opening::of(text, document.format);
        let is_bare = document.number > 1 && opening == Opening::Content;
        if is_bare && self.place == FilePlace::Later && self.ending == Ending::Content {
            out.write_all(with_final_line_break(&mem::take(&mut self.held)).as_bytes())?;
            out.write_all(b"---\n")?;
        }
        if self.opening.is_none() {
            self.is_at_start = true;
            self.opening = Some(opening);
            self.is_indented = without_head(text).starts_with([' ', '\t']);
        }
        let last = text.trim_end().rsplit('\n').next().unwrap_or_default();
        let is_closed = last.strip_prefix("...");
        self.ending = match opening {
            Opening::Nothing => self.ending,
            _ if is_closed.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t'])) => {
                Ending::Closed
            }
            _ => Ending::Content,
        };
        Ok(())
    }

    /// Writes a part of a document. A byte order mark is written for the first file only, and blank
    /// lines at the start of a later file are dropped, because they could belong to a block scalar
    /// at the end of the previous file.
    pub(super) fn write(&mut self, part: &str, out: &mut impl Write) -> io::Result<()> {
        if part.is_empty() {
            return Ok(());
        }
        let is_start_of_later = mem::take(&mut self.is_at_start) && self.place == FilePlace::Later;
        let part = if is_start_of_later { without_head(part) } else { part };
        if part.is_empty() {
            return Ok(());
        }
        out.write_all(mem::take(&mut self.held).as_bytes())?;
        if part.ends_with('\n') {
            out.write_all(part.as_bytes())
        } else {
            part.clone_into(&mut self.held);
            Ok(())
        }
    }

    /// Writes the separator between these documents and the next ones. If the next file has only
    /// comments, the end before it stays relevant.
    pub(super) fn write_between(
        &mut self,
        next: &mut Self,
        out: &mut impl Write,
    ) -> io::Result<()> {
        out.write_all(with_final_line_break(&self.held).as_bytes())?;
        let (mark, ending) = match (next.opening, self.ending) {
            (Some(Opening::Directive), Ending::Content) => ("...\n", Ending::Closed),
            // An indented comment could belong to a block scalar above it.
            (Some(Opening::Nothing | Opening::Marker), Ending::Content) if next.is_indented => {
                ("...\n", Ending::Closed)
            }
            (Some(Opening::Content), ending) => ("---\n", ending),
            (_, ending) => ("", ending),
        };
        if next.ending == Ending::Nothing {
            next.ending = ending;
        }
        out.write_all(mark.as_bytes())
    }
}

/// Removes a byte order mark and blank lines at the start.
fn without_head(text: &str) -> &str {
    let mut rest = text.trim_start_matches(BYTE_ORDER_MARK);
    while let Some((blank, behind)) = rest.split_once('\n') {
        if !blank.trim().is_empty() {
            break;
        }
        rest = behind;
    }
    if rest.trim().is_empty() { "" } else { rest }
}

/// Adds a final line break, so that another text can follow.
fn with_final_line_break(text: &str) -> String {
    let line_break = match text {
        "" => "",
        _ if text.ends_with('\n') => "",
        _ if text.contains("\r\n") => "\r\n",
        _ => "\n",
    };
    format!("{text}{line_break}")
}

impl Opening {
    fn of(text: &str, format: Format) -> Self {
        if format == Format::Json {
            return Self::Content;
        }
        for line in text.lines() {
            let is_marker = line
                .strip_prefix("---")
                .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r']));
            match line.trim_start().chars().next() {
                None | Some('#') => {}
                Some('%') if line.starts_with('%') => return Self::Directive,
                _ if is_marker => return Self::Marker,
                _ => return Self::Content,
            }
        }
        Self::Nothing
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use prestop_manifest::Documents;

    fn values(text: &str) -> Vec<Value> {
        let all = Documents::new(BufReader::new(text.as_bytes()));
        all.filter_map(|document| document.unwrap().value().unwrap()).collect()
    }

    /// Joins the files to one text, as `inject` prints them.
    fn joined(files: &[&str]) -> String {
        let mut out = Vec::new();
        let mut before: Option<Joint> = None;
        for file in files {
            let place = if before.is_some() { FilePlace::Later } else { FilePlace::First };
            let (mut joint, mut printed) = (Joint::new(place), Vec::new());
            for document in Documents::new(BufReader::new(file.as_bytes())) {
                let document = document.unwrap();
                joint.begin(&document, &mut printed).unwrap();
                joint.write(&document.text, &mut printed).unwrap();
            }
            if joint.is_empty() {
                continue;
            }
            if let Some(before) = &mut before {
                before.write_between(&mut joint, &mut out).unwrap();
            }
            out.extend(printed);
            before = Some(joint);
        }
        out.extend(before.map(|joint| joint.held).unwrap_or_default().bytes());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn one_marker_is_between_two_files() {
        for (files, expected) in [
            (&["a: 1", "b: 2"][..], "a: 1\n---\nb: 2"),
            (&["a: 1\n", "---\nb: 2\n"], "a: 1\n---\nb: 2\n"),
            (&["a: 1\n---", "b: 2\n"], "a: 1\n---\n---\nb: 2\n"),
            (&["a: 1\n", "\u{feff}b: 2\n"], "a: 1\n---\nb: 2\n"),
            (&["a: 1\n", "\u{feff}b: 2"], "a: 1\n---\nb: 2"),
            (&["a: 1", "%YAML 1.2\n---\nb: 2\n"], "a: 1\n...\n%YAML 1.2\n---\nb: 2\n"),
            (&["a: 1\n...", "%YAML 1.2\n---\nb: 2\n"], "a: 1\n...\n%YAML 1.2\n---\nb: 2\n"),
            (&["a: 1", "# c\n---\nb: 2\n"], "a: 1\n# c\n---\nb: 2\n"),
            (&["a: 1\r\nb: 2", "c: 3\n"], "a: 1\r\nb: 2\r\n---\nc: 3\n"),
            (&["# c", "", "b: 2"], "# c\n---\nb: 2"),
            (&["---", "# c", "%YAML 1.2\n---\nb: 2"], "---\n# c\n...\n%YAML 1.2\n---\nb: 2"),
            (&["a: |\n  x", "   # c\n---\nb: 2"], "a: |\n  x\n...\n   # c\n---\nb: 2"),
            (&["# c", "# d", "%YAML 1.2\n---\nb: 2"], "# c\n# d\n%YAML 1.2\n---\nb: 2"),
            (&["{}", "{}"], "{}\n---\n{}"),
            (&["{}{}", "{}{}"], "{}{}\n---\n{}\n---\n{}"),
        ] {
            assert_eq!(joined(files), expected, "{files:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_as_the_files(files in prop::collection::vec(prop::sample::select(vec![
            "a: 1", "a: 1\n", "---\na: 1", "--- # c\na: 1\n", "# c\n---\na: 1", "# c", "\n", "", "---",
            "\u{feff}a: 1", "\u{feff}# c\n---\na: 1\n", "%YAML 1.2\n---\na: 1", "a: 1\n...\n", "a: 1\n... # c",
            "\u{feff}%YAML 1.2\n# c\n---\na: 1\n", "{\"a\": 1}", "[1]\n{}", "{}{\"a\": 1}\n", "\u{feff}{}",
            "a: |\n  x", "a: |+\n  x\n\n", "a: >\n  x\n  y", "a:\r\n- b\r\n", "a: 1\r\n---\r\nb: |\r\n  x",
            "{\"a\": 1} # c", "{a: 1}", "\n\n# c", "  # c\n", "      # c\n---\na: 1", "\n \n---\na: 1", "\r\n\na: 1", "- |+\n  x\n\n", "a: 1\n---\n\nb: 2", "--- |\n  text", "- |+\n  x",
        ]), 1..5)) {
            let expected: Vec<Value> = files.iter().flat_map(|file| values(file)).collect();
            let all = joined(&files);
            prop_assert_eq!(values(&all), expected, "{:?}", all);
        }
    }
}
