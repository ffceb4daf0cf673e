//! Reports of hooks: their lines in the termination message of a container.

use serde::{Deserialize, Serialize};

/// The report of a measuring script in the termination message. All times are in whole seconds, as
/// the script counts them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HookReport {
    /// Duration of the delay.
    pub delay: Option<u64>,
    /// Time from the start of the delay to the last moment with more new connections than allowed;
    /// `None` if there was none.
    pub last: Option<u64>,
    /// Number of new connections during the delay.
    pub new: Option<u64>,
    /// The exit status of the quit, or of the author's command.
    pub quit: Option<i32>,
    /// Number of connections at the end of the hold.
    pub left: Option<u64>,
    /// Duration of the wait after the delay.
    pub waited: Option<u64>,
    /// The lines of the report.
    #[serde(default)]
    pub lines: Vec<String>,
}

/// A line of a hook's report.
#[derive(Deserialize)]
struct Line {
    prestop: HookReport,
}

impl HookReport {
    /// Parses the report of a hook from a termination message; `None` if there is none. With a quit
    /// there are two lines, and the application may have written others.
    #[must_use]
    pub fn of(message: &str) -> Option<Self> {
        let mut whole = Self::default();
        for line in message.lines() {
            let Ok(Line { prestop: Self { delay, last, new, quit, left, waited, lines: _ } }) =
                serde_json::from_str(line)
            else {
                continue;
            };
            whole.delay = delay.or(whole.delay);
            whole.last = last.or(whole.last);
            whole.new = new.or(whole.new);
            whole.quit = quit.or(whole.quit);
            whole.left = left.or(whole.left);
            whole.waited = waited.or(whole.waited);
            whole.lines.push(line.to_owned());
        }
        (!whole.lines.is_empty()).then_some(whole)
    }

    /// Returns the duration of the hook in seconds, if the report is complete.
    #[must_use]
    pub fn took(&self) -> Option<u64> {
        Some(self.delay?.saturating_add(self.waited?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_lines_of_a_quit_are_one_report() {
        let first = r#"{"prestop":{"delay":7,"last":null,"new":3}}"#;
        let second = r#"{"prestop":{"quit":0,"left":2,"waited":9}}"#;
        let message = format!("out of memory\n{{\"level\":1}}\n{first}\n{second}\n");
        let report = HookReport::of(&message).unwrap();
        assert_eq!(report.took(), Some(16));
        assert_eq!((report.delay, report.last, report.new), (Some(7), None, Some(3)));
        assert_eq!((report.quit, report.left, report.waited), (Some(0), Some(2), Some(9)));
        assert_eq!(report.lines, [first, second]);
    }

    #[test]
    fn messages_of_applications_are_no_reports() {
        for message in ["", "fatal: no licence", "{}", r#"{"prestop":"stopped"}"#] {
            assert_eq!(HookReport::of(message), None, "{message}");
        }
    }
}
