//! Rules about the time between the pod's deletion and the stop signal.

use super::containers::{HOOK, One};
use super::subject::INTERNAL_LOCAL;
use super::{Certainty, Finding, Rule};
use crate::duration::HumanSeconds;
use crate::engine::written::{WrittenHook, WrittenRole};
use crate::fronts::{Front, Withdrawal};

/// Fronts that result from a traffic policy `Local`.
const LOCAL: [&str; 2] = ["external-policy-local", INTERNAL_LOCAL];

impl One<'_> {
    pub(super) fn stops_at_once(&self) -> Option<Finding> {
        if self.written.hook != WrittenHook::None
            || self.written.own_delay > 0
            || !self.subject.is_withdrawn()
            || self.subject.is_lone_stateful()
            || self.subject.is_replaced_in_place()
        {
            return None;
        }
        let need = self.subject.need.delay.map(|delay| format!("the fronts need {delay}"));
        let finding = self.finding(Rule::StopsAtOnce, "/lifecycle", need.unwrap_or_default());
        Some(Finding { mend: self.mend_of_no_hook(), ..finding })
    }

    /// Finding for a delay of the author that is too short. A delay of 0 counts as intended.
    pub(super) fn delay_too_short(&self) -> Option<Finding> {
        let seconds = match self.written.hook {
            WrittenHook::Delay(seconds) => seconds,
            WrittenHook::None => self.written.own_delay,
            WrittenHook::More(_) => return None,
        };
        let fronts = self.subject.fronts.iter().filter(|front| !is_local(front));
        let (slowest, title) = fronts
            .filter_map(|front| match front.withdrawal {
                Withdrawal::Within(delay) => Some((delay, front.kind.title.as_str())),
                Withdrawal::Never => None,
            })
            .max_by_key(|(delay, title)| (delay.least_seconds, delay.most_seconds, *title))?;
        if seconds <= 0 || seconds >= slowest.least_seconds {
            return None;
        }
        let detail = format!("{}; {title}: {slowest}", HumanSeconds(seconds));
        // The figures of the table are those of large clusters.
        let certainty = if seconds.saturating_mul(2) >= slowest.least_seconds {
            Certainty::Possible
        } else {
            Certainty::Likely
        };
        let finding = match self.written.hook {
            WrittenHook::None => {
                let finding = self.finding(Rule::DelayTooShort, "/args", detail);
                Finding { mend: self.mend_of_no_hook(), ..finding }
            }
            _ => self.of_hook(Rule::DelayTooShort, detail),
        };
        Some(Finding { certainty, ..finding })
    }

    /// Finding for a traffic policy `Local`: the load balancer, or the clients on the node, notice
    /// the end of the pod only by their own health checks.
    pub(super) fn local_policy(&self) -> Option<Finding> {
        let seconds = match self.written.hook {
            WrittenHook::None => self.written.own_delay,
            WrittenHook::Delay(seconds) if seconds > 0 => seconds,
            WrittenHook::Delay(_) | WrittenHook::More(_) => return None,
        };
        if self.subject.is_replaced_in_place() {
            return None;
        }
        let (front, delay) = self.subject.fronts.iter().filter(|front| is_local(front)).find_map(
            |front| match front.withdrawal {
                Withdrawal::Within(delay) if seconds < delay.least_seconds => Some((front, delay)),
                Withdrawal::Within(_) | Withdrawal::Never => None,
            },
        )?;
        let title = &front.kind.title;
        let held = match seconds {
            0 => "no delay".to_owned(),
            _ => HumanSeconds(seconds).to_string(),
        };
        let finding = self.finding(
            Rule::LocalPolicy,
            if self.written.hook == WrittenHook::None { "/lifecycle" } else { HOOK },
            format!("{held}; {title}: {delay}"),
        );
        let mend = match self.written.hook {
            WrittenHook::None => self.mend_of_no_hook(),
            _ => self.mend_of_own_hook(Rule::LocalPolicy),
        };
        Some(Finding { certainty: Certainty::Likely, mend, ..finding })
    }

    /// Finding for a delay of a worker. It requires that the input contains Services of the
    /// namespace; otherwise it is not known what sends requests.
    pub(super) fn worker_with_delay(&self) -> Option<Finding> {
        let subject = self.subject;
        let WrittenHook::Delay(seconds) = self.written.hook else { return None };
        let is_application = self.written.role == WrittenRole::Application;
        (seconds > 0 && subject.knows_services() && is_application && !subject.is_served()).then(
            || {
                let detail = HumanSeconds(seconds).to_string();
                let finding = self.finding(Rule::WorkerWithDelay, HOOK, detail);
                Finding { certainty: Certainty::Possible, ..finding }
            },
        )
    }
}

fn is_local(front: &Front<'_>) -> bool {
    LOCAL.contains(&front.kind.name.as_str())
}
