//! The figures of the tests: as JSON and Markdown in `target/e2e/figures` and, with
//! `UPDATE_GENERATED=1`, between the marks in the documents.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

/// The table of one test.
pub(crate) struct Figures {
    name: String,
    columns: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Figures {
    /// `name` is the name of the file, and of the marked part of the document.
    pub(crate) fn new(name: &str, columns: &[&'static str]) -> Self {
        Self { name: name.to_owned(), columns: columns.to_vec(), rows: Vec::new() }
    }

    pub(crate) fn add(&mut self, row: &[String]) {
        assert_eq!(row.len(), self.columns.len());
        println!("{}: {}", self.name, row.join(" · "));
        self.rows.push(row.to_vec());
    }

    /// Adds a row of two columns.
    pub(crate) fn note(&mut self, what: &str, figure: impl ToString) {
        self.add(&[what.to_owned(), figure.to_string()]);
    }

    fn markdown(&self) -> String {
        let mut text =
            format!("| {} |\n|{}\n", self.columns.join(" | "), "---|".repeat(self.columns.len()));
        for row in &self.rows {
            writeln!(text, "| {} |", row.join(" | ")).unwrap();
        }
        text
    }

    pub(crate) fn save(&self) {
        let folder = folder();
        fs::create_dir_all(&folder).unwrap();
        let value = json!({"columns": self.columns, "rows": self.rows});
        fs::write(folder.join(format!("{}.json", self.name)), format!("{value:#}\n")).unwrap();
        fs::write(folder.join(format!("{}.md", self.name)), self.markdown()).unwrap();
        if std::env::var_os("UPDATE_GENERATED").is_some() {
            replace_part(&self.name, &self.markdown());
        }
    }
}

/// Returns the folder for results, next to the tested program.
pub(crate) fn folder() -> PathBuf {
    let target = Path::new(env!("CARGO_BIN_EXE_prestop")).ancestors().nth(2).unwrap();
    target.join("e2e/figures")
}

/// Saves raw results, for a closer look.
pub(crate) fn save_raw(name: &str, value: &Value) {
    fs::create_dir_all(folder()).unwrap();
    fs::write(folder().join(format!("{name}.raw.json")), format!("{value:#}\n")).unwrap();
}

/// The documents that contain tables of these tests.
const DOCUMENTS: [&str; 4] =
    ["docs/real-cluster.md", "docs/drain.md", "docs/own-hooks.md", "docs/reliability.md"];

fn replace_part(name: &str, part: &str) {
    let (begin, end) = (format!("<!-- begin {name} -->\n"), format!("<!-- end {name} -->"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (path, text) = DOCUMENTS
        .iter()
        .map(|document| root.join(document))
        .map(|path| (path.clone(), fs::read_to_string(path).unwrap()))
        .find(|(_, text)| text.contains(&begin))
        .unwrap_or_else(|| panic!("no {begin} in the documents"));
    let start = text.find(&begin).unwrap() + begin.len();
    let stop = text.find(&end).unwrap_or_else(|| panic!("no {end} in the document"));
    fs::write(&path, format!("{}\n{part}\n{}", &text[..start], &text[stop..])).unwrap();
}

/// Formats a duration as `12.3 s`.
pub(crate) fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
