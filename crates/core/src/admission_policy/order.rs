//! The order in which the containers of a pod stop, and the grace period, in CEL (`docs/rules.md`,
//! sections 6 and 7), and the patch.

use super::Variable;
use super::cel::text;
use super::containers::{of_each, reserve};
use super::tables::of_role;
use crate::catalogue::{Profile, Role};
use crate::engine::hook;
use crate::policy::Policy;

/// Variables for the containers that stop later, and for the part of the grace period that all
/// containers need.
pub(super) fn variables(policy: &Policy) -> Vec<Variable> {
    let catalogue = &policy.catalogue;
    let (fronts, backends) = (of_role(catalogue, Role::Front), of_role(catalogue, Role::Backend));
    let (maximum, most) = (policy.maximum_delay_seconds, policy.maximum_grace_period_seconds);
    let stay = |until: &str, own: &str| {
        format!("{until} > {own} ? [[{until}, {maximum}].min(), {own}].max() : {own}")
    };
    let of_sidecar = |until: &str| {
        format!("variables.{until}.max() + variables.margins[variables.knownProfiles[i]]")
    };
    let is_late = "variables.knownProfiles[i] in variables.margins && !variables.isOwnDelay[i]\n  && size(variables.applicationsHeld) > 0";
    let longest = reserve("variables.graceAfter");
    vec![
        Variable::new(
            "held",
            "How long each stop is delayed; for existing hooks the duration of a native sleep.",
            of_each(
                "has(c.lifecycle) && has(c.lifecycle.preStop)\n  ? (has(c.lifecycle.preStop.sleep) ? int(c.lifecycle.preStop.sleep.seconds) : variables.delays[i])\n  : variables.isFree[i] ? variables.delays[i] : 0",
            ),
        ),
        Variable::new(
            "drains",
            "How long each takes after that.",
            of_each(
                "has(c.lifecycle) && has(c.lifecycle.preStop) ? 0\n  : !variables.isFree[i] ? variables.grace : variables.waits[i] ? variables.wholeWaits[i] : 0",
            ),
        ),
        Variable::new(
            "frontsDone",
            "When the servers in front have finished.",
            format!(
                "variables.containers.transformList(i, c, variables.knownProfiles[i] in {fronts},\n  variables.held[i] + (variables.drains[i] == 0 && variables.isGraceful[i] ? variables.wholeWaits[i] : variables.drains[i]))"
            ),
        ),
        Variable::new(
            "backendDelays",
            "Backends outlive the servers in front of them.",
            of_each(&format!(
                "size(variables.frontsDone) > 0 && variables.knownProfiles[i] in {backends}\n  && variables.isFree[i] && !variables.isOwnDelay[i]\n  ? ({}) : variables.delays[i]",
                stay("variables.frontsDone.max()", "variables.delays[i]")
            )),
        ),
        Variable::new(
            "applicationsHeld",
            "",
            "variables.containers.transformList(i, c, !(variables.knownProfiles[i] in variables.margins), variables.held[i])",
        ),
        Variable::new(
            "applicationsDone",
            "",
            "variables.containers.transformList(i, c, !(variables.knownProfiles[i] in variables.margins),\n  (variables.isFree[i] ? variables.backendDelays[i] : variables.held[i]) + variables.drains[i])",
        ),
        Variable::new(
            "ownDelays",
            "Each delay without the part for the drain of others, which the maximum limits first.",
            of_each(&format!(
                "{is_late}\n  ? {} : variables.delays[i]",
                of_sidecar("applicationsHeld")
            )),
        ),
        Variable::new(
            "longDelays",
            "Each delay.",
            of_each(&format!(
                "{is_late}\n  ? ({}) : variables.backendDelays[i]",
                stay(&of_sidecar("applicationsDone"), "variables.ownDelays[i]")
            )),
        ),
        Variable::new(
            "isInjected",
            "",
            of_each(
                "variables.isFree[i] && (variables.quits[i] != '' || variables.longDelays[i] > 0)",
            ),
        ),
        Variable::new(
            "needed",
            "",
            "variables.containers.transformList(i, c, variables.isInjected[i], variables.longDelays[i] + variables.times[i])",
        ),
        Variable::new(
            "wanted",
            "The grace period that covers every hook and the time of every application.",
            "([variables.grace] + variables.needed).max()",
        ),
        Variable::new(
            "graceAfter",
            "",
            format!(
                "variables.wanted > {most} ? [variables.grace, {most}].max() : variables.wanted"
            ),
        ),
        Variable::new(
            "hookDelays",
            "Delays are shortened if the grace period is.",
            of_each(&format!(
                "variables.wanted > {most}\n  ? [variables.longDelays[i], [variables.graceAfter - {longest}, 0].max()].min() : variables.longDelays[i]"
            )),
        ),
    ]
}

/// Variables that a quit hook needs.
pub(super) fn of_hooks(quits: &[&Profile]) -> Vec<Variable> {
    if quits.is_empty() {
        return Vec::new();
    }
    let left = "[variables.times[i], variables.graceAfter - variables.hookDelays[i]].min()";
    vec![
        Variable::new(
            "hookWaits",
            "How long the hook waits after the quit.",
            of_each(&format!(
                "[[variables.timeouts[i], {left} - {}].min(), 0].max()",
                reserve(left)
            )),
        ),
        Variable::new(
            "script",
            "The hook: delay, quit, wait. Values are its arguments.",
            text(hook::script()),
        ),
    ]
}

/// Expression for the operations of the patch.
pub(super) fn patch(quits: &[&Profile]) -> String {
    let sleep = "dyn({'sleep': {'seconds': variables.hookDelays[i]}})";
    let hook = if quits.is_empty() {
        sleep.to_owned()
    } else {
        format!("variables.quits[i] == '' ? {sleep} : {QUIT}")
    };
    format!(
        "variables.containers.transformList(i, c, variables.isInjected[i], JSONPatch{{
  op: 'add',
  path: '/spec/containers/' + string(i) + (has(c.lifecycle) ? '/lifecycle/preStop' : '/lifecycle'),
  value: [{hook}].map(hook, has(c.lifecycle) ? hook : dyn({{'preStop': hook}}))[0]
}})
+ (variables.isTaken && variables.graceAfter > variables.grace ? [JSONPatch{{
  op: has(object.spec.terminationGracePeriodSeconds) ? 'replace' : 'add',
  path: '/spec/terminationGracePeriodSeconds',
  value: variables.graceAfter
}}] : [])"
    )
}

const QUIT: &str = "dyn({'exec': {'command': ['/bin/sh', '-c', variables.script, 'prestop',
    string(variables.hookDelays[i]), variables.waits[i] ? string(variables.hookWaits[i]) : 'none',
    variables.hasOwnProcesses && variables.quits[i] in variables.quitSignals ? variables.quitSignals[variables.quits[i]] : '',
    variables.hasOwnProcesses && variables.quits[i] in variables.quitNames ? variables.quitNames[variables.quits[i]] : ''
  ] + variables.quitCommands[variables.quits[i]]}})";
