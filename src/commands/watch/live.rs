//! The lines and, on a terminal, a table of the pods that are ending now, below them.

use std::io::{self, IsTerminal, Write};

use jiff::Timestamp;
use prestop_watch::pending::Pending;
use prestop_watch::seconds_between;
use prestop_watch::state::Watch;
use prestop_watch::summary::Summary;
use prestop_watch::words::{count, seconds};

use super::requests::Requests;
use crate::cli::WatchForm;

/// Maximum number of rows in the table; further pods are only counted.
const MOST_ROWS: usize = 10;
/// Escape sequences: to the beginning of the previous line, and clear everything from here on.
const UP: &str = "\x1b[F";
const CLEAR: &str = "\r\x1b[J";

/// The rows that are on the screen.
pub(super) struct Live {
    is_terminal: bool,
    drawn: usize,
}

/// Size of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Size {
    columns: usize,
    rows: usize,
}

impl Live {
    pub(super) fn new(form: WatchForm) -> Self {
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let is_terminal = form == WatchForm::Text && io::stdout().is_terminal() && !is_dumb;
        Self { is_terminal, drawn: 0 }
    }

    /// Prints a line that stays above the table.
    pub(super) fn line(&mut self, line: &str, out: &mut impl Write) -> io::Result<()> {
        self.clear(out)?;
        writeln!(out, "{line}")?;
        out.flush()
    }

    /// Removes the table.
    pub(super) fn clear(&mut self, out: &mut impl Write) -> io::Result<()> {
        if self.drawn > 0 {
            write!(out, "{}{CLEAR}", UP.repeat(self.drawn))?;
            self.drawn = 0;
        }
        Ok(())
    }

    /// Redraws the table.
    pub(super) fn draw(
        &mut self,
        state: &Watch,
        summary: &Summary,
        requests: Option<&Requests>,
        at: Timestamp,
        out: &mut impl Write,
    ) -> io::Result<()> {
        if !self.is_terminal {
            return Ok(());
        }
        self.frame(&rows(state, summary, requests, at), Size::of_terminal(), out)
    }

    /// Draws as many of these rows as fit on the terminal.
    fn frame(&mut self, rows: &[String], size: Size, out: &mut impl Write) -> io::Result<()> {
        self.clear(out)?;
        // The cursor is below the last row. Rows that have scrolled away could not be cleared.
        let shown = rows.len().min(size.rows.saturating_sub(1));
        for row in rows.iter().take(shown) {
            // A longer row would take two lines, and the table would move up.
            let row: String = row.chars().take(size.columns.saturating_sub(1)).collect();
            writeln!(out, "{row}")?;
        }
        self.drawn = shown;
        out.flush()
    }
}

impl Size {
    fn of_terminal() -> Self {
        let size = rustix::termios::tcgetwinsize(io::stdout()).ok();
        let known = |length: u16, usual: usize| if length == 0 { usual } else { length.into() };
        Self {
            columns: known(size.map_or(0, |size| size.ws_col), 80),
            rows: known(size.map_or(0, |size| size.ws_row), 24),
        }
    }
}

fn rows(
    state: &Watch,
    summary: &Summary,
    requests: Option<&Requests>,
    at: Timestamp,
) -> Vec<String> {
    let ending = state.ending();
    let number = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let counts = format!(
        "{} running, {} ending; {} bad, {} unknown so far",
        count(number(state.running()), "pod"),
        ending.len(),
        summary.bad(),
        summary.unknown()
    );
    let sent = requests.map(Requests::counts);
    let sent = sent.map(|(sent, lost)| format!("; {}, {lost} lost", count(sent, "request")));
    let mut rows = vec![if state.is_synced() {
        counts + &sent.unwrap_or_default()
    } else {
        "reading what is there".to_owned()
    }];
    if let Some(since) = state.silent_since() {
        rows.push(format!(
            "no connection to the API server for {}",
            seconds(seconds_between(since, at))
        ));
    }
    rows.extend(ending.iter().take(MOST_ROWS).map(|pending| row(pending, at)));
    if ending.len() > MOST_ROWS {
        rows.push(format!("  and {} more", ending.len() - MOST_ROWS));
    }
    rows
}

fn row(pending: &Pending, at: Timestamp) -> String {
    let Pending { namespace, name, deleted, grace_end, .. } = pending;
    let for_long = seconds_between(*deleted, at).max(0.0).floor();
    let left = seconds_between(at, *grace_end).ceil();
    let state = if pending.gone.is_some() {
        "gone".to_owned()
    } else if pending.has_ended() {
        "ended".to_owned()
    } else if *grace_end == Timestamp::MAX {
        "being ended by its node".to_owned()
    } else if left > 0.0 {
        format!("{left}s of its grace period left")
    } else {
        "its grace period is over".to_owned()
    };
    format!("  {namespace}/{name}: deleted {for_long}s ago, {state}")
}

#[cfg(test)]
mod tests {
    use prestop_test_support::screen::Screen;

    use super::*;

    /// Returns what remains on a terminal of this size after lines, frames with these numbers of
    /// rows, and the end.
    fn shown(size: Size, frames: &[usize]) -> (Screen, String) {
        let mut screen = Screen::new(size.columns, size.rows);
        let mut live = Live { is_terminal: true, drawn: 0 };
        let show = |screen: &mut Screen, out: Vec<u8>| {
            // The kernel converts line breaks like this.
            screen.show(&String::from_utf8(out).unwrap().replace('\n', "\r\n"));
        };
        let mut last = String::new();
        for (number, rows) in frames.iter().enumerate() {
            let mut out = Vec::new();
            live.line(&format!("line {number}"), &mut out).unwrap();
            let rows: Vec<_> =
                (0..*rows).map(|row| format!("table {row} {}", "x".repeat(100))).collect();
            live.frame(&rows, size, &mut out).unwrap();
            show(&mut screen, out);
            last = screen.lines().join("\n");
        }
        let mut out = Vec::new();
        live.clear(&mut out).unwrap();
        writeln!(out, "the end").unwrap();
        show(&mut screen, out);
        (screen, last)
    }

    #[test]
    fn lines_stay_and_the_table_is_below_them_until_the_end() {
        let (screen, last) = shown(Size { columns: 40, rows: 24 }, &[2, 5, 3]);
        let row = |row: usize| format!("table {row} {}", "x".repeat(31));
        let rows = [row(0), row(1), row(2)].join("\n");
        assert_eq!(last, format!("line 0\nline 1\nline 2\n{rows}\n"));
        assert_eq!(screen.lines(), ["line 0", "line 1", "line 2", "the end", ""]);
    }

    #[test]
    fn on_small_terminals_nothing_wraps_or_is_left() {
        for (columns, rows) in [(12, 24), (8, 24), (80, 4), (8, 2), (9, 3)] {
            let size = Size { columns, rows };
            let (screen, last) = shown(size, &[12, 13, 1, 13]);
            assert!(last.lines().all(|line| line.len() <= columns), "{size:?}: {last}");
            let expected = ["line 0", "line 1", "line 2", "line 3", "the end", ""];
            assert_eq!(screen.lines(), expected, "{size:?}");
        }
        let (screen, _) = shown(Size { columns: 1, rows: 1 }, &[12]);
        assert!(!screen.lines().concat().contains("table"), "{screen:?}");
    }
}
