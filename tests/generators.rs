//! The generators are useful only if their pods get past the first rule: each rule of the model has
//! to apply to some sample, and valid pods have to be valid.

use std::collections::BTreeMap;

use prestop_fuzz::generators::{any_pod, case, hostile_pod, shuffled, valid_pod};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::json;

use crate::api_rules::violations;
use crate::model;

const SAMPLES: usize = 6_000;

const REASONS: [&str; 13] = [
    "not-a-pod",
    "malformed",
    "opted-out",
    "namespace-not-enabled",
    "mirror-pod",
    "being-deleted",
    "owned-by-job",
    "owned-by-daemonset",
    "owned-by-skipped-kind",
    "restart-policy",
    "grace-period-zero",
    "own-hooks",
    "nothing-to-inject",
];

const PROBLEMS: [&str; 26] = [
    "invalid-value",
    "delay-above-maximum",
    "rounded-up",
    "unknown-profile",
    "quit-command-not-allowed",
    "pid-1-is-not-the-application",
    "quit-not-possible-on-windows",
    "quit-disabled",
    "grace-period-capped",
    "delay-shortened",
    "delay-not-watched",
    "hold-not-possible",
    "report-not-possible",
    "status-not-trusted",
    "unknown-key",
    "no-such-container",
    "not-for-namespaces",
    "inject-is-a-label",
    "probe-grace-period-too-short",
    "malformed-container",
    "own-hook-too-short",
    "own-hook-does-not-wait",
    "own-hook-fills-grace",
    "own-hook-cannot-start",
    "own-hook-always-fails",
    "own-hook-not-extended",
];

const CONTAINERS: [&str; 6] = [
    model::INJECTED,
    "own-hook",
    "left-alone-by-profile",
    "no-delay",
    "malformed-container",
    "windows",
];

fn samples<S: Strategy>(strategy: &S) -> Vec<S::Value> {
    let mut runner = TestRunner::deterministic();
    let mut sample = || strategy.new_tree(&mut runner).unwrap().current();
    (0..SAMPLES).map(|_| sample()).collect()
}

#[test]
fn valid_pods_are_valid() {
    for pod in samples(&valid_pod()) {
        assert_eq!(violations(&pod), Vec::<String>::new(), "{pod}");
    }
}

#[test]
fn every_rule_is_met() {
    let mut met: BTreeMap<&str, usize> = BTreeMap::new();
    for case in samples(&case(any_pod())) {
        let outcome = model::inject(&case.pod, &case.namespace, &case.policy);
        let containers = outcome.containers.iter();
        let mut codes: Vec<&str> = containers.map(|container| container.code).collect();
        codes.push(outcome.reason.unwrap_or("patched"));
        codes.extend(outcome.problems);
        for code in codes {
            *met.entry(code).or_default() += 1;
        }
    }
    let wanted = REASONS.iter().chain(&PROBLEMS).chain(&CONTAINERS);
    let missing: Vec<_> = wanted.filter(|code| !met.contains_key(**code)).collect();
    assert!(missing.is_empty(), "never met: {missing:?} in {met:?}");
    assert!(met["patched"] > SAMPLES / 4, "too few are patched: {met:?}");
}

#[test]
fn every_form_of_hook_is_met() {
    let mut met: BTreeMap<&str, usize> = BTreeMap::new();
    for case in samples(&case(valid_pod())) {
        let outcome = model::inject(&case.pod, &case.namespace, &case.policy);
        let after = outcome.result["spec"]["containers"].as_array();
        for (container, outcome) in after.unwrap().iter().zip(&outcome.containers) {
            let hook = &container["lifecycle"]["preStop"];
            let form = match hook["exec"]["command"][0].as_str() {
                _ if outcome.code != model::INJECTED => "none",
                None => "sleep",
                Some("sleep") => "exec sleep",
                Some(_) if outcome.wait_seconds.is_none() => "quit",
                Some(_) => "quit and wait",
            };
            *met.entry(form).or_default() += 1;
        }
    }
    for form in ["none", "sleep", "exec sleep", "quit", "quit and wait"] {
        assert!(met.get(form) > Some(&20), "{form} is rare: {met:?}");
    }
}

#[test]
fn shuffling_changes_nothing_but_the_order() {
    for pod in samples(&hostile_pod()).iter().take(200) {
        assert_eq!(shuffled(pod, 0).to_string(), pod.to_string());
        assert_eq!(shuffled(pod, 7), *pod);
    }
    let pod = json!({"a": 1, "b": 2, "c": 3, "d": 4});
    assert_ne!(shuffled(&pod, 7).to_string(), pod.to_string());
}
