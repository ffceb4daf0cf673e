//! Findings as workflow commands, which GitHub shows beside the lines of a pull request.
//! <https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands>

use std::io::{self, Write};

use prestop_core::audit::Severity;

use super::report::{Located, Report};

/// Writes a command per finding that counts, and the summary as a plain line.
pub(super) fn write(report: &Report, out: &mut impl Write) -> io::Result<()> {
    for (workload, open) in report.with_open() {
        let file = workload
            .place
            .as_ref()
            .map(|place| property(place.file.strip_prefix("./").unwrap_or(&place.file)));
        for located in open {
            let Located { finding, at, .. } = located;
            let command = match finding.severity() {
                Severity::Error => "error",
                Severity::Warning => "warning",
                Severity::Info => "notice",
            };
            let title = format!("{} ({})", finding.rule.text().id, finding.certainty);
            let text = format!("{}: {}\n{}", workload.title(), located.message(), located.advice());
            // An object of a cluster has no line: the command is shown with the run.
            let place = file
                .as_ref()
                .zip(*at)
                .map(|(file, at)| format!("file={file},line={},col={},", at.line, at.column));
            let place = place.unwrap_or_default();
            writeln!(out, "::{command} {place}title={}::{}", property(&title), data(&text))?;
        }
    }
    for gone in &report.gone {
        writeln!(out, "gone since the baseline: {}", gone.title())?;
    }
    writeln!(out, "{}", report.summary().sentence())
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::{data, property};

    #[test]
    fn nothing_ends_a_command_early() {
        assert_eq!(data("50%: a, b\r\n::error::x"), "50%25: a, b%0D%0A::error::x");
        assert_eq!(property("a,b:c\n%.yaml"), "a%2Cb%3Ac%0A%25.yaml");
    }
}
