//! The audit of any objects: the findings are the same for a second run and for any order of the
//! objects, and their places are JSON pointers.

use prestop_core::audit::{Audit, Finding, Ignore, Setting};
use prestop_core::engine::settings::NamespaceSettings;
use prestop_core::engine::template::objects;
use prestop_core::fronts::{FrontTable, Surroundings};
use prestop_core::policy::{NamespaceRule, Policy};
use proptest::prelude::*;
use serde_json::Value;

use crate::generators::{Audited, any_workload, audited};
use crate::structured::{Generator, edit, generated};

thread_local! {
    static AUDITED: Generator<Audited> = audited().boxed();
    static ANY: Generator<Vec<Value>> = any_workload().boxed();
    static POLICY: Policy =
        Policy { namespaces: NamespaceRule::NotDisabled, ..Policy::built_in() };
}

/// The input is the good manifest with odd fields, or arbitrary objects.
pub fn target(bytes: &[u8]) {
    match bytes.split_first() {
        Some((first, rest)) if first % 2 == 0 => {
            if let Some((input, mut choices)) = generated(&AUDITED, rest) {
                is_the_same_in_any_order(&input.edited(&mut choices));
            }
        }
        Some((_, rest)) => {
            if let Some((objects, mut choices)) = generated(&ANY, rest) {
                let mut objects = Value::from(objects);
                edit(&mut objects, &mut choices);
                says_something(objects.as_array().map_or(&[], Vec::as_slice));
            }
        }
        None => {}
    }
}

/// Checks that the findings depend on the objects alone.
///
/// # Panics
/// Panics if the findings depend on the order of the objects, or differ between two runs.
pub fn is_the_same_in_any_order(input: &Audited) {
    let (objects, shuffled) = (&input.objects, &input.shuffled());
    POLICY.with(|policy| {
        let found = findings_without(objects, policy, &[]);
        assert_eq!(found, findings_without(objects, policy, &[]), "not the same twice");
        assert_eq!(found, findings_without(shuffled, policy, &[]), "in another order");
        for finding in &found {
            assert!(finding.pointer.is_empty() || finding.pointer.starts_with('/'), "{finding:?}");
        }
    });
}

/// Checks that any objects get an answer, and the same one twice.
///
/// # Panics
/// Panics if there is no answer, or another one.
pub fn says_something(objects: &[Value]) {
    POLICY.with(|policy| {
        let found = findings_without(objects, policy, &[]);
        assert_eq!(found, findings_without(objects, policy, &[]), "not the same twice");
    });
}

/// Returns the findings of all workloads in these objects, evaluated with `ignores`.
#[must_use]
pub fn findings_without(around_: &[Value], policy: &Policy, ignores: &[Ignore]) -> Vec<Finding> {
    let mut around = Surroundings::new(FrontTable::built_in(), "default");
    let mut setting = Setting::default();
    for object in around_ {
        let text = |field: &str| object[field].as_str().unwrap_or_default();
        around.add(text("apiVersion"), text("kind"), object);
        setting.add(text("apiVersion"), text("kind"), object, "default");
    }
    let audit = Audit { around: &around, setting: &setting, policy, namespace: "default", ignores };
    let namespace = NamespaceSettings::default();
    let found = around_.iter().flat_map(objects).filter_map(|object| object.workload(&[]));
    found.flat_map(|workload| audit.workload(&workload, &namespace)).collect()
}
