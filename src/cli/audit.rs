//! Arguments of `prestop audit`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use prestop_core::engine::template::KindName;
use prestop_core::policy::KubernetesVersion;

use super::FromCluster;

/// What `prestop audit` is told.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prestop audit manifests/
  helm template shop | prestop audit -
  prestop audit --fail-on warning --certainty certain -o json manifests/
  prestop audit -o sarif manifests/ >prestop.sarif
  prestop audit --suggest kubectl manifests/
  prestop audit --write-baseline baseline.json manifests/
  prestop audit --baseline baseline.json manifests/
  prestop audit --explain quit-without-wait
  prestop audit --cluster -A
  prestop audit --cluster --context staging -n shop -l tier=web

Workloads that nothing sends requests to are left alone. Without any Service of its namespace in the input
a workload's findings are only possible. Workloads in namespaces that the input labels
prestop.dev/inject: enabled are judged as prestop injects them.

With --cluster the objects are read from a cluster, page by page, and nothing is written. Workloads with
running pods are judged by the newest of them, as admission made it. Kinds that may not be listed are named
once on standard error, and findings that depend on them are less certain.

Exit status: 0 no finding at the bar, 1 findings, 2 wrong usage, 3 bad input: a file that can't be read or
understood (the others are read), or no document at all; a cluster that can't be reached or read.")]
pub(crate) struct AuditArguments {
    /// Files, folders (searched for .yaml, .yml and .json), or - for standard input.
    #[arg(required_unless_present_any = ["filenames", "explain", "rules", "schema", "cluster"], value_name = "FILE|FOLDER|-")]
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
    /// Print the JSON Schema of -o json.
    #[arg(long, conflicts_with_all = ["paths", "filenames", "explain", "rules"])]
    pub(crate) schema: bool,
    /// A report of -o json or --write-baseline: its findings do not count.
    #[arg(long, value_name = "FILE")]
    pub(crate) baseline: Option<PathBuf>,
    /// Write the findings to a file for --baseline, and exit with status 0.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["explain", "rules", "schema"])]
    pub(crate) write_baseline: Option<PathBuf>,
    /// Print labels and annotations that mend what prestop mends, instead of the findings.
    #[arg(long, value_enum, value_name = "FORM", conflicts_with = "output")]
    pub(crate) suggest: Option<SuggestForm>,
    /// The configuration file, for delays and profiles of your own, and for what is to be ignored.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The version of the API server [default: the newest; with --cluster the cluster's].
    #[arg(long, value_name = "VERSION")]
    pub(crate) kubernetes_version: Option<KubernetesVersion>,
    /// The namespace of objects that do not say [default: default]; with --cluster the only one that is read.
    #[arg(short, long, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    /// One more kind that has its pod template at spec.template (can be repeated).
    #[arg(long = "kind", value_name = "KIND.GROUP")]
    pub(crate) kinds: Vec<KindName>,
    /// What to print.
    #[arg(short, long, value_enum, default_value_t = AuditForm::Text)]
    pub(crate) output: AuditForm,
    /// A cluster instead of manifests.
    #[command(flatten)]
    pub(crate) from: FromCluster,
}

/// What `audit` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AuditForm {
    /// For people.
    Text,
    /// For machines; --schema prints its JSON Schema.
    Json,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
    /// XML for test reports of pipelines.
    Junit,
    /// Workflow commands: annotations in pull requests on GitHub.
    Github,
    /// A code quality report, for merge requests on GitLab.
    #[value(alias = "codequality")]
    Gitlab,
    /// A table for comments and summaries.
    Markdown,
    /// Reports of wgpolicyk8s.io/v1alpha2, to be applied.
    Policyreport,
    /// Reports of openreports.io/v1alpha1, to be applied.
    Openreports,
}

/// How `audit --suggest` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SuggestForm {
    /// Strategic merge patches.
    Patch,
    /// A component of kustomize.
    Kustomize,
    /// Commands.
    Kubectl,
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
    /// The namespace of objects that do not say.
    #[must_use]
    pub(crate) fn default_namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or("default")
    }

    /// Everything that is to be read.
    #[must_use]
    pub(crate) fn inputs(&self) -> Vec<PathBuf> {
        self.paths.iter().chain(&self.filenames).cloned().collect()
    }
}
