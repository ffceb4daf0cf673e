//! Findings as Markdown, for a comment or the summary of a pipeline.

use std::io::{self, Write};

use prestop_core::audit::RuleText;

use super::report::{Located, Report};

/// Writes the summary and a table of the findings that count.
pub(super) fn write(report: &Report, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "### prestop audit\n\n{}", escaped(&report.summary().sentence()))?;
    let mut is_first = true;
    for (workload, open) in report.with_open() {
        if is_first {
            writeln!(out, "\n| workload | place | severity | rule | why | what to do |")?;
            writeln!(out, "|---|---|---|---|---|---|")?;
            is_first = false;
        }
        let title = escaped(&workload.title());
        for located in open {
            let Located { finding, at, .. } = located;
            let RuleText { id, severity, source, .. } = finding.rule.text();
            let container = finding.container.as_ref();
            let container = container.map(|name| format!(", container {}", escaped(name)));
            writeln!(
                out,
                "| {title}{} | {} | {severity}, {} | [{id}]({source}) | {} | {} |",
                container.unwrap_or_default(),
                match (&workload.place, at) {
                    (Some(place), Some(at)) => {
                        format!("{}:{}:{}", escaped(&place.file), at.line, at.column)
                    }
                    _ => escaped(&located.field()),
                },
                finding.certainty,
                escaped(&located.message()),
                escaped(&located.advice())
            )?;
        }
    }
    if !report.gone.is_empty() {
        writeln!(out, "\nGone since the baseline:\n")?;
    }
    for gone in &report.gone {
        writeln!(out, "- {}", escaped(&gone.title()))?;
    }
    Ok(())
}

/// Escapes text so that it has no markup, links or mentions of people, and does not end a table
/// cell.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '#' | '!' => {
                out.push('\\');
                out.push(letter);
            }
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '@' => out.push_str("&#64;"),
            letter if letter.is_control() => out.push(' '),
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn text_stays_text() {
        assert_eq!(escaped("a|b\n@x <!-- `c` [d](e)"), "a\\|b &#64;x &lt;\\!-- \\`c\\` \\[d\\](e)");
    }
}
