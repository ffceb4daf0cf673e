//! Log lines as JSON, one object per line: `timestamp`, `level`, and the fields of the event.
//!
//! They are written by hand, directly into the line: each changed pod gets a line, and the JSON
//! layer of `tracing-subscriber` takes several times as long for it, longer than the decision
//! itself.

use std::fmt::{self, Write};
use std::time::SystemTime;

use jiff::Timestamp;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;

/// Initial capacity of a line. The line of a pod with a few containers is shorter.
const USUAL_LINE_BYTES: usize = 768;

/// Writes each event as one JSON object.
#[derive(Debug, Clone, Copy)]
pub(super) struct JsonLine;

impl<S, N> FormatEvent<S, N> for JsonLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::with_capacity(USUAL_LINE_BYTES);
        line.push_str("{\"timestamp\":\"");
        write_time(&mut line, SystemTime::now());
        line.push_str("\",\"level\":\"");
        line.push_str(event.metadata().level().as_str());
        line.push('"');
        let mut fields = Fields(line);
        event.record(&mut fields);
        fields.0.push_str("}\n");
        writer.write_str(&fields.0)
    }
}

/// The JSON object, without its closing brace.
struct Fields(String);

impl Fields {
    fn key(&mut self, field: &Field) -> &mut String {
        let Self(line) = self;
        line.push_str(",\"");
        let name = field.name();
        line.push_str(name.strip_prefix("r#").unwrap_or(name));
        line.push_str("\":");
        line
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let line = self.key(field);
        line.push('"');
        // Writing to a String never fails.
        let _ = write!(Escaped(line), "{value:?}");
        line.push('"');
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        let line = self.key(field);
        line.push('"');
        escape(line, value);
        line.push('"');
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.key(field).push_str(itoa::Buffer::new().format(value));
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.key(field).push_str(itoa::Buffer::new().format(value));
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.key(field).push_str(if value { "true" } else { "false" });
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        // Values that are not numbers in JSON are strings.
        if value.is_finite() {
            // Writing to a String never fails.
            let _ = write!(self.key(field), "{value:?}");
        } else {
            self.record_debug(field, &value);
        }
    }
}

/// Escapes text inside a JSON string.
struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        escape(self.0, text);
        Ok(())
    }
}

/// Appends text, escaped for a JSON string (RFC 8259, section 7).
fn escape(line: &mut String, text: &str) {
    let is_special = |byte: u8| matches!(byte, b'"' | b'\\' | ..b' ');
    // Does not stop at the first match, so that many bytes are checked at the same time.
    if !text.bytes().fold(false, |found, byte| found | is_special(byte)) {
        line.push_str(text);
        return;
    }
    let mut rest = text;
    while let Some(place) = rest.bytes().position(is_special) {
        let (plain, found) = rest.split_at(place);
        line.push_str(plain);
        let mut letters = found.chars();
        match letters.next() {
            Some('"') => line.push_str("\\\""),
            Some('\\') => line.push_str("\\\\"),
            Some('\n') => line.push_str("\\n"),
            Some('\r') => line.push_str("\\r"),
            Some('\t') => line.push_str("\\t"),
            Some(letter) => {
                // Writing to a String never fails.
                let _ = write!(line, "\\u{:04x}", u32::from(letter));
            }
            None => {}
        }
        rest = letters.as_str();
    }
    line.push_str(rest);
}

/// Appends a time in the format of RFC 3339, in UTC with microseconds:
/// `2026-01-31T12:00:00.000000Z`.
fn write_time(line: &mut String, time: SystemTime) {
    // A time that can't be represented (a clock in the year 10,000) becomes 1970.
    let time = Timestamp::try_from(time).unwrap_or_default();
    // Writing to a String never fails.
    let _ = write!(line, "{time:.6}");
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};
    use std::time::{Duration, UNIX_EPOCH};

    use serde_json::{Value, json};
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.000007Z"),
            (951_782_399, "2000-02-28T23:59:59.000007Z"),
            (951_782_400, "2000-02-29T00:00:00.000007Z"),
            (951_868_800, "2000-03-01T00:00:00.000007Z"),
            (1_798_761_599, "2026-12-31T23:59:59.000007Z"),
            (4_107_542_399, "2100-02-28T23:59:59.000007Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000007Z"),
            (253_402_207_199, "9999-12-30T21:59:59.000007Z"),
        ] {
            let mut line = String::new();
            write_time(&mut line, UNIX_EPOCH + Duration::new(seconds, 7999));
            assert_eq!(line, expected);
        }
    }

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_one_object_whatever_is_in_it() {
        let sink = Sink::default();
        let writer = sink.clone();
        let layer = tracing_subscriber::fmt::layer()
            .event_format(JsonLine)
            .with_writer(move || writer.clone());
        let odd = "a\"b\\c\n\r\t\u{1}\u{1b}\u{e4}\u{1f600}";
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::info!(
                text = odd, display = %odd, debug = ?odd, count = 7_u64, below = -7_i64, is = true,
                half = 0.5, nothing = None::<i64>, no_number = f64::NAN, r#type = "x", "it \"is\""
            );
        });
        let line = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        assert_eq!(line.matches('\n').count(), 1);
        let mut line: Value = serde_json::from_str(&line).unwrap();
        let timestamp = line.as_object_mut().unwrap().shift_remove("timestamp").unwrap();
        assert_eq!(timestamp.as_str().unwrap().len(), 27);
        let expected = json!({
            "level": "INFO", "message": "it \"is\"", "text": odd, "display": odd,
            "debug": format!("{odd:?}"), "count": 7, "below": -7, "is": true, "half": 0.5,
            "no_number": "NaN", "type": "x",
        });
        assert_eq!(line, expected);
    }
}
