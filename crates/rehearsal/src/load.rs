//! The clients. Open loop: requests are sent when they are due, whether earlier ones have been
//! answered or not, and a client's waiting time counts from that moment.

mod connection;
mod kept_alive;

pub(crate) mod get;
pub mod remote;

use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use self::connection::Attempt;
use self::kept_alive::Pools;
use super::endpoints::{Endpoint, Endpoints};
use super::plan::{Draw, Load, LongRequests, random};
use super::recording::{Client, Ending, Sample};

/// The Service, shared by all clients.
#[derive(Clone, Default)]
pub(crate) struct Service(Arc<RwLock<Endpoints>>);

impl Service {
    /// Returns the endpoint of a new connection.
    #[must_use]
    pub(crate) fn pick(&self, random: u64) -> Option<Endpoint> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).pick(random)
    }

    /// Changes the endpoints.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Endpoints)) {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }
}

/// State shared by the clients.
struct Clients {
    service: Service,
    pools: Pools,
    load: Load,
    /// Host name of the requests; the address if there is none.
    host: Option<String>,
    started: Instant,
}

/// The kind of a request, determined by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Choice {
    client: Client,
    /// Random numbers for the endpoint, and for the endpoint of a second attempt.
    random: [u64; 2],
}

/// Progress of the load.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Number of requests that have ended.
    pub ended: u64,
    /// Number of these requests that were dropped.
    pub dropped: u64,
}

/// Starts the clients on separate threads, so that they do not delay the kubelet's clock.
///
/// # Errors
/// Returns an error if the threads can't be started.
pub(crate) fn start(
    load: Load,
    service: Service,
    started: Instant,
    over: watch::Receiver<bool>,
    progress: watch::Sender<Progress>,
) -> io::Result<oneshot::Receiver<Vec<Sample>>> {
    let clients = Clients { service, pools: Pools::default(), load, host: None, started };
    in_background(async move {
        let mut samples = Vec::new();
        let take = |sample: Sample| {
            progress.send_modify(|progress| {
                progress.ended += 1;
                progress.dropped += u64::from(!sample.last.is_ok());
            });
            samples.push(sample);
        };
        clients.run(over, take).await;
        samples.sort_by_key(|sample| sample.due_micros);
        samples
    })
}

/// Runs a future on separate threads.
fn in_background<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> io::Result<oneshot::Receiver<T>> {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (tell, done) = oneshot::channel();
    std::thread::Builder::new().name("load".to_owned()).spawn(move || {
        // There is no receiver if the run has failed in the meantime.
        let _ = tell.send(runtime.block_on(work));
    })?;
    Ok(done)
}

fn taken(ended: Result<Sample, tokio::task::JoinError>) -> Sample {
    // A panic of a client is a defect of this program and must not look like a smaller number of
    // requests.
    ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

impl Clients {
    /// Sends requests until `over` is true and the minimum number has been sent, then waits for the
    /// last answers. `take` receives each request that has ended.
    async fn run(self, over: watch::Receiver<bool>, mut take: impl FnMut(Sample)) {
        let interval = Duration::from_secs(1) / self.load.rate_per_second.max(1);
        let least = self.load.least_requests;
        let places = Arc::new(Semaphore::new(most_in_flight(self.load.rate_per_second)));
        let clients = Arc::new(self);
        let mut requests = JoinSet::new();
        let mut due = Instant::now();
        for number in 0_u64.. {
            sleep_until(due).await;
            if *over.borrow() && number >= least {
                break;
            }
            // The semaphore is never closed.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
            let clients = Arc::clone(&clients);
            requests.spawn(async move {
                let sample = clients.request(number, due).await;
                drop(place);
                sample
            });
            while let Some(ended) = requests.try_join_next() {
                take(taken(ended));
            }
            due += interval;
        }
        while let Some(ended) = requests.join_next().await {
            take(taken(ended));
        }
    }

    async fn request(&self, number: u64, due: Instant) -> Sample {
        let choice = choose(&self.load, number);
        let late = due.elapsed();
        let (first, last) = match choice.client {
            Client::KeptAlive => self.pools.request(self, choice.random).await,
            Client::NewConnection => {
                let attempt = self.alone(choice, &self.load.path, self.load.timeout).await;
                (attempt.ending, attempt)
            }
            Client::Long => {
                let long = self.load.long.as_ref();
                let path = long.map_or(self.load.path.as_str(), |long| long.path.as_str());
                let takes = long.map_or(Duration::ZERO, |long| long.takes);
                let attempt = self.alone(choice, path, self.load.timeout + takes).await;
                (attempt.ending, attempt)
            }
        };
        Sample {
            due_micros: micros(due.saturating_duration_since(self.started)),
            late_micros: micros(late),
            took_micros: micros(due.elapsed()),
            client: choice.client,
            replica: last.replica,
            first,
            last: last.ending,
        }
    }

    /// Sends one request on a new connection.
    async fn alone(&self, choice: Choice, path: &str, patience: Duration) -> Attempt {
        let Some(endpoint) = self.service.pick(choice.random[0]) else {
            // kube-proxy rejects connections to a Service without endpoints: the client sees a
            // refused connection.
            return Attempt { ending: Ending::Refused, replica: None };
        };
        let asked = timeout(patience, async {
            match connection::open(endpoint.address, self.host.as_deref()).await {
                Ok(mut connection) => connection.get(path).await,
                Err(ending) => ending,
            }
        });
        let ending = asked.await.unwrap_or(Ending::TimeOut);
        Attempt { ending, replica: Some(endpoint.replica) }
    }
}

fn choose(load: &Load, number: u64) -> Choice {
    let mut random = random(load.seed, Draw::Request, number);
    let long = load.long.as_ref().map_or(0.0, |long| long_share(long, load.rate_per_second));
    let client = if random.f64() < long {
        Client::Long
    } else if random.bool() {
        Client::NewConnection
    } else {
        Client::KeptAlive
    };
    Choice { client, random: [random.u64(..), random.u64(..)] }
}

/// Returns the share of long requests that keeps the configured number of them in flight.
fn long_share(long: &LongRequests, rate_per_second: u32) -> f64 {
    let seconds = long.takes.as_secs_f64().max(0.1);
    (f64::from(long.in_flight) / seconds / f64::from(rate_per_second.max(1))).min(0.5)
}

/// Limit for requests in flight. A server that no longer answers must not be flooded: requests
/// beyond those of one second are sent when others have ended, and their time counts from the
/// moment when they were due.
fn most_in_flight(rate_per_second: u32) -> usize {
    usize::try_from(rate_per_second).unwrap_or(usize::MAX).clamp(64, 1024)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(seed: u64, long_seconds: Option<u64>) -> Load {
        Load {
            rate_per_second: 200,
            least_requests: 0,
            seed,
            path: "/".to_owned(),
            long: long_seconds.map(|seconds| LongRequests {
                path: "/long".to_owned(),
                takes: Duration::from_secs(seconds),
                in_flight: 2,
            }),
            timeout: Duration::from_secs(5),
        }
    }

    #[test]
    fn the_seed_decides() {
        let choices = |seed| {
            let load = load(seed, Some(3));
            (0..500).map(|number| choose(&load, number)).collect::<Vec<_>>()
        };
        assert_eq!(choices(1), choices(1));
        assert_ne!(choices(1), choices(2));
    }

    #[test]
    fn clients_have_their_shares() {
        let share = |load: &Load, client| {
            (0..20_000).filter(|number| choose(load, *number).client == client).count()
        };
        let short = load(1, None);
        assert_eq!(share(&short, Client::Long), 0);
        assert!((9_000..11_000).contains(&share(&short, Client::NewConnection)));
        // Two requests in flight for three seconds each, at 200 requests per second: one in 300.
        let long = load(1, Some(3));
        assert!((40..100).contains(&share(&long, Client::Long)));
    }
}
