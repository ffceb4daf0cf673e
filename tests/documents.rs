//! Documents that are generated from code, and their claims.
//! `UPDATE_GENERATED=1 cargo test documents` writes the generated parts again.

mod pages;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use prestop_core::admission_policy::Difference;
use prestop_core::audit::{Rule, RuleText};
use prestop_core::engine::offline::NoteCode;
use prestop_core::engine::reason::{
    AsideReason, ContainerReason, Explanation, ProblemCode, SkipReason, UndoReason,
};
use prestop_core::engine::settings::{
    DOMAIN, IGNORE_ANNOTATION, INJECT_LABEL, STATUS_ANNOTATION, Setting,
};
use prestop_core::fronts::{FrontTable, RecognisedBy};

fn root(file: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

/// Compares the part of a file between two comment lines with the expected text.
fn part_is_current(file: &str, name: &str, expected: &str) {
    let path = root(file);
    let text = fs::read_to_string(&path).unwrap();
    let (begin, end) = (format!("<!-- begin {name} -->\n"), format!("<!-- end {name} -->"));
    let start = text.find(&begin).unwrap_or_else(|| panic!("{file} has no {begin}")) + begin.len();
    let stop = text.find(&end).unwrap_or_else(|| panic!("{file} has no {end}"));
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        fs::write(&path, format!("{}{expected}{}", &text[..start], &text[stop..])).unwrap();
    } else {
        assert_eq!(
            &text[start..stop],
            expected,
            "{file}: run UPDATE_GENERATED=1 cargo test documents"
        );
    }
}

fn explanations() -> [(&'static str, Vec<Explanation>); 6] {
    [
        ("Why a pod is skipped", SkipReason::ALL.map(SkipReason::explanation).to_vec()),
        (
            "Why a container is skipped",
            ContainerReason::ALL.map(ContainerReason::explanation).to_vec(),
        ),
        (
            "Why inject skips an object of a manifest",
            AsideReason::ALL.map(AsideReason::explanation).to_vec(),
        ),
        ("Why uninject skips a workload", UndoReason::ALL.map(UndoReason::explanation).to_vec()),
        (
            "Problems: settings that could not be applied",
            ProblemCode::ALL.map(ProblemCode::explanation).to_vec(),
        ),
        ("Notes of reports", NoteCode::ALL.map(NoteCode::explanation).to_vec()),
    ]
}

#[test]
fn the_reference_of_reasons_is_current() {
    let mut text = String::new();
    for (title, rows) in explanations() {
        writeln!(text, "\n## {title}\n\n| code | what it means | what to do |\n|---|---|---|")
            .unwrap();
        for Explanation { code, sentence, advice } in rows {
            writeln!(text, "| `{code}` | {sentence} | {advice} |").unwrap();
        }
    }
    part_is_current("docs/reasons.md", "reasons", &text);
}

#[test]
fn the_reference_of_what_policies_do_not_do_is_current() {
    let mut text = String::from("\n| code | what it means |\n|---|---|\n");
    for difference in Difference::ALL {
        writeln!(text, "| `{}` | {} |", difference.code(), difference.sentence()).unwrap();
    }
    text.push('\n');
    part_is_current("docs/policy.md", "differences", &text);
}

#[test]
#[cfg(all(feature = "watch", unix))]
fn the_reference_of_verdicts_is_current() {
    let mut text =
        String::from("\n| verdict | | what happened | what to do |\n|---|---|---|---|\n");
    for verdict in prestop_watch::verdict::Verdict::ALL {
        let prestop_watch::verdict::Text { code, weight, sentence, advice } = verdict.text();
        writeln!(text, "| `{code}` | {} | {sentence} | {advice} |", weight.code()).unwrap();
    }
    text.push('\n');
    part_is_current("docs/watch.md", "verdicts", &text);
}

#[test]
fn the_reference_of_fronts_is_current() {
    let mut text = String::new();
    let mut last = None;
    for kind in FrontTable::built_in().kinds() {
        if last.replace(kind.object) != Some(kind.object) {
            let title = match kind.object {
                RecognisedBy::Pod => "The pod itself",
                RecognisedBy::Service => "Services",
                RecognisedBy::Ingress => "Ingresses",
                RecognisedBy::Gateway => "Gateways, by the controller of their GatewayClass",
                RecognisedBy::Route => "Routes of vendors",
                RecognisedBy::TargetGroupBinding => "TargetGroupBindings",
            };
            writeln!(
                text,
                "\n## {title}\n\n| front | delay | recognised by | why |\n|---|---|---|---|"
            )
            .unwrap();
        }
        let when: Vec<_> = kind.when.iter().map(|when| format!("`{when}`")).collect();
        let when = format!("{}{}", if kind.adds { "also: " } else { "" }, when.join("; "));
        let (name, title, delay) = (&kind.name, &kind.title, kind.withdrawal);
        let (reason, link) = (&kind.reason, &kind.link);
        writeln!(text, "| `{name}`: {title} | {delay} | {when} | {reason} ([source]({link})) |")
            .unwrap();
    }
    part_is_current("docs/fronts.md", "fronts", &text);
}

#[test]
fn the_reference_of_rules_is_current() {
    let mut text = String::from(
        "\n| rule | severity | [at apply](operations.md#warnings-at-kubectl-apply) | why requests are dropped | what to do |\n|---|---|---|---|---|\n",
    );
    for rule in Rule::ALL {
        let RuleText { id, severity, sentence, advice, source, .. } = rule.text();
        let at_apply = if rule.warns_at_apply() { "yes" } else { "" };
        writeln!(
            text,
            "| `{id}` | {severity} | {at_apply} | {sentence} ([source]({source})) | {advice} |"
        )
        .unwrap();
    }
    part_is_current("docs/audit.md", "rules", &text);
}

/// The table of annotations and labels has each key once.
#[test]
fn every_annotation_has_its_row() {
    let page = fs::read_to_string(root("docs/annotations.md")).unwrap();
    let table = page.lines().skip_while(|line| !line.starts_with("| key |")).skip(2);
    let rows = table.take_while(|line| line.starts_with('|'));
    let mut found: Vec<_> = rows.map(|row| row.split('`').nth(1).unwrap().to_owned()).collect();
    let settings = Setting::ALL.map(|setting| format!("{DOMAIN}/{}", setting.name()));
    let others = [INJECT_LABEL, STATUS_ANNOTATION, IGNORE_ANNOTATION].map(str::to_owned);
    let mut expected = [&settings[..], &others].concat();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

/// The page of typical changes uses the actual names of files.
#[test]
fn every_file_of_where_is_there() {
    let page = fs::read_to_string(root("docs/where.md")).unwrap();
    let quoted = page.split('`').skip(1).step_by(2);
    let files: Vec<&str> =
        quoted.filter(|text| text.contains('/') && !text.contains([' ', ':'])).collect();
    assert!(files.len() >= 40, "only {} files were found", files.len());
    for file in files {
        // `*` stands for any name.
        let file = file.split("/*").next().unwrap_or(file);
        assert!(root(file).exists(), "docs/where.md names {file}");
    }
}
