//! Arguments of `prestop policy`.

// The comments of this file are help texts: no back-ticks around the names of kinds.
#![allow(clippy::doc_markdown)]

use std::path::PathBuf;

use clap::Args;

/// Arguments of `prestop policy`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prestop policy | kubectl apply -f -
  prestop policy --config prestop.yaml --profiles nginx,httpd
  prestop policy --profiles 'nginx*,haproxy*' --validate

Limitations are listed in the comment at the top of the output and in docs/policy.md.

Exit status: 0 done, 2 wrong usage, an invalid configuration, or an unknown profile.")]
pub(crate) struct PolicyArguments {
    /// The configuration file (prestop config check validates it).
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Profiles whose quit the policy uses, separated by commas; * matches any characters. Without this
    /// option every container gets the delay only.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub profiles: Vec<String>,
    /// Add a ValidatingAdmissionPolicy that warns when a pod without a hook is created.
    #[arg(long)]
    pub validate: bool,
    /// Select all namespaces except those labelled prestop.dev/inject: disabled, instead of only those
    /// labelled enabled.
    #[arg(long)]
    pub all_namespaces: bool,
    /// The name of the policies and bindings.
    #[arg(long, value_name = "NAME", default_value = "prestop.dev", value_parser = object_name)]
    pub name: String,
}

/// Checks a name that objects of a cluster can have.
fn object_name(text: &str) -> Result<String, String> {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_label = |label: &str| {
        let bytes = label.as_bytes();
        bytes.first().is_some_and(|byte| is_word(*byte))
            && bytes.last().is_some_and(|byte| is_word(*byte))
            && bytes.iter().all(|byte| is_word(*byte) || *byte == b'-')
    };
    if text.len() <= 253 && text.split('.').all(is_label) {
        Ok(text.to_owned())
    } else {
        Err("write lower-case letters, digits, '-' and '.', such as prestop.dev".to_owned())
    }
}
