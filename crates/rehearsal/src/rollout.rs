//! The rollout: simulates the controllers of Deployments and `ReplicaSets`, and evictions.
//!
//! - Rolling update, `maxSurge: 1`, `maxUnavailable: 0`: a new replica is started, and when it is
//!   ready an old one is deleted; terminating replicas are not awaited, because they do not count.
//! - Scale-down: one surplus replica is removed, the newest (controllers first remove those that
//!   have been ready for the shortest time).
//! - Drain: each replica is evicted, its replacement is created immediately, and the next one is
//!   evicted when the replacement is ready (a disruption budget of one).

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

/// The journal of a run, whose events are reported as they are written.
#[derive(Clone)]
pub(crate) struct Journal {
    /// Start of the load; earlier events have the time 0.
    started: Arc<OnceLock<Instant>>,
    entries: Arc<Mutex<Entries>>,
    tell: Arc<dyn Fn(&Event) + Send + Sync>,
}

/// Contents of a journal.
#[derive(Default)]
pub(crate) struct Entries {
    /// The events of replicas.
    pub events: Vec<Event>,
    /// The ends of hooks.
    pub hooks: Vec<HookEnd>,
    /// Differences from Kubernetes, without duplicates.
    pub notes: Vec<String>,
}

/// Reason why a run could not be completed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(crate) enum RunError {
    /// The process could not be started.
    #[error("replica {replica} could not be started: {cause}")]
    NotStarted {
        /// Number of the replica.
        replica: u32,
        /// Reason of the failure.
        cause: String,
        /// Output so far.
        output: Vec<String>,
    },
    /// The server ended by itself.
    #[error("replica {replica} ended by itself ({status}); a server has to stay in the foreground")]
    Ended {
        /// Number of the replica.
        replica: u32,
        /// Exit status.
        status: String,
        /// Output of the server.
        output: Vec<String>,
    },
    /// The server did not become ready in time.
    #[error("replica {replica} was not ready within {}s: {failure}{}", waited.as_secs(), listening(ports))]
    NeverReady {
        /// Number of the replica.
        replica: u32,
        /// Time for which it was awaited.
        waited: Duration,
        /// The failed check.
        failure: String,
        /// The ports on which it listens.
        ports: Vec<u16>,
        /// Output of the server.
        output: Vec<String>,
    },
    /// The server is ready, but does not answer the requests that the clients will send.
    #[error(
        "a ready replica answers GET {path} with: {answer}; choose a path that works with --{option}"
    )]
    WrongAnswer {
        /// Path of the request.
        path: String,
        /// The answer.
        answer: String,
        /// The argument that sets the path.
        option: &'static str,
        /// Output of the server.
        output: Vec<String>,
    },
    /// The clients can't be started.
    #[error("the load generator can't be started: {0}")]
    NoThreads(std::io::Error),
    /// The clients ended without a result.
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
    /// Terminations, and changes of endpoints that the load balancer has not learned yet.
    terminating: JoinSet<()>,
    /// Probes that the kubelet continues.
    probes: JoinSet<()>,
    started: u32,
    deleted: u64,
}

impl<'a> Rollout<'a> {
    /// Creates a run without replicas.
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

    /// Starts the replicas, and sends the requests of the clients to the first one.
    ///
    /// # Errors
    /// Returns an error if the server does not serve.
    pub(crate) async fn begin(&mut self) -> Result<(), RunError> {
        for _ in 0..self.plan.replicas {
            let replica = self.start().await?;
            // All clients have known these replicas for a long time, so there is no delay.
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

    /// Plays a phase, up to the end of every termination in it.
    ///
    /// # Errors
    /// Returns an error if a server does not start, or ends by itself.
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
                // Until the replica gets requests.
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

    /// Waits for some time.
    ///
    /// # Errors
    /// Returns an error if a server ends by itself in the meantime.
    pub(crate) async fn wait(&self, time: Duration) -> Result<(), RunError> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            sleep(WATCH_INTERVAL.min(until.saturating_duration_since(Instant::now()))).await;
            self.all_are_well()?;
        }
        Ok(())
    }

    /// Checks that every replica that should serve still runs.
    ///
    /// # Errors
    /// Returns an error if one has ended by itself.
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

    /// Adds a new replica, which is ready when it is returned.
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

    /// Starts a new replica, which is ready when it is returned, but gets no requests yet.
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

    /// Continues the probe, as the kubelet does until the container has ended: hooks that count
    /// connections count these too.
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

    /// Deletes a replica: from this moment the kubelet terminates it, and the change spreads to the
    /// proxies. Neither waits for the other.
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
            // The removal of the endpoint takes as long to spread.
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
    /// Creates an empty journal; `tell` is called for every event.
    #[must_use]
    pub(crate) fn new(tell: Arc<dyn Fn(&Event) + Send + Sync>) -> Self {
        Self { started: Arc::default(), entries: Arc::default(), tell }
    }

    /// Starts the clock of the journal.
    #[must_use]
    pub(crate) fn start(&self) -> Instant {
        *self.started.get_or_init(Instant::now)
    }

    /// Returns the contents, with the events in order.
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
    /// Returns the output of the server.
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
