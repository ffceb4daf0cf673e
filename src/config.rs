//! The configuration file `prestop.yaml`: parses its text into a [`Policy`] and [`ServeSettings`],
//! or reports everything that is wrong with it. See `docs/configuration.md` for the fields.
//!
//! Three steps, each of which reports all its errors: the text becomes a tree (`document`), the tree is
//! validated against the schema (`shape`), and the values against the rules (`rules`).

mod audit;
mod bounded;
mod certificates;
mod document;
mod error;
mod format;
mod profiles;
mod rules;
mod server;
mod shape;

use std::sync::LazyLock;

use prestop_core::audit::Ignore;
use prestop_core::policy::Policy;
use serde_json::Value;

use self::document::Node;
use self::error::Finding;
use self::format::ConfigurationFile;
use crate::webhook::settings::ServeSettings;

pub use self::error::{ConfigError, Problem};
pub use self::format::json_schema;
pub use self::profiles::{DELAY_PATTERN, DURATION_PATTERN};

/// The content of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    policy: Policy,
    settings: ServeSettings,
    ignores: Vec<Ignore>,
}

impl Config {
    /// Reads and checks the text of a configuration file.
    ///
    /// # Errors
    /// When it is not one YAML document of at most 1 MiB, when something in it is unknown or of a
    /// wrong type, or when values are out of bounds or don't go together.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        match read(text) {
            Ok(config) => Ok(config),
            Err(findings) => Err(ConfigError::new(text, findings)),
        }
    }

    /// Returns the policy, with the built-in values for fields that are not set. The Kubernetes
    /// version and the choice of namespaces are not in the file: callers set them.
    #[must_use]
    pub fn into_policy(self) -> Policy {
        self.policy
    }

    /// Returns the accepted findings of the audit.
    #[must_use]
    pub fn ignores(&self) -> &[Ignore] {
        &self.ignores
    }

    /// Returns the policy and the settings of the server.
    #[must_use]
    pub fn into_parts(self) -> (Policy, ServeSettings) {
        (self.policy, self.settings)
    }
}

fn read(text: &str) -> Result<Config, Vec<Finding>> {
    static SCHEMA: LazyLock<Value> = LazyLock::new(json_schema);
    let document = document::read(text).map_err(|finding| vec![finding])?;
    check_shape(&document, &SCHEMA)?;
    let file = document::read_as::<ConfigurationFile>(text, &document);
    rules::check(file.map_err(|finding| vec![finding])?)
}

fn check_shape(document: &Node, schema: &Value) -> Result<(), Vec<Finding>> {
    if matches!(document.value, document::Value::Null) {
        let message =
            "empty; write at least apiVersion: prestop.dev/v1alpha1 and kind: Configuration";
        return Err(vec![Finding::of_file(message)]);
    }
    let mut findings = shape::check(document, schema);
    // In a file of another kind or version nothing else can be expected to fit.
    let decides = |finding: &Finding| ["apiVersion", "kind"].contains(&finding.path.as_str());
    if findings.iter().any(decides) {
        findings.retain(decides);
    }
    if findings.is_empty() { Ok(()) } else { Err(findings) }
}
