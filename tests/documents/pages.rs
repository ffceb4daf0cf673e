//! Every page: its links, its commands, its place in the index. No test needs a network.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use prestop_test_support::documents::{Page, page, pages};

use super::{part_is_current, root};

/// Returns the anchor of a heading, as GitHub and mdBook create it.
fn anchor(heading: &str) -> String {
    let mut text = String::new();
    let mut rest = heading;
    // Only the text of a link is used.
    while let Some((before, link)) = rest.split_once('[') {
        let (shown, behind) = link.split_once("](").unwrap_or((link, ""));
        text.push_str(before);
        text.push_str(shown);
        rest = behind.split_once(')').map_or("", |(_, behind)| behind);
    }
    text.push_str(rest);
    let kept = |letter: &char| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_');
    text.trim()
        .to_lowercase()
        .chars()
        .filter(kept)
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

fn anchors(page: &Page) -> BTreeSet<String> {
    let mut seen = BTreeMap::new();
    let headings = page.prose().into_iter().filter_map(|(_, line)| {
        let text = line.trim_start_matches('#');
        (text.len() < line.len() && text.starts_with(' ')).then_some(text)
    });
    headings
        .map(|heading| {
            let name = anchor(heading);
            let times: &mut usize = seen.entry(name.clone()).or_default();
            *times += 1;
            if *times == 1 { name } else { format!("{name}-{}", *times - 1) }
        })
        .collect()
}

/// Returns the link targets outside of code.
fn links(page: &Page) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    for (number, line) in page.prose() {
        for rest in line.split("](").skip(1) {
            links.push((number, rest.split(')').next().unwrap_or_default().to_owned()));
        }
    }
    links
}

#[test]
fn links_and_anchors_lead_somewhere() {
    let mut faults = Vec::new();
    let mut seen = 0;
    let pages = pages();
    for page in &pages {
        for (number, link) in links(page) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            seen += 1;
            let (file, fragment) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() {
                page.path.clone()
            } else {
                page.path.parent().unwrap().join(file)
            };
            if !target.exists() {
                faults.push(format!("{}:{number}: {link}: no such file", page.name));
            } else if !fragment.is_empty() && !has_anchor(&target, fragment) {
                faults.push(format!("{}:{number}: {link}: no such heading", page.name));
            }
        }
    }
    assert!(seen > 200, "only {seen} links were found");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn has_anchor(target: &Path, fragment: &str) -> bool {
    anchors(&page(&target.canonicalize().unwrap())).contains(fragment)
}

/// The marks of a block of commands. `.ci/documents` runs `run`, `tests/e2e/documents.rs` runs
/// `cluster`; a number is the exit status. `elsewhere`: another step of CI runs it, or it needs
/// something that CI does not have.
const MARKS: [&str; 3] = ["run", "cluster", "elsewhere"];

/// Languages that are shown and not run.
const SHOWN: [&str; 9] =
    ["console", "diff", "json", "mermaid", "python", "rust", "text", "toml", "yaml"];

fn fault_of_a_mark(mark: &str) -> Option<String> {
    let words: Vec<_> = mark.split(' ').collect();
    match words.as_slice() {
        ["sh", how] if MARKS.contains(how) => None,
        ["sh", "run" | "cluster", status] if status.parse::<u8>().is_ok() => None,
        [shown] if SHOWN.contains(shown) => None,
        _ => Some(format!(
            "`{mark}` says neither how it is run (`sh run`, `sh cluster`, `sh elsewhere`) nor what it shows ({})",
            SHOWN.join(", ")
        )),
    }
}

#[test]
fn every_block_of_commands_is_run_or_marked() {
    let mut faults = Vec::new();
    let mut run = 0;
    for page in pages() {
        for block in page.blocks() {
            run += usize::from(block.mark.starts_with("sh run"));
            let fault = fault_of_a_mark(&block.mark);
            faults.extend(fault.map(|fault| format!("{}:{}: {fault}", page.name, block.line)));
        }
        faults.extend(
            indented(&page).map(|line| {
                format!("{}:{line}: an indented block has no mark: fence it", page.name)
            }),
        );
    }
    assert!(run >= 12, "only {run} blocks are run");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Returns the lines that Markdown shows as code because of four spaces.
fn indented(page: &Page) -> impl Iterator<Item = usize> {
    let mut is_in_list = false;
    let mut was_empty = true;
    let mut found = Vec::new();
    for (number, line) in page.prose() {
        let text = line.trim_start();
        let is_item = text.starts_with("- ")
            || text.split_once(". ").is_some_and(|(digits, _)| digits.parse::<u8>().is_ok());
        if !text.is_empty() && (is_item || !line.starts_with(' ')) {
            is_in_list = is_item;
        }
        if was_empty && !is_in_list && line.starts_with("    ") && !text.is_empty() {
            found.push(number);
        }
        was_empty = text.is_empty();
    }
    found.into_iter()
}

#[test]
fn a_block_without_a_mark_is_noticed() {
    let found = |text: &str| {
        let page = Page { name: String::new(), path: root("x.md"), text: text.to_owned() };
        let faults = page.blocks().iter().filter_map(|block| fault_of_a_mark(&block.mark)).count();
        (faults, indented(&page).count())
    };
    assert_eq!(found("```sh\nls\n```\n"), (1, 0));
    assert_eq!(found("```\nls\n```\n"), (1, 0));
    assert_eq!(found("```sh later\nls\n```\n"), (1, 0));
    assert_eq!(found("```bash run\nls\n```\n"), (1, 0));
    assert_eq!(found("Text:\n\n    ls\n\nText\n"), (0, 1));
    assert_eq!(
        found(
            "```sh run\nls\n```\n\n1. One\n\n   ```sh cluster 1\n   ls\n   ```\n\n    more of it\n"
        ),
        (0, 0)
    );
}

/// The index is also the order of the site.
#[test]
fn every_page_is_in_the_index_once() {
    let index = page(&root("docs/README.md"));
    let listed: Vec<_> = links(&index)
        .into_iter()
        .filter(|(_, link)| Path::new(link).extension().is_some_and(|kind| kind == "md"))
        .map(|(_, link)| root("docs").join(link).canonicalize().unwrap())
        .collect();
    for page in pages() {
        let is_own = page.name.starts_with("docs/")
            && !page.name.starts_with("docs/decisions/")
            && page.name != "docs/README.md";
        let times = listed.iter().filter(|path| **path == page.path).count();
        assert!(
            times == 1 || (!is_own && times == 0),
            "{}: {times} times in docs/README.md",
            page.name
        );
    }
}

#[test]
fn the_readme_is_short() {
    let lines = fs::read_to_string(root("README.md")).unwrap().lines().count();
    assert!(lines <= 150, "README.md has {lines} lines; move something into docs");
}

/// Returns the cells of a row in a measured table, by the part of the page and the first cell or
/// cells.
fn measured(file: &str, part: &str, first: &[&str]) -> Vec<String> {
    let text = fs::read_to_string(root(file)).unwrap();
    let text = match text.split_once(&format!("<!-- begin {part} -->")) {
        Some((_, text)) => text.split("<!-- end").next().unwrap().to_owned(),
        None => text,
    };
    let rows = text.lines().map(|line| {
        line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>()
    });
    rows.into_iter()
        .find(|cells| first.iter().zip(cells).all(|(wanted, cell)| wanted == cell))
        .unwrap_or_else(|| panic!("{file} has no row {first:?}"))
}

/// Formats `22059` as `22,059`.
fn grouped(number: &str) -> String {
    let digits: Vec<char> = number.chars().filter(char::is_ascii_digit).collect();
    let mut text = String::new();
    for (place, digit) in digits.iter().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(*digit);
    }
    text
}

/// The figures in the README are those of the measured pages.
#[test]
fn the_figures_of_the_readme_are_current() {
    let mut rows = Vec::new();
    let mut row = |at: &str, hook: &str, requests: &str, dropped: &str, how: &str| {
        let (requests, dropped) = (grouped(requests), grouped(dropped));
        let dropped = if dropped == "0" { "**0**".to_owned() } else { dropped };
        rows.push(format!("| {at} | {hook} | {requests} | {dropped} | {how} |\n"));
    };
    let cluster = "`tests/e2e/run traffic::`";
    for (first, hook) in [
        ("no hook", "none"),
        ("`nginx -s quit` by hand", "`nginx -s quit`"),
        ("**prestop**", "**prestop**: delay 10 s, quit, wait"),
    ] {
        let cells = measured("docs/real-cluster.md", "traffic-term", &[first]);
        row("[a Service](docs/real-cluster.md)", hook, &cells[1], &cells[2], cluster);
    }
    let late = "[a load balancer that is 20 s late](docs/drain.md#measured)";
    // The cluster has no row without a hook here; the rehearsal has one.
    let cells = measured("docs/proof.md", "-", &["nginx, load balancer 20 s late"]);
    let (dropped, requests) = cells[4].split_once(" of ").unwrap();
    row("[the same, rehearsed](docs/proof.md)", "none", requests, dropped, "`just proof`");
    for (delay, hook) in [
        ("`10s`", "**prestop**, the default: `10s`"),
        ("`10s-2m`", "**prestop**, a range: `10s-2m`"),
    ] {
        let cells = measured("docs/drain.md", "late-20", &["nginx:1.15 (TERM)", delay]);
        row(late, hook, &cells[2], &cells[3], "`tests/e2e/run late::`");
    }
    rows.swap(3, 4);
    rows.swap(4, 5);
    let table = format!(
        "\n| requests come through | hook | requests | dropped | measured by |\n|---|---|---|---|---|\n{}\n",
        rows.concat()
    );
    part_is_current("README.md", "figures", &table);
}
