//! Properties of every pod: the engine compared with the reference model, with the API server's
//! rules, and with itself.

mod measure;

use json_patch::{Patch, PatchError};
use prestop_core::admission::patch;
use prestop_core::engine::pod::Pod;
use prestop_core::engine::{Outcome, decide};
use prestop_core::policy::Policy;
use proptest::prelude::*;
use serde_json::{Value, json};

use self::measure::{
    command_text_bytes, containers, deeply_kept, hook, injected, kinds_and_paths, masked,
    patch_between, put_back,
};
use crate::api_rules::{LARGEST_ANNOTATIONS, annotations_size, violations};
use crate::model::{self, INJECTED};
use prestop_fuzz::generators::{
    Case, Namespace, added_container, any_pod, case, config, shuffled, valid_pod,
};

const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// Parts of the engine's result that the properties need.
struct EngineOutcome {
    patch: Option<Patch>,
    reason: Option<String>,
    /// Codes of the problems; order and repetition don't matter.
    problems: Vec<String>,
}

/// Runs the engine, which no other function here calls.
fn engine(pod: &Value, namespace: &Namespace, policy: &Policy) -> EngineOutcome {
    let settings = namespace.settings();
    let text = pod.to_string();
    let view = Pod::from_json(&text).unwrap();
    assert_eq!(view, Pod::from_value(pod), "text and value are read differently");
    let decision = decide(&view, &settings, policy);
    let problems = decision.problems.iter();
    EngineOutcome {
        patch: patch::to_json(&decision, "").map(|patch| serde_json::from_slice(&patch).unwrap()),
        reason: match &decision.outcome {
            Outcome::Skipped(reason) => Some(reason.code().to_owned()),
            Outcome::Injected(_) => None,
        },
        problems: problems.map(|problem| problem.code.code().to_owned()).collect(),
    }
}

impl EngineOutcome {
    fn of(case: &Case) -> Self {
        engine(&case.pod, &case.namespace, &case.policy)
    }

    fn applied(&self, pod: &Value) -> Result<Value, PatchError> {
        let mut result = pod.clone();
        if let Some(patch) = &self.patch {
            json_patch::patch(&mut result, patch)?;
        }
        Ok(result)
    }

    fn problems(&self) -> Vec<&str> {
        let mut codes: Vec<&str> = self.problems.iter().map(String::as_str).collect();
        codes.sort_unstable();
        codes.dedup();
        codes
    }
}

/// Returns the pod as changed by the engine.
fn after(case: &Case) -> Value {
    EngineOutcome::of(case).applied(&case.pod).unwrap()
}

fn grace_seconds(pod: &Value) -> i64 {
    let grace = pod.pointer("/spec/terminationGracePeriodSeconds");
    grace.and_then(Value::as_i64).unwrap_or(30)
}

/// Returns the author's grace period, as recorded in the status if there is one.
fn grace_before_seconds(result: &Value, pod: &Value) -> i64 {
    let status = result.pointer("/metadata/annotations/prestop.dev~1status");
    let status = status.and_then(|status| serde_json::from_str::<Value>(status.as_str()?).ok());
    let before = status.and_then(|status| status.pointer("/grace/before")?.as_i64());
    before.unwrap_or_else(|| grace_seconds(pod))
}

/// Returns the pod as another webhook after us changes it: with a container of that webhook, and
/// sometimes with a longer grace period.
fn with_another(pod: &Value, added: &Value, place: usize, more_grace: Option<i64>) -> Value {
    let mut pod = pod.clone();
    let first = pod["spec"]["containers"][0]["name"].clone();
    let chosen =
        pod.pointer(&format!("/metadata/annotations/{}", DEFAULT_CONTAINER.replace('/', "~1")));
    let names_one = |name: &Value| containers(&pod).iter().any(|one| one["name"] == *name);
    // A webhook that inserts its container first names the application's container, as Istio does.
    if place == 0 && !chosen.is_some_and(names_one) {
        pod["metadata"]["annotations"][DEFAULT_CONTAINER] = first;
    }
    if let Some(seconds) = more_grace {
        let more = grace_seconds(&pod).saturating_add(seconds);
        pod["spec"]["terminationGracePeriodSeconds"] = more.into();
    }
    let list = pod["spec"]["containers"].as_array_mut().unwrap();
    list.insert(place, added.clone());
    pod
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_patch_applies(case in case(any_pod())) {
        let outcome = EngineOutcome::of(&case);
        prop_assert!(outcome.applied(&case.pod).is_ok());
        prop_assert_eq!(outcome.patch.is_none(), outcome.reason.is_some());
        prop_assert!(outcome.patch.is_none_or(|patch| !patch.is_empty()));
    }

    #[test]
    fn engine_and_model_agree(case in case(any_pod())) {
        let outcome = EngineOutcome::of(&case);
        let expected = model::inject(&case.pod, &case.namespace, &case.policy);
        prop_assert_eq!(outcome.reason.as_deref(), expected.reason);
        prop_assert_eq!(outcome.problems(), expected.problems);
        let result = outcome.applied(&case.pod).unwrap();
        prop_assert_eq!(masked(&result), masked(&expected.result));
        let expected = patch_between(&case.pod, &expected.result, &expected.containers);
        let operations = outcome.patch.unwrap_or_default();
        prop_assert_eq!(kinds_and_paths(&operations), kinds_and_paths(&expected));
    }

    #[test]
    fn a_second_pass_is_empty(case in case(any_pod())) {
        let again = Case { pod: after(&case), ..case };
        if again.pod != case.pod {
            prop_assert!(EngineOutcome::of(&again).patch.is_none());
        }
    }

    #[test]
    fn grace_never_falls(case in case(any_pod())) {
        prop_assert!(grace_seconds(&after(&case)) >= grace_seconds(&case.pod));
    }

    #[test]
    fn nothing_else_is_touched(case in case(any_pod())) {
        let outcome = EngineOutcome::of(&case);
        let result = outcome.applied(&case.pod).unwrap();
        prop_assert_eq!(put_back(&case.pod, &result).to_string(), case.pod.to_string());
        for (kind, path) in kinds_and_paths(&outcome.patch.unwrap_or_default()) {
            let tokens: Vec<&str> = path.split('/').skip(1).collect();
            let allowed = match tokens.as_slice() {
                ["spec", "terminationGracePeriodSeconds"] => true,
                ["spec", "containers", index, "lifecycle", "preStop"] => {
                    let index: usize = index.parse().unwrap();
                    let is_there = hook(&containers(&case.pod)[index]).is_some();
                    kind == if is_there { "replace" } else { "add" }
                }
                ["spec", "containers", _, "lifecycle"]
                | ["metadata"]
                | ["metadata", "annotations"]
                | ["metadata", "annotations", "prestop.dev~1status"] => kind == "add",
                _ => false,
            };
            prop_assert!(allowed, "{} {}", kind, path);
        }
    }

    #[test]
    fn hooks_of_others_stay_as_they_are(case in case(any_pod())) {
        let result = after(&case);
        let model = model::inject(&case.pod, &case.namespace, &case.policy);
        let pairs = containers(&case.pod).iter().zip(containers(&result)).enumerate();
        for (index, (before, after)) in pairs {
            let is_completed =
                model.containers.get(index).is_some_and(|outcome| outcome.code == INJECTED);
            if let Some(own) = hook(before).filter(|_| !is_completed) {
                prop_assert_eq!(hook(after).map(Value::to_string), Some(own.to_string()));
            }
        }
    }

    #[test]
    fn unknown_fields_survive(case in case(any_pod())) {
        let result = after(&case);
        prop_assert!(deeply_kept(&case.pod, &result, ""), "{}", result);
    }

    #[test]
    fn every_delay_fits_and_leaves_the_application_its_time(case in case(any_pod())) {
        let outcome = EngineOutcome::of(&case);
        let result = outcome.applied(&case.pod).unwrap();
        let grace = grace_seconds(&result);
        let model = model::inject(&case.pod, &case.namespace, &case.policy);
        let own_grace = grace_before_seconds(&model.result, &case.pod);
        let mut all_have_their_time = true;
        for (index, hook) in injected(&result, &model.containers) {
            let wanted = model.containers[index].application_seconds;
            prop_assert!((0..=grace).contains(&hook.delay_seconds), "{:?} of {}", hook, grace);
            let wait = hook.wait_seconds.unwrap_or(0);
            prop_assert!(wait >= 0 && hook.delay_seconds + wait < grace, "{:?} of {}", hook, grace);
            // The part for the drain of others may be shortened.
            let own = model.containers[index].own_delay_seconds();
            // The grace period is at or above the maximum already, and no more is requested: only
            // the delay is lost.
            let only_the_delay =
                own_grace >= case.policy.maximum_grace_period_seconds && wanted == own_grace;
            all_have_their_time &= only_the_delay || grace - hook.delay_seconds.min(own) >= wanted;
        }
        let told = outcome.problems().contains(&"grace-period-capped");
        prop_assert_eq!(all_have_their_time, !told, "{}", result);
    }

    #[test]
    fn the_order_of_keys_is_irrelevant(case in case(any_pod()), seed in any::<u64>()) {
        let other = Case { pod: shuffled(&case.pod, seed), ..case.clone() };
        let (one, two) = (EngineOutcome::of(&case), EngineOutcome::of(&other));
        prop_assert_eq!(&one.reason, &two.reason);
        prop_assert_eq!(one.problems(), two.problems());
        let (one, two) = (one.applied(&case.pod).unwrap(), two.applied(&other.pod).unwrap());
        prop_assert_eq!(masked(&one), masked(&two));
    }

    #[test]
    fn the_order_of_containers_is_irrelevant(
        case in case(valid_pod()),
        turn in 0..4_usize,
    ) {
        let mut case = case;
        let first = case.pod["spec"]["containers"][0]["name"].clone();
        case.pod["metadata"]["annotations"][DEFAULT_CONTAINER] = first;
        let turned = |pod: &Value| {
            let mut pod = pod.clone();
            let list = pod["spec"]["containers"].as_array_mut().unwrap();
            let length = list.len();
            list.rotate_left(turn % length);
            pod
        };
        let other = Case { pod: turned(&case.pod), ..case.clone() };
        let (one, two) = (EngineOutcome::of(&case), EngineOutcome::of(&other));
        prop_assert_eq!(&one.reason, &two.reason);
        prop_assert_eq!(one.problems(), two.problems());
        let (one, two) = (one.applied(&case.pod).unwrap(), two.applied(&other.pod).unwrap());
        prop_assert_eq!(masked(&turned(&one)), masked(&two));
    }

    #[test]
    fn a_patch_is_no_larger_than_it_must_be(case in case(any_pod())) {
        let patch = EngineOutcome::of(&case).patch.unwrap_or_default();
        let size = serde_json::to_string(&patch).unwrap().len();
        let most = 4096 + 5632 * containers(&case.pod).len() + 6 * command_text_bytes(&case.pod);
        prop_assert!(size <= most, "{} bytes: {}", size, patch);
    }

    #[test]
    fn what_is_valid_stays_valid(case in case(valid_pod())) {
        prop_assert_eq!(violations(&after(&case)), Vec::<String>::new());
    }

    #[test]
    fn another_webhook_in_between_does_no_harm(
        case in case(valid_pod()),
        (added, place) in added_container(),
        more_grace in prop::option::weighted(0.1, 1..20_i64),
    ) {
        let add = |pod: &Value| {
            let place = place.index(containers(pod).len() + 1);
            with_another(pod, &added, place, more_grace)
        };
        let first = after(&case);
        let between = Case { pod: add(&first), ..case.clone() };
        let outcome = EngineOutcome::of(&between);
        let second = outcome.applied(&between.pod).unwrap();
        prop_assert_eq!(violations(&second), Vec::<String>::new());
        prop_assert!(grace_seconds(&second) >= grace_seconds(&between.pod));
        let expected = model::inject(&case.pod, &case.namespace, &case.policy);
        let expected = model::inject(&add(&expected.result), &case.namespace, &case.policy);
        let pairs = containers(&between.pod).iter().zip(containers(&second)).enumerate();
        for (index, (before, after)) in pairs {
            // Existing hooks may be completed only now, because the grace period has changed.
            let is_completed =
                expected.containers.get(index).is_some_and(|outcome| outcome.code == INJECTED);
            if hook(before).is_some() && !is_completed {
                prop_assert_eq!(before.to_string(), after.to_string());
            }
        }
        prop_assert_eq!(outcome.reason.as_deref(), expected.reason);
        prop_assert_eq!(masked(&second), masked(&expected.result));
        let eligible = containers(&between.pod)
            .iter()
            .zip(&expected.containers)
            .find(|(container, _)| container["name"] == added["name"])
            .is_some_and(|(_, outcome)| outcome.code == INJECTED);
        let index = containers(&second).iter().position(|one| one["name"] == added["name"]);
        let operations = kinds_and_paths(outcome.patch.as_deref().unwrap_or_default());
        let place = format!("/spec/containers/{}/lifecycle", index.unwrap());
        let got_one = operations.iter().any(|(_, path)| path.starts_with(&place));
        prop_assert_eq!(got_one, eligible);

        let third = Case { pod: second, ..case };
        if outcome.patch.is_some() {
            prop_assert!(EngineOutcome::of(&third).patch.is_none());
        }
    }
}

proptest! {
    // Each of these pods has a quarter of a megabyte of annotations.
    #![proptest_config(ProptestConfig { cases: config().cases / 50 + 1, ..config() })]

    /// The status annotation barely fits, or doesn't fit.
    #[test]
    fn full_annotations_do_not_overflow(case in case(valid_pod()), free in 0..2000_usize) {
        let mut case = case;
        let key = "example.com/filler";
        case.pod["metadata"]["annotations"][key] = json!("");
        let size = annotations_size(&case.pod) + free;
        let filler = "x".repeat(LARGEST_ANNOTATIONS - size);
        case.pod["metadata"]["annotations"][key] = filler.into();
        prop_assert_eq!(violations(&after(&case)), Vec::<String>::new());
    }
}
