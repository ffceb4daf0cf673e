//! Many faults, one after the other and some at the same time, while pods are created through the
//! API server: every pod can be created. `just chaos` does it for 30 minutes.

mod creations;
mod delay;
mod faults;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use prestop_test_support::full_size::{Row, is_full, sized_seconds};

use self::creations::{BLOCKED, Creation, Creations, Fate, Stream};
use self::faults::{Fault, Faults};
use super::certificates::generation;
use super::cluster::Cluster;
use super::figures::Figures;
use super::installation;

/// Pods per second: more than 100,000 in half an hour.
const PER_SECOND: u32 = 65;
const KILL_EVERY: Duration = Duration::from_secs(20);
/// A CA is followed by the next one after 45 s; a certificate has a lifetime of 15 s.
const VALUES: [&str; 5] = [
    "replicaCount=3",
    "config.certificates.authorityLifetime=68s",
    "config.certificates.lifetime=15s",
    "config.certificates.overlap=5s",
    "config.certificates.lookInterval=1s",
];
/// Clock differences of the one replica, by libfaketime, one after the other.
const CLOCKS: [&str; 4] = ["+5h", "-7h", "+300d", "+0"];

#[test]
#[ignore = "needs a cluster to throw away; run: tests/e2e/run, or for 30 minutes: just chaos"]
fn nobody_is_kept_from_creating_pods_whatever_breaks() {
    let Some(commands) = std::env::var_os("PRESTOP_E2E_COMMANDS").map(PathBuf::from) else {
        println!("skipped: PRESTOP_E2E_COMMANDS is to name the commands that break the cluster");
        return;
    };
    let duration = sized_seconds("PRESTOP_CHAOS_SECONDS", 150, 1_800);
    let cluster = Cluster::connect();
    installation::remove(&cluster);
    installation::ensure(&cluster, &VALUES);
    let shop = cluster.enabled_namespace("chaos");
    let faults = Faults::new(&cluster, commands.clone());
    let has_shifted = commands.join("has-shifted").exists();
    if has_shifted {
        faults.add_shifted_replica();
    }
    let first = generation(&cluster);
    let stream = Stream::start(&shop.name, PER_SECOND);
    let began = Instant::now();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        // Also if a fault can't be caused.
        let end = End(&is_over);
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                faults.kill_a_replica();
                rest(KILL_EVERY, &is_over);
            }
        });
        let mut round = 0;
        while began.elapsed() < duration {
            one_round(&faults, has_shifted.then(|| CLOCKS[round % CLOCKS.len()]), || {
                began.elapsed() < duration
            });
            println!("{:?}: {} pods", began.elapsed(), stream.created());
            round += 1;
        }
        drop(end);
    });
    let creations = stream.finish();
    let took = began.elapsed();
    if has_shifted {
        faults.remove_shifted_replica();
    }
    installation::settled(&cluster);
    let steps = generation(&cluster) - first;
    report(&faults, &creations, steps, took);
}

/// Causes each fault once, as long as there is time: about three minutes.
fn one_round(faults: &Faults<'_>, clock: Option<&str>, has_time: impl Fn() -> bool) {
    let restart_api_server = || faults.restart_api_server();
    let garbage = || faults.garble_the_configuration();
    let kubelet = || faults.restart_kubelet();
    let network = || {
        faults.cut();
        faults.slow_down();
    };
    let etcd = || faults.stop_etcd();
    let burner = || faults.burn();
    let clock = || {
        if let Some(by) = clock {
            faults.shift_the_clock(by);
        }
    };
    let all: [&dyn Fn(); 7] =
        [&restart_api_server, &network, &clock, &etcd, &burner, &kubelet, &garbage];
    for fault in all {
        if !has_time() {
            return;
        }
        fault();
        // The effects of a fault are over before the next one.
        thread::sleep(Duration::from_secs(9));
    }
}

/// Ends the background work, whatever happens.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn rest(time: Duration, is_over: &AtomicBool) {
    let until = Instant::now() + time;
    while Instant::now() < until && !is_over.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(100));
    }
}

/// Share of the pods that were created during a fault.
#[derive(Default)]
struct Share {
    created: usize,
    without_hook: usize,
    slowest: Duration,
}

impl Share {
    fn add(&mut self, creation: &Creation) {
        self.created += 1;
        self.without_hook += usize::from(creation.fate == Fate::WithoutHook);
        self.slowest = self.slowest.max(creation.ended - creation.began);
    }
}

fn report(faults: &Faults<'_>, creations: &Creations, steps: u64, took: Duration) {
    let mut shares: BTreeMap<&str, Share> = BTreeMap::new();
    let (mut refused, mut blocked, mut all) = (Vec::new(), Vec::new(), Share::default());
    for creation in &creations.all {
        let active = faults.log.at(creation.began, creation.ended);
        let is_away = active.contains(&Fault::ApiServer) || active.contains(&Fault::Etcd);
        if let Fate::Refused(reason) = &creation.fate {
            refused.push((reason, active));
            continue;
        }
        if creation.ended - creation.began > BLOCKED && !is_away {
            blocked.push((creation.ended - creation.began, active.clone()));
        }
        all.add(creation);
        for fault in Fault::ALL.into_iter().filter(|fault| active.contains(fault)) {
            shares.entry(fault.text()).or_default().add(creation);
        }
        if active.is_empty() {
            if creation.fate == Fate::WithoutHook {
                let took = creation.ended - creation.began;
                println!(
                    "without a hook after {took:?}, {:?}",
                    faults.log.last_before(creation.began)
                );
            }
            shares.entry(NONE).or_default().add(creation);
        }
    }
    let unexplained = creations.unanswered.iter().filter(|(at, _)| {
        let active = faults.log.at(*at, *at);
        !active.contains(&Fault::ApiServer) && !active.contains(&Fault::Etcd)
    });
    let unexplained: Vec<_> = unexplained.map(|(_, reason)| reason).collect();
    let mut figures = Figures::new(
        "chaos",
        &["while", "times", "pods created", "without a hook", "the slowest creation"],
    );
    for (what, times) in Fault::ALL
        .map(|fault| (fault.text(), faults.log.count(fault).to_string()))
        .into_iter()
        .chain([(NONE, "-".to_owned())])
    {
        let Some(share) = shares.get(what) else { continue };
        figures.add(&[
            what.to_owned(),
            times,
            share.created.to_string(),
            share_of(share),
            super::restarts::milliseconds(share.slowest),
        ]);
    }
    figures.save();
    Row {
        what: "chaos in a real cluster",
        command: "just chaos",
        took,
        figures: format!(
            "{} pods created (9 of 10 as dry runs), {} refused, {} blocked, without a hook {}; {steps} changes of what is to be trusted; {} attempts while the API server or etcd was away, {} at other times",
            all.created,
            refused.len(),
            blocked.len(),
            share_of(&all),
            creations.unanswered.len() - unexplained.len(),
            unexplained.len()
        ),
    }
    .note();
    println!("not answered at other times: {:?}", &unexplained[..unexplained.len().min(5)]);
    assert!(refused.is_empty(), "{} refused: {:?}", refused.len(), refused[0]);
    assert!(blocked.is_empty(), "{} blocked: {:?}", blocked.len(), blocked[0]);
    let calm = shares.get(NONE).map_or(0, |share| share.without_hook);
    // A machine that is busy with other work stalls at times.
    assert!(calm * 200 <= all.created, "{calm} without a hook, and nothing was broken");
    let least = u64::from(PER_SECOND) * took.as_secs() / 2;
    assert!(all.created as u64 >= least, "{} of {least}", all.created);
    assert!(!is_full() || took < Duration::from_secs(1_700) || all.created >= 100_000);
}

const NONE: &str = "nothing was broken";

#[allow(clippy::cast_precision_loss)]
fn share_of(share: &Share) -> String {
    let part = 100.0 * share.without_hook as f64 / (share.created as f64).max(1.0);
    format!("{} ({part:.2} %)", share.without_hook)
}
