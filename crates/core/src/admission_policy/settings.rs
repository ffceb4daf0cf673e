//! Labels, annotations and the pod's own fields in CEL: which pods the policy changes, and their
//! settings.

use super::Variable;
use super::cel::{text, texts};
use crate::duration::AskedDelay;
use crate::engine::grace::DEFAULT_GRACE_PERIOD_SECONDS;
use crate::engine::pod::MIRROR_ANNOTATION;
use crate::engine::settings::{DOMAIN, INJECT_LABEL, Setting, Switch};
use crate::policy::{DELAY_WITHOUT_FRONTS, NamespaceRule, Policy};

/// Length limit for durations; longer texts are invalid.
const LONGEST_DURATION: usize = 64;

/// Limit for grace periods: 31,000 years, in seconds.
const LONGEST_GRACE_PERIOD: i64 = 999_999_999_999;

/// Annotation key of a setting on a pod or namespace.
pub(super) fn key(setting: Setting) -> String {
    text(&format!("{DOMAIN}/{}", setting.name()))
}

/// Prefix of the annotation key of a setting for one container.
pub(super) fn container_key(setting: Setting) -> String {
    text(&format!("{}.{DOMAIN}/", setting.name()))
}

/// The delay, in seconds, if neither an annotation nor a profile sets one. For a range it is the
/// upper bound.
pub(super) fn default_delay(policy: &Policy) -> i64 {
    let delay = match policy.default_delay {
        AskedDelay::Of(delay) => delay,
        AskedDelay::Auto => DELAY_WITHOUT_FRONTS.at_most(policy.maximum_delay_seconds),
    };
    delay.most_seconds
}

/// Variables for which pods the policy changes, and with which settings.
pub(super) fn variables(policy: &Policy) -> Vec<Variable> {
    let maps = [
        ("labels", "object", "labels"),
        ("annotations", "object", "annotations"),
        ("namespaceLabels", "namespaceObject", "labels"),
        ("namespaceAnnotations", "namespaceObject", "annotations"),
    ];
    let mut variables: Vec<_> = maps
        .into_iter()
        .map(|(name, object, field)| {
            let field = format!("{object}.metadata.{field}");
            Variable::new(name, "", format!("has({field}) ? {field} : {{}}"))
        })
        .collect();
    let switch = |source: &str| {
        let label = text(INJECT_LABEL);
        format!("{label} in variables.{source} ? variables.{source}[{label}].lowerAscii() : ''")
    };
    variables.extend([
        Variable::new("podSwitch", "", switch("labels")),
        Variable::new("namespaceSwitch", "", switch("namespaceLabels")),
        Variable::new(
            "grace",
            "The grace period of the pod; limited, because sums with a longer one could overflow.",
            format!(
                "has(object.spec.terminationGracePeriodSeconds)\n  ? [int(object.spec.terminationGracePeriodSeconds), {LONGEST_GRACE_PERIOD}].min() : {DEFAULT_GRACE_PERIOD_SECONDS}"
            ),
        ),
        Variable::new("isTaken", "Whether the pod gets hooks.", is_taken(policy)),
        Variable::new("containers", "", "variables.isTaken ? object.spec.containers : []"),
        Variable::new(
            "isWindows",
            "",
            "(has(object.spec.os) && object.spec.os.name == 'windows')\n|| (has(object.spec.nodeSelector) && 'kubernetes.io/os' in object.spec.nodeSelector\n    && object.spec.nodeSelector['kubernetes.io/os'] == 'windows')",
        ),
        Variable::new(
            "hasOwnProcesses",
            "Whether PID 1 of a container is its application.",
            "!(has(object.spec.hostPID) && object.spec.hostPID)\n&& !(has(object.spec.shareProcessNamespace) && object.spec.shareProcessNamespace)",
        ),
    ]);
    for (source, bounds, seconds) in [
        ("annotations", "bounds", "seconds"),
        ("namespaceAnnotations", "namespaceBounds", "namespaceSeconds"),
    ] {
        variables.push(Variable::new(
            bounds,
            "Durations in annotations, by key; -1 if invalid. A delay may have two bounds.",
            read_bounds(source, default_delay(policy)),
        ));
        variables.push(Variable::new(
            seconds,
            "The same without invalid ones: of a range its upper bound, at most the maximum delay.",
            usable_seconds(bounds, policy.maximum_delay_seconds),
        ));
    }
    variables
}

fn is_taken(policy: &Policy) -> String {
    let (enabled, disabled) = (texts(Switch::Enabled.words()), texts(Switch::Disabled.words()));
    let namespace = match policy.namespaces {
        NamespaceRule::Enabled => format!("variables.namespaceSwitch in {enabled}"),
        NamespaceRule::NotDisabled => format!("!(variables.namespaceSwitch in {disabled})"),
    };
    let mirror = text(MIRROR_ANNOTATION);
    let owners = owners(policy);
    format!(
        "!(variables.podSwitch in {disabled})\n&& {namespace}\n&& !({mirror} in variables.annotations)\n&& !has(object.metadata.deletionTimestamp)\n&& (variables.podSwitch in {enabled} || (\n  {owners}\n  && (!has(object.spec.restartPolicy) || object.spec.restartPolicy == 'Always')))\n&& variables.grace > 0"
    )
}

/// Expression for whether the pod has no controlling owner of a skipped kind.
fn owners(policy: &Policy) -> String {
    if policy.skipped_owners.is_empty() {
        return "true".to_owned();
    }
    let kinds = policy.skipped_owners.iter().map(|owner| {
        let kind = format!("o.kind == {}", text(owner.kind()));
        match owner.group() {
            None => kind,
            Some(group) => {
                let group = text(&format!("{group}/"));
                format!("({kind} && o.apiVersion.startsWith({group}))")
            }
        }
    });
    let kinds = kinds.collect::<Vec<_>>().join(" || ");
    format!(
        "!(has(object.metadata.ownerReferences) && object.metadata.ownerReferences.exists(o,\n    has(o.controller) && o.controller && ({kinds})))"
    )
}

/// Expression for whether the key `k` belongs to a setting.
fn is_key(setting: Setting) -> String {
    format!("k == {} || k.startsWith({})", key(setting), container_key(setting))
}

fn read_bounds(source: &str, auto: i64) -> String {
    let (delay, timeout) = (is_key(Setting::Delay), is_key(Setting::QuitTimeout));
    // Limits the digits so that the sum can't overflow.
    let units = text("^([0-9]{1,6}h)?([0-9]{1,7}m)?([0-9]{1,9}s)?([0-9]{1,12}ms)?$");
    let word = text(AskedDelay::AUTO);
    format!(
        "variables.{source}.transformMap(k, t, size(t) <= {LONGEST_DURATION} && ({delay} || {timeout}),\n  t == {word} && ({delay}) ? [{auto}] : t.split('-').map(p,\n    p.matches('^[0-9]{{1,9}}$') ? int(p)\n    : p != '' && p.matches({units}) ? (duration(p).getMilliseconds() + 999) / 1000 : -1))"
    )
}

fn usable_seconds(bounds: &str, maximum: i64) -> String {
    let delay = is_key(Setting::Delay);
    format!(
        "variables.{bounds}.transformMap(k, b,\n  b.all(s, s >= 0) && (size(b) == 1 || (({delay}) && size(b) == 2 && b[0] <= b[1])),\n  {delay} ? [b[size(b) - 1], {maximum}].min() : b[0])"
    )
}

/// Expression for the number of the first level that sets one: container, pod, namespace.
pub(super) fn strongest(setting: Setting, otherwise: &str) -> String {
    let (own, all) = (container_key(setting), key(setting));
    format!(
        "{own} + c.name in variables.seconds ? variables.seconds[{own} + c.name]\n  : {all} in variables.seconds ? variables.seconds[{all}]\n  : {all} in variables.namespaceSeconds ? variables.namespaceSeconds[{all}]\n  : {otherwise}"
    )
}
