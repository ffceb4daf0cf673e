//! Descriptions of the rules.

use std::io::{self, Write};

use prestop_core::audit::{Rule, RuleText};
use prestop_core::nearest::nearest;

use super::super::{Exit, tell};

/// Writes one line per rule.
pub(super) fn list(out: &mut impl Write) -> io::Result<()> {
    for RuleText { id, severity, sentence, .. } in Rule::ALL.iter().map(|rule| rule.text()) {
        writeln!(out, "{severity:8} {id:24} {sentence}")?;
    }
    Ok(())
}

/// Explains rules; an unknown rule is wrong usage.
pub(super) fn explain(ids: &[String], out: &mut impl Write) -> anyhow::Result<Exit> {
    let mut exit = Exit::Done;
    for id in ids {
        let meant = id.to_ascii_lowercase();
        let Some(rule) = Rule::by_id(&meant) else {
            tell(&format!("error: there is no rule {id}{}", suggestion(&meant)));
            exit = Exit::Usage;
            continue;
        };
        let RuleText { id, severity, sentence, advice, source, .. } = rule.text();
        writeln!(out, "{id} ({severity})\n  {sentence}\n  -> {advice}\n  {source}")?;
        if let Some(measured) = rule.measured() {
            writeln!(out, "  measured: {measured}")?;
        }
    }
    out.flush()?;
    Ok(exit)
}

fn suggestion(id: &str) -> String {
    nearest(id, Rule::ALL.iter().map(|rule| rule.text().id)).map_or_else(
        || "; prestop audit --rules lists them".to_owned(),
        |near| format!("; did you mean {near}?"),
    )
}
