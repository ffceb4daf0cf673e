//! Golden cases: each folder of `tests/cases` has an input and the expected output.
//!
//! - `input.yaml` or `input.json`; `config.yaml` if the case has a configuration; `arguments` with
//!   further arguments of `prestop inject`, one per line, if there are any.
//! - `expected.yaml` (or `.json`): the manifests; `report.txt`: the report; `stderr.txt`: the text
//!   on standard error without the summary, if there is any; `exit`: the exit status, if it is not
//!   0.
//! - `output`: the name of one more output format (`diff`, `json-patch`, `json`); its expected
//!   output is in `expected.txt`.
//!
//! `UPDATE_GENERATED=1 cargo test golden` writes the actual output to these files; read the
//! difference before you commit it. In every case, injecting the result once more must not change
//! it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use prestop_test_support::cases::cases;
use prestop_test_support::program;

fn inject(case: &Path, input: &str, more: &[&str]) -> Output {
    let mut command = Command::new(program());
    command.current_dir(case).arg("inject").args(more).env_remove("NO_COLOR");
    if case.join("config.yaml").exists() {
        command.args(["--config", "config.yaml"]);
    }
    if let Ok(arguments) = fs::read_to_string(case.join("arguments")) {
        command.args(arguments.lines());
    }
    command.arg(input).output().unwrap()
}

/// Compares the file with the actual output, or writes the file with `UPDATE_GENERATED`. A missing
/// file stands for an empty output.
fn agrees(path: &Path, actual: &[u8]) -> Result<(), String> {
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        if actual.is_empty() {
            let _ = fs::remove_file(path);
        } else {
            fs::write(path, actual).unwrap();
        }
        return Ok(());
    }
    let expected = fs::read(path).unwrap_or_default();
    if expected == actual {
        return Ok(());
    }
    let (expected, actual) = (String::from_utf8_lossy(&expected), String::from_utf8_lossy(actual));
    let diff = similar::TextDiff::from_lines(expected.as_ref(), actual.as_ref());
    Err(format!("{}:\n{}", path.display(), diff.unified_diff().header("expected", "actual")))
}

fn check(case: &Path) -> Result<(), String> {
    let (input, expected) = if case.join("input.json").exists() {
        ("input.json", "expected.json")
    } else {
        ("input.yaml", "expected.yaml")
    };
    let run = inject(case, input, &[]);
    let status = run.status.code().unwrap_or(-1);
    let exit = if status == 0 { String::new() } else { format!("{status}\n") };
    agrees(&case.join("exit"), exit.as_bytes())?;
    agrees(&case.join(expected), &run.stdout)?;
    let told = String::from_utf8(run.stderr).map_err(|error| error.to_string())?;
    let told: String =
        told.split_inclusive('\n').filter(|line| !line.starts_with("prestop: ")).collect();
    agrees(&case.join("stderr.txt"), told.as_bytes())?;
    agrees(&case.join("report.txt"), &inject(case, input, &["-o", "report"]).stdout)?;
    if let Ok(form) = fs::read_to_string(case.join("output")) {
        let other = inject(case, input, &["-o", form.trim()]);
        agrees(&case.join("expected.txt"), &other.stdout)?;
    }
    let again = inject(case, expected, &["--quiet"]);
    if status == 0 && again.stdout != run.stdout {
        return Err(format!("{}: a second pass changes the result", case.display()));
    }
    Ok(())
}

#[test]
fn every_case_gives_what_is_expected() {
    let cases = cases();
    assert!(cases.len() >= 80, "only {} cases", cases.len());
    let failures: Vec<_> = cases.iter().filter_map(|case| check(case).err()).collect();
    assert!(
        failures.is_empty(),
        "{} of {} cases:\n{}",
        failures.len(),
        cases.len(),
        failures.join("\n")
    );
}
