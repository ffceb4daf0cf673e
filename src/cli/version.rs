//! Arguments of `prestop version`.

use clap::Args;

use super::{ClusterArguments, ReadingForm};

/// Arguments of `prestop version`.
#[derive(Debug, Args)]
#[command(after_help = "\
With --cluster the version of each replica behind the webhook's Service is read through the API server,
which needs the rights to list pods and to get pods/proxy. For a replica that does not answer, its image
is printed.

Exit status: 0 done, 1 a replica did not answer, 2 wrong usage, 3 no cluster can be reached, or prestop is
not installed in it.")]
pub(crate) struct VersionArguments {
    /// Also print the versions of the replicas in the cluster.
    #[arg(long = "cluster")]
    pub asks_cluster: bool,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArguments,
    /// The MutatingWebhookConfiguration [default: the one with the entry pods.prestop.dev].
    #[arg(long, value_name = "NAME", requires = "asks_cluster")]
    pub webhook: Option<String>,
    /// What to print.
    #[arg(short, long, value_enum, default_value_t = ReadingForm::Text)]
    pub output: ReadingForm,
}
