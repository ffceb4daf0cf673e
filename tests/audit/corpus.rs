//! The audit of recreated workloads of public projects: `tests/audit/corpus`. The golden file shows
//! the effect of a change of a rule; `corpus.judged.yaml` lists the findings that are false.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use super::formats::{audit, is_as_in, root, text};
use super::*;

const CORPUS: &str = "tests/audit/corpus";
const JUDGED: &str = "tests/audit/golden/corpus.judged.yaml";

/// `KIND NAMESPACE/NAME`, and rules with certainties, each once.
type Found = BTreeMap<String, BTreeSet<(String, String)>>;

/// Rule, severity, count.
type Counts = BTreeMap<String, (String, usize)>;

fn report() -> Value {
    let output = audit(&["-o", "json", CORPUS]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "", "every workload is read");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn workload(item: &Value) -> String {
    let of = |field: &str| item[field].as_str().unwrap();
    format!("{} {}/{}", of("kind"), of("namespace"), of("name"))
}

fn read(report: &Value) -> (Found, Counts) {
    let mut found = Found::new();
    let mut counts = Counts::new();
    for item in report["items"].as_array().unwrap() {
        let own = found.entry(workload(item)).or_default();
        for finding in item["findings"].as_array().unwrap() {
            let of = |field: &str| finding[field].as_str().unwrap().to_owned();
            let count = counts.entry(of("rule")).or_insert((of("severity"), 0));
            if own.insert((of("rule"), of("certainty"))) {
                count.1 += 1;
            }
        }
    }
    (found, counts)
}

fn judged() -> Value {
    serde_saphyr::from_str(&fs::read_to_string(root(JUDGED)).unwrap()).unwrap()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_owned()).collect()
}

/// Returns the number of false findings for each rule; each of them must occur.
fn false_positives(found: &Found) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for entry in judged()["false"].as_array().unwrap() {
        let workload = entry["workload"].as_str().unwrap();
        let own = found.get(workload).unwrap_or_else(|| panic!("{workload} is not in the corpus"));
        assert!(entry["why"].as_str().is_some_and(|why| why.ends_with('.')), "{workload}");
        for rule in texts(&entry["rules"]) {
            assert!(
                own.iter().any(|(own, _)| *own == rule),
                "{workload} has no {rule} any more: take it out of {JUDGED}"
            );
            *counts.entry(rule).or_default() += 1;
        }
    }
    counts
}

/// Returns the links to the workloads of the corpus, from their comments.
fn links() -> Vec<String> {
    let files = fs::read_dir(root(CORPUS)).unwrap().map(|file| file.unwrap().path());
    let texts = files.map(|path| fs::read_to_string(path).unwrap());
    let of = |text: String| -> Vec<String> {
        let links = text.lines().filter_map(|line| line.strip_prefix("# after: "));
        links.map(str::to_owned).collect()
    };
    texts.flat_map(of).collect()
}

#[test]
fn the_corpus_gives_the_findings_that_were_judged() {
    let report = report();
    let (found, counts) = read(&report);
    assert!(found.len() >= 300, "{} workloads", found.len());
    let links = links();
    assert_eq!(links.len(), found.len(), "a link for each workload");
    assert!(links.iter().all(|link| link.starts_with("https://")));
    let mut golden = String::new();
    for (workload, rules) in &found {
        let rules: Vec<_> =
            rules.iter().map(|(rule, certainty)| format!("{rule} ({certainty})")).collect();
        writeln!(golden, "{}", format!("{workload}: {}", rules.join(", ")).trim_end()).unwrap();
    }
    is_as_in("tests/audit/golden/corpus.txt", &golden);
    is_as_in_document(&table(&found, &counts));
}

#[test]
fn what_the_audit_misses_is_known() {
    let (found, _) = read(&report());
    for entry in judged()["missed"].as_array().unwrap() {
        let of = |field: &str| entry[field].as_str().unwrap();
        let rule = Rule::by_id(of("rule")).expect("a rule").text().id;
        let own = &found[of("workload")];
        assert!(!own.iter().any(|(own, _)| own == rule), "{} is found now", of("workload"));
    }
}

fn table(found: &Found, counts: &Counts) -> String {
    let wrong = false_positives(found);
    let clean = found.values().filter(|rules| rules.is_empty()).count();
    let missed = judged()["missed"].as_array().unwrap().len();
    let mut table = format!(
        "{} workloads, {clean} of them without findings; {missed} findings are known to be missing.\n\n\
         | rule | severity | workloads | false |\n|---|---|---|---|\n",
        found.len()
    );
    let mut totals = (0, 0);
    for rule in Rule::ALL {
        let id = rule.text().id;
        let Some((severity, count)) = counts.get(id) else { continue };
        let wrong = wrong.get(id).copied().unwrap_or(0);
        if severity != "info" {
            totals = (totals.0 + count, totals.1 + wrong);
        }
        writeln!(table, "| `{id}` | {severity} | {count} | {wrong} |").unwrap();
    }
    writeln!(table, "| all errors and warnings | | {} | {} |", totals.0, totals.1).unwrap();
    table
}

/// Compares a part with the part of docs/audit.md between its marks.
fn is_as_in_document(part: &str) {
    let path = root("docs/audit.md");
    let document = fs::read_to_string(&path).unwrap();
    let marks = ["<!-- begin corpus -->\n", "<!-- end corpus -->"];
    let (before, rest) = document.split_once(marks[0]).expect("a mark");
    let (_, after) = rest.split_once(marks[1]).expect("a mark");
    let expected = format!("{before}{}\n{part}{}{after}", marks[0], marks[1]);
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        fs::write(&path, &expected).unwrap();
        return;
    }
    assert_eq!(document, expected, "run UPDATE_GENERATED=1 cargo test audit::corpus");
}
