//! `prestop watch`: passes the responses of the API server to [`prestop_watch::state`], and prints
//! its output. Makes no decisions about pods.

mod junit;
mod live;
mod picture;
mod requests;
mod rolled;
mod session;

use std::fs;
use std::future::pending;
use std::time::Duration;

use anyhow::{Context, anyhow};
use jiff::Timestamp;
use prestop_watch::state::{Input, Watch};
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{self, Receiver};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use self::requests::Requests;
use self::rolled::{Rolled, Step};
use self::session::{Ended, Session};
use super::{Exit, tell};
use crate::cli::WatchArguments;
use crate::cluster::api::{self, Api, ClusterError, Target, failure};
use crate::cluster::watching::{Refused, Scope, Seen, now, watch};

/// Time limit for the first answer of the API server.
const PATIENCE: Duration = Duration::from_secs(10);
/// Interval for checking what has become known, and for redrawing the table on a terminal.
const TICK: Duration = Duration::from_millis(250);
/// Interval for polling a workload.
const LOOK_AT_WORKLOAD: Duration = Duration::from_secs(1);
/// Maximum number of events that were read from the watches and wait to be processed. Further
/// events wait in the connections.
const MOST_WAITING: usize = 1024;

/// Everything that the program reacts to.
struct Sources {
    seen: Receiver<Seen>,
    refused: Receiver<Refused>,
    interrupt: Signal,
    terminate: Signal,
    rolled: Option<Rolled>,
}

/// Watches until the end, and returns the result.
pub(super) fn run(arguments: &WatchArguments) -> anyhow::Result<Exit> {
    let runtime = Builder::new_current_thread().enable_all().build().context("threads")?;
    runtime.block_on(session(arguments))
}

async fn session(arguments: &WatchArguments) -> anyhow::Result<Exit> {
    let (interrupt, terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let target = match connect(arguments).await {
        Ok(target) => target,
        Err(error) => return Ok(no_cluster(&error)),
    };
    let mut scope = scope(arguments, &target);
    let rolled = match rolled(arguments, &target, &mut scope).await? {
        Ok(rolled) => rolled,
        Err(error) => return Ok(no_cluster(&error)),
    };
    let requests = match &arguments.url {
        Some(url) => match Requests::prepare(url, arguments.rate, arguments.timeout).await? {
            Ok(requests) => Some(requests),
            Err(error) => {
                tell(&format!("error: {error:#}"));
                return Ok(Exit::BadInput);
            }
        },
        None => None,
    };
    tell(&format!("watching {} at {}", words(&scope, rolled.as_ref()), target.name));
    let (send, seen) = mpsc::channel(MOST_WAITING);
    let (refuse, refused) = mpsc::channel(1);
    let watching = tokio::spawn(watch(target.client, scope.clone(), send, refuse));
    let sources = Sources { seen, refused, interrupt, terminate, rolled };
    let session = Session::new(arguments, words(&scope, None), now());
    let exit = follow(arguments, sources, session, requests).await;
    watching.abort();
    exit
}

fn no_cluster(error: &anyhow::Error) -> Exit {
    tell(&format!("error: {error:#}"));
    Exit::NoCluster
}

/// Connects to the cluster, which must answer.
async fn connect(arguments: &WatchArguments) -> anyhow::Result<Target> {
    let target = api::target(&arguments.cluster.choice())?;
    let name = &target.name;
    let asked = timeout(PATIENCE, api::version(&target.client)).await;
    let asked =
        asked.map_err(|_| anyhow!("{name} does not answer within {} s", PATIENCE.as_secs()))?;
    match asked {
        // The version itself does not matter here.
        Ok(_) | Err(ClusterError::Version(_)) => Ok(target),
        Err(ClusterError::Request(error)) => Err(anyhow!("{name}: {}", failure::reason(&error))),
    }
}

fn scope(arguments: &WatchArguments, target: &Target) -> Scope {
    let said = arguments.namespace.as_deref().or(target.namespace.as_deref()).unwrap_or("default");
    let namespace = (!arguments.all_namespaces).then(|| said.to_owned());
    Scope { namespace, selector: arguments.selector.clone() }
}

/// Returns the workload to wait for; then only its pods are watched. The outer error is wrong
/// usage, the inner one is the cluster's.
async fn rolled(
    arguments: &WatchArguments,
    target: &Target,
    scope: &mut Scope,
) -> anyhow::Result<anyhow::Result<Option<Rolled>>> {
    let Some(workload) = &arguments.until_rolled else { return Ok(Ok(None)) };
    let namespace = scope.namespace.as_deref().unwrap_or("default");
    let api = Api::new(target.client.clone());
    let rolled = match Rolled::find(api, namespace, workload).await {
        Ok(rolled) => rolled?,
        Err(error) => return Ok(Err(error)),
    };
    scope.selector = Some(rolled.selector().to_owned());
    Ok(Ok(Some(rolled)))
}

fn words(scope: &Scope, rolled: Option<&Rolled>) -> String {
    let namespace = match &scope.namespace {
        Some(namespace) => format!("namespace {namespace}"),
        None => "all namespaces".to_owned(),
    };
    match (rolled, &scope.selector) {
        (Some(rolled), _) => format!("{rolled} in {namespace}"),
        (None, Some(selector)) => format!("pods with {selector} in {namespace}"),
        (None, None) => format!("pods in {namespace}"),
    }
}

/// Processes everything that is seen until there is a reason to end.
async fn follow(
    arguments: &WatchArguments,
    mut sources: Sources,
    mut session: Session,
    mut requests: Option<Requests>,
) -> anyhow::Result<Exit> {
    let mut state = Watch::default();
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut look = interval(LOOK_AT_WORKLOAD);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let end = arguments.duration.map(|duration| Instant::now() + duration);
    let ended = loop {
        tokio::select! {
            // Signals first: a busy cluster must not hide them.
            biased;
            _ = sources.interrupt.recv() => break Ended::Asked,
            _ = sources.terminate.recv() => break Ended::Asked,
            () = until(end) => break Ended::TimeOver,
            Some(Refused(why)) = sources.refused.recv() => return Ok(no_cluster(&refusal(&why))),
            _ = tick.tick() => {
                take(&mut state, &mut session, now(), Input::Tick)?;
                if let Some(requests) = &mut requests {
                    if state.is_synced() {
                        requests.start()?;
                    }
                    session.requests(requests, now())?;
                }
                session.draw(&state, requests.as_ref(), now())?;
            }
            _ = look.tick(), if state.is_synced() && sources.rolled.is_some() => {
                if let Some(rolled) = &mut sources.rolled
                    && let Some(ended) = step(rolled, &state, &mut session).await?
                {
                    break ended;
                }
            }
            Some((at, input)) = sources.seen.recv() => take(&mut state, &mut session, at, input)?,
        }
    };
    for output in state.finish(now()) {
        session.output(output)?;
    }
    if let Some(requests) = &mut requests {
        requests.stop().await;
        session.requests(requests, now())?;
    }
    finish(arguments, session, &state, requests.as_ref(), &ended)
}

fn finish(
    arguments: &WatchArguments,
    session: Session,
    state: &Watch,
    requests: Option<&Requests>,
    ended: &Ended,
) -> anyhow::Result<Exit> {
    if let Some(path) = &arguments.svg {
        let text = picture::of(&session, requests, now());
        fs::write(path, text).with_context(|| path.display().to_string())?;
    }
    let is_bad = session.is_bad(arguments.strict, requests, ended);
    session.finish(state, requests, ended)?;
    Ok(match ended {
        Ended::NeverRolls(_) => Exit::Usage,
        _ if is_bad => Exit::Found,
        _ => Exit::Done,
    })
}

async fn step(
    rolled: &mut Rolled,
    state: &Watch,
    session: &mut Session,
) -> anyhow::Result<Option<Ended>> {
    match rolled.look(state).await {
        Step::Waits(why) => session.waits(why)?,
        Step::Done => return Ok(Some(Ended::Rolled)),
        Step::Failed(why) => return Ok(Some(Ended::NotRolled(why))),
        Step::NeverRolls(why) => return Ok(Some(Ended::NeverRolls(why))),
    }
    Ok(None)
}

fn take(
    state: &mut Watch,
    session: &mut Session,
    at: Timestamp,
    input: Input,
) -> anyhow::Result<()> {
    for output in state.take(at, input) {
        session.output(output)?;
    }
    Ok(())
}

fn refusal(why: &str) -> anyhow::Error {
    anyhow!(
        "{why}; needed are the rights to list and watch pods, events and endpointslices.discovery.k8s.io (docs/watch.md has them as YAML)"
    )
}

async fn until(end: Option<Instant>) {
    match end {
        Some(end) => sleep_until(end).await,
        None => pending().await,
    }
}
