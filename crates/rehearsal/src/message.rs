//! Termination messages: the lines of hooks in them.

use serde::Deserialize;

use super::recording::HookReport;

/// A line of a hook.
#[derive(Deserialize)]
struct Line {
    prestop: HookReport,
}

/// What the hook reported, if it did. With a quit there are two lines; the application may have written
/// others.
pub(crate) fn report(message: &str) -> Option<HookReport> {
    let mut whole = HookReport::default();
    for line in message.lines() {
        let Ok(Line { prestop: HookReport { delay, last, new, quit, left, waited, lines: _ } }) =
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_lines_of_a_quit_are_one_report() {
        let first = r#"{"prestop":{"delay":7,"last":null,"new":3}}"#;
        let second = r#"{"prestop":{"quit":0,"left":2,"waited":9}}"#;
        let message = format!("out of memory\n{{\"level\":1}}\n{first}\n{second}\n");
        let report = report(&message).unwrap();
        assert_eq!((report.delay, report.last, report.new), (Some(7), None, Some(3)));
        assert_eq!((report.quit, report.left, report.waited), (Some(0), Some(2), Some(9)));
        assert_eq!(report.lines, [first, second]);
    }

    #[test]
    fn messages_of_applications_are_no_reports() {
        for message in ["", "fatal: no licence", "{}", r#"{"prestop":"stopped"}"#] {
            assert_eq!(report(message), None, "{message}");
        }
    }
}
