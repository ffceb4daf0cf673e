//! The options that select a cluster.

use std::path::PathBuf;

use clap::Args;

use crate::cluster::api::Choice;
use crate::cluster::reading::PAGE;

/// The cluster to use. Without any of these options: that of the current context, or else the one that
/// this pod runs in.
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
    /// User to impersonate, as with kubectl; needs the right to impersonate.
    #[cfg(feature = "kubeconfig")]
    #[arg(long = "as", value_name = "USER")]
    pub impersonate: Option<String>,
    /// Group to impersonate (can be repeated).
    #[cfg(feature = "kubeconfig")]
    #[arg(long = "as-group", value_name = "GROUP", requires = "impersonate")]
    pub impersonate_groups: Vec<String>,
}

/// Options to read a cluster instead of manifests.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Cluster")]
pub(crate) struct FromCluster {
    /// Read the objects of a cluster instead of manifests.
    #[arg(long)]
    pub cluster: bool,
    /// Which cluster.
    #[command(flatten)]
    pub choice: ClusterArguments,
    /// All namespaces [default: the context's namespace, or --namespace].
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Only workloads with these labels, such as app=web,tier!=test.
    #[arg(short = 'l', long, value_name = "LABELS")]
    pub selector: Option<String>,
    /// Objects per page; for tests only.
    #[arg(long, hide = true, value_name = "NUMBER", default_value_t = PAGE, value_parser = clap::value_parser!(u32).range(1..))]
    pub page_size: u32,
}

impl FromCluster {
    /// Returns the choice for the client.
    #[must_use]
    pub(crate) fn choice(&self) -> Choice {
        self.choice.choice()
    }

    /// Returns the first option that has an effect only with `--cluster`.
    fn stray(&self) -> Option<&'static str> {
        let of_cluster = [
            (self.choice.stray().is_some(), self.choice.stray().unwrap_or_default()),
            (self.all_namespaces, "--all-namespaces (-A)"),
            (self.selector.is_some(), "--selector (-l)"),
        ];
        of_cluster.into_iter().find(|(is_there, _)| *is_there).map(|(_, name)| name)
    }

    /// Returns the error for a wrong combination of arguments, with the fix. `inputs` are the files
    /// that were given.
    pub(crate) fn contradiction(
        &self,
        inputs: &[PathBuf],
        namespace: Option<&str>,
    ) -> Option<String> {
        if !self.cluster {
            let option = self.stray()?;
            return Some(format!(
                "{option} has an effect only with --cluster; add --cluster, or leave it out"
            ));
        }
        if let Some(input) = inputs.first() {
            return Some(format!(
                "--cluster reads the objects of a cluster, and {} is a file; leave one of them out",
                input.display()
            ));
        }
        (self.all_namespaces && namespace.is_some()).then(|| {
            "--all-namespaces (-A) and --namespace (-n) contradict each other; leave one of them out".to_owned()
        })
    }
}

impl ClusterArguments {
    /// Returns the first option that is set.
    #[cfg(feature = "kubeconfig")]
    pub(crate) fn stray(&self) -> Option<&'static str> {
        let kubeconfig = self.kubeconfig.is_some().then_some("--kubeconfig");
        let context = self.context.is_some().then_some("--context");
        kubeconfig.or(context).or(self.impersonate.is_some().then_some("--as"))
    }

    /// This build has no such options.
    #[cfg(not(feature = "kubeconfig"))]
    #[allow(clippy::unused_self)]
    pub(crate) fn stray(&self) -> Option<&'static str> {
        None
    }

    /// Returns the choice for the client.
    #[must_use]
    #[cfg(feature = "kubeconfig")]
    pub(crate) fn choice(&self) -> Choice {
        Choice {
            kubeconfig: self.kubeconfig.clone(),
            context: self.context.clone(),
            impersonate: self.impersonate.clone(),
            impersonate_groups: self.impersonate_groups.clone(),
        }
    }

    /// This build supports only the pod's service account.
    #[must_use]
    #[cfg(not(feature = "kubeconfig"))]
    #[allow(clippy::unused_self)]
    pub(crate) fn choice(&self) -> Choice {
        Choice::default()
    }
}
