//! The lines, and on a terminal below them a table of the pods that are ending now.

use std::io::{self, IsTerminal, Write};

use jiff::Timestamp;
use prestop_watch::pending::Pending;
use prestop_watch::seconds_between;
use prestop_watch::state::Watch;
use prestop_watch::summary::Summary;
use prestop_watch::words::{count, seconds};

use super::requests::Requests;
use crate::cli::WatchForm;

/// Rows of the table; more pods are counted.
const MOST_ROWS: usize = 10;
/// To the beginning of the line, so many lines up, and away with everything from there.
const UP: &str = "\x1b[F";
const CLEAR: &str = "\r\x1b[J";

/// What is on the screen.
pub(super) struct Live {
    is_terminal: bool,
    drawn: usize,
}

impl Live {
    pub(super) fn new(form: WatchForm) -> Self {
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let is_terminal = form == WatchForm::Text && io::stdout().is_terminal() && !is_dumb;
        Self { is_terminal, drawn: 0 }
    }

    /// A line that stays.
    pub(super) fn line(&mut self, line: &str, out: &mut impl Write) -> io::Result<()> {
        self.clear(out)?;
        writeln!(out, "{line}")?;
        out.flush()
    }

    /// Takes the table away.
    pub(super) fn clear(&mut self, out: &mut impl Write) -> io::Result<()> {
        if self.drawn > 0 {
            write!(out, "{}{CLEAR}", UP.repeat(self.drawn))?;
            self.drawn = 0;
        }
        Ok(())
    }

    /// Draws the table anew.
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
        self.clear(out)?;
        let rows = rows(state, summary, requests, at);
        for row in &rows {
            writeln!(out, "{}", row.chars().take(width()).collect::<String>())?;
        }
        self.drawn = rows.len();
        out.flush()
    }
}

/// A longer row would be two, and the table would climb.
fn width() -> usize {
    let columns = rustix::termios::tcgetwinsize(io::stdout()).map_or(80, |size| size.ws_col);
    usize::from(columns).max(20) - 1
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
