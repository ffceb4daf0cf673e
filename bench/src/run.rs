//! The whole comparison: every figure of every contestant, in rounds that take turns, each with a
//! new server.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use prestop_bench::reviews::Review;

use crate::client::{Connection, Request};
use crate::contestants::Contestant;
use crate::figures::{Figure, Figures, microseconds};
use crate::load::{self, CONNECTIONS};
use crate::process::{Stage, busy};
use crate::wrk;

/// Pods created per second in the largest cluster with public figures.
pub(crate) const PER_SECOND: u32 = 1_000;
/// Number of concurrent requests.
pub(crate) const BURST: usize = 200;
/// Number of open connections.
pub(crate) const CROWD: usize = 1_000;

/// Durations and repetitions of the measurements.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    /// Rounds of quick measurements.
    pub(crate) rounds: usize,
    /// Rounds of less important bodies, and of latencies.
    pub(crate) fewer_rounds: usize,
    /// Measured duration of a closed loop.
    pub(crate) measured: Duration,
    /// Duration of an open loop.
    pub(crate) open: Duration,
    /// Bursts per round.
    pub(crate) bursts: usize,
    /// New connections per round.
    pub(crate) fresh: usize,
    /// Number of starts.
    pub(crate) starts: usize,
    /// Time from closing the connections to the last measurement of the memory.
    pub(crate) later: Duration,
}

impl Effort {
    /// For the documents: takes about a quarter of an hour.
    pub(crate) const FULL: Self = Self {
        rounds: 9,
        fewer_rounds: 3,
        measured: Duration::from_secs(2),
        open: Duration::from_secs(10),
        bursts: 10,
        fresh: 300,
        starts: 20,
        later: Duration::from_secs(30),
    };
    /// For a trial: takes one or two minutes. The results are not to be quoted.
    pub(crate) const QUICK: Self = Self {
        rounds: 1,
        fewer_rounds: 1,
        measured: Duration::from_millis(500),
        open: Duration::from_secs(2),
        bursts: 2,
        fresh: 50,
        starts: 3,
        later: Duration::from_secs(30),
    };
}

/// All contestants, with the effort of the measurement.
pub(crate) struct Bench<'a> {
    /// The environment of the contestants.
    pub(crate) stage: Stage<'a>,
    /// Durations and repetitions of the measurements.
    pub(crate) effort: Effort,
}

impl Bench<'_> {
    /// Measures everything.
    pub(crate) fn run(&self) -> anyhow::Result<Figures> {
        let mut figures = Figures::default();
        for contestant in Contestant::PROGRAMS {
            let bytes = fs::metadata(contestant.program(self.stage.folder))?.len();
            #[allow(clippy::cast_precision_loss)]
            figures.add(Figure::Binary, contestant, bytes as f64);
        }
        for review in Review::ALL {
            let (rounds, contestants) = match review {
                Review::Small | Review::Large => (self.effort.rounds, Contestant::ALL.as_slice()),
                _ => (self.effort.fewer_rounds, Contestant::PROGRAMS.as_slice()),
            };
            in_turns(&format!("closed loop, {}", review.name()), rounds, contestants, |one| {
                self.closed(review, one, &mut figures)
            })?;
        }
        if wrk::is_there() {
            let both = [Contestant::Floor, Contestant::Prestop];
            for review in [Review::Small, Review::Large] {
                let name = format!("wrk, {}", review.name());
                in_turns(&name, self.effort.rounds, &both, |one| {
                    let cpu = wrk::cpu(&self.stage, one, review, self.effort.measured)?;
                    figures.add(Figure::Wrk(review.name()), one, cpu);
                    Ok(())
                })?;
            }
        } else {
            eprintln!("skipped: wrk is not installed, which checks our client");
        }
        let programs = Contestant::PROGRAMS.as_slice();
        in_turns("start", self.effort.starts, programs, |one| self.start(one, &mut figures))?;
        let rounds = self.effort.fewer_rounds;
        in_turns("fresh connections", rounds, programs, |one| self.fresh(one, &mut figures))?;
        in_turns("1,000 a second", rounds, programs, |one| self.open(one, &mut figures))?;
        in_turns("bursts", rounds, programs, |one| self.burst(one, &mut figures))?;
        self.crowd(&mut figures)?;
        Ok(figures)
    }

    fn closed(
        &self,
        review: Review,
        contestant: Contestant,
        figures: &mut Figures,
    ) -> anyhow::Result<()> {
        let server = self.stage.start(contestant)?;
        let request = Request::mutate(&review.committed()?);
        let mut connections: Vec<Connection> =
            (0..CONNECTIONS).map(|_| server.target.connect()).collect::<anyhow::Result<_>>()?;
        load::closed_loop(&mut connections, &request, self.effort.measured / 4)?;
        let core = self.stage.cores.map_or(0, |[server, _]| server);
        let (cpu, others, began) = (server.cpu()?, busy(core)?, Instant::now());
        let latencies = load::closed_loop(&mut connections, &request, self.effort.measured)?;
        let elapsed = began.elapsed();
        let cpu = server.cpu()?.saturating_sub(cpu);
        let others = busy(core)?.saturating_sub(others).saturating_sub(cpu);
        let name = review.name();
        #[allow(clippy::cast_precision_loss)]
        let requests = latencies.len() as f64;
        figures.add(Figure::Cpu(name), contestant, microseconds(cpu) / requests);
        figures.add(Figure::Others(name), contestant, others.as_secs_f64() / elapsed.as_secs_f64());
        figures.add(Figure::PeakMemory(name), contestant, server.peak_bytes()?);
        let quantiles = [(Figure::ClosedP50(name), 0.5), (Figure::ClosedP99(name), 0.99)];
        figures.add_latencies(contestant, latencies, &quantiles);
        Ok(())
    }

    fn start(&self, contestant: Contestant, figures: &mut Figures) -> anyhow::Result<()> {
        let request = Request::mutate(&Review::Small.committed()?);
        let mut server = self.stage.start(contestant)?;
        let mut connection = server.first_connection.take().context("a first connection")?;
        connection.review(&request)?;
        figures.add(Figure::FirstAnswer, contestant, microseconds(server.began.elapsed()));
        figures.add(Figure::IdleMemory, contestant, server.resident_bytes()?);
        figures.add(Figure::AnonymousMemory, contestant, server.anonymous_bytes()?);
        Ok(())
    }

    fn fresh(&self, contestant: Contestant, figures: &mut Figures) -> anyhow::Result<()> {
        let server = self.stage.start(contestant)?;
        let request = Request::mutate(&Review::Small.committed()?);
        load::fresh_connections(&server.target, &request, self.effort.fresh / 10)?;
        let before = server.cpu()?;
        load::fresh_connections(&server.target, &request, self.effort.fresh)?;
        let spent = microseconds(server.cpu()?.saturating_sub(before));
        #[allow(clippy::cast_precision_loss)]
        figures.add(Figure::FreshConnection, contestant, spent / self.effort.fresh as f64);
        Ok(())
    }

    fn open(&self, contestant: Contestant, figures: &mut Figures) -> anyhow::Result<()> {
        let server = self.stage.start(contestant)?;
        let request = Request::mutate(&Review::Small.committed()?);
        load::open_loop(&server.target, &request, PER_SECOND, self.effort.open / 10)?;
        let latencies = load::open_loop(&server.target, &request, PER_SECOND, self.effort.open)?;
        let quantiles =
            [(Figure::OpenP50, 0.5), (Figure::OpenP99, 0.99), (Figure::OpenP999, 0.999)];
        figures.add_latencies(contestant, latencies, &quantiles);
        Ok(())
    }

    fn burst(&self, contestant: Contestant, figures: &mut Figures) -> anyhow::Result<()> {
        let server = self.stage.start(contestant)?;
        let request = Request::mutate(&Review::Small.committed()?);
        let (times, pause) = (self.effort.bursts, Duration::from_millis(800));
        let latencies = load::bursts(&server.target, &request, BURST, times, pause)?;
        let quantiles =
            [(Figure::BurstP50, 0.5), (Figure::BurstP99, 0.99), (Figure::BurstP999, 0.999)];
        figures.add_latencies(contestant, latencies, &quantiles);
        Ok(())
    }

    /// Measures memory with many connections; all contestants wait at the same time.
    fn crowd(&self, figures: &mut Figures) -> anyhow::Result<()> {
        let request = Request::mutate(&Review::Large.committed()?);
        let mut servers = Vec::new();
        for contestant in Contestant::PROGRAMS {
            let server = self.stage.start(contestant)?;
            let connections = load::open_connections(&server.target, &request, CROWD)?;
            figures.add(Figure::CrowdMemory, contestant, server.peak_bytes()?);
            drop(connections);
            servers.push((contestant, server, Instant::now()));
        }
        for (contestant, server, since) in servers {
            thread::sleep(self.effort.later.saturating_sub(since.elapsed()));
            figures.add(Figure::LaterMemory, contestant, server.resident_bytes()?);
        }
        Ok(())
    }
}

/// Measures each contestant once per round.
fn in_turns(
    name: &str,
    rounds: usize,
    contestants: &[Contestant],
    mut each: impl FnMut(Contestant) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let began = Instant::now();
    for _ in 0..rounds {
        for contestant in contestants {
            each(*contestant)?;
        }
    }
    eprintln!("{name}: {rounds} rounds in {:.0} s", began.elapsed().as_secs_f64());
    Ok(())
}
