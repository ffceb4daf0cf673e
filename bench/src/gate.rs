//! Figures that may not get worse, compared with a committed baseline. Only figures that depend on
//! the code and not on the machine or on timing: counted instructions, counted allocations, bytes.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, bail, ensure};
use prestop_bench::reviews::Review;
use serde_json::Value;

use crate::callgrind::{self, Copies};
use crate::contestants::Contestant;
use crate::process::Stage;

/// Allowed increase of a figure, relative to its baseline. Of the compared figures, only
/// instructions vary: by at most 1.3 % between runs and by 1.5 % between processors
/// ([`Copies::Vectors`]). The tolerance is the sum of both, plus the same amount as a margin.
const TOLERANCE: f64 = 0.05;
/// Goals that were set with [`Copies::Selected`]. Such figures depend on the processor and on
/// timing, so they are printed next to their goals and never fail the gate; the same work is
/// compared with [`Copies::Vectors`].
const GOALS: [(&str, f64); 2] = [(GOAL_SMALL, 2.2), (GOAL_LARGE, 2.0)];
/// Instructions for the small request, as counted by its goal.
pub(crate) const GOAL_SMALL: &str = "instructions over the floor's, rep movsb by bytes, small";
/// Instructions for the large request, as counted by its goal.
pub(crate) const GOAL_LARGE: &str = "instructions over the floor's, rep movsb by bytes, large";

/// Names of figures with their current values.
type Figures = BTreeMap<String, f64>;

/// Measures and compares; with `update`, writes the baseline instead.
pub(crate) fn run(stage: &Stage<'_>, update: bool) -> anyhow::Result<()> {
    let figures = measure(stage)?;
    let file = baseline_file();
    if update {
        fs::write(&file, serde_json::to_string_pretty(&figures)? + "\n")?;
        println!("written: {}", file.display());
        return Ok(());
    }
    let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let baseline: Figures = serde_json::from_str(&text)?;
    let worse = compare(&figures, &baseline)?;
    ensure!(
        worse.is_empty(),
        "worse than {} by more than {:.0} %: {}\n\
         Where it goes: `bench/run profile small` (or large) prints the functions by their instructions; compare with\n\
         the same at the commit before. If it has to be: `bench/run gate --update`, and say why in the commit.",
        file.display(),
        TOLERANCE * 100.0,
        worse.join(", ")
    );
    Ok(())
}

/// Returns the file of the committed baseline.
pub(crate) fn baseline_file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("baseline.json")
}

fn measure(stage: &Stage<'_>) -> anyhow::Result<Figures> {
    let mut figures = Figures::new();
    let program = Contestant::Prestop.program(stage.folder);
    let bytes = fs::metadata(&program).with_context(|| program.display().to_string())?.len();
    #[allow(clippy::cast_precision_loss)]
    figures.insert("static binary, bytes".to_owned(), bytes as f64);
    let output = Command::new(stage.folder.join("allocations")).output().context("allocations")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let counts: Value = serde_json::from_slice(&output.stdout)?;
    for (review, counts) in counts.as_object().context("allocations")? {
        for (name, what) in
            [("engine", "allocations, read + decide + patch"), ("review", "allocations, review")]
        {
            let count = counts.get(name).and_then(Value::as_f64).context("allocations")?;
            figures.insert(format!("{what}, {review}"), count);
        }
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        bail!("valgrind is missing, which counts the instructions; .ci/run installs it as root");
    }
    let over_the_floor = |review: Review, copies| {
        let instructions = |contestant| callgrind::per_request(contestant, review, copies, stage);
        let (floor, prestop) =
            (instructions(Contestant::Floor)?, instructions(Contestant::Prestop)?);
        println!("{}, {copies:?}: {prestop:.0} instructions, floor {floor:.0}", review.name());
        anyhow::Ok(prestop / floor)
    };
    for review in callgrind::COUNTED {
        let name = format!("instructions over the floor's, {}", review.name());
        figures.insert(name, over_the_floor(review, Copies::Vectors)?);
    }
    for (name, review) in [(GOAL_SMALL, Review::Small), (GOAL_LARGE, Review::Large)] {
        figures.insert(name.to_owned(), over_the_floor(review, Copies::Selected)?);
    }
    // Rounded to three decimals.
    for value in figures.values_mut() {
        *value = (*value * 1000.0).round() / 1000.0;
    }
    Ok(figures)
}

/// Prints every figure next to its baseline; returns those that are worse by more than the
/// tolerance.
fn compare(figures: &Figures, baseline: &Figures) -> anyhow::Result<Vec<String>> {
    let mut worse = Vec::new();
    for (name, value) in figures {
        let Some(before) = baseline.get(name) else {
            bail!("the baseline has no `{name}`: bench/run gate --update")
        };
        if let Some((_, goal)) = GOALS.iter().find(|(of, _)| of == name) {
            let verdict = if value <= goal { "met" } else { "missed" };
            println!("{name:56} {value:>12} goal {goal:>16} {verdict}; not compared");
            continue;
        }
        let change = value / before - 1.0;
        let is_worse = *value > before * (1.0 + TOLERANCE);
        let verdict = if is_worse {
            "worse"
        } else if *value < before * (1.0 - TOLERANCE) {
            "better: bench/run gate --update keeps it"
        } else {
            "as before"
        };
        println!(
            "{name:56} {value:>12} baseline {before:>12} {:+6.1} %  {verdict}",
            change * 100.0
        );
        if is_worse {
            worse.push(format!("{name} ({:+.1} %)", change * 100.0));
        }
    }
    if let Some(name) = baseline.keys().find(|name| !figures.contains_key(*name)) {
        bail!("`{name}` of the baseline is no longer measured: bench/run gate --update");
    }
    Ok(worse)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(value: f64) -> Figures {
        Figures::from([("instructions".to_owned(), value)])
    }

    #[test]
    fn five_percent_and_no_more() {
        assert!(compare(&figures(1.05), &figures(1.0)).unwrap().is_empty());
        assert_eq!(compare(&figures(1.06), &figures(1.0)).unwrap(), ["instructions (+6.0 %)"]);
        assert!(compare(&figures(0.5), &figures(1.0)).unwrap().is_empty());
    }

    #[test]
    fn a_goal_that_depends_on_the_machine_fails_nothing() {
        let large = |value| Figures::from([(GOAL_LARGE.to_owned(), value)]);
        assert!(compare(&large(2.5), &large(1.9)).unwrap().is_empty());
    }

    #[test]
    fn what_is_not_in_both_is_an_error() {
        assert!(compare(&figures(1.0), &Figures::new()).is_err());
        assert!(compare(&Figures::new(), &figures(1.0)).is_err());
    }
}
