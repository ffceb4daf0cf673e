//! Arguments of `prestop function`.

use clap::Args;
use prestop_core::engine::template::KindName;
use prestop_core::policy::KubernetesVersion;

/// Arguments of `prestop function`.
#[derive(Debug, Args)]
#[command(after_help = "\
The functionConfig of the input is the configuration: either a Configuration of prestop.dev/v1alpha1, as
in the configuration file, or a ConfigMap with such a file in its key prestop.yaml.

Examples:
  kustomize build --enable-alpha-plugins --enable-exec .     with a transformer of docs/tools.md
  kpt fn eval manifests/ --exec 'prestop function' --fn-config prestop.yaml
  kpt fn eval manifests/ --exec 'prestop function --check'

Exit status: 0 done, 1 --check or --strict found something, 2 wrong usage or an invalid configuration, 3
input that is not a ResourceList.")]
pub(crate) struct FunctionArguments {
    /// Change nothing; report each workload that would be changed as an error (a validator).
    #[arg(long)]
    pub(crate) check: bool,
    /// Report problems as errors too.
    #[arg(long)]
    pub(crate) strict: bool,
    /// The Kubernetes version: determines whether the native sleep action or an exec hook is used for delays.
    #[arg(long, value_name = "VERSION", default_value_t = KubernetesVersion::NEWEST)]
    pub(crate) kubernetes_version: KubernetesVersion,
    /// Inject only in namespaces that the input labels prestop.dev/inject: enabled.
    #[arg(long)]
    pub(crate) only_enabled: bool,
    /// Namespace of objects without metadata.namespace.
    #[arg(short, long, default_value = "default", value_name = "NAME")]
    pub(crate) namespace: String,
    /// Additional kind with its pod template at spec.template (can be repeated).
    #[arg(long = "kind", value_name = "KIND.GROUP")]
    pub(crate) kinds: Vec<KindName>,
}
