//! Splitting of streams into documents.

use std::io::{self, BufRead, BufReader, Read};

use prestop_manifest::{Documents, Format};
use proptest::prelude::*;

use super::documents;

/// Returns the texts of the documents of a stream.
fn texts(stream: &str) -> Vec<String> {
    documents(stream.as_bytes()).into_iter().map(|document| document.unwrap().text).collect()
}

#[test]
fn markers_cut_yaml() {
    let cases: &[(&str, &[&str])] = &[
        ("", &[]),
        ("\n", &["\n"]),
        ("a: 1\n", &["a: 1\n"]),
        ("a: 1\n---\nb: 2", &["a: 1\n", "---\nb: 2"]),
        ("a: 1\r\n---\r\nb: 2\r\n", &["a: 1\r\n", "---\r\nb: 2\r\n"]),
        ("---\na: 1\n---\n---\nb: 2\n", &["---\na: 1\n", "---\n", "---\nb: 2\n"]),
        ("# c\n\n---\na: 1\n", &["# c\n\n---\na: 1\n"]),
        ("%YAML 1.2\n---\na: 1\n", &["%YAML 1.2\n---\na: 1\n"]),
        ("a: 1\n...\n%YAML 1.2\n---\nb: 2\n", &["a: 1\n...\n", "%YAML 1.2\n---\nb: 2\n"]),
        ("--- # c\na: 1\n---\tb\n", &["--- # c\na: 1\n", "---\tb\n"]),
        ("a: |\n  ---\n  x\nb: ----\n----: 1\n", &["a: |\n  ---\n  x\nb: ----\n----: 1\n"]),
        ("\u{feff}a: 1\n\u{feff}---\nb: 2\n", &["\u{feff}a: 1\n", "\u{feff}---\nb: 2\n"]),
        ("a: 1\n---", &["a: 1\n", "---"]),
        ("- a\n... # end\n- b\n", &["- a\n... # end\n", "- b\n"]),
    ];
    for (stream, expected) in cases {
        assert_eq!(&texts(stream), expected, "{stream:?}");
    }
}

#[test]
fn json_values_follow_each_other() {
    let cases: &[(&str, &[&str])] = &[
        ("{}", &["{}"]),
        ("{}\n", &["{}\n"]),
        ("{}{} {}\n\n{\n}", &["{}", "{} ", "{}\n\n", "{\n}"]),
        ("{\"a\": \"}{\"}\n[1]\n", &["{\"a\": \"}{\"}\n", "[1]\n"]),
        ("{}\n---\na: 1\n", &["{}\n", "---\na: 1\n"]),
        ("{}\n# c\n{}", &["{}\n# c\n", "{}"]),
        ("\u{feff} {}\n", &["\u{feff} {}\n"]),
        // Flow YAML is not JSON, whatever it begins with.
        ("{a: b}\n", &["{a: b}\n"]),
        ("{a: 'it\"s {'}\n---\n{}\n", &["{a: 'it\"s {'}\n", "---\n{}\n"]),
        ("[{\"a\": b}, {}]\n", &["[{\"a\": b}, {}]\n"]),
    ];
    for (stream, expected) in cases {
        assert_eq!(&texts(stream), expected, "{stream:?}");
    }
}

#[test]
fn documents_know_their_place_and_their_format() {
    let stream = "# c\n---\na: 1\n---\n\n{\"b\": 2}\n";
    let found: Vec<_> = documents(stream.as_bytes())
        .into_iter()
        .map(|document| document.unwrap())
        .map(|document| (document.number, document.first_line, document.format))
        .collect();
    assert_eq!(found, [(1, 1, Format::Yaml), (2, 4, Format::Yaml)]);

    let found: Vec<_> = documents(b"\n{\n\"a\": 1}\n{}[]\na: 1\n")
        .into_iter()
        .map(|document| document.unwrap())
        .map(|document| (document.number, document.first_line, document.format))
        .collect();
    let json = Format::Json;
    assert_eq!(found, [(1, 1, json), (2, 4, json), (3, 4, Format::Yaml)]);
}

/// A stream that repeats a text a given number of times, without keeping it in memory.
struct Endless {
    text: &'static [u8],
    position: usize,
    left: usize,
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(buffer.len());
        buffer[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Endless {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left == 0 {
            return Ok(&[]);
        }
        Ok(&self.text[self.position..])
    }

    fn consume(&mut self, count: usize) {
        self.position += count;
        if self.position == self.text.len() {
            self.position = 0;
            self.left -= 1;
        }
    }
}

#[test]
fn a_long_stream_is_not_a_large_document() {
    // A hundred times the limit in total; the JSON is all on one line.
    for text in [&b"---\na: 1\nb: [1, 2]\n"[..], b"{\"a\": [1, 2, {}]}"] {
        let stream = Endless { text, position: 0, left: 10_000 };
        let limit = text.len() * 100;
        let mut count = 0;
        for document in Documents::new(stream).with_largest_document(limit) {
            assert_eq!(document.unwrap().text.as_bytes(), text);
            count += 1;
        }
        assert_eq!(count, 10_000);
    }
}

#[test]
fn a_document_above_the_limit_is_an_error_before_it_is_read() {
    let stream = Endless { text: b"a: 1\n", position: 0, left: usize::MAX };
    let mut found = Documents::new(stream).with_largest_document(1000);
    let error = found.next().unwrap().unwrap_err();
    assert_eq!((error.document, error.line), (1, 201));
    assert!(error.message.contains("larger than 1000 bytes"), "{error}");
    assert!(found.next().is_none());

    let stream = Endless { text: b"[1, ", position: 0, left: usize::MAX };
    let error = Documents::new(stream).with_largest_document(1 << 20).next();
    assert!(error.unwrap().is_err());
}

#[test]
fn long_lines_are_taken_in_pieces() {
    let long = "x".repeat(200_000);
    let stream = format!("# {long}\n---\na: {long}\n---\n{{\"b\": \"{long}\"}}{{}}\n");
    let all = documents(stream.as_bytes());
    let texts: String = all.into_iter().map(|document| document.unwrap().text).collect();
    assert_eq!(texts, stream);
    let json = format!("{{\"b\": \"{long}\"}}{{\"b\": \"{long}\"}}");
    assert_eq!(documents(json.as_bytes()).len(), 2);
}

#[test]
fn a_reader_that_fails_is_reported() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("disk on fire"))
        }
    }
    let chain = b"a: 1\n---\nb: 2\n".as_slice().chain(Broken);
    let mut found = Documents::new(BufReader::new(chain));
    assert_eq!(found.next().unwrap().unwrap().text, "a: 1\n");
    let error = found.next().unwrap().unwrap_err();
    assert_eq!((error.document, error.line), (2, 4));
    assert_eq!(error.message, "reading failed: disk on fire");
}

proptest! {
    #[test]
    fn nothing_is_lost(stream in "[^\0]{0,200}") {
        prop_assert_eq!(texts(&stream).concat(), stream);
    }

    #[test]
    fn nothing_is_lost_between_markers(
        lines in prop::collection::vec(
            prop::sample::select(vec![
                "---", "--- ", "--- # c", "...", "%YAML 1.2", "", "# c", "a: 1", "  b: 2", "{}", "[1]",
                "{\"a\": \"---\"", "}", "{a: b}", "\u{feff}", "\u{feff}---", "{} # c", "{}{}", "\"", "\\",
            ]),
            0..30,
        ),
        line_break in prop::sample::select(vec!["\n", "\r\n", "\r"]),
    ) {
        let stream = lines.join(line_break);
        let all: Vec<_> = documents(stream.as_bytes()).into_iter().map(Result::unwrap).collect();
        let mut line = 1;
        for (index, document) in all.iter().enumerate() {
            prop_assert_eq!(document.number, index + 1);
            prop_assert_eq!(document.first_line, line);
            line += document.text.matches('\n').count();
            // Any document has a value or an error, without a panic.
            let _ = document.value();
        }
        let texts: String = all.into_iter().map(|document| document.text).collect();
        prop_assert_eq!(texts, stream);
    }

    #[test]
    fn any_bytes_are_read_or_refused(stream in prop::collection::vec(any::<u8>(), 0..200)) {
        for document in documents(&stream).into_iter().flatten() {
            let _ = document.value();
        }
    }
}
