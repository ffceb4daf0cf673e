//! Arguments of `prestop version`.

use clap::Args;

use super::{ClusterArguments, ReadingForm};

/// What `prestop version` is told.
#[derive(Debug, Args)]
#[command(after_help = "\
With --cluster the replicas behind the webhook's Service are asked, through the API server: that needs the
rights to list pods and to get pods/proxy. What can't be asked is named by its image.

Exit status: 0 done, 1 a replica could not be asked, 2 wrong usage, 3 no cluster can be reached, or prestop is
not installed in it.")]
pub(crate) struct VersionArguments {
    /// Ask the replicas in the cluster for their version too.
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
