//! Counts of requests by ending, client and phase. Every request is counted once in each category,
//! so each category adds up to the number of sent requests.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::recording::{Client, Ending, Happened, Phase, Recording, Sample};

/// Upper bound for measured times, longer than any timeout: an hour, in microseconds.
const LONGEST_MICROS: u64 = 3_600_000_000;

/// The counts of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// All requests.
    pub all: Count,
    /// By client; only clients that sent requests.
    pub clients: Vec<(Client, Count)>,
    /// By the phase in which the requests ended; only phases with requests.
    pub phases: Vec<(Phase, Count)>,
    /// Dropped requests by their ending, in the order of [`Ending::DROPPED`].
    pub endings: [(Ending, u64); 5],
    /// Latency of answered requests.
    pub latency: Latency,
    /// The longest delay caused by the load generator itself; a long one makes the run useless.
    pub most_late: Duration,
}

/// A number of requests. `sent = ok + dropped`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Sent.
    pub sent: u64,
    /// Requests that were answered correctly.
    pub ok: u64,
    /// All others.
    pub dropped: u64,
    /// Requests that would have been dropped without retries.
    pub dropped_without_retry: u64,
}

/// Duration of answers, from when the request was due.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Latency {
    /// Half of the answers took at most this long.
    pub median: Duration,
    /// 99 of 100 answers took at most this long.
    pub p99: Duration,
    /// The longest duration.
    pub slowest: Duration,
}

impl Tally {
    /// Counts the requests of a run.
    #[must_use]
    pub fn of(recording: &Recording) -> Self {
        let samples = &recording.samples;
        let count = |of: &dyn Fn(&&Sample) -> bool| Count::of(samples.iter().filter(of));
        let clients = Client::ALL.map(|client| (client, count(&|sample| sample.client == client)));
        let began = phases(recording);
        let ended_in = |phase| count(&|sample| phase_at(&began, sample.ended_micros()) == phase);
        let all_phases =
            [Phase::Steady, Phase::RollingUpdate, Phase::ScaleDown, Phase::Drain, Phase::Settled];
        let endings = Ending::DROPPED.map(|ending| {
            let dropped = samples.iter().filter(|sample| sample.last == ending).count();
            (ending, u64::try_from(dropped).unwrap_or(u64::MAX))
        });
        let late = samples.iter().map(|sample| sample.late_micros).max().unwrap_or_default();
        Self {
            all: Count::of(samples.iter()),
            clients: clients.into_iter().filter(|(_, count)| count.sent > 0).collect(),
            phases: all_phases
                .map(|phase| (phase, ended_in(phase)))
                .into_iter()
                .filter(|(_, count)| count.sent > 0)
                .collect(),
            endings,
            latency: Latency::of(samples),
            most_late: Duration::from_micros(late),
        }
    }
}

impl Count {
    fn of<'a>(samples: impl Iterator<Item = &'a Sample>) -> Self {
        let mut count = Self::default();
        for sample in samples {
            count.sent += 1;
            if sample.last.is_ok() {
                count.ok += 1;
            } else {
                count.dropped += 1;
            }
            count.dropped_without_retry += u64::from(!sample.first.is_ok());
        }
        count
    }
}

impl Latency {
    fn of(samples: &[Sample]) -> Self {
        // With three significant digits; the bounds are constants that the histogram accepts.
        let Ok(mut histogram) = Histogram::<u64>::new_with_bounds(1, LONGEST_MICROS, 3) else {
            return Self::default();
        };
        for sample in samples.iter().filter(|sample| sample.last.is_ok()) {
            histogram.saturating_record(sample.took_micros);
        }
        let at = |quantile| Duration::from_micros(histogram.value_at_quantile(quantile));
        let slowest = samples.iter().filter(|sample| sample.last.is_ok());
        let slowest = slowest.map(|sample| sample.took_micros).max().unwrap_or_default();
        Self { median: at(0.5), p99: at(0.99), slowest: Duration::from_micros(slowest) }
    }
}

impl Sample {
    /// Returns the time at which the request ended.
    #[must_use]
    pub const fn ended_micros(&self) -> u64 {
        self.due_micros.saturating_add(self.took_micros)
    }
}

/// Returns the time at which each phase began, in order.
#[must_use]
pub(crate) fn phases(recording: &Recording) -> Vec<(u64, Phase)> {
    let began = recording.events.iter().filter_map(|event| match event.happened {
        Happened::Phase(phase) => Some((event.at_micros, phase)),
        _ => None,
    });
    began.collect()
}

fn phase_at(began: &[(u64, Phase)], at_micros: u64) -> Phase {
    let current = began.iter().rev().find(|(micros, _)| *micros <= at_micros);
    current.map_or(Phase::Steady, |(_, phase)| *phase)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Variant;
    use crate::recording::Event;

    fn sample(due_micros: u64, client: Client, first: Ending, last: Ending) -> Sample {
        let (late_micros, took_micros, replica) = (5, 1000, Some(0));
        Sample { due_micros, late_micros, took_micros, client, replica, first, last }
    }

    fn recording(samples: Vec<Sample>) -> Recording {
        let phase = |at_micros, phase| Event { at_micros, happened: Happened::Phase(phase) };
        Recording {
            variant: Variant::AsWritten,
            samples,
            events: vec![phase(0, Phase::Steady), phase(10_000, Phase::RollingUpdate)],
            hooks: Vec::new(),
            rollout_micros: 0,
            notes: Vec::new(),
        }
    }

    #[test]
    fn every_request_is_counted_once_in_each_count() {
        let endings = [Ending::Ok].into_iter().chain(Ending::DROPPED);
        let samples: Vec<_> = endings
            .flat_map(|ending| Client::ALL.map(|client| sample(9_500, client, ending, ending)))
            .collect();
        let tally = Tally::of(&recording(samples));
        assert_eq!(tally.all, Count { sent: 18, ok: 3, dropped: 15, dropped_without_retry: 15 });
        assert_eq!(tally.endings.map(|(_, count)| count), [3; 5]);
        let sum =
            |counts: &mut dyn Iterator<Item = Count>| counts.map(|count| count.sent).sum::<u64>();
        assert_eq!(sum(&mut tally.clients.iter().map(|(_, count)| *count)), 18);
        assert_eq!(sum(&mut tally.phases.iter().map(|(_, count)| *count)), 18);
    }

    #[test]
    fn a_request_that_was_sent_again_is_dropped_only_without_that() {
        let tally =
            Tally::of(&recording(vec![sample(0, Client::KeptAlive, Ending::Reset, Ending::Ok)]));
        assert_eq!(tally.all, Count { sent: 1, ok: 1, dropped: 0, dropped_without_retry: 1 });
    }

    #[test]
    fn a_request_belongs_to_the_phase_in_which_it_ended() {
        let new = |due| sample(due, Client::NewConnection, Ending::Ok, Ending::Ok);
        let tally = Tally::of(&recording(vec![new(0), new(8_000), new(9_500), new(20_000)]));
        let sent: Vec<_> = tally.phases.iter().map(|(phase, count)| (*phase, count.sent)).collect();
        assert_eq!(sent, [(Phase::Steady, 2), (Phase::RollingUpdate, 2)]);
        assert_eq!(tally.most_late, Duration::from_micros(5));
        assert_eq!(tally.latency.slowest, Duration::from_micros(1000));
    }
}
