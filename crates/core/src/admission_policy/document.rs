//! The policies as YAML, with comments for reviewers.

use std::fmt::Write as _;

use super::cel::text;
use super::difference::Difference;
use super::{SYSTEM_NAMESPACES, Source, Variable, order, used_by};
use crate::engine::settings::{INJECT_LABEL, Switch};
use crate::policy::{KubernetesVersion, NamespaceRule};

const API_VERSION: &str = "admissionregistration.k8s.io/v1";

/// Whether to generate a second policy that checks the resulting pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validation {
    /// No second policy.
    None,
    /// Creating a pod without a hook causes a warning.
    Warn,
}

/// Returns the policy and its binding as YAML; with a validation, its policy and binding as well.
#[must_use]
pub fn to_yaml(source: &Source<'_>, validation: Validation) -> String {
    let mut yaml = head(source);
    mutating(&mut yaml, source);
    if validation == Validation::Warn {
        validating(&mut yaml, source);
    }
    yaml
}

/// The header: the purpose of the policy and its limitations.
fn head(source: &Source<'_>) -> String {
    let mut text = format!(
        "# Written by prestop policy, for Kubernetes {} and newer. Generate it again instead of editing it.\n\
         #\n\
         # Differences from prestop's webhook (docs/policy.md):\n",
        KubernetesVersion::MUTATING_POLICIES
    );
    for difference in Difference::ALL {
        let mark =
            if difference.matters_to(source) { " (this configuration asks for it)" } else { "" };
        comment(&mut text, "", &format!("- {}{mark}", difference.sentence()), "  ");
    }
    let names: Vec<_> = source.quits.iter().map(|profile| profile.name.as_str()).collect();
    let quits = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    text.push_str("#\n");
    comment(&mut text, "", &format!("Profiles with their quit: {quits}"), "  ");
    text
}

/// Writes a comment, wrapped to the line width.
fn comment(out: &mut String, indent: &str, text: &str, hanging: &str) {
    let mut line = String::new();
    for word in text.split(' ') {
        if !line.trim().is_empty() && indent.len() + line.len() + word.len() > 110 {
            let _ = writeln!(out, "{indent}#{line}");
            line = format!(" {}", hanging.trim_end_matches('\n').to_owned() + word);
            continue;
        }
        let _ = write!(line, " {word}");
    }
    let _ = writeln!(out, "{indent}#{line}");
}

fn mutating(yaml: &mut String, source: &Source<'_>) {
    let name = source.name;
    let _ = write!(
        yaml,
        "---\napiVersion: {API_VERSION}\nkind: MutatingAdmissionPolicy\nmetadata:\n  name: {name}\nspec:\n"
    );
    constraints(yaml, source);
    yaml.push_str("  # Containers that a later webhook adds get their hook too.\n  reinvocationPolicy: IfNeeded\n");
    let patch = order::patch(&source.quits);
    variables(yaml, &used_by(&patch, source.variables()));
    yaml.push_str(
        "  mutations:\n    - patchType: JSONPatch\n      jsonPatch:\n        expression: |-\n",
    );
    block(yaml, &patch, "          ");
    let _ = write!(
        yaml,
        "---\napiVersion: {API_VERSION}\nkind: MutatingAdmissionPolicyBinding\nmetadata:\n  name: {name}\nspec:\n  policyName: {name}\n"
    );
}

fn validating(yaml: &mut String, source: &Source<'_>) {
    let name = source.name;
    let _ = write!(
        yaml,
        "---\n# Warns when a pod is created that has no hook after all webhooks and policies have run. Refuses nothing.\n\
         apiVersion: {API_VERSION}\nkind: ValidatingAdmissionPolicy\nmetadata:\n  name: {name}\nspec:\n"
    );
    constraints(yaml, source);
    let mut all = source.until_delays();
    all.push(Variable::new(
        "withoutHooks",
        "",
        "variables.containers.transformList(i, c, variables.isFree[i] && variables.delays[i] > 0, c.name)",
    ));
    variables(yaml, &used_by("variables.withoutHooks", all));
    let start =
        text("prestop: no preStop hook, so requests can be dropped when the pod stops: container ");
    let _ = write!(
        yaml,
        "  validations:\n    - expression: size(variables.withoutHooks) == 0\n      messageExpression: |-\n        {start} + variables.withoutHooks.join(', ')\n\
         ---\napiVersion: {API_VERSION}\nkind: ValidatingAdmissionPolicyBinding\nmetadata:\n  name: {name}\nspec:\n  policyName: {name}\n  validationActions: [Warn]\n"
    );
}

/// Writes which requests the policy applies to. Labels count in any case, so the selectors exclude
/// only values that certainly opt out.
fn constraints(yaml: &mut String, source: &Source<'_>) {
    yaml.push_str("  # An error in the policy, or a pod that is too large for it, does not prevent the pod from being created.\n  failurePolicy: Ignore\n  matchConstraints:\n    matchPolicy: Equivalent\n    namespaceSelector:\n      matchExpressions:\n");
    if source.policy.namespaces == NamespaceRule::Enabled {
        let _ = writeln!(yaml, "        - {{key: {INJECT_LABEL}, operator: Exists}}");
    }
    let _ = write!(
        yaml,
        "        - key: kubernetes.io/metadata.name\n          operator: NotIn\n          values: [{}]\n    objectSelector:\n      matchExpressions:\n        - key: {INJECT_LABEL}\n          operator: NotIn\n          values: [{}]\n",
        SYSTEM_NAMESPACES.join(", "),
        Switch::Disabled.words().map(|word| format!("\"{word}\"")).join(", ")
    );
    yaml.push_str("    resourceRules:\n      - operations: [CREATE]\n        apiGroups: [\"\"]\n        apiVersions: [v1]\n        resources: [pods]\n        scope: Namespaced\n");
}

fn variables(yaml: &mut String, variables: &[Variable]) {
    yaml.push_str("  variables:\n");
    for Variable { name, comment: words, expression } in variables {
        if !words.is_empty() {
            comment(yaml, "    ", words, "");
        }
        let _ = writeln!(yaml, "    - name: {name}\n      expression: |-");
        block(yaml, expression, "        ");
    }
}

/// Appends the lines of a block with an indentation.
fn block(yaml: &mut String, text: &str, indent: &str) {
    for line in text.lines() {
        let _ = writeln!(yaml, "{indent}{line}");
    }
}
