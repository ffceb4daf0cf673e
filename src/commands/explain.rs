//! `prestop explain`: explains codes and their fixes.

use std::io::{self, Write};

use prestop_core::engine::offline::NoteCode;
use prestop_core::engine::reason::{
    AsideReason, ContainerReason, Explanation, ProblemCode, SkipReason, UndoReason,
};
use prestop_core::nearest::nearest;

use super::{Exit, tell};
use crate::cli::ExplainArguments;

/// The meaning of a code, as in "reason for skipping a pod", and its explanation.
type Known = (&'static str, Explanation);

/// Explains codes, or lists all of them.
pub(super) fn run(arguments: &ExplainArguments) -> anyhow::Result<Exit> {
    let known = known();
    let mut out = io::stdout().lock();
    if arguments.codes.is_empty() {
        list(&known, &mut out)?;
        return Ok(Exit::Done);
    }
    let mut exit = Exit::Done;
    for code in &arguments.codes {
        let meant = code.trim_end_matches(':').to_ascii_lowercase();
        let found: Vec<_> = known.iter().filter(|(_, it)| it.code == meant).collect();
        if found.is_empty() {
            tell(&format!("error: there is no code {code}{}", suggestion(&known, &meant)));
            exit = Exit::BadInput;
        }
        for (of, Explanation { code, sentence, advice }) in found {
            writeln!(out, "{code} ({of})\n  {sentence}\n  -> {advice}")?;
        }
    }
    Ok(exit)
}

/// Returns every code with its sentence.
#[cfg(feature = "manual")]
pub(super) fn codes() -> impl Iterator<Item = (&'static str, &'static str)> {
    known().into_iter().map(|(_, Explanation { code, sentence, .. })| (code, sentence))
}

fn list(known: &[Known], out: &mut impl Write) -> io::Result<()> {
    let width = known.iter().map(|(_, it)| it.code.len()).max().unwrap_or_default();
    let mut last = "";
    for (of, Explanation { code, sentence, .. }) in known {
        if last != *of {
            writeln!(out, "{}{of}:", if last.is_empty() { "" } else { "\n" })?;
            last = of;
        }
        writeln!(out, "  {code:width$}  {sentence}")?;
    }
    Ok(())
}

fn known() -> Vec<Known> {
    let pods = SkipReason::ALL.iter().map(|it| ("reason for skipping a pod", it.explanation()));
    let containers = ContainerReason::ALL.iter();
    let containers = containers.map(|it| ("reason for skipping a container", it.explanation()));
    let objects = AsideReason::ALL.iter();
    let objects = objects.map(|it| ("reason for skipping an object in inject", it.explanation()));
    let problems = ProblemCode::ALL.iter().map(|it| ("a problem", it.explanation()));
    let notes = NoteCode::ALL.iter().map(|it| ("a note", it.explanation()));
    let undone = UndoReason::ALL.iter();
    let undone = undone.map(|it| ("reason for skipping a workload in uninject", it.explanation()));
    pods.chain(containers).chain(objects).chain(undone).chain(problems).chain(notes).collect()
}

fn suggestion(known: &[Known], code: &str) -> String {
    match nearest(code, known.iter().map(|(_, it)| it.code)) {
        Some(near) => format!("; did you mean {near}?"),
        None => "; prestop explain lists them".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_the_table_is_known_and_near_ones_are_suggested() {
        let known = known();
        for code in ["own-hooks", "own-hook", "rounded-up", "grace-period-capped"] {
            assert!(known.iter().any(|(_, it)| it.code == code), "{code}");
        }
        assert_eq!(suggestion(&known, "own-hoks"), "; did you mean own-hooks?");
        assert_eq!(suggestion(&known, "daemonset"), "; did you mean owned-by-daemonset?");
        assert_eq!(suggestion(&known, "xyz"), "; prestop explain lists them");
        assert_eq!(suggestion(&known, &"o".repeat(100_000)), "; prestop explain lists them");
    }
}
