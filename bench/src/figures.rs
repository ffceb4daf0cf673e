//! The measurements: one value for each round of each figure of each contestant.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::contestants::Contestant;

/// A measured figure. Times are in microseconds, sizes in bytes, shares relative to 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Figure {
    /// CPU time of the server per request, with 8 connections in a closed loop.
    Cpu(&'static str),
    /// Median latency of that run.
    ClosedP50(&'static str),
    /// 99th percentile of the latency of that run.
    ClosedP99(&'static str),
    /// Peak memory of that run.
    PeakMemory(&'static str),
    /// Share of the server's core that other processes used during the run.
    Others(&'static str),
    /// CPU time as above, with wrk as the client.
    Wrk(&'static str),
    /// Median latency at 1,000 requests per second.
    OpenP50,
    /// 99th percentile at 1,000 requests per second.
    OpenP99,
    /// 99.9th percentile at 1,000 requests per second.
    OpenP999,
    /// Median latency of 200 concurrent requests.
    BurstP50,
    /// 99th percentile of 200 concurrent requests.
    BurstP99,
    /// 99.9th percentile of 200 concurrent requests.
    BurstP999,
    /// CPU time of the server for a new connection with one request.
    FreshConnection,
    /// Time from the start of the server to its first answer.
    FirstAnswer,
    /// Memory after the first answer.
    IdleMemory,
    /// Part of this memory that is not mapped from a file.
    AnonymousMemory,
    /// Peak memory with 1,000 connections.
    CrowdMemory,
    /// Memory 30 s after these connections were closed.
    LaterMemory,
    /// Size of the program's file.
    Binary,
}

/// Smallest, middle and largest of several values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    /// The smallest value.
    pub(crate) minimum: f64,
    /// The middle value.
    pub(crate) median: f64,
    /// The largest value.
    pub(crate) maximum: f64,
}

impl Spread {
    /// Returns the spread; `None` without values.
    pub(crate) fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let middle = values.get(values.len() / 2)?;
        Some(Self { minimum: *values.first()?, median: *middle, maximum: *values.last()? })
    }
}

/// All measurements.
#[derive(Debug, Default)]
pub(crate) struct Figures(BTreeMap<(Figure, Contestant), Vec<f64>>);

impl Figures {
    /// Adds the value of one round.
    pub(crate) fn add(&mut self, figure: Figure, contestant: Contestant, value: f64) {
        self.0.entry((figure, contestant)).or_default().push(value);
    }

    /// Adds quantiles of latencies as values of these figures.
    pub(crate) fn add_latencies(
        &mut self,
        contestant: Contestant,
        mut latencies: Vec<Duration>,
        figures: &[(Figure, f64)],
    ) {
        latencies.sort_unstable();
        for (figure, share) in figures {
            self.add(*figure, contestant, microseconds(quantile(&latencies, *share)));
        }
    }

    /// Returns the spread over all rounds.
    pub(crate) fn spread(&self, figure: Figure, contestant: Contestant) -> Option<Spread> {
        Spread::of(self.0.get(&(figure, contestant))?.clone())
    }

    /// Returns the value that this share of all rounds does not exceed.
    pub(crate) fn quantile(&self, figure: Figure, contestant: Contestant, share: f64) -> f64 {
        let Some(values) = self.0.get(&(figure, contestant)) else { return f64::NAN };
        let mut values = values.clone();
        values.sort_by(f64::total_cmp);
        place(&values, share).unwrap_or(f64::NAN)
    }

    /// Returns the ratio of one contestant to the other, computed for each round, as a spread over
    /// all rounds.
    pub(crate) fn ratio(&self, figure: Figure, of: Contestant, to: Contestant) -> Option<Spread> {
        self.pairs(figure, of, to, |of, to| of / to)
    }

    /// Returns the difference between one contestant and the other.
    pub(crate) fn difference(
        &self,
        figure: Figure,
        of: Contestant,
        to: Contestant,
    ) -> Option<Spread> {
        self.pairs(figure, of, to, |of, to| of - to)
    }

    fn pairs(
        &self,
        figure: Figure,
        of: Contestant,
        to: Contestant,
        each: impl Fn(f64, f64) -> f64,
    ) -> Option<Spread> {
        let (of, to) = (self.0.get(&(figure, of))?, self.0.get(&(figure, to))?);
        Spread::of(of.iter().zip(to).map(|(of, to)| each(*of, *to)).collect())
    }
}

/// Returns the latency that this share of sorted latencies does not exceed.
pub(crate) fn quantile(sorted: &[Duration], share: f64) -> Duration {
    place(sorted, share).unwrap_or_default()
}

#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn place<T: Copy>(sorted: &[T], share: f64) -> Option<T> {
    let place = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(place.saturating_sub(1)).copied()
}

/// Returns the duration in microseconds, with fractions.
pub(crate) fn microseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_list() {
        let sorted: Vec<_> = (1..=1000).map(Duration::from_millis).collect();
        for (share, milliseconds) in [(0.5, 500), (0.99, 990), (0.999, 999), (1.0, 1000)] {
            assert_eq!(quantile(&sorted, share), Duration::from_millis(milliseconds));
        }
        assert_eq!(quantile(&[], 0.5), Duration::ZERO);
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let mut figures = Figures::default();
        for (floor, prestop) in [(1.0, 2.0), (10.0, 30.0), (2.0, 2.0)] {
            figures.add(Figure::OpenP50, Contestant::Floor, floor);
            figures.add(Figure::OpenP50, Contestant::Prestop, prestop);
        }
        let ratio = figures.ratio(Figure::OpenP50, Contestant::Prestop, Contestant::Floor);
        assert_eq!(ratio, Some(Spread { minimum: 1.0, median: 2.0, maximum: 3.0 }));
        assert_eq!(figures.ratio(Figure::OpenP50, Contestant::Naive, Contestant::Floor), None);
    }
}
