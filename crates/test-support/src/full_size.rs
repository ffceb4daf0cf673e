//! Tests that are small by default, and run at full size with `PRESTOP_FULL_SIZE=1`: recipes of the
//! justfile set it, with `PRESTOP_TEST_PROGRAM` naming a release build. Figures of full size are
//! written to docs/reliability.md.

use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::root;

const DOCUMENT: &str = "docs/reliability.md";
const BEGIN: &str = "<!-- begin figures -->\n";
const END: &str = "<!-- end figures -->";
const HEAD: &str = "| what | command | date | commit | machine | duration | figures |\n|---|---|---|---|---|---|---|\n";

/// A row of the table in docs/reliability.md.
pub struct Row<'a> {
    /// First column, which identifies the row.
    pub what: &'a str,
    /// The command that runs the test again.
    pub command: &'a str,
    pub took: Duration,
    pub figures: String,
}

/// Returns whether a recipe requests full size.
pub fn is_full() -> bool {
    std::env::var_os("PRESTOP_FULL_SIZE").is_some_and(|value| value == "1")
}

/// Returns the first value by default, the second one at full size.
pub fn sized<T>(small: T, full: T) -> T {
    if is_full() { full } else { small }
}

/// Returns such a value in seconds; the environment variable overrides both.
pub fn sized_seconds(variable: &str, small: u64, full: u64) -> Duration {
    let seconds = match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable}={text}: whole seconds")),
        Err(_) => sized(small, full),
    };
    Duration::from_secs(seconds)
}

impl Row<'_> {
    /// Prints the row; at full size, it replaces the row with the same first column in the
    /// document.
    pub fn note(&self) {
        println!("{}: {} in {}", self.what, self.figures, human(self.took));
        if !is_full() {
            return;
        }
        let path = root().join(DOCUMENT);
        let text = fs::read_to_string(&path).unwrap();
        let row = format!(
            "| {} | `{}` | {} | {} | {} cores | {} | {} |",
            self.what,
            self.command,
            told("date", &["-u", "+%F"]),
            commit(),
            std::thread::available_parallelism().unwrap(),
            human(self.took),
            self.figures
        );
        fs::write(&path, renewed(&text, self.what, &row)).unwrap();
    }
}

/// Prints a duration as `90 s` or `25 min`.
fn human(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..600 => format!("{seconds} s"),
        seconds => format!("{} min", (seconds + 30) / 60),
    }
}

/// Returns the revision that the program of the image reports; otherwise the last commit that
/// changed shipped files, with a `+` if they have uncommitted changes.
fn commit() -> String {
    if let Ok(image) = std::env::var("PRESTOP_E2E_BINARY") {
        let version = told(&image, &["version"]);
        let revision = version.split_once('(').and_then(|(_, rest)| rest.get(..7));
        return revision.unwrap_or("unknown").to_owned();
    }
    let shipped = ["--", "src", "crates/core", "crates/watch", "charts", "Cargo.lock"];
    let changes = told("git", &[&["status", "--porcelain"], &shipped[..]].concat());
    let plus = if changes.is_empty() { "" } else { "+" };
    told("git", &[&["log", "-1", "--abbrev=7", "--format=%h"], &shipped[..]].concat()) + plus
}

fn told(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Returns the text with this row in its table, in place of the row with the same first column.
fn renewed(text: &str, what: &str, row: &str) -> String {
    let (before, rest) = text.split_once(BEGIN).unwrap_or_else(|| panic!("{DOCUMENT}: no {BEGIN}"));
    let (table, after) = rest.split_once(END).unwrap_or_else(|| panic!("{DOCUMENT}: no {END}"));
    let own = format!("| {what} |");
    let rows = table.lines().filter(|line| line.starts_with("| ")).skip(1);
    let mut rows: Vec<&str> = rows.collect();
    match rows.iter_mut().find(|line| line.starts_with(&own)) {
        Some(old) => *old = row,
        None => rows.push(row),
    }
    format!("{before}{BEGIN}\n{HEAD}{}\n\n{END}{after}", rows.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_added_once_and_then_renewed() {
        let empty = format!("# Title\n\n{BEGIN}\n{END}\n\nEnd\n");
        let first = renewed(&empty, "a", "| a | 1 |");
        let second = renewed(&first, "ab", "| ab | 1 |");
        let third = renewed(&second, "a", "| a | 2 |");
        assert_eq!(
            third,
            format!("# Title\n\n{BEGIN}\n{HEAD}| a | 2 |\n| ab | 1 |\n\n{END}\n\nEnd\n")
        );
        assert_eq!(renewed(&third, "a", "| a | 2 |"), third);
    }

    #[test]
    fn durations_are_read_easily() {
        assert_eq!(human(Duration::from_secs(90)), "90 s");
        assert_eq!(human(Duration::from_secs(1_499)), "25 min");
    }
}
