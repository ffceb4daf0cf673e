//! Arguments of `prestop function`.

use clap::Args;
use prestop_core::engine::template::KindName;
use prestop_core::policy::KubernetesVersion;

/// What `prestop function` is told.
#[derive(Debug, Args)]
#[command(after_help = "\
The configuration is the functionConfig of the input: a Configuration of prestop.dev/v1alpha1, as in the
configuration file, or a ConfigMap with such a file as its key prestop.yaml.

Examples:
  kustomize build --enable-alpha-plugins --enable-exec .     with a transformer of docs/tools.md
  kpt fn eval manifests/ --exec 'prestop function' --fn-config prestop.yaml
  kpt fn eval manifests/ --exec 'prestop function --check'

Exit status: 0 done, 1 --check or --strict found something, 2 wrong usage or a configuration that can't be
used, 3 input that is not a ResourceList.")]
pub(crate) struct FunctionArguments {
    /// Change nothing; each workload that would be changed is an error: a validator.
    #[arg(long)]
    pub(crate) check: bool,
    /// Problems are errors, too.
    #[arg(long)]
    pub(crate) strict: bool,
    /// The version of the API server: decides between Kubernetes' own sleep and the image's.
    #[arg(long, value_name = "VERSION", default_value_t = KubernetesVersion::NEWEST)]
    pub(crate) kubernetes_version: KubernetesVersion,
    /// Only namespaces of the input that are labelled prestop.dev/inject: enabled.
    #[arg(long)]
    pub(crate) only_enabled: bool,
    /// The namespace of objects that do not say.
    #[arg(short, long, default_value = "default", value_name = "NAME")]
    pub(crate) namespace: String,
    /// One more kind that has its pod template at spec.template (can be repeated).
    #[arg(long = "kind", value_name = "KIND.GROUP")]
    pub(crate) kinds: Vec<KindName>,
}
