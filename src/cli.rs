//! The command line as structs, which `commands` runs.

// The comments of this file are help texts: no back-ticks around the names of kinds.
#![allow(clippy::doc_markdown)]

mod audit;
mod cluster;
mod function;
mod hints;
#[cfg(unix)]
mod listen;
mod manifests;
mod policy;
#[cfg(all(feature = "rehearse", target_os = "linux"))]
mod rehearse;
mod version;
mod wait;
#[cfg(all(feature = "watch", unix))]
mod watch;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
#[cfg(feature = "manual")]
use clap_complete::Shell;
use prestop_core::engine::template::KindName;
use prestop_core::policy::KubernetesVersion;

pub(crate) use self::audit::{AuditArguments, AuditForm, CertaintyBar, FailOn, SuggestForm};
pub(crate) use self::cluster::{ClusterArguments, FromCluster};
pub(crate) use self::function::FunctionArguments;
#[cfg(unix)]
pub(crate) use self::listen::ListenAddress;
pub(crate) use self::manifests::{ManifestArguments, UninjectArguments};
pub(crate) use self::policy::PolicyArguments;
#[cfg(all(feature = "rehearse", target_os = "linux"))]
pub(crate) use self::rehearse::{RehearseArguments, RehearseForm};
pub(crate) use self::version::VersionArguments;
pub(crate) use self::wait::Wait;
#[cfg(all(feature = "watch", unix))]
pub(crate) use self::watch::{Url, WatchArguments, WatchForm, WorkloadName};

const DONE_OR_USAGE: &str = "Exit status: 0 done, 2 wrong usage.";

/// Injects preStop hooks into Kubernetes pods, so that rolling updates, drains and scale-downs drop no
/// requests.
#[derive(Debug, Parser)]
#[command(name = "prestop", version = crate::version::Version::text(), max_term_width = 100)]
#[command(
    after_help = "Exit status: 0 done, nothing found, 1 something found (--check, --strict, audit \
findings, a failed check, dropped requests), or a server was ended by a second signal, 2 wrong \
usage, 3 unreadable input or cluster, 130 interrupted. The --help of each command has the details."
)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Inject hooks into manifests: files, folders or standard input.
    ///
    /// Handles pods, and the pod templates of Deployments, StatefulSets, DaemonSets, ReplicaSets,
    /// ReplicationControllers, Jobs, CronJobs, Argo Rollouts, OpenShift DeploymentConfigs, the CloneSets,
    /// StatefulSets and DaemonSets of OpenKruise, and Lists of them, by the same rules as the webhook.
    /// All other objects, Kustomize patches, comments, key order, quotes and blank lines stay
    /// unchanged.
    Inject(InjectArguments),
    /// Remove the hooks that prestop injected into manifests.
    ///
    /// Removes only changes that the annotation prestop.dev/status records. The rest of each file stays
    /// unchanged, byte for byte; existing hooks that were extended are restored.
    Uninject(UninjectArguments),
    /// Inject hooks as a kustomize or kpt function: reads a ResourceList and writes it with results.
    #[command(alias = "fn")]
    Function(FunctionArguments),
    /// Rehearse a rollout under load with a real server on this machine, with and without prestop's hook.
    ///
    /// Runs the command after -- as the replicas of a workload, in separate Linux namespaces, and
    /// simulates a rolling update, a scale-down and a drain, first with the manifest as it is and then
    /// as prestop injects it. Counts dropped requests.
    #[cfg(all(feature = "rehearse", target_os = "linux"))]
    Rehearse(RehearseArguments),
    /// Runs inside the sandbox of a rehearsal.
    #[cfg(all(feature = "rehearse", target_os = "linux"))]
    #[command(hide = true, name = "rehearse-sandbox")]
    RehearseSandbox,
    /// Serve the admission webhook.
    ///
    /// Serves admission reviews over TLS, and probes and metrics over plain HTTP. Without arguments it
    /// listens on this machine only and uses a certificate made in memory. Never refuses a pod; if
    /// anything is unclear, the pod is admitted unchanged.
    #[cfg(unix)]
    Serve(ServeArguments),
    /// Check an installation in the cluster of the current kubeconfig, or of this pod, and print how to
    /// fix each problem.
    Check(CheckArguments),
    /// Show the certificates of an installation.
    #[command(subcommand)]
    Certificates(CertificatesCommand),
    /// List known applications, or show which hook an image gets, and why.
    #[command(alias = "catalog")]
    Catalogue(CatalogueArguments),
    /// Find workloads that drop requests in rollouts, drains and scale-downs, and show the cause and the fix.
    ///
    /// Reads manifests or a cluster and changes nothing. Evaluates each workload together with its
    /// Services, Ingresses, Gateways, PodDisruptionBudgets and autoscalers, and the known facts about
    /// its images.
    Audit(AuditArguments),
    /// List the known fronts (load balancers, proxies, kube-proxy) and how long they keep sending to
    /// terminating pods, or show the fronts of the workloads of manifests or of a cluster.
    Fronts(FrontsArguments),
    /// Print the rules as a MutatingAdmissionPolicy, which API servers of Kubernetes 1.36 and newer
    /// evaluate without a webhook.
    ///
    /// For clusters without the webhook. Covers opt-in, skipped owners, delays from annotations, the
    /// grace period, native sleeps, and the quits of selected profiles. Needs no cluster; prints YAML.
    Policy(PolicyArguments),
    /// Watch pods end: which were killed, whose hook failed, which were gone before their endpoint was
    /// withdrawn.
    ///
    /// Follows rollouts, drains and scale-downs of a live cluster with read rights only, and prints a line for
    /// each container that ends: when it was deleted and by whom, when its endpoint was withdrawn, when and how
    /// it ended, and what that means. With --url it sends requests meanwhile and counts those that are lost.
    #[cfg(all(feature = "watch", unix))]
    Watch(WatchArguments),
    /// Explain codes of reports, metrics and logs, and what to do.
    Explain(ExplainArguments),
    /// Work with the configuration file.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print a completion script for a shell.
    #[cfg(feature = "manual")]
    #[command(after_help = DONE_OR_USAGE)]
    Completions {
        /// Which shell.
        shell: Shell,
    },
    /// Print the manual page.
    #[cfg(feature = "manual")]
    #[command(after_help = DONE_OR_USAGE)]
    Man,
    /// Print the version of this program, and of the replicas in a cluster.
    Version(VersionArguments),
}

impl FrontsArguments {
    /// Returns the namespace of objects without metadata.namespace.
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

impl Cli {
    /// Reads the arguments of a process, beginning with the program's name.
    ///
    /// # Errors
    /// Wrong usage, with the right one; also `--help` and `--version`, which clap prints.
    pub(crate) fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let arguments: Vec<OsString> = arguments.into_iter().collect();
        let mut command = Self::command();
        // kubectl runs a plugin by the name of its file.
        let program = arguments.first().map(Path::new).and_then(Path::file_stem);
        if program.is_some_and(|name| name == "kubectl-prestop") {
            command = command.bin_name("kubectl prestop");
        }
        let words = arguments.iter().skip(1).map(|word| word.to_string_lossy().into_owned());
        let words: Vec<_> = words.collect();
        command
            .try_get_matches_from_mut(arguments)
            .and_then(|matches| Self::from_arg_matches(&matches))
            .map_err(|error| hints::with_hint(error, &words))
    }
}

/// Arguments of `prestop inject`.
#[derive(Debug, Args)]
// Flags are booleans; each is used in one place.
#[allow(clippy::struct_excessive_bools)]
#[command(after_help = "\
Examples:
  prestop inject -o report deployment.yaml          show changes and reasons
  prestop inject -o diff manifests/                 show changes as a diff
  kustomize build . | prestop inject - | kubectl apply -f -
  prestop inject --renew -i manifests/              replace hooks of an older version or older settings
  prestop inject --check manifests/                 in CI: exit status 1 if a hook is missing
  prestop inject --strict -o report manifests/      exit status 1 if there are problems
  prestop inject --fronts-from-cluster -i shop/     delay auto, using the Services of the cluster

Exit status: 0 done, 1 --check or --strict found something, 2 wrong usage, 3 a file that can't be read,
parsed or written (the other files are processed), no document in the input, or a cluster that can't be
reached.")]
pub(crate) struct InjectArguments {
    /// Which manifests.
    #[command(flatten)]
    pub(crate) manifests: ManifestArguments,
    /// The configuration file (prestop config check validates it).
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The Kubernetes version: determines whether the native sleep action or an exec hook is used for delays.
    #[arg(long, value_name = "VERSION", default_value_t = KubernetesVersion::NEWEST)]
    pub(crate) kubernetes_version: KubernetesVersion,
    /// For the delay auto: in addition to the input, read Services, Ingresses and other fronts of its
    /// namespaces from the cluster of the current kubeconfig.
    #[arg(long)]
    pub(crate) fronts_from_cluster: bool,
    /// Cluster for --fronts-from-cluster.
    #[command(flatten)]
    pub(crate) cluster: ClusterArguments,
    /// Inject only in namespaces that the input labels prestop.dev/inject: enabled.
    #[arg(long)]
    pub(crate) only_enabled: bool,
    /// Update hooks that prestop injected earlier, as if each were removed and injected again.
    #[arg(long)]
    pub(crate) renew: bool,
    /// Also exit with status 1 if there are problems.
    #[arg(long)]
    pub(crate) strict: bool,
}

/// Output forms of `inject`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputForm {
    /// The manifests with hooks; JSON stays JSON.
    Yaml,
    /// A unified diff.
    Diff,
    /// One JSON patch per changed workload, one per line.
    JsonPatch,
    /// Changes and reasons as text.
    Report,
    /// The report as JSON.
    Json,
}

/// Arguments of `prestop serve`.
#[cfg(unix)]
#[derive(Debug, Args)]
// Flags are booleans; each is used in one place.
#[allow(clippy::struct_excessive_bools)]
#[command(after_help = "\
Signals: SIGTERM drains and exits with 0; Ctrl-C finishes open requests; a second signal ends the server immediately.

Exit status: 0 drained, 1 ended by a second signal, 2 wrong usage, 3 a file that can't be used.")]
pub(crate) struct ServeArguments {
    /// The configuration file; reloaded on change.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address for admission reviews (POST /mutate). `:10250` listens on every address, IPv4 and IPv6.
    #[arg(long, value_name = "[ADDRESS]:PORT", default_value = "127.0.0.1:10250")]
    pub listen: ListenAddress,
    /// Address for /livez, /readyz, /metrics and /version.
    #[arg(long, value_name = "[ADDRESS]:PORT", default_value = "127.0.0.1:10251")]
    pub admin_listen: ListenAddress,
    /// The server's certificate chain as PEM; reloaded on change.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The private key of the certificate as PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Write the CA of the certificate made in memory to this file, for clients.
    #[arg(long, value_name = "FILE", conflicts_with = "tls_cert")]
    pub ca_out: Option<PathBuf>,
    /// The Secret that holds the CA shared by all replicas; each replica signs its own certificate with
    /// it, in memory. Needs --cluster.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["tls_cert", "ca_out"],
        requires_all = ["cluster", "webhook", "service", "namespace"])]
    pub authority_secret: Option<String>,
    /// The MutatingWebhookConfiguration whose caBundle to update.
    #[arg(long, value_name = "NAME", requires = "authority_secret")]
    pub webhook: Option<String>,
    /// The ValidatingWebhookConfiguration for warnings at apply, whose caBundle to update as well.
    #[arg(long, value_name = "NAME", requires = "authority_secret")]
    pub warnings_webhook: Option<String>,
    /// The Service that API servers connect to; the certificate is issued for its name.
    #[arg(long, value_name = "NAME", requires = "authority_secret")]
    pub service: Option<String>,
    /// The namespace of Secret and Service.
    #[arg(long, value_name = "NAME", env = "POD_NAMESPACE")]
    pub namespace: Option<String>,
    /// File of Namespace manifests to read labels and annotations from; reloaded on change.
    #[arg(long, value_name = "FILE")]
    pub namespaces_file: Option<PathBuf>,
    /// Watch the namespaces of the cluster that the pod's service account belongs to, or of the current
    /// kubeconfig, and read its API server's version.
    #[arg(long, conflicts_with = "namespaces_file")]
    pub cluster: bool,
    /// Watch Services, Ingresses, Gateway API and TargetGroupBindings too, for delays that are `auto`.
    #[arg(long, requires = "cluster")]
    pub watch_fronts: bool,
    /// The Kubernetes version [default: that of the cluster; without a cluster unknown, and delays run
    /// the sleep program of the image].
    #[arg(long, value_name = "VERSION")]
    pub kubernetes_version: Option<KubernetesVersion>,
    /// Interval for checking files for changes, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub poll_interval: u64,
    /// Print an example of an admission review to send to the server, and exit.
    #[arg(long)]
    pub print_example_review: bool,
}

/// Arguments of `prestop check`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prestop check --pre                               before helm install: version, permissions, other webhooks
  prestop check --wait 2m                           after helm install, in CI
  prestop check --context production --as alice

Changes nothing: the test pod is created as a server-side dry run. Missing permissions are reported as
warnings.

Uses the proxy of the kubeconfig (proxy-url), HTTPS_PROXY and NO_PROXY.

Exit status: 0 no failure, 1 a failure, 2 wrong usage, 3 no cluster can be reached.")]
pub(crate) struct CheckArguments {
    /// The MutatingWebhookConfiguration [default: the one with the entry pods.prestop.dev].
    #[arg(long, value_name = "NAME")]
    pub webhook: Option<String>,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArguments,
    /// Namespace for the test pod [default: the first namespace that is opted in]; with --pre, the
    /// namespace to install prestop in [default: prestop-system].
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Check before an installation: the Kubernetes version, your permissions and other webhooks.
    #[arg(long, conflicts_with_all = ["connect", "webhook"])]
    pub pre: bool,
    /// Check every 2 s until nothing fails, for at most this long [2m if no duration is given].
    #[arg(long, value_name = "DURATION", num_args = 0..=1, default_missing_value = "2m")]
    pub wait: Option<Wait>,
    /// Also connect to the Service, as the API server does; works only inside the cluster.
    #[arg(long)]
    pub connect: bool,
    /// Address to connect to instead of the Service, such as that of a kubectl port-forward.
    #[arg(long, value_name = "HOST:PORT", requires = "connect")]
    pub address: Option<String>,
    /// What to print.
    #[arg(short, long, value_enum, default_value_t = ReadingForm::Text)]
    pub output: ReadingForm,
}

/// Output forms of commands that read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReadingForm {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// Show the certificates of an installation.
#[derive(Debug, Subcommand)]
pub(crate) enum CertificatesCommand {
    /// Show the trusted CA bundle, the signing CA and the next rotation step. Never prints private keys.
    Status(CertificatesStatusArguments),
}

/// Arguments of `prestop certificates status`.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit status: 0 done, 2 wrong usage, 3 no cluster can be reached, or prestop is not in it.")]
pub(crate) struct CertificatesStatusArguments {
    /// The MutatingWebhookConfiguration [default: the one with the entry pods.prestop.dev].
    #[arg(long, value_name = "NAME")]
    pub webhook: Option<String>,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArguments,
    /// The Secret with the CA [default: the name of the webhook with -authority appended].
    #[arg(long, value_name = "NAME")]
    pub secret: Option<String>,
    /// The Secret's namespace [default: that of the webhook's Service].
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// What to print.
    #[arg(short, long, value_enum, default_value_t = ReadingForm::Text)]
    pub output: ReadingForm,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// List known applications, or show which hook an image gets, and why.
#[derive(Debug, Args)]
#[command(after_help = "Exit status: 0 done, 2 wrong usage, 3 something that is not an image.")]
pub(crate) struct CatalogueArguments {
    /// Images, such as nginx:1.15. Without images, the whole catalogue is listed.
    #[arg(value_name = "IMAGE")]
    pub images: Vec<String>,
    /// The configuration file, for custom profiles.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to print.
    #[arg(short, long, value_enum, default_value_t = ReadingForm::Text)]
    pub output: ReadingForm,
}

/// Arguments of `prestop fronts`.
#[derive(Debug, Args)]
#[command(after_help = "\
Reads Services, Ingresses, Gateway API objects, their classes and TargetGroupBindings from the input, in
any order and from any of its files, or with --cluster from a cluster.

Examples:
  prestop fronts
  prestop fronts -f manifests/
  prestop fronts --cluster -n shop

Exit status: 0 done, 2 wrong usage, 3 a file that can't be read or parsed (the other files are
processed), no document in the input, or a cluster that can't be reached or read.")]
pub(crate) struct FrontsArguments {
    /// Files, folders (searched for .yaml, .yml and .json), or - for standard input. Without any, the
    /// table of fronts is listed.
    #[arg(value_name = "FILE|FOLDER|-")]
    pub paths: Vec<PathBuf>,
    /// Same as FILE, for users of kubectl.
    #[arg(short = 'f', long = "filename", alias = "file", value_name = "FILE|FOLDER|-")]
    pub filenames: Vec<PathBuf>,
    /// Namespace of objects without metadata.namespace [default: default]; with --cluster, the only
    /// namespace to read.
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Additional kind with its pod template at spec.template (can be repeated).
    #[arg(long = "kind", value_name = "KIND.GROUP")]
    pub kinds: Vec<KindName>,
    /// What to print.
    #[arg(short, long, value_enum, default_value_t = ReadingForm::Text)]
    pub output: ReadingForm,
    /// Cluster to read instead of manifests.
    #[command(flatten)]
    pub from: FromCluster,
}

/// Arguments of `prestop explain`.
#[derive(Debug, Args)]
#[command(after_help = "Exit status: 0 done, 2 wrong usage, 3 a code that does not exist.")]
pub(crate) struct ExplainArguments {
    /// Codes, such as own-hook. Without codes, all of them are listed.
    #[arg(value_name = "CODE")]
    pub codes: Vec<String>,
}

/// Work with the configuration file.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Validate configuration files; print each error with its line and the allowed values.
    #[command(
        after_help = "Exit status: 0 no mistake, 2 wrong usage, 3 a mistake, or a file that can't be read."
    )]
    Check {
        /// The files.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Print the JSON Schema of the configuration file.
    #[command(after_help = DONE_OR_USAGE)]
    Schema,
}
