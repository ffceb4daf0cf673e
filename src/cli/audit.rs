//! Arguments of `prestop audit`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use prestop_core::engine::template::KindName;
use prestop_core::policy::KubernetesVersion;

use super::FromCluster;

/// Arguments of `prestop audit`.
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

Workloads that get no requests are skipped. If the input has no Service of its namespace, a workload's
findings have the certainty possible. Workloads in namespaces labelled prestop.dev/inject: enabled are
evaluated as prestop injects them.

With --cluster the objects are read from a cluster, page by page, and nothing is written. If a workload
has running pods, the newest one is evaluated, including changes by admission webhooks. Kinds that you
may not list are reported once on standard error, and findings that depend on them are less certain.

Exit status: 0 no findings at the chosen severity and certainty, 1 findings, 2 wrong usage, 3 a file that can't be read or parsed
(the other files are processed), no document in the input, or a cluster that can't be reached or read.")]
pub(crate) struct AuditArguments {
    /// Files, folders (searched for .yaml, .yml and .json), or - for standard input.
    #[arg(required_unless_present_any = ["filenames", "explain", "rules", "schema", "cluster"], value_name = "FILE|FOLDER|-")]
    pub(crate) paths: Vec<PathBuf>,
    /// Same as FILE, for users of kubectl.
    #[arg(short = 'f', long = "filename", alias = "file", value_name = "FILE|FOLDER|-")]
    pub(crate) filenames: Vec<PathBuf>,
    /// Exit with status 1 for findings of this severity and above.
    #[arg(long, value_enum, default_value_t = FailOn::Error)]
    pub(crate) fail_on: FailOn,
    /// Exit with status 1 only for findings of at least this certainty.
    #[arg(long, value_enum, default_value_t = CertaintyBar::Likely)]
    pub(crate) certainty: CertaintyBar,
    /// Explain a rule: its meaning, evidence and fix (can be repeated).
    #[arg(long, value_name = "RULE", conflicts_with_all = ["paths", "filenames"])]
    pub(crate) explain: Vec<String>,
    /// List all rules.
    #[arg(long, conflicts_with_all = ["paths", "filenames", "explain"])]
    pub(crate) rules: bool,
    /// Print the JSON Schema of -o json.
    #[arg(long, conflicts_with_all = ["paths", "filenames", "explain", "rules"])]
    pub(crate) schema: bool,
    /// A report of -o json or --write-baseline; findings that it lists are ignored.
    #[arg(long, value_name = "FILE")]
    pub(crate) baseline: Option<PathBuf>,
    /// Write the findings to a file for --baseline, and exit with status 0.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["explain", "rules", "schema"])]
    pub(crate) write_baseline: Option<PathBuf>,
    /// Print labels and annotations that fix findings, as far as prestop can fix them, instead of the findings.
    #[arg(long, value_enum, value_name = "FORM", conflicts_with = "output")]
    pub(crate) suggest: Option<SuggestForm>,
    /// The configuration file, for custom delays and profiles, and for ignored rules.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The Kubernetes version [default: the newest; with --cluster that of the cluster].
    #[arg(long, value_name = "VERSION")]
    pub(crate) kubernetes_version: Option<KubernetesVersion>,
    /// Namespace of objects without metadata.namespace [default: default]; with --cluster, the only
    /// namespace to read.
    #[arg(short, long, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    /// Additional kind with its pod template at spec.template (can be repeated).
    #[arg(long = "kind", value_name = "KIND.GROUP")]
    pub(crate) kinds: Vec<KindName>,
    /// What to print.
    #[arg(short, long, value_enum, default_value_t = AuditForm::Text)]
    pub(crate) output: AuditForm,
    /// Cluster to read instead of manifests.
    #[command(flatten)]
    pub(crate) from: FromCluster,
}

/// Output forms of `audit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AuditForm {
    /// For people.
    Text,
    /// JSON; --schema prints its JSON Schema.
    Json,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
    /// JUnit XML, for test reports of CI systems.
    Junit,
    /// Workflow commands: annotations in pull requests on GitHub.
    Github,
    /// A code quality report, for merge requests on GitLab.
    #[value(alias = "codequality")]
    Gitlab,
    /// A Markdown table for comments and summaries.
    Markdown,
    /// Policy reports (wgpolicyk8s.io/v1alpha2) to apply to a cluster.
    Policyreport,
    /// Reports of openreports.io/v1alpha1 to apply to a cluster.
    Openreports,
}

/// Output forms of `audit --suggest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SuggestForm {
    /// Strategic merge patches.
    Patch,
    /// A kustomize component.
    Kustomize,
    /// Commands.
    Kubectl,
}

/// The lowest severity that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FailOn {
    /// Requests are dropped in ordinary rollouts.
    Error,
    /// Requests are also dropped in drains, in scale-downs or behind certain fronts.
    Warning,
    /// Everything.
    Info,
    /// Nothing.
    Never,
}

/// The lowest certainty that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CertaintyBar {
    /// Follows from the manifests.
    Certain,
    /// Also relies on the catalogue and on usual durations.
    Likely,
    /// Also depends on objects that were not read.
    Possible,
}

impl AuditArguments {
    /// Returns the namespace of objects without `metadata.namespace`.
    #[must_use]
    pub(crate) fn default_namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or("default")
    }

    /// Returns all inputs to read.
    #[must_use]
    pub(crate) fn inputs(&self) -> Vec<PathBuf> {
        self.paths.iter().chain(&self.filenames).cloned().collect()
    }
}
