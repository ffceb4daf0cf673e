//! Labels and annotations of a pod and its namespace: the delay follows the rules, and texts of
//! users never get into scripts and are printed as printable characters. The input consists of
//! lines `KEY=VALUE`; those of the namespace begin with `ns:`, labels with `label:`.

use std::collections::BTreeMap;

use json_patch::Patch;
use prestop_core::admission::patch;
use prestop_core::duration::{parse, parse_delay};
use prestop_core::engine::hook::{drain_script, script};
use prestop_core::engine::pod::Pod;
use prestop_core::engine::{Outcome, decide};
use prestop_core::policy::{NamespaceRule, Policy};
use serde_json::{Value, json};

use crate::generators::Namespace;

const MAXIMUM_DELAY_SECONDS: u128 = 300;
const DEFAULT_SECONDS: i64 = 10;
/// A hundred years, in seconds.
const LONGEST_SECONDS: u128 = 100 * 366 * 86_400;

thread_local! {
    static POLICY: Policy = Policy { namespaces: NamespaceRule::NotDisabled, ..Policy::built_in() };
}

/// The input is lines of annotations and labels.
pub fn target(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let mut namespace = Namespace::default();
    let (mut labels, mut annotations) = (BTreeMap::new(), BTreeMap::new());
    for line in text.split('\n') {
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        delays_are_read_as_they_are_written(value);
        let (of_namespace, key) = key.strip_prefix("ns:").map_or((false, key), |key| (true, key));
        let (of_label, key) = key.strip_prefix("label:").map_or((false, key), |key| (true, key));
        let map = match (of_namespace, of_label) {
            (false, false) => &mut annotations,
            (false, true) => &mut labels,
            (true, false) => &mut namespace.annotations,
            (true, true) => &mut namespace.labels,
        };
        map.insert(key.to_owned(), value.to_owned());
    }
    let pod = json!({
        "metadata": {"labels": labels, "annotations": annotations},
        "spec": {"containers": [{"name": "web", "image": "example.com/app:1"}]},
    });
    POLICY.with(|policy| holds(&pod, &namespace, policy));
}

fn holds(pod: &Value, namespace: &Namespace, policy: &Policy) {
    let settings = namespace.settings();
    let view = Pod::from_value(pod);
    let decision = decide(&view, &settings, policy);
    for problem in &decision.problems {
        let told = problem.to_string();
        assert!(!told.contains(char::is_control), "{told:?}");
    }
    let Some(patch) = patch::to_json(&decision, "") else { return };
    assert!(matches!(decision.outcome, Outcome::Injected(_)));
    let patch: Patch = serde_json::from_slice(&patch).unwrap();
    let mut after = pod.clone();
    json_patch::patch(&mut after, &patch).expect("the patch applies");
    let hook = &after["spec"]["containers"][0]["lifecycle"]["preStop"];
    if hook["exec"]["command"][1] == "-c" {
        let text = hook["exec"]["command"][2].as_str().unwrap();
        assert!([script(), drain_script()].contains(&text), "{text}");
    }
    let status = after["metadata"]["annotations"]["prestop.dev/status"].as_str().unwrap();
    let status: Value = serde_json::from_str(status).unwrap();
    let told = status["containers"][0]["delay"].as_i64();
    assert_eq!(told, Some(delay(pod, namespace)), "{pod} {namespace:?}");
    let view = Pod::from_value(&after);
    assert!(patch::to_json(&decide(&view, &settings, policy), "").is_none(), "a second pass");
}

/// Returns the delay of the first level that sets one; the pod has no fronts.
fn delay(pod: &Value, namespace: &Namespace) -> i64 {
    let annotation = |key: &str| pod["metadata"]["annotations"][key].as_str();
    let levels = [
        annotation("delay.prestop.dev/web"),
        annotation("prestop.dev/delay"),
        namespace.annotations.get("prestop.dev/delay").map(String::as_str),
    ];
    let read = |text: &str| match text {
        "auto" => Some(DEFAULT_SECONDS),
        text => {
            let (_, most) = delay_model(text)?;
            i64::try_from(most.min(MAXIMUM_DELAY_SECONDS)).ok()
        }
    };
    levels.into_iter().flatten().find_map(read).unwrap_or(DEFAULT_SECONDS)
}

fn delays_are_read_as_they_are_written(text: &str) {
    let found = parse(text).ok().map(|parsed| u128::try_from(parsed.seconds).unwrap());
    assert_eq!(found, duration_model(text), "{text:?}");
    let found = parse_delay(text).ok().map(|parsed| parsed.delay);
    let bounds = found.map(|delay| (delay.least_seconds, delay.most_seconds));
    let seconds = |seconds: u128| i64::try_from(seconds).unwrap();
    let expected = delay_model(text).map(|(least, most)| (seconds(least), seconds(most)));
    assert_eq!(bounds, expected, "{text:?}");
}

fn delay_model(text: &str) -> Option<(u128, u128)> {
    let mut bounds = text.split('-').map(duration_model);
    let least = bounds.next()??;
    let most = bounds.next().unwrap_or(Some(least))?;
    (bounds.next().is_none() && least <= most).then_some((least, most))
}

/// Parses whole seconds, rounded up: `90`, or `1h30m5s250ms` with any of the four units.
fn duration_model(text: &str) -> Option<u128> {
    let mut milliseconds = 0_u128;
    let mut rest = text;
    if text.is_empty() {
        return None;
    }
    if text.chars().all(|letter| letter.is_ascii_digit()) {
        (milliseconds, rest) = (milliseconds_of(text, 1000)?, "");
    }
    for (unit, scale) in [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)] {
        let end = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
        let behind = rest[end..].strip_prefix(unit);
        let behind =
            behind.filter(|it| end > 0 && !it.starts_with(|it: char| it.is_ascii_lowercase()));
        if let Some(behind) = behind {
            milliseconds += milliseconds_of(&rest[..end], scale)?;
            rest = behind;
        }
    }
    let seconds = milliseconds.div_ceil(1000);
    (rest.is_empty() && seconds <= LONGEST_SECONDS).then_some(seconds)
}

/// Converts digits to milliseconds; `None` for more than is ever allowed.
fn milliseconds_of(digits: &str, scale: u128) -> Option<u128> {
    digits.parse::<u128>().ok()?.checked_mul(scale)
}
