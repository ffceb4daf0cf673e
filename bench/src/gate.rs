//! What may not get worse, compared with a committed baseline. Only figures that are the same on every
//! run: counted instructions, counted allocations, bytes.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::callgrind;
use crate::contestants::Contestant;
use crate::process::Stage;

/// Of its baseline, how much more a figure may be.
const TOLERANCE: f64 = 0.03;

/// A figure's name and what it is now.
type Figures = BTreeMap<String, f64>;

/// Measures and compares; with `update` writes the baseline anew.
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

/// Where the baseline is committed.
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
    for review in callgrind::COUNTED {
        let instructions = |contestant| callgrind::per_request(contestant, review, stage);
        let (floor, prestop) =
            (instructions(Contestant::Floor)?, instructions(Contestant::Prestop)?);
        println!("{}: {prestop:.0} instructions, floor {floor:.0}", review.name());
        figures
            .insert(format!("instructions over the floor's, {}", review.name()), prestop / floor);
    }
    // As many digits as mean something.
    for value in figures.values_mut() {
        *value = (*value * 1000.0).round() / 1000.0;
    }
    Ok(figures)
}

/// Prints every figure beside its baseline; what is worse by more than the tolerance.
fn compare(figures: &Figures, baseline: &Figures) -> anyhow::Result<Vec<String>> {
    let mut worse = Vec::new();
    for (name, value) in figures {
        let Some(before) = baseline.get(name) else {
            bail!("the baseline has no `{name}`: bench/run gate --update")
        };
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
            "{name:44} {value:>12} baseline {before:>12} {:+6.1} %  {verdict}",
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
    fn three_percent_and_no_more() {
        assert!(compare(&figures(1.03), &figures(1.0)).unwrap().is_empty());
        assert_eq!(compare(&figures(1.04), &figures(1.0)).unwrap(), ["instructions (+4.0 %)"]);
        assert!(compare(&figures(0.5), &figures(1.0)).unwrap().is_empty());
    }

    #[test]
    fn what_is_not_in_both_is_an_error() {
        assert!(compare(&figures(1.0), &Figures::new()).is_err());
        assert!(compare(&Figures::new(), &figures(1.0)).is_err());
    }
}
