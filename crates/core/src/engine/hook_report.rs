//! Reports of hooks: their lines in the termination message of a container.

use serde::{Deserialize, Serialize};

/// The report of a measuring script in the termination message. In whole seconds, as it counts them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HookReport {
    /// How long it delayed.
    pub delay: Option<u64>,
    /// When more new connections came than are allowed for, the last time; nothing for never.
    pub last: Option<u64>,
    /// New connections in the delay.
    pub new: Option<u64>,
    /// The exit status of the quit, or of the author's command.
    pub quit: Option<i32>,
    /// Connections when the hold ended.
    pub left: Option<u64>,
    /// How long it stayed after the delay.
    pub waited: Option<u64>,
    /// The lines themselves.
    #[serde(default)]
    pub lines: Vec<String>,
}

/// A line of a hook.
#[derive(Deserialize)]
struct Line {
    prestop: HookReport,
}

impl HookReport {
    /// What the hook reported, if it did. With a quit there are two lines; the application may have written
    /// others.
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

    /// How long the hook took in seconds, if it lived to say so.
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
