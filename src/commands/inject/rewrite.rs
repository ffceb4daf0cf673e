//! Processes one text of manifests in memory like the commands, without files, arguments and
//! standard streams. For fuzz targets.

use std::path::PathBuf;

use prestop_core::policy::Policy;

use super::super::input::Input;
use super::output::FileOutput;
use super::{Mode, Run};
use crate::cli::{Color, ManifestArguments, OutputForm};

/// Result for a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewritten {
    /// The new text.
    pub text: String,
    /// The lines for standard error, except for the summary.
    pub notes: Vec<String>,
}

/// Returns the text as `inject`, `inject --renew` or `uninject` would print it.
///
/// # Errors
/// When the text is invalid, and nothing would be printed.
pub fn rewrite(text: &str, mode: Mode, policy: &Policy) -> anyhow::Result<Rewritten> {
    let arguments = ManifestArguments {
        paths: vec![PathBuf::from("-")],
        filenames: Vec::new(),
        output: Some(OutputForm::Yaml),
        in_place: false,
        check: false,
        namespace: "default".to_owned(),
        kinds: Vec::new(),
        color: Color::Never,
        quiet: true,
    };
    let input = Input::of_text(text)?;
    let mut run = Run::new(&arguments, mode, policy.clone());
    run.find_namespaces(&input);
    let inputs = [input];
    run.around = run.surroundings(&inputs)?;
    let [input] = &inputs;
    let mut output = FileOutput::in_memory(None);
    let outcome = run.file(input, &mut output)?;
    if let Some(error) = outcome.errors.first() {
        anyhow::bail!("{error}");
    }
    let (text, _) = output.into_memory()?;
    Ok(Rewritten { text, notes: outcome.notes })
}
