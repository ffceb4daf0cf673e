//! Arguments of `prestop audit`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use prestop_core::engine::template::KindName;
use prestop_core::policy::KubernetesVersion;

use super::ReadingForm;

/// What `prestop audit` is told.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prestop audit manifests/
  helm template shop | prestop audit -
  prestop audit --fail-on warning --certainty certain -o json manifests/
  prestop audit --explain quit-without-wait

Workloads that nothing sends requests to are left alone. Without any Service of its namespace in the input
a workload's findings are only possible. Workloads in namespaces that the input labels
prestop.dev/inject: enabled are judged as prestop injects them.

Exit status: 0 no finding at the bar, 1 findings, 2 wrong usage, 3 bad input: a file that can't be read or
understood (the others are read), or no document at all.")]
pub(crate) struct AuditArguments {
    /// Files, folders (searched for .yaml, .yml and .json), or - for standard input.
    #[arg(required_unless_present_any = ["filenames", "explain", "rules"], value_name = "FILE|FOLDER|-")]
    pub(crate) paths: Vec<PathBuf>,
    /// The same, as kubectl has it.
    #[arg(short = 'f', long = "filename", alias = "file", value_name = "FILE|FOLDER|-")]
    pub(crate) filenames: Vec<PathBuf>,
    /// Exit with status 1 for findings of this severity and above.
    #[arg(long, value_enum, default_value_t = FailOn::Error)]
    pub(crate) fail_on: FailOn,
    /// Exit with status 1 only for findings that are at least so certain.
    #[arg(long, value_enum, default_value_t = CertaintyBar::Likely)]
    pub(crate) certainty: CertaintyBar,
    /// Say what a rule means, why, and what to do (can be repeated).
    #[arg(long, value_name = "RULE", conflicts_with_all = ["paths", "filenames"])]
    pub(crate) explain: Vec<String>,
    /// List all rules.
    #[arg(long, conflicts_with_all = ["paths", "filenames", "explain"])]
    pub(crate) rules: bool,
    /// The configuration file, for delays and profiles of your own.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The version of the API server.
    #[arg(long, value_name = "VERSION", default_value_t = KubernetesVersion::NEWEST)]
    pub(crate) kubernetes_version: KubernetesVersion,
    /// The namespace of objects that do not say.
    #[arg(short, long, default_value = "default", value_name = "NAME")]
    pub(crate) namespace: String,
    /// One more kind that has its pod template at spec.template (can be repeated).
    #[arg(long = "kind", value_name = "KIND.GROUP")]
    pub(crate) kinds: Vec<KindName>,
    /// What to print.
    #[arg(short, long, value_enum, default_value_t = ReadingForm::Text)]
    pub(crate) output: ReadingForm,
}

/// The least severity that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FailOn {
    /// Requests are dropped in an ordinary rollout.
    Error,
    /// Also in drains, scale-downs or behind certain fronts.
    Warning,
    /// Everything.
    Info,
    /// Nothing.
    Never,
}

/// The least certainty that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CertaintyBar {
    /// By what is written.
    Certain,
    /// Also by the catalogue and by usual figures.
    Likely,
    /// Also where it depends on what is not in the input.
    Possible,
}

impl AuditArguments {
    /// Everything that is to be read.
    #[must_use]
    pub(crate) fn inputs(&self) -> Vec<PathBuf> {
        self.paths.iter().chain(&self.filenames).cloned().collect()
    }
}
