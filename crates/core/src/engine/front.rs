//! Load balancers outside the cluster that a pod's readiness gates name, and how long they go on
//! sending (`docs/delays.md` has the sources).

use super::own_hook::OwnHook;
use super::pod::Spec;
use super::reason::{ContainerReason, Problem, ProblemCode};
use super::{ContainerDecision, ContainerOutcome};
use crate::view::{FromJson, Items, Shape, Text, view};

view! {
    /// One entry of `spec.readinessGates`.
    pub ReadinessGate {
        /// `conditionType`.
        condition_type: Text<'a> = "conditionType",
    }
}

/// `spec.readinessGates`: the slowest of the load balancers that they name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReadinessGates {
    slowest: Option<Front>,
}

/// A load balancer that sends to pods by their own addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Front {
    /// A target group of an ALB or NLB, by the AWS Load Balancer Controller.
    AwsTargetGroup,
    /// A network endpoint group of a Google Cloud load balancer.
    GoogleEndpointGroup,
}

impl Front {
    fn of_gate(condition_type: &str) -> Option<Self> {
        // Those of version 1 of the controller are `target-health.alb.ingress.k8s.aws/...`.
        let (domain, _) = condition_type.split_once('/')?;
        match domain {
            "target-health.elbv2.k8s.aws" | "target-health.alb.ingress.k8s.aws" => {
                Some(Self::AwsTargetGroup)
            }
            _ if condition_type == "cloud.google.com/load-balancer-neg-ready" => {
                Some(Self::GoogleEndpointGroup)
            }
            _ => None,
        }
    }

    /// The least that `docs/delays.md` has for it.
    const fn least_delay_seconds(self) -> i64 {
        match self {
            Self::AwsTargetGroup => 30,
            Self::GoogleEndpointGroup => 60,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::AwsTargetGroup => "behind an AWS load balancer",
            Self::GoogleEndpointGroup => "behind a Google Cloud load balancer",
        }
    }

    /// What to write.
    const fn annotation(self) -> &'static str {
        match self {
            Self::AwsTargetGroup => "prestop.dev/delay: 60s (ALB) or 3m (NLB)",
            Self::GoogleEndpointGroup => "prestop.dev/delay: 60s",
        }
    }
}

impl<'a> FromJson<'a> for ReadinessGates {
    fn from_items<I: Items<'a>>(place: &mut Shape<Self>, items: &mut I) -> Result<(), I::Error> {
        let mut slowest = None;
        let mut gate: Shape<ReadinessGate<'_>> = Shape::Absent;
        while items.read(&mut gate)? {
            let condition = gate.value().and_then(|gate| gate.condition_type.value());
            slowest = slowest.max(condition.and_then(|condition| Front::of_gate(condition)));
        }
        *place = Shape::Value(Self { slowest });
        Ok(())
    }
}

/// The problem that no container holds its stop back for as long as the load balancer sends. Nothing
/// is said where one of them does something that is not understood.
pub(super) fn problem(spec: &Spec<'_>, decisions: &[ContainerDecision<'_>]) -> Option<Problem> {
    let front = spec.readiness_gates.value()?.slowest?;
    let held: Option<Vec<i64>> =
        decisions.iter().map(|decision| held_back_seconds(spec, decision)).collect();
    let least = front.least_delay_seconds();
    let longest = held?.into_iter().max().filter(|longest| *longest < least)?;
    let (name, annotation) = (front.name(), front.annotation());
    let detail = format!("{longest}s; {name} at least {least}s. Write {annotation}");
    Some(Problem::new(ProblemCode::DelayTooShortForFront, "pod", detail))
}

/// How long a container's stop is held back, where that is known.
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
