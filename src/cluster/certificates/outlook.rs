//! The future steps of the shared CA, with their times. Pure.

use std::time::SystemTime;

use super::rotation::{Change, Lifetimes, Shared};

/// A future change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coming {
    /// Time at which it is due; if in the past, at the next poll of any replica.
    pub at: SystemTime,
    /// The change.
    pub change: Change,
}

/// Returns the future changes, the next one first.
#[must_use]
pub fn outlook(shared: &Shared, now: SystemTime) -> Vec<Coming> {
    let current = &shared.current;
    let overlap = shared.overlap.unwrap_or(Lifetimes::default().overlap);
    let mut coming = vec![match &shared.next {
        _ if !current.is_valid(now) => Coming { at: now, change: Change::Replace },
        Some(next) if !next.authority.is_valid(now) => Coming { at: now, change: Change::Prepare },
        None => Coming {
            at: Lifetimes::due_at(current.not_before(), current.not_after()),
            change: Change::Prepare,
        },
        Some(next) => match next.published_at {
            None => Coming { at: now, change: Change::Seen },
            // At the latest one overlap from now, whichever clock recorded the publication.
            Some(at) => Coming { at: at.min(now) + overlap, change: Change::Switch },
        },
    }];
    coming.extend(
        shared.retired.iter().map(|retired| Coming { at: retired.until, change: Change::Retire }),
    );
    coming.sort_by_key(|coming| coming.at);
    coming
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::super::rotation::{Published, Sighting};
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    /// The predicted steps are those that happen.
    #[test]
    fn the_next_change_is_due_when_it_is_foretold() {
        // The overlap is taken from the Secret, not from the default.
        let lifetimes = Lifetimes { overlap: 3 * DAY, ..Lifetimes::default() };
        let mut now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let nobody = Published { bundle: "", generation: 0 };
        let mut shared = Shared::changed(None, Change::Begin, &nobody, now, &lifetimes).unwrap();
        let mut sighting = Sighting::default();
        let mut seen = Vec::new();
        for _ in 0..8 {
            let bundle = shared.bundle();
            let published = Published { bundle: &bundle, generation: shared.generation };
            sighting.look(Some(&shared), &published, now);
            let due = |at| Shared::due(Some(&shared), &published, &sighting, at, &lifetimes);
            let next = outlook(&shared, now)[0];
            let before = next.at - Duration::from_secs(2);
            if before > now {
                assert_eq!(due(before), None);
            }
            now = now.max(next.at + Duration::from_secs(1));
            assert_eq!(due(now), Some(next.change));
            shared =
                Shared::changed(Some(shared), next.change, &published, now, &lifetimes).unwrap();
            seen.push(next.change);
        }
        let round = [Change::Prepare, Change::Seen, Change::Switch, Change::Retire];
        assert_eq!(seen, [round, round].concat());
        assert!(outlook(&shared, now)[0].at > now + 200 * DAY);
    }
}
