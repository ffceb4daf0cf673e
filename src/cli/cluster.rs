//! Which cluster is asked.

#[cfg(feature = "kubeconfig")]
use std::path::PathBuf;

use clap::Args;

use crate::cluster::api::Choice;

/// Which cluster: without any of these the current context's, or else the one that this pod runs in.
#[derive(Debug, Default, Args)]
pub(crate) struct ClusterArguments {
    /// The kubeconfig [default: KUBECONFIG, or else ~/.kube/config].
    #[cfg(feature = "kubeconfig")]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig [default: its current one].
    #[cfg(feature = "kubeconfig")]
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
}

impl ClusterArguments {
    /// As the client takes it.
    #[must_use]
    #[cfg(feature = "kubeconfig")]
    pub(crate) fn choice(&self) -> Choice {
        Choice { kubeconfig: self.kubeconfig.clone(), context: self.context.clone() }
    }

    /// This build knows the pod's service account only.
    #[must_use]
    #[cfg(not(feature = "kubeconfig"))]
    #[allow(clippy::unused_self)]
    pub(crate) fn choice(&self) -> Choice {
        Choice::default()
    }
}
