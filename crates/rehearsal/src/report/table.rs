//! The table: one column per run.

use std::fmt::Write;
use std::time::Duration;

use super::{Played, time};
use crate::recording::{Client, Phase};
use crate::tally::Count;

/// Minimum width of a column, in characters.
const COLUMN: usize = 14;

struct Table<'a> {
    runs: &'a [Played],
    rows: Vec<(String, Vec<String>)>,
}

/// Returns the table of these runs.
pub(super) fn of(runs: &[Played]) -> String {
    let mut table = Table { runs, rows: Vec::new() };
    table.row("", |run| run.variant().words().to_owned());
    table.row("requests", |run| grouped(run.tally.all.sent));
    table.row("  answered", |run| grouped(run.tally.all.ok));
    table.row("  dropped", |run| grouped(run.tally.all.dropped));
    table.causes();
    table.clients();
    table.phases();
    table.row("latency, median", |run| time(run.tally.latency.median));
    table.row("latency, 99th percentile", |run| time(run.tally.latency.p99));
    table.row("slowest", |run| time(run.tally.latency.slowest));
    table.row("rollout, scale-down, drain took", |run| {
        time(Duration::from_micros(run.recording.rollout_micros))
    });
    table.text()
}

impl Table<'_> {
    fn row(&mut self, name: &str, value: impl Fn(&Played) -> String) {
        self.rows.push((name.to_owned(), self.runs.iter().map(value).collect()));
    }

    fn heading(&mut self, name: &str) {
        self.rows.push((name.to_owned(), Vec::new()));
    }

    fn causes(&mut self) {
        self.heading("dropped, by cause");
        let causes = self.runs.first().map(|run| run.tally.endings).into_iter().flatten();
        for (ending, _) in causes {
            self.row(&format!("  {}", ending.words()), |run| {
                let found = run.tally.endings.iter().find(|(other, _)| *other == ending);
                grouped(found.map_or(0, |(_, count)| *count))
            });
        }
    }

    fn clients(&mut self) {
        self.heading("dropped, by client");
        for client in Client::ALL {
            let count = |run: &Played| {
                let found = run.tally.clients.iter().find(|(other, _)| *other == client);
                found.map_or_else(Count::default, |(_, count)| *count)
            };
            if self.runs.iter().all(|run| count(run).sent == 0) {
                continue;
            }
            self.row(&format!("  {}", client.words()), |run| grouped(count(run).dropped));
            if client == Client::KeptAlive {
                self.row("    without retries", |run| grouped(count(run).dropped_without_retry));
            }
        }
    }

    fn phases(&mut self) {
        self.heading("dropped, by phase");
        for phase in Phase::PLAYED {
            self.row(&format!("  {}", phase.words()), |run| {
                let found = run.tally.phases.iter().find(|(other, _)| *other == phase);
                grouped(found.map_or(0, |(_, count)| count.dropped))
            });
        }
        let others = |run: &Played| {
            let others =
                run.tally.phases.iter().filter(|(phase, _)| !Phase::PLAYED.contains(phase));
            others.map(|(_, count)| count.dropped).sum::<u64>()
        };
        if self.runs.iter().any(|run| others(run) > 0) {
            self.row("  before and after", |run| grouped(others(run)));
        }
    }

    fn text(&self) -> String {
        let width = self.rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        let mut text = String::new();
        for (name, values) in &self.rows {
            let mut line = format!("{name:width$}");
            for value in values {
                let _ = write!(line, "{value:>COLUMN$}");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Prints `12345` as `12,345`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }
}
