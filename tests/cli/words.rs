//! The language of printed texts: phrases that CONTRIBUTING.md replaces by plain ones must not
//! return.

use std::fs;
use std::path::Path;

use super::{run, statuses, stdout};

const AVOIDED: [&str; 13] = [
    " is told",
    " are told",
    "in doubt",
    "looked at",
    "looks at",
    "let through",
    "left alone",
    " anew",
    "whoever",
    "nobody",
    " of its own",
    "goes on",
    "any more",
];

/// Generated from the strings and comments of the program, or written for its users.
const FILES: [&str; 7] = [
    "docs/reasons.md",
    "docs/prestop.schema.json",
    "docs/audit.schema.json",
    "examples/prestop.yaml",
    "charts/prestop/README.md",
    "charts/prestop/files/alerts.yaml",
    "charts/prestop/files/dashboard.json",
];

fn texts() -> Vec<(String, String)> {
    let mut texts: Vec<_> = statuses::commands()
        .into_iter()
        .map(|command| {
            let command: Vec<_> = command.iter().map(String::as_str).collect();
            (command.join(" "), statuses::help(&command))
        })
        .collect();
    for line in [&["--help"][..], &["explain"], &["fronts"], &["audit", "--rules"], &["policy"]] {
        texts.push((line.join(" "), stdout(&run(line))));
    }
    for name in FILES {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        texts.push((name.to_owned(), fs::read_to_string(path).unwrap()));
    }
    texts
}

#[test]
fn printed_texts_use_plain_words() {
    for (name, text) in texts() {
        // Help texts and comments are wrapped.
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        for phrase in AVOIDED {
            let around = text.find(phrase).map(|at| {
                let start = at.saturating_sub(60);
                String::from_utf8_lossy(&text.as_bytes()[start..(at + 60).min(text.len())])
                    .into_owned()
            });
            assert!(around.is_none(), "{name}: {phrase:?} in {around:?}");
        }
    }
}
