//! The rollout: simulates the controllers of Deployments and `ReplicaSets`, and evictions.
//!
//! - Rolling update, `maxSurge: 1`, `maxUnavailable: 0`: a new replica, and when it is ready an old
//!   one is deleted; terminating replicas are not awaited, as they do not count.
//! - Scale-down: one replica too many is taken away, the newest (controllers rank those ready for
//!   the shortest time first).
//! - Drain: each replica is evicted, its replacement is made at once, and the next one is evicted
//!   when that is ready (a disruption budget of one).

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use thiserror::Error;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::endpoints::Endpoint;
use super::kubelet::{Container, Step, terminate};
use super::load::Service;
use super::load::get::status_of;
use super::plan::{Plan, Termination};
use super::recording::{Event, Happened, HookEnd, Phase};
use super::replica::{Replica, StartError};

/// Interval for checking replicas that should serve.
const WATCH_INTERVAL: Duration = Duration::from_millis(50);

/// The journal of a run, reported as it is written.
#[derive(Clone)]
pub(crate) struct Journal {
    /// When the load begins; earlier events have the time 0.
    started: Arc<OnceLock<Instant>>,
    entries: Arc<Mutex<Entries>>,
    tell: Arc<dyn Fn(&Event) + Send + Sync>,
}

/// What is written down.
#[derive(Default)]
pub(crate) struct Entries {
    /// What happened to replicas.
    pub events: Vec<Event>,
    /// How hooks ended.
    pub hooks: Vec<HookEnd>,
    /// What could not be done as in Kubernetes, each once.
    pub notes: Vec<String>,
}

/// Why a run could not be played to its end: the server's doing.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(crate) enum RunError {
    /// There is no process.
    #[error("replica {replica} could not be started: {cause}")]
    NotStarted {
        /// Which.
        replica: u32,
        /// Why.
        cause: String,
        /// What was printed.
        output: Vec<String>,
    },
    /// It ended by itself.
    #[error("replica {replica} ended by itself ({status}); a server has to stay in the foreground")]
    Ended {
        /// Which.
        replica: u32,
        /// How.
        status: String,
        /// What it printed.
        output: Vec<String>,
    },
    /// It did not become ready in time.
    #[error("replica {replica} was not ready within {}s: {failure}{}", waited.as_secs(), listening(ports))]
    NeverReady {
        /// Which.
        replica: u32,
        /// How long it was waited for.
        waited: Duration,
        /// What was asked in vain.
        failure: String,
        /// The ports on which it listens.
        ports: Vec<u16>,
        /// What it printed.
        output: Vec<String>,
    },
    /// It is ready, but does not answer what the clients will ask.
    #[error(
        "a ready replica answers GET {path} with: {answer}; choose a path that works with --{option}"
    )]
    WrongAnswer {
        /// What was asked.
        path: String,
        /// What came.
        answer: String,
        /// The argument that sets the path.
        option: &'static str,
        /// What it printed.
        output: Vec<String>,
    },
    /// The clients can't be started.
    #[error("the load generator can't be started: {0}")]
    NoThreads(std::io::Error),
    /// The clients ended without saying what they saw.
    #[error("the load generator ended too early")]
    NoAnswer,
}

/// The replicas of one run.
pub(crate) struct Rollout<'a> {
    plan: &'a Plan,
    how: Arc<Termination>,
    service: Service,
    journal: Journal,
    live: Vec<Arc<Replica>>,
    /// Terminations, and changes of endpoints that the load balancer has not heard of.
    terminating: JoinSet<()>,
    /// The probe that the kubelet continues.
    probes: JoinSet<()>,
    started: u32,
    deleted: u64,
}

impl<'a> Rollout<'a> {
    /// A run without replicas.
    #[must_use]
    pub(crate) fn new(
        plan: &'a Plan,
        how: &Termination,
        service: Service,
        journal: Journal,
    ) -> Self {
        Self {
            plan,
            how: Arc::new(how.clone()),
            service,
            journal,
            live: Vec::new(),
            terminating: JoinSet::new(),
            probes: JoinSet::new(),
            started: 0,
            deleted: 0,
        }
    }

    /// Starts the replicas, and asks the first one what the clients will ask.
    ///
    /// # Errors
    /// When the server does not serve.
    pub(crate) async fn begin(&mut self) -> Result<(), RunError> {
        for _ in 0..self.plan.replicas {
            let replica = self.start().await?;
            // Everybody has known these for long.
            self.service.change(|endpoints| endpoints.add(self.endpoint(&replica)));
        }
        let Some(replica) = self.live.first() else { return Ok(()) };
        let load = &self.plan.load;
        let long = load.long.as_ref();
        let long = long.map(|long| (long.path.as_str(), "long-path", load.timeout + long.takes));
        for (path, option, patience) in
            [(load.path.as_str(), "path", load.timeout)].into_iter().chain(long)
        {
            first_look(replica, self.plan.port, path, option, patience).await?;
        }
        Ok(())
    }

    /// Plays a phase, to the end of every termination in it.
    ///
    /// # Errors
    /// When a server does not start, or ends by itself.
    pub(crate) async fn play(&mut self, phase: Phase) -> Result<(), RunError> {
        self.journal.note(Happened::Phase(phase));
        match phase {
            Phase::RollingUpdate => {
                for replica in self.live.clone() {
                    self.add().await?;
                    self.delete(&replica);
                }
            }
            Phase::ScaleDown => {
                let surplus = self.add().await?;
                // Until it gets requests.
                self.wait(self.plan.late_endpoints + Duration::from_millis(500)).await?;
                self.delete(&surplus);
            }
            Phase::Drain => {
                for replica in self.live.clone() {
                    self.delete(&replica);
                    self.add().await?;
                }
            }
            Phase::Steady | Phase::Settled => {}
        }
        self.terminations().await
    }

    /// Lets time pass.
    ///
    /// # Errors
    /// When a server ends by itself meanwhile.
    pub(crate) async fn wait(&self, time: Duration) -> Result<(), RunError> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            sleep(WATCH_INTERVAL.min(until.saturating_duration_since(Instant::now()))).await;
            self.all_are_well()?;
        }
        Ok(())
    }

    /// Whether every replica that should serve still runs.
    ///
    /// # Errors
    /// When one ended by itself.
    pub(crate) fn all_are_well(&self) -> Result<(), RunError> {
        self.live.iter().try_for_each(|replica| still_runs(replica))
    }

    async fn terminations(&mut self) -> Result<(), RunError> {
        while !self.terminating.is_empty() {
            let ended = tokio::time::timeout(WATCH_INTERVAL, self.terminating.join_next()).await;
            if let Ok(Some(Err(error))) = ended {
                std::panic::resume_unwind(error.into_panic());
            }
            self.all_are_well()?;
        }
        Ok(())
    }

    /// A new replica; ready when it is returned.
    async fn add(&mut self) -> Result<Arc<Replica>, RunError> {
        let replica = self.start().await?;
        let (endpoint, service) = (self.endpoint(&replica), self.service.clone());
        let late = self.plan.late_endpoints;
        if late.is_zero() {
            service.change(|endpoints| endpoints.add(endpoint));
        } else {
            self.terminating.spawn(async move {
                sleep(late).await;
                service.change(|endpoints| endpoints.add(endpoint));
            });
        }
        Ok(replica)
    }

    /// A new replica that gets no requests yet; it is ready when returned.
    async fn start(&mut self) -> Result<Arc<Replica>, RunError> {
        let number = self.started;
        self.started += 1;
        let replica = Replica::start(self.plan, &self.how, number).await;
        let replica = Arc::new(replica.map_err(|error| not_started(number, error))?);
        self.journal.tell_once(&replica.notes);
        self.until_ready(&replica).await?;
        self.journal.note(Happened::Ready { replica: number });
        self.live.push(Arc::clone(&replica));
        self.go_on_probing(&replica);
        Ok(replica)
    }

    fn endpoint(&self, replica: &Replica) -> Endpoint {
        Endpoint { replica: replica.number, address: (replica.address, self.plan.port).into() }
    }

    /// As the kubelet does until the container has ended: hooks that count connections count these too.
    fn go_on_probing(&mut self, replica: &Arc<Replica>) {
        let Some(period) = self.plan.probe.afterwards else { return };
        let (replica, probe) = (Arc::clone(replica), self.plan.probe.clone());
        self.probes.spawn(async move {
            loop {
                sleep(period).await;
                if replica.has_exited() {
                    return;
                }
                let _ = replica.is_ready(&probe.check, probe.timeout).await;
            }
        });
    }

    async fn until_ready(&self, replica: &Replica) -> Result<(), RunError> {
        let probe = &self.plan.probe;
        let started = Instant::now();
        sleep(probe.initial_delay).await;
        let mut in_a_row = 0;
        while in_a_row < probe.successes {
            still_runs(replica)?;
            self.all_are_well()?;
            if started.elapsed() > self.plan.ready_timeout + probe.initial_delay {
                return Err(RunError::NeverReady {
                    replica: replica.number,
                    waited: self.plan.ready_timeout,
                    failure: probe.check.failure(),
                    ports: replica.listening(),
                    output: replica.output(),
                });
            }
            let asked = Instant::now();
            let is_ready = replica.is_ready(&probe.check, probe.timeout).await;
            in_a_row = if is_ready { in_a_row + 1 } else { 0 };
            if in_a_row < probe.successes {
                sleep(probe.period.saturating_sub(asked.elapsed())).await;
            }
        }
        Ok(())
    }

    /// Deletes a replica: at this instant the kubelet begins to end it, and the news begins to
    /// spread to the proxies. Neither waits for the other.
    fn delete(&mut self, replica: &Arc<Replica>) {
        let number = replica.number;
        self.live.retain(|live| live.number != number);
        let delay = self.plan.withdrawn_after(self.deleted);
        self.deleted += 1;
        self.journal.note(Happened::Deleted { replica: number });
        let (service, journal) = (self.service.clone(), self.journal.clone());
        let ended = Arc::clone(replica);
        self.terminating.spawn(async move {
            sleep(delay).await;
            service.change(|endpoints| endpoints.withdraw(number));
            journal.note(Happened::Withdrawn { replica: number });
            ended.exited().await;
            // That it is gone is news too, and takes as long.
            sleep(delay).await;
            service.change(|endpoints| endpoints.remove(number));
        });
        let (replica, how, journal) =
            (Arc::clone(replica), Arc::clone(&self.how), self.journal.clone());
        self.terminating.spawn(async move {
            terminate(&*replica, &how, |step| journal.step(&replica, step)).await;
        });
    }
}

impl Journal {
    /// An empty journal; `tell` is called for every event.
    #[must_use]
    pub(crate) fn new(tell: Arc<dyn Fn(&Event) + Send + Sync>) -> Self {
        Self { started: Arc::default(), entries: Arc::default(), tell }
    }

    /// From here on times count.
    #[must_use]
    pub(crate) fn start(&self) -> Instant {
        *self.started.get_or_init(Instant::now)
    }

    /// Everything that was written down, in order.
    #[must_use]
    pub(crate) fn take(&self) -> Entries {
        let mut entries = std::mem::take(&mut *self.lock());
        entries.events.sort_by_key(|event| event.at_micros);
        entries
    }

    fn note(&self, happened: Happened) {
        let event = Event { at_micros: micros(self.now()), happened };
        (self.tell)(&event);
        self.lock().events.push(event);
    }

    fn now(&self) -> Duration {
        self.started.get().map_or(Duration::ZERO, Instant::elapsed)
    }

    fn tell_once(&self, notes: &[String]) {
        let mut entries = self.lock();
        for note in notes {
            if !entries.notes.contains(note) {
                entries.notes.push(note.clone());
            }
        }
    }

    fn step(&self, container: &Replica, step: Step) {
        let replica = container.number;
        match step {
            Step::HookOver { result, output, took } => {
                let (report, took_micros) = (container.report(), micros(took));
                if let Some(seconds) = report.as_ref().and_then(|report| report.delay) {
                    let began = self.now().saturating_sub(took);
                    let at_micros = micros(began + took.min(Duration::from_secs(seconds)));
                    let happened = Happened::DelayOver { replica };
                    self.lock().events.push(Event { at_micros, happened });
                }
                self.lock().hooks.push(HookEnd { replica, result, took_micros, output, report });
                self.note(Happened::HookOver { replica });
            }
            Step::StopSignal => self.note(Happened::StopSignal { replica }),
            Step::Killed => self.note(Happened::Killed { replica }),
            Step::Exited => self.note(Happened::Exited { replica }),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RunError {
    /// What the server printed.
    #[must_use]
    pub(crate) fn output(&self) -> &[String] {
        match self {
            Self::NotStarted { output, .. }
            | Self::Ended { output, .. }
            | Self::NeverReady { output, .. }
            | Self::WrongAnswer { output, .. } => output,
            Self::NoThreads(_) | Self::NoAnswer => &[],
        }
    }
}

fn still_runs(replica: &Replica) -> Result<(), RunError> {
    let Some(status) = replica.end() else { return Ok(()) };
    Err(RunError::Ended { replica: replica.number, status, output: replica.output() })
}

fn not_started(replica: u32, error: StartError) -> RunError {
    let cause = error.to_string();
    let output = match error {
        StartError::SetUp { output } => output,
        StartError::TooMany | StartError::Unshare(_) => Vec::new(),
    };
    RunError::NotStarted { replica, cause, output }
}

async fn first_look(
    replica: &Replica,
    port: u16,
    path: &str,
    option: &'static str,
    patience: Duration,
) -> Result<(), RunError> {
    let asked = tokio::time::timeout(patience, status_of((replica.address, port).into(), path));
    let answer = match asked.await {
        Ok(Ok(status)) if status < 400 => return Ok(()),
        Ok(Ok(status)) => format!("status {status}"),
        Ok(Err(ending)) => ending.words().to_owned(),
        Err(_) => format!("no answer within {}s", patience.as_secs()),
    };
    Err(RunError::WrongAnswer { path: path.to_owned(), answer, option, output: replica.output() })
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn listening(ports: &[u16]) -> String {
    if ports.is_empty() {
        return "; it listens on no TCP port".to_owned();
    }
    let ports: Vec<_> = ports.iter().map(ToString::to_string).collect();
    format!("; it listens on port {}", ports.join(", "))
}
