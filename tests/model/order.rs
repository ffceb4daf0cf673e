//! Delays of backends and sidecars, which stop later than other containers.

use super::*;

/// Times at which the last of several containers is done, in seconds.
#[derive(Default)]
struct Done {
    least: i64,
    most: i64,
    /// Including the requests in flight.
    drained: i64,
    drain: i64,
    quiet: i64,
}

impl Done {
    fn add(&mut self, plan: &Plan<'_>, container: &Value, drain: i64) {
        let (least, most) = plan.own_bounds(container);
        let drained = plan.held(container).saturating_add(drain);
        self.least = self.least.max(least);
        self.most = self.most.max(most);
        self.drained = self.drained.max(drained);
        self.drain = self.drain.max(drained - most);
        if least < most {
            self.quiet = self.quiet.max(plan.quiet);
        }
    }
}

pub(super) fn delay_backends(
    plans: &mut [Plan<'_>],
    containers: &[Value],
    settings: &Settings<'_>,
    policy: &Policy,
    grace: i64,
) {
    let mut fronts = Done::default();
    let mut are_there = false;
    for (plan, container) in
        plans.iter().zip(containers).filter(|(plan, _)| plan.has_role(Role::Front))
    {
        let drain = match plan.drains_for(grace) {
            0 if plan.graceful => plan.wait_0(grace),
            drain => drain,
        };
        fronts.add(plan, container, drain);
        are_there = true;
    }
    for (index, plan) in plans.iter_mut().enumerate().filter(|_| are_there) {
        if plan.code != INJECTED || !plan.has_role(Role::Backend) || settings.has_own_delay(index) {
            continue;
        }
        let (least, most) = (fronts.least.max(plan.least), fronts.most.max(plan.delay));
        if plan.can_follow(least, most) {
            plan.stays_until(most.saturating_add(fronts.drain), policy);
            plan.follow(least, most, fronts.quiet);
        } else {
            plan.stays_until(fronts.drained, policy);
            if plan.drain > 0 {
                // This delay was not requested.
                plan.unwatched = plan.unwatched.map(|_| false);
            }
            plan.least = plan.delay;
        }
    }
}

pub(super) fn delay_sidecars(
    plans: &mut [Plan<'_>],
    containers: &[Value],
    settings: &Settings<'_>,
    policy: &Policy,
    grace: i64,
) {
    let mut applications = Done::default();
    let mut are_there = false;
    for (plan, container) in plans.iter().zip(containers).filter(|(plan, _)| plan.is_application())
    {
        applications.add(plan, container, plan.drains_for(grace));
        are_there = true;
    }
    for (index, plan) in plans.iter_mut().enumerate().filter(|_| are_there) {
        if let Some(margin) = plan.margin()
            && !settings.has_own_delay(index)
        {
            let own = plan.own.as_ref().map_or(0, |own| own.seconds);
            let Done { least, most, drained, drain, quiet } = applications;
            plan.delay = most.saturating_add(margin).max(own);
            // The range was requested for another container.
            plan.unwatched = None;
            if plan.can_follow(least, most) {
                plan.stays_until(most.saturating_add(drain).saturating_add(margin), policy);
                plan.follow(least, most, quiet);
            } else {
                plan.stays_until(drained.saturating_add(margin), policy);
                plan.least = plan.delay;
            }
        }
    }
}
