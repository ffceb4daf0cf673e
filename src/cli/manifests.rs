//! Input and output arguments of `inject` and `uninject`.

use std::path::PathBuf;

use clap::Args;
use prestop_core::engine::template::KindName;

use super::{Color, OutputForm};

/// Which manifests, and what is made of them.
#[derive(Debug, Args)]
pub(crate) struct ManifestArguments {
    /// Files, folders (searched for .yaml, .yml and .json), or - for standard input.
    #[arg(required_unless_present = "filenames", value_name = "FILE|FOLDER|-")]
    pub(crate) paths: Vec<PathBuf>,
    /// Same as FILE, for users of kubectl.
    #[arg(short = 'f', long = "filename", alias = "file", value_name = "FILE|FOLDER|-")]
    pub(crate) filenames: Vec<PathBuf>,
    /// What to print [default: yaml; nothing with --check or --in-place].
    #[arg(short, long, value_enum)]
    pub(crate) output: Option<OutputForm>,
    /// Write the files, each only if all its documents could be parsed.
    #[arg(short, long)]
    pub(crate) in_place: bool,
    /// Change nothing; exit with status 1 if anything would be changed.
    #[arg(long, conflicts_with = "in_place")]
    pub(crate) check: bool,
    /// Namespace of objects without metadata.namespace.
    #[arg(short, long, default_value = "default", value_name = "NAME")]
    pub(crate) namespace: String,
    /// Additional kind with its pod template at spec.template (can be repeated).
    #[arg(long = "kind", value_name = "KIND.GROUP")]
    pub(crate) kinds: Vec<KindName>,
    /// Colours in diffs [default: on a terminal, unless NO_COLOR is set].
    #[arg(long, value_enum, default_value_t = Color::Auto, hide_default_value = true)]
    pub(crate) color: Color,
    /// Print only errors to standard error.
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

impl ManifestArguments {
    /// Returns all inputs to read.
    pub(crate) fn inputs(&self) -> Vec<PathBuf> {
        self.paths.iter().chain(&self.filenames).cloned().collect()
    }
}

/// Arguments of `prestop uninject`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prestop uninject -o diff manifests/               show what would be removed
  prestop uninject -i manifests/                    undo prestop inject -i

Exit status: 0 done, 1 --check found something, 2 wrong usage, 3 a file that can't be read, parsed or
written (the other files are processed), or no document in the input.")]
pub(crate) struct UninjectArguments {
    /// Which manifests.
    #[command(flatten)]
    pub(crate) manifests: ManifestArguments,
}
