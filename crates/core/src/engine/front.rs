//! Load balancers outside the cluster that are named by a pod's readiness gates. The time for which
//! they keep sending is in the table of [fronts](crate::fronts).

use super::own_hook::OwnHook;
use super::pod::Spec;
use super::reason::{ContainerReason, Problem, ProblemCode};
use super::{ContainerDecision, ContainerOutcome};
use crate::duration::Delay;
use crate::fronts::{FrontDelay, FrontKind, FrontTable, Withdrawal};
use crate::view::{FromJson, Items, Shape, Text, view};

view! {
    /// One entry of `spec.readinessGates`.
    pub ReadinessGate {
        /// `conditionType`.
        condition_type: Text<'a> = "conditionType",
    }
}

/// `spec.readinessGates`, reduced to the delay that the named load balancers need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReadinessGates {
    needed: Option<Needed>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Needed {
    /// The longest bounds of all load balancers.
    delay: Delay,
    /// The load balancer with the longest upper bound.
    slowest: &'static FrontKind,
    /// The load balancer with the longest lower bound.
    surest: &'static FrontKind,
}

impl ReadinessGates {
    /// Returns the delay that all load balancers together need.
    pub(super) fn needed(self) -> Option<FrontDelay> {
        let Needed { delay, slowest, .. } = self.needed?;
        Some(FrontDelay { delay, kind: slowest, path: Vec::new() })
    }
}

impl Needed {
    /// Adds a front to `earlier`, unless no delay helps with it.
    fn with(earlier: Option<Self>, kind: &'static FrontKind) -> Option<Self> {
        let Withdrawal::Within(own) = kind.withdrawal else { return earlier };
        let Some(Self { delay, slowest, surest }) = earlier else {
            return Some(Self { delay: own, slowest: kind, surest: kind });
        };
        Some(Self {
            delay: delay.and(own),
            slowest: if own.most_seconds > delay.most_seconds { kind } else { slowest },
            surest: if own.least_seconds > delay.least_seconds { kind } else { surest },
        })
    }
}

impl<'a> FromJson<'a> for ReadinessGates {
    fn from_items<I: Items<'a>>(place: &mut Shape<Self>, items: &mut I) -> Result<(), I::Error> {
        let mut needed = None;
        let mut gate: Shape<ReadinessGate<'_>> = Shape::Absent;
        while items.read(&mut gate)? {
            let condition = gate.value().and_then(|gate| gate.condition_type.value());
            let front = condition.and_then(|it| FrontTable::built_in().of_readiness_gate(it));
            needed = front.map_or(needed, |kind| Needed::with(needed, kind));
        }
        *place = Shape::Value(Self { needed });
        Ok(())
    }
}

/// Returns the problem that no container delays its stop for as long as the load balancer keeps
/// sending. It is not reported if a container has a hook that is not understood.
pub(super) fn problem(spec: &Spec<'_>, decisions: &[ContainerDecision<'_>]) -> Option<Problem> {
    let Needed { delay, surest, .. } = spec.readiness_gates.value()?.needed?;
    let held: Option<Vec<i64>> =
        decisions.iter().map(|decision| held_back_seconds(spec, decision)).collect();
    let least = delay.least_seconds;
    let longest = held?.into_iter().max().filter(|longest| *longest < least)?;
    let title = &surest.title;
    let detail =
        format!("{longest}s; {title}: at least {least}s. Write prestop.dev/delay: {delay}");
    Some(Problem::new(ProblemCode::DelayTooShortForFront, "pod", detail))
}

/// Returns by how many seconds a container's stop is delayed, if that is known.
fn held_back_seconds(spec: &Spec<'_>, decision: &ContainerDecision<'_>) -> Option<i64> {
    match &decision.outcome {
        ContainerOutcome::Injected(injected) => Some(injected.hook.delay_seconds()),
        ContainerOutcome::Earlier(earlier) => Some(earlier.delay),
        ContainerOutcome::LeftAlone(ContainerReason::NoDelay) => Some(0),
        ContainerOutcome::LeftAlone(ContainerReason::OwnHook) => {
            let container = spec.containers().get(decision.index)?.value()?;
            let hook = OwnHook::read(container.lifecycle.value()?.pre_stop.value()?)?;
            hook.is_plain_delay().then_some(hook.seconds)
        }
        ContainerOutcome::LeftAlone(_) => None,
    }
}
