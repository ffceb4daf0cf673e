//! The command line: structs only. What they mean is in `commands`.

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

/// preStop hooks for Kubernetes, injected: rolling updates, drains and scale-downs drop no request.
#[derive(Debug, Parser)]
#[command(name = "prestop", version = crate::version::Version::text(), max_term_width = 100)]
#[command(
    after_help = "Exit status: 0 done, and nothing found, 1 something found (by --check or --strict, findings \
at the bar of an audit, a failed check, dropped requests) or a server that a second signal ended, 2 wrong \
usage, 3 input or a cluster that can't be read, 130 interrupted. The --help of each command says what these \
mean for it."
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
    /// Pods, and the pod templates of Deployments, StatefulSets, DaemonSets, ReplicaSets,
    /// ReplicationControllers, Jobs, CronJobs, Argo Rollouts, OpenShift DeploymentConfigs, the CloneSets,
    /// StatefulSets and DaemonSets of OpenKruise, and Lists of them are decided on exactly
    /// as the webhook would decide on their pods. Everything else passes through unchanged, and so do
    /// comments, the order of keys, quotes and blank lines; and so do patches of Kustomize.
    Inject(InjectArguments),
    /// Take the hooks out again that prestop put into manifests.
    ///
    /// Only what the annotation prestop.dev/status proves to be prestop's own. The rest of each file stays as
    /// it is, byte for byte; a hook of the author that was completed comes back.
    Uninject(UninjectArguments),
    /// Inject hooks as a function of kustomize or kpt: a ResourceList in, a ResourceList with results out.
    #[command(alias = "fn")]
    Function(FunctionArguments),
    /// Rehearse a rollout with a real server on this machine, under load: as written, and as injected.
    ///
    /// Starts the command that follows -- as the replicas of a workload, in namespaces of its own, and
    /// plays a rolling update, a scale-down and a drain as Kubernetes would, once with the manifest as
    /// it is and once as prestop injects it. Counts the requests that were dropped.
    #[cfg(all(feature = "rehearse", target_os = "linux"))]
    Rehearse(RehearseArguments),
    /// What runs inside of a rehearsal's sandbox.
    #[cfg(all(feature = "rehearse", target_os = "linux"))]
    #[command(hide = true, name = "rehearse-sandbox")]
    RehearseSandbox,
    /// Serve the admission webhook.
    ///
    /// Reviews of pods over TLS, probes and metrics in plain HTTP. Without arguments it serves this
    /// machine only, with a certificate made in memory. No pod is ever refused; in doubt a pod stays
    /// as it is.
    #[cfg(unix)]
    Serve(ServeArguments),
    /// Check an installation in the cluster of the current kubeconfig, or else of this pod: what works,
    /// what does not, and what to do about it.
    Check(CheckArguments),
    /// Look after the certificates of an installation.
    #[command(subcommand)]
    Certificates(CertificatesCommand),
    /// List what is known about applications, or say what one image gets and why.
    #[command(alias = "catalog")]
    Catalogue(CatalogueArguments),
    /// Find workloads that drop requests when they roll, are drained or scaled down: why, and what mends it.
    ///
    /// Reads manifests or a cluster and changes nothing. Joins each workload with the Services, Ingresses, Gateways,
    /// PodDisruptionBudgets and autoscalers around it, and with what is known about its images.
    Audit(AuditArguments),
    /// List what can be in front of pods and how long it goes on sending, or say what is in front of the
    /// workloads of manifests or of a cluster.
    Fronts(FrontsArguments),
    /// Write the rules as a MutatingAdmissionPolicy, which API servers of Kubernetes 1.36 and newer run
    /// themselves.
    ///
    /// For clusters without the webhook: opt-in, skipped owners, delays by annotations, the grace period, native
    /// sleeps, and the quits of chosen profiles, in CEL. Needs no cluster; prints YAML.
    Policy(PolicyArguments),
    /// Watch pods end: which were killed, whose hook failed, which were gone before their endpoint was withdrawn.
    ///
    /// Follows rollouts, drains and scale-downs of a live cluster with read rights only, and prints a line for
    /// each container that ends: when it was deleted and by whom, when its endpoint was withdrawn, when and how
    /// it ended, and what that means. With --url it sends requests meanwhile and counts those that are lost.
    #[cfg(all(feature = "watch", unix))]
    Watch(WatchArguments),
    /// Say what codes of reports, metrics and logs mean, and what to do.
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

impl Cli {
    /// Reads the arguments of a process, its name first.
    ///
    /// # Errors
    /// Wrong usage with what would be right; also `--help` and `--version`, which clap prints.
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

/// What `prestop inject` is told.
#[derive(Debug, Args)]
// Flags are booleans; each is looked at in one place.
#[allow(clippy::struct_excessive_bools)]
#[command(after_help = "\
Examples:
  prestop inject -o report deployment.yaml          what would be done, and why
  prestop inject -o diff manifests/                 the same as a diff
  kustomize build . | prestop inject - | kubectl apply -f -
  prestop inject --renew -i manifests/              hooks of an older prestop, or for changed settings
  prestop inject --check manifests/                 for pipelines: exit status 1 if anything is missing
  prestop inject --strict -o report manifests/      exit status 1 if anything can't be done as asked
  prestop inject --fronts-from-cluster -i shop/     the delay auto, with the Services of the cluster

Exit status: 0 done, 1 --check or --strict found something, 2 wrong usage, 3 bad input: a file that
can't be read, understood or written (the others are done), or no document at all; a cluster that can't
be reached.")]
pub(crate) struct InjectArguments {
    /// Which manifests.
    #[command(flatten)]
    pub(crate) manifests: ManifestArguments,
    /// The configuration file (prestop config check reads the same).
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The version of the API server: decides between Kubernetes' own sleep and the image's.
    #[arg(long, value_name = "VERSION", default_value_t = KubernetesVersion::NEWEST)]
    pub(crate) kubernetes_version: KubernetesVersion,
    /// For the delay auto: read the Services of the input's namespaces, and what sends to them, from the
    /// cluster of the current kubeconfig, beside those of the input.
    #[arg(long)]
    pub(crate) fronts_from_cluster: bool,
    /// Which cluster, with --fronts-from-cluster.
    #[command(flatten)]
    pub(crate) cluster: ClusterArguments,
    /// Only namespaces of the input that are labelled prestop.dev/inject: enabled.
    #[arg(long)]
    pub(crate) only_enabled: bool,
    /// Bring hooks up to date that prestop wrote earlier: as if each were taken out and put in again.
    #[arg(long)]
    pub(crate) renew: bool,
    /// Exit with status 1 if there are problems, too.
    #[arg(long)]
    pub(crate) strict: bool,
}

/// What `inject` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputForm {
    /// The manifests with the hooks; JSON stays JSON.
    Yaml,
    /// What differs, as a unified diff.
    Diff,
    /// One JSON patch per changed workload, one line each.
    JsonPatch,
    /// What is done and why, for people.
    Report,
    /// The report for machines.
    Json,
}

/// What `prestop serve` is told.
#[cfg(unix)]
#[derive(Debug, Args)]
// Flags are booleans; each is looked at in one place.
#[allow(clippy::struct_excessive_bools)]
#[command(after_help = "\
Signals: SIGTERM drains and exits with 0; Ctrl-C finishes what has begun; a second one ends at once.

Exit status: 0 drained, 1 ended by a second signal, 2 wrong usage, 3 a file that can't be used.")]
pub(crate) struct ServeArguments {
    /// The configuration file; read again when it changes.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where reviews are served: POST /mutate. `:10250` is every address, IPv4 and IPv6.
    #[arg(long, value_name = "[ADDRESS]:PORT", default_value = "127.0.0.1:10250")]
    pub listen: ListenAddress,
    /// Where /livez, /readyz, /metrics and /version are served.
    #[arg(long, value_name = "[ADDRESS]:PORT", default_value = "127.0.0.1:10251")]
    pub admin_listen: ListenAddress,
    /// The server's certificate and those that signed it, as PEM; read again when it changes.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's key, as PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Where to write the authority of the certificate that is made in memory, for clients.
    #[arg(long, value_name = "FILE", conflicts_with = "tls_cert")]
    pub ca_out: Option<PathBuf>,
    /// The Secret in which all replicas keep the authority that they share; each signs its own
    /// certificate with it, in memory. Needs --cluster.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["tls_cert", "ca_out"],
        requires_all = ["cluster", "webhook", "service", "namespace"])]
    pub authority_secret: Option<String>,
    /// The MutatingWebhookConfiguration whose caBundle is kept up to date.
    #[arg(long, value_name = "NAME", requires = "authority_secret")]
    pub webhook: Option<String>,
    /// The ValidatingWebhookConfiguration of the warnings at apply, whose caBundle is kept up to date, too.
    #[arg(long, value_name = "NAME", requires = "authority_secret")]
    pub warnings_webhook: Option<String>,
    /// The Service that API servers connect to: the certificate is for its name.
    #[arg(long, value_name = "NAME", requires = "authority_secret")]
    pub service: Option<String>,
    /// The namespace of Secret and Service.
    #[arg(long, value_name = "NAME", env = "POD_NAMESPACE")]
    pub namespace: Option<String>,
    /// Manifests of Namespaces whose labels and annotations hold; read again when they change.
    #[arg(long, value_name = "FILE")]
    pub namespaces_file: Option<PathBuf>,
    /// Watch the namespaces of the cluster that the pod's service account belongs to, or of the current
    /// kubeconfig, and read its API server's version.
    #[arg(long, conflicts_with = "namespaces_file")]
    pub cluster: bool,
    /// Watch Services, Ingresses, Gateway API and TargetGroupBindings too, for delays that are `auto`.
    #[arg(long, requires = "cluster")]
    pub watch_fronts: bool,
    /// The version of the API server [default: the cluster's, if there is one; else unknown, which
    /// means that delays use the image's own sleep].
    #[arg(long, value_name = "VERSION")]
    pub kubernetes_version: Option<KubernetesVersion>,
    /// How often files are looked at, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub poll_interval: u64,
    /// Print a review as the API server sends it, to try the server with, and exit.
    #[arg(long)]
    pub print_example_review: bool,
}

/// What `prestop check` is told.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prestop check --pre                               before helm install: version, rights, other webhooks
  prestop check --wait 2m                           after helm install, in a pipeline
  prestop check --context production --as alice

Nothing is changed: the pod that shows whether hooks arrive is created as a server-side dry run.
What you may not see is a warning.

Proxies are those of the kubeconfig (proxy-url), HTTPS_PROXY and NO_PROXY.

Exit status: 0 no failure, 1 a failure, 2 wrong usage, 3 no cluster can be reached.")]
pub(crate) struct CheckArguments {
    /// The MutatingWebhookConfiguration [default: the one with the entry pods.prestop.dev].
    #[arg(long, value_name = "NAME")]
    pub webhook: Option<String>,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArguments,
    /// Where the pod is tried [default: the first namespace that is opted in]; with --pre, the namespace in
    /// which prestop is to be installed [default: prestop-system].
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Before an installation: whether the version, your rights and other webhooks let it be installed.
    #[arg(long, conflicts_with_all = ["connect", "webhook"])]
    pub pre: bool,
    /// Check every 2 s until nothing fails, at most so long [2m if no duration is given].
    #[arg(long, value_name = "DURATION", num_args = 0..=1, default_missing_value = "2m")]
    pub wait: Option<Wait>,
    /// Connect to the Service too, as the API server does; from inside of the cluster.
    #[arg(long)]
    pub connect: bool,
    /// Where to connect to instead of the Service, such as the end of a kubectl port-forward.
    #[arg(long, value_name = "HOST:PORT", requires = "connect")]
    pub address: Option<String>,
    /// What to print.
    #[arg(short, long, value_enum, default_value_t = ReadingForm::Text)]
    pub output: ReadingForm,
}

/// For whom something is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReadingForm {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// Look after the certificates of an installation.
#[derive(Debug, Subcommand)]
pub(crate) enum CertificatesCommand {
    /// Print what API servers trust, what signs, and when what will happen next. Never a key.
    Status(CertificatesStatusArguments),
}

/// What `prestop certificates status` is told.
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
    /// The Secret with the authority [default: the webhook's name and -authority].
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

/// List what is known about applications, or say what one image gets and why.
#[derive(Debug, Args)]
#[command(after_help = "Exit status: 0 done, 2 wrong usage, 3 something that is not an image.")]
pub(crate) struct CatalogueArguments {
    /// Images, such as nginx:1.15. Without any the whole catalogue is listed.
    #[arg(value_name = "IMAGE")]
    pub images: Vec<String>,
    /// The configuration file, for profiles of your own.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to print.
    #[arg(short, long, value_enum, default_value_t = ReadingForm::Text)]
    pub output: ReadingForm,
}

/// What `prestop fronts` is told.
#[derive(Debug, Args)]
#[command(after_help = "\
Services, Ingresses, Gateway API objects, their classes and TargetGroupBindings are those of the input, in
any order and in any of its files, or with --cluster those of a cluster.

Examples:
  prestop fronts
  prestop fronts -f manifests/
  prestop fronts --cluster -n shop

Exit status: 0 done, 2 wrong usage, 3 bad input: a file that can't be read or understood (the others are
read), or no document at all; a cluster that can't be reached or read.")]
pub(crate) struct FrontsArguments {
    /// Files, folders (searched for .yaml, .yml and .json), or - for standard input. Without any the table
    /// of fronts is listed.
    #[arg(value_name = "FILE|FOLDER|-")]
    pub paths: Vec<PathBuf>,
    /// The same, as kubectl has it.
    #[arg(short = 'f', long = "filename", alias = "file", value_name = "FILE|FOLDER|-")]
    pub filenames: Vec<PathBuf>,
    /// The namespace of objects that do not say [default: default]; with --cluster the only one that is read.
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// One more kind that has its pod template at spec.template (can be repeated).
    #[arg(long = "kind", value_name = "KIND.GROUP")]
    pub kinds: Vec<KindName>,
    /// What to print.
    #[arg(short, long, value_enum, default_value_t = ReadingForm::Text)]
    pub output: ReadingForm,
    /// A cluster instead of manifests.
    #[command(flatten)]
    pub from: FromCluster,
}

/// What `prestop explain` is told.
#[derive(Debug, Args)]
#[command(after_help = "Exit status: 0 done, 2 wrong usage, 3 a code that does not exist.")]
pub(crate) struct ExplainArguments {
    /// Codes, such as own-hook. Without any all of them are listed.
    #[arg(value_name = "CODE")]
    pub codes: Vec<String>,
}

/// Work with the configuration file.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check configuration files; say what is wrong, where, and what is allowed.
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
