//! How replicas manage the shared CA in unusual situations: clocks, generations, Secrets of other
//! versions, a missing webhook configuration. Against an API server in memory; `control_plane` uses
//! a real one.

mod api;
mod rotations;

use std::fs;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use prestop::cluster::certificates::rotation::Lifetimes;
use prestop::cluster::certificates::store::{Looked, Names, Problem, Store, StoreError};
use prestop::cluster::certificates::{ServedCertificate, Validity};
use tokio::runtime::Runtime;

use self::api::ApiServer;
use prestop_test_support::process::{SELF_MANAGED, Serve, configuration, wait_until};

const DAY: Duration = Duration::from_secs(86_400);
const LIFETIMES: Lifetimes = Lifetimes {
    authority: Duration::from_secs(365 * 86_400),
    leaf: Duration::from_secs(7 * 86_400),
    overlap: Duration::from_secs(600),
};

fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

struct Replica {
    runtime: Runtime,
    server: ApiServer,
    store: Store,
    served: Arc<ServedCertificate>,
}

impl Replica {
    fn new(server: &ApiServer) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let names = Names {
            namespace: "prestop".to_owned(),
            secret: "prestop-authority".to_owned(),
            service: "prestop".to_owned(),
            webhook: "prestop".to_owned(),
            warnings: None,
        };
        let store = {
            let _guard = runtime.enter();
            Store::new(server.client(), names, LIFETIMES)
        };
        Self { runtime, server: server.clone(), store, served: ServedCertificate::none() }
    }

    /// Polls when the replica's clock shows `own` and the API server's shows `now`.
    fn look(&mut self, own: SystemTime, now: SystemTime) -> Result<Looked, StoreError> {
        self.server.with(|cluster| cluster.now = Some(now));
        self.runtime.block_on(self.store.look(&self.served, || own))
    }

    /// Polls until nothing is left to do.
    fn settle(&mut self, own: SystemTime, now: SystemTime) -> Looked {
        let mut looks = (0..10).map(|_| self.look(own, now).unwrap());
        looks.find(|looked| looked.is_settled).expect("there is an end to it")
    }

    fn serves(&self) -> Validity {
        self.served.validity().unwrap()
    }
}

#[test]
fn a_replica_with_a_wrong_clock_changes_nothing_and_serves() {
    let server = ApiServer::new();
    let now = start();
    let mut right = Replica::new(&server);
    // There is no CA yet, and the replica with the wrong clock must not create one.
    let mut wrong = Replica::new(&server);
    let own = now + DAY * 300;
    let error = wrong.look(own, now).unwrap_err();
    assert_eq!(error.problem(), Some(Problem::Clock), "{error}");
    assert_eq!(server.with(|cluster| cluster.changes), 0);
    right.settle(now, now);
    let before = server.with(|cluster| cluster.changes);
    for own in [own, now - DAY * 300, now + DAY * 4000] {
        let looked = wrong.settle(own, now);
        assert_eq!((looked.problem, looked.change), (Some(Problem::Clock), None));
        assert!(looked.is_trusted && wrong.serves().holds(now));
        let off = i64::try_from(own.duration_since(now).unwrap_or(DAY * 300).as_secs()).unwrap();
        let difference = wrong.store.difference().milliseconds().abs() / 1000;
        assert!((off - difference).abs() <= 1, "{difference}");
    }
    assert_eq!(server.with(|cluster| cluster.changes), before);
    // The clock is right again.
    let looked = wrong.settle(now, now);
    assert_eq!((looked.problem, looked.is_trusted), (None, true));
}

/// The difference is less than certificates are backdated, so none of this applies.
#[test]
fn a_clock_within_the_tolerance_is_as_good_as_any() {
    let server = ApiServer::new();
    let hours = Duration::from_secs(4 * 3600);
    for own in [start() - hours, start() + hours] {
        let looked = Replica::new(&server).settle(own, start());
        assert_eq!((looked.problem, looked.is_trusted), (None, true));
    }
}

#[test]
fn a_generation_ahead_of_the_secret_heals_and_an_emptied_bundle_too() {
    let largest = u64::MAX.to_string();
    for (annotation, expected) in [
        ("7", "8"),
        (largest.as_str(), largest.as_str()),
        ("18446744073709551616", "1"),
        ("x", "1"),
    ] {
        for is_emptied in [false, true] {
            let server = ApiServer::new();
            let mut replica = Replica::new(&server);
            replica.settle(start(), start());
            server.with(|cluster| {
                let bundle = if is_emptied { String::new() } else { cluster.bundle() };
                cluster.overwrite(annotation, &bundle);
            });
            for round in ["healed", "emptied, the documented cure"] {
                assert!(replica.settle(start(), start()).is_trusted, "{annotation}: {round}");
                let (generation, same) = server.with(|cluster| {
                    let shared = cluster.shared();
                    (cluster.generation().to_owned(), cluster.bundle() == shared.bundle())
                });
                assert!(same, "{annotation}: {round}");
                if round == "healed" {
                    assert_eq!(generation, expected);
                }
                server.with(|cluster| cluster.secret["data"] = serde_json::Value::Null);
            }
        }
    }
}

#[test]
fn a_newer_secret_is_left_as_it_is() {
    let server = ApiServer::new();
    let mut replica = Replica::new(&server);
    let now = start();
    replica.settle(now, now);
    let newer = r#"{"schema":2,"generation":9,"keys":{}}"#;
    server.with(|cluster| cluster.write_state(newer));
    let before = server.with(|cluster| cluster.changes);
    let error = replica.look(now, now).unwrap_err();
    assert_eq!(error.problem(), Some(Problem::NewerSecret));
    assert!(error.to_string().contains("schema 2; this version of prestop supports 1"), "{error}");
    // The last known CA still signs.
    let end = replica.store.leaf_end().unwrap();
    let later = now + DAY * 5;
    assert!(replica.look(later, later).is_err());
    assert!(replica.store.leaf_end().unwrap() > end);
    assert!(replica.store.is_trusted(&replica.store.clocks(later)));
    // The newer version publishes another CA: this replica knows that its own certificate is not
    // trusted.
    server.with(|cluster| cluster.overwrite("9", ""));
    assert!(replica.look(later, later).is_err());
    assert!(!replica.store.is_trusted(&replica.store.clocks(later)));
    // A replica that has just started has no certificate.
    let mut fresh = Replica::new(&server);
    assert!(fresh.look(later, later).is_err());
    assert_eq!(fresh.served.validity(), None);
    assert_eq!(
        server.with(|cluster| (cluster.changes, cluster.state())),
        (before, newer.to_owned())
    );
}

/// Another replica was first and wrote an unusable state: the error states the fault.
#[test]
fn a_lost_race_is_reported_as_such() {
    for (other, part) in [
        (
            "garbage",
            "another replica has just written the Secret prestop-authority: the state in the Secret can't",
        ),
        (r#"{"schema":2}"#, "schema 2; this version"),
    ] {
        let server = ApiServer::new();
        server.with(|cluster| cluster.other_writes = Some(other.to_owned()));
        let mut replica = Replica::new(&server);
        let error = replica.look(start(), start()).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_missing_webhook_configuration_is_reported_and_not_polled_each_second() {
    let server = ApiServer::new();
    server.with(|cluster| cluster.webhook = serde_json::Value::Null);
    let mut replica = Replica::new(&server);
    let looked = replica.settle(start(), start());
    assert_eq!((looked.problem, looked.is_trusted), (Some(Problem::NoWebhook), false));
}

/// The whole program: its clock is right and the API server's is wrong, or vice versa.
#[test]
fn differing_clocks_are_reported() {
    let server = ApiServer::new();
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = server.kubeconfig(folder.path());
    let settings = "certificates: {lookInterval: 1s}\nserver: {drainDelay: 0}\n";
    fs::write(folder.path().join("prestop.yaml"), configuration(settings)).unwrap();
    let mut serve = Serve::launch(
        folder,
        &[("KUBECONFIG", kubeconfig.to_str().unwrap()), ("POD_NAMESPACE", "prestop")],
        &[&["--config", "{folder}/prestop.yaml"][..], &SELF_MANAGED].concat(),
    );
    let problem = |name: &str| format!("prestop_authority_problem{{problem=\"{name}\"}}");
    wait_until("ready", || serve.get("/readyz").0 == 200);
    assert_eq!(serve.metric(&problem("clock")), 0);
    let before = server.with(|cluster| cluster.changes);
    // Far enough for another CA, and for the existing one to have expired.
    for days in [300, 4000] {
        server.with(|cluster| cluster.ahead = days * 86_400);
        serve.wait_for_metric(&problem("clock"), 1);
        let line = serve.wait_for_line(
            "the clocks of this replica and the API server differ; the shared CA is not changed",
        );
        assert!(line["ahead_seconds"].as_i64().unwrap() < -299 * 86_400, "{line}");
        // By the API server's clock, the certificate is valid as long as its CA is.
        let expected = if days == 300 { 200 } else { 503 };
        wait_until("readiness", || serve.get("/readyz").0 == expected);
    }
    assert!(serve.get("/readyz?verbose").1.contains("no certificate that is valid now"));
    assert_eq!(server.with(|cluster| cluster.changes), before, "nothing was changed");
    server.with(|cluster| cluster.ahead = 0);
    serve.wait_for_line("managing the shared CA again");
    wait_until("ready again", || serve.get("/readyz").0 == 200);
    assert_eq!(serve.metric(&problem("clock")), 0);
    // Other problems are reported as well, one after the other.
    let state = server.with(|cluster| cluster.state());
    server.with(|cluster| cluster.write_state(r#"{"schema":2}"#));
    serve.wait_for_metric(&problem("newer_secret"), 1);
    let line = serve.wait_for_line("cannot update the shared CA; keeping the current certificate");
    assert!(line["error"].as_str().unwrap().contains("schema 2"), "{line}");
    assert_eq!(serve.get("/readyz").0, 200);
    server.with(|cluster| cluster.write_state(&state));
    serve.wait_for_line("the shared CA can be managed again");
    // An older Secret, and the log line in docs/certificates.md.
    server.with(|cluster| {
        let bundle = cluster.bundle();
        cluster.overwrite("41", &bundle);
    });
    let line = serve.wait_for_line("the Secret was unusable: replacing its CA with a new one");
    assert!(line["error"].as_str().unwrap().contains("older than the published CA"), "{line}");
    wait_until("the new generation", || serve.metric("prestop_authority_generation") == 42);
    wait_until("ready", || serve.get("/readyz").0 == 200);
}
