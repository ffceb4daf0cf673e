//! Backends and sidecars, which stop later.

use super::*;

pub(super) fn delay_backends(
    plans: &mut [Plan<'_>],
    containers: &[Value],
    settings: &Settings<'_>,
    policy: &Policy,
    grace: i64,
) {
    let fronts = plans.iter().zip(containers).filter(|(plan, _)| plan.has_role(Role::Front));
    let done = fronts.map(|(plan, container)| {
        let drain = match plan.drains_for(grace) {
            0 if plan.graceful => plan.wait_0(grace),
            drain => drain,
        };
        plan.held(container).saturating_add(drain)
    });
    let Some(done) = done.max() else { return };
    for (index, plan) in plans.iter_mut().enumerate() {
        if plan.code == INJECTED
            && plan.has_role(Role::Backend)
            && settings.own_delay(index).is_none()
        {
            plan.stays_until(done, policy);
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
    let applications = || plans.iter().zip(containers).filter(|(plan, _)| plan.is_application());
    let held = applications().map(|(plan, container)| plan.held(container) - plan.drain).max();
    let done = applications()
        .map(|(plan, container)| plan.held(container).saturating_add(plan.drains_for(grace)))
        .max();
    let (Some(held), Some(done)) = (held, done) else { return };
    for (index, plan) in plans.iter_mut().enumerate() {
        if let Some(margin) = plan.margin()
            && settings.own_delay(index).is_none()
        {
            let own = plan.own.as_ref().map_or(0, |own| own.seconds);
            plan.delay = held.saturating_add(margin).max(own);
            plan.stays_until(done.saturating_add(margin), policy);
        }
    }
}

// Section 7.
