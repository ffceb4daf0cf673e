//! The section for `prestop audit`.

use std::borrow::Cow;

use prestop_core::audit::{Ignore, Rule};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::error::Finding;

/// Findings of `prestop audit`. `prestop serve` does not read this.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct AuditSection {
    /// Findings to ignore, each with a reason.
    #[serde(default)]
    #[schemars(extend("default" = []))]
    ignore: Vec<IgnoreEntry>,
}

/// Findings to ignore. Fields that are not set match everything.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct IgnoreEntry {
    /// The rule; `prestop audit --rules` lists them.
    #[schemars(with = "RuleId")]
    rule: Spanned<String>,
    /// The reason why the finding is ignored.
    #[schemars(with = "String", length(min = 1))]
    reason: Spanned<String>,
    /// Only in this namespace.
    #[serde(default)]
    #[schemars(with = "String")]
    namespace: Option<String>,
    /// Only of workloads of this kind.
    #[serde(default)]
    #[schemars(with = "String")]
    kind: Option<String>,
    /// Only of workloads with this name.
    #[serde(default)]
    #[schemars(with = "String")]
    name: Option<String>,
}

struct RuleId;

impl JsonSchema for RuleId {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Rule".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let ids: Vec<_> = Rule::ALL.iter().map(|rule| rule.text().id).collect();
        json_schema!({"type": "string", "enum": ids})
    }
}

impl AuditSection {
    pub(super) fn ignores(self, findings: &mut Vec<Finding>) -> Vec<Ignore> {
        let mut ignores = Vec::new();
        for (index, entry) in self.ignore.into_iter().enumerate() {
            let IgnoreEntry { rule, reason, namespace, kind, name } = entry;
            let mut find = |field: &str, place, message: &str| {
                let path = format!("audit.ignore[{index}].{field}");
                findings.push(Finding::new(&path, place, message.to_owned()));
            };
            if reason.value.trim().is_empty() {
                find("reason", reason.referenced.into(), "empty; write why the finding is ignored");
            }
            match Rule::by_id(&rule.value) {
                Some(rule) => {
                    let reason = reason.value.trim().to_owned();
                    ignores.push(Ignore { rule, reason, namespace, kind, name });
                }
                None => find(
                    "rule",
                    rule.referenced.into(),
                    "unknown rule; prestop audit --rules lists them",
                ),
            }
        }
        ignores
    }
}
