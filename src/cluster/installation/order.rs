//! Webhooks that change pods after prestop. API servers call the configurations in the order of
//! their names, and the entries of a configuration in the order in which they are written. Pure:
//! `commands::check` reads.

use super::Check;
use super::before::{name, some, takes_pods};
use crate::cluster::api::objects::{MutatingWebhook, MutatingWebhookConfiguration};

pub(crate) const ID: &str = "later-webhooks";

/// Checks for webhooks that are called after this entry of this configuration.
#[must_use]
pub(crate) fn later(
    configuration: &str,
    webhook: &MutatingWebhook,
    all: &[MutatingWebhookConfiguration],
) -> Check {
    let mut names: Vec<_> =
        all.iter().filter(|it| is_later(configuration, &webhook.name, it)).map(name).collect();
    names.sort_unstable();
    if names.is_empty() {
        return Check::ok(ID, "no other webhook changes pods after prestop");
    }
    let names = some(&names);
    if webhook.reinvocation_policy.as_deref() == Some("IfNeeded") {
        return Check::ok(
            ID,
            format!(
                "webhooks that change pods after prestop: {names}; prestop is called again after \
                 them (reinvocationPolicy: IfNeeded)"
            ),
        );
    }
    Check::warning(
        ID,
        format!(
            "webhooks that change pods after prestop: {names}; prestop is not called again \
             (reinvocationPolicy: Never), so containers that they add get no hook"
        ),
        "set webhook.reinvocationPolicy: IfNeeded in the chart's values",
    )
}

fn is_later(ours: &str, entry: &str, other: &MutatingWebhookConfiguration) -> bool {
    let mut entries = other.webhooks.iter();
    if other.metadata.name == ours {
        // The search has consumed the entry itself and those before it.
        return entries.any(|it| it.name == entry) && entries.any(takes_pods);
    }
    other.metadata.name.as_str() > ours && entries.any(takes_pods)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::installation::Status;

    const ENTRY: &str = "pods.prestop.dev";

    fn entry(name: &str, resource: &str) -> Value {
        let rule = json!({"operations": ["CREATE"], "apiGroups": [""], "resources": [resource]});
        json!({"name": name, "rules": [rule]})
    }

    fn configuration(name: &str, entries: &[Value]) -> MutatingWebhookConfiguration {
        serde_json::from_value(json!({"metadata": {"name": name}, "webhooks": entries})).unwrap()
    }

    fn told(policy: Option<&str>, all: &[MutatingWebhookConfiguration]) -> Check {
        let mut webhook: MutatingWebhook = serde_json::from_value(entry(ENTRY, "pods")).unwrap();
        webhook.reinvocation_policy = policy.map(str::to_owned);
        later("prestop", &webhook, all)
    }

    #[test]
    fn configurations_with_a_later_name_and_later_entries_are_later() {
        let pods = |name: &str| configuration(name, &[entry("x.example", "pods")]);
        let ours = |before: &[Value], after: &[Value]| {
            configuration("prestop", &[before, &[entry(ENTRY, "pods")], after].concat())
        };
        let none = "no other webhook changes pods after prestop";
        let other = [entry("y.example", "pods")];
        for (all, expected) in [
            (vec![], None),
            (vec![ours(&[], &[]), pods("istio"), pods("Vault"), pods("presto")], None),
            (vec![ours(&other, &[])], None),
            (vec![ours(&[], &other)], Some("prestop;")),
            (vec![configuration("vault", &[entry("x.example", "services")])], None),
            (vec![pods("vault"), pods("istio"), pods("prestop-2")], Some("prestop-2, vault;")),
        ] {
            let check = told(Some("IfNeeded"), &all);
            assert_eq!(check.status, Status::Ok);
            match expected {
                Some(names) => {
                    let part = format!("after prestop: {names}");
                    assert!(check.message.contains(&part), "{}", check.message);
                }
                None => assert_eq!(check.message, none, "{all:?}"),
            }
        }
    }

    #[test]
    fn they_are_a_warning_where_prestop_is_not_asked_again() {
        let vault = [configuration("vault", &[entry("x.example", "*/*")])];
        for (policy, status) in [
            (Some("IfNeeded"), Status::Ok),
            (Some("Never"), Status::Warning),
            // The API's default.
            (None, Status::Warning),
        ] {
            assert_eq!(told(policy, &vault).status, status, "{policy:?}");
            assert_eq!(told(policy, &[]).status, Status::Ok, "{policy:?}");
        }
    }
}
