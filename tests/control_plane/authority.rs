//! The shared CA in a real cluster: the replicas of a test use the same Secret and webhook
//! configuration, with only the rights of an installation.

use std::cell::Cell;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use http::header::DATE;
use kube::Client;
use prestop::cluster::api::ServiceAccount;
use prestop::cluster::certificates::ServedCertificate;
use prestop::cluster::certificates::rotation::Lifetimes;
use prestop::cluster::certificates::store::{Looked, Names, Problem, Store, StoreError};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use prestop_test_support::control_plane::{ControlPlane, has_status};
use prestop_test_support::full_size::{Row, sized};
use prestop_test_support::process::{SELF_MANAGED, Serve, signal, wait_until};

const SECRET: &str = "/api/v1/namespaces/prestop/secrets/prestop-authority";
const WEBHOOK: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/prestop";
const LIFETIMES: Lifetimes = Lifetimes {
    authority: Duration::from_secs(56 * 86_400),
    leaf: Duration::from_secs(7 * 86_400),
    overlap: Duration::from_secs(600),
};

/// Returns all rights of an installation.
fn rules() -> Value {
    json!([
        {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["prestop-authority"],
         "verbs": ["get", "update"]},
        {"apiGroups": ["admissionregistration.k8s.io"], "resources": ["mutatingwebhookconfigurations"],
         "resourceNames": ["prestop"], "verbs": ["get", "patch"]},
    ])
}

struct Installation {
    control_plane: ControlPlane,
    runtime: Runtime,
    client: Client,
    /// The API server's clock, as the replicas see it.
    clock: Arc<Mutex<SystemTime>>,
}

struct Replica {
    store: Store,
    served: Arc<ServedCertificate>,
}

impl Installation {
    /// Creates an empty Secret and a webhook configuration without `caBundle`, as in the chart.
    fn start() -> Self {
        let control_plane = ControlPlane::start();
        control_plane.namespace("prestop", &json!({}));
        let secret = json!({"metadata": {"name": "prestop-authority"}, "type": "Opaque"});
        control_plane.create("/api/v1/namespaces/prestop/secrets", &secret);
        control_plane.create(WEBHOOK.rsplit_once('/').unwrap().0, &configuration());
        let (address, folder) = control_plane.service_account("prestop", &rules());
        let account = ServiceAccount { address, folder };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let clock = Arc::new(Mutex::new(SystemTime::now()));
        let client = runtime.block_on(async {
            let (client, clock) = (account.client().unwrap(), clock.clone());
            let service = tower::service_fn(move |request| {
                let (client, clock) = (client.clone(), clock.clone());
                async move {
                    let mut response = client.send(request).await?;
                    let date = httpdate::fmt_http_date(*clock.lock().unwrap());
                    response.headers_mut().insert(DATE, HeaderValue::from_str(&date).unwrap());
                    Ok::<_, kube::Error>(response)
                }
            });
            Client::new(service, "default")
        });
        Self { control_plane, runtime, client, clock }
    }

    fn replica(&self) -> Replica {
        let names = Names {
            namespace: "prestop".to_owned(),
            secret: "prestop-authority".to_owned(),
            service: "prestop".to_owned(),
            webhook: "prestop".to_owned(),
            warnings: None,
        };
        // The client's background work needs the runtime.
        let _guard = self.runtime.enter();
        let store = Store::new(self.client.clone(), names, LIFETIMES);
        Replica { store, served: ServedCertificate::none() }
    }

    fn look(&self, replica: &mut Replica, now: SystemTime) -> Result<Looked, StoreError> {
        self.look_at(replica, now, now)
    }

    /// Polls when the replica's clock shows `own` and the API server's shows `now`.
    fn look_at(
        &self,
        replica: &mut Replica,
        own: SystemTime,
        now: SystemTime,
    ) -> Result<Looked, StoreError> {
        *self.clock.lock().unwrap() = now;
        self.runtime.block_on(replica.store.look(&replica.served, || own))
    }

    /// Polls until nothing is left to do.
    fn settle(&self, replica: &mut Replica, now: SystemTime) -> Looked {
        for _ in 0..10 {
            let looked = self.look(replica, now).unwrap();
            if looked.is_settled {
                return looked;
            }
        }
        panic!("there is no end to it");
    }

    fn bundle(&self) -> String {
        let (_, configuration) = self.control_plane.request("GET", WEBHOOK, None);
        let text =
            configuration["webhooks"][0]["clientConfig"]["caBundle"].as_str().unwrap_or_default();
        String::from_utf8(STANDARD.decode(text).unwrap()).unwrap()
    }

    /// Resets both objects to those of the chart.
    fn empty(&self) {
        self.set(SECRET, |secret| {
            secret.as_object_mut().unwrap().shift_remove("data");
        });
        self.set(WEBHOOK, |webhook| {
            webhook["metadata"].as_object_mut().unwrap().shift_remove("annotations");
            let client = webhook["webhooks"][0]["clientConfig"].as_object_mut().unwrap();
            client.shift_remove("caBundle");
        });
    }

    /// Checks that the Secret has the published CAs, and that the rest of the configuration is
    /// unchanged.
    fn is_whole(&self) {
        let (_, secret) = self.control_plane.request("GET", SECRET, None);
        assert_eq!(secret["data"]["ca.crt"], json!(STANDARD.encode(self.bundle())));
        let (_, mut seen) = self.control_plane.request("GET", WEBHOOK, None);
        assert_eq!(seen["metadata"]["annotations"], json!({"prestop.dev/ca-generation": "1"}));
        seen["webhooks"][0]["clientConfig"].as_object_mut().unwrap().shift_remove("caBundle");
        let service =
            json!({"namespace": "prestop", "name": "prestop", "path": "/mutate", "port": 443});
        assert_eq!(seen["webhooks"][0]["clientConfig"], json!({"service": service}));
    }

    fn set(&self, path: &str, change: impl FnOnce(&mut Value)) {
        let (_, mut object) = self.control_plane.request("GET", path, None);
        change(&mut object);
        let (status, answer) = self.control_plane.request("PUT", path, Some(&object));
        assert_eq!(status, 200, "{answer}");
    }

    /// Whether the API server would trust the certificate of a replica now.
    fn trusts(&self, replica: &Replica, now: SystemTime) -> bool {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(self.bundle().as_bytes()) {
            roots.add(certificate.unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let Ok(verifier) =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build()
        else {
            return false;
        };
        let Some(certified) = replica.served.current() else { return false };
        let name = ServerName::try_from("prestop.prestop.svc").unwrap();
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let now = UnixTime::since_unix_epoch(since);
        verifier.verify_server_cert(&certified.cert[0], &[], &name, &[], now).is_ok()
    }
}

fn configuration() -> Value {
    json!({
        "metadata": {"name": "prestop"},
        "webhooks": [{
            "name": "pods.prestop.dev",
            "clientConfig": {"service": {"namespace": "prestop", "name": "prestop", "path": "/mutate"}},
            "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}],
            "namespaceSelector": {"matchLabels": {"prestop.dev/inject": "enabled"}},
            "failurePolicy": "Ignore", "sideEffects": "None", "timeoutSeconds": 2,
            "admissionReviewVersions": ["v1"],
        }],
    })
}

/// Many replicas start at the same time at an empty Secret, repeatedly; `just certificates` has
/// 200, a hundred times.
#[test]
#[ignore = "needs an API server; run: just control-plane"]
fn many_replicas_that_start_at_once_agree() {
    let (writers, rounds) = (sized(20, 200), sized(1, 100));
    let installation = Installation::start();
    let (began, now) = (Instant::now(), SystemTime::now());
    let mut lost = 0;
    for round in 0..rounds {
        installation.empty();
        let mut replicas: Vec<_> = (0..writers).map(|_| installation.replica()).collect();
        for _ in 0..4 {
            let looks =
                replicas.iter_mut().map(|replica| replica.store.look(&replica.served, || now));
            let looked = installation.runtime.block_on(futures_util::future::join_all(looks));
            let failed = looked.iter().filter(|looked| looked.is_err()).count();
            assert_eq!(failed, 0, "round {round}: {:?}", looked.iter().find(|it| it.is_err()));
            lost += looked.iter().flatten().filter(|looked| looked.change.is_none()).count();
        }
        let generations = replicas
            .iter_mut()
            .map(|replica| installation.settle(replica, now).generation)
            .collect::<Vec<_>>();
        assert!(generations.iter().all(|generation| *generation == 1), "{generations:?}");
        assert!(replicas.iter().all(|replica| installation.trusts(replica, now)));
        installation.is_whole();
    }
    assert_eq!(lost, rounds * (4 * writers - 1), "one of all has begun each round");
    Row {
        what: "writers at one empty Secret",
        command: "just certificates",
        took: began.elapsed(),
        figures: format!(
            "{writers} writers at once, {rounds} times: one of them wrote, all serve what the API server trusts"
        ),
    }
    .note();
}

/// Two months in virtual time against the real API: the CA changes without a gap, although two of
/// the clocks are two hours off.
#[test]
#[ignore = "needs an API server; run: just control-plane"]
fn the_authority_changes_without_a_gap() {
    let installation = Installation::start();
    let mut now = SystemTime::now();
    let skew = Duration::from_secs(2 * 3600);
    let clocks = |now: SystemTime| [now, now + skew, now - skew];
    let mut replicas = [(); 3].map(|()| installation.replica());
    for (replica, clock) in replicas.iter_mut().zip(clocks(now)) {
        installation.settle(replica, clock);
    }
    let first = installation.bundle();
    let end = now + Duration::from_secs(60 * 86_400);
    while now < end {
        now += Duration::from_secs(2 * 86_400);
        for _ in 0..3 {
            now += Duration::from_secs(700);
            for (replica, clock) in replicas.iter_mut().zip(clocks(now)) {
                installation.look_at(replica, clock, now).unwrap();
            }
            for replica in &replicas {
                assert!(installation.trusts(replica, now), "not trusted");
            }
        }
    }
    let last = installation.bundle();
    assert_ne!(first, last);
    assert!(!last.contains(first.trim_end()), "the first authority is still published");
}

/// End to end: two replicas of the program, and an API server that trusts the CAs that they
/// published.
#[test]
#[ignore = "needs an API server; run: just control-plane"]
fn pods_reach_replicas_that_keep_their_own_certificates() {
    let installation = Installation::start();
    let control_plane = &installation.control_plane;
    let mut all = rules().as_array().unwrap().clone();
    all.push(json!({"apiGroups": [""], "resources": ["namespaces"], "verbs": ["list", "watch"]}));
    let kubeconfig = control_plane.kubeconfig("serving", &json!(all));
    let start = || {
        Serve::start_with(
            &[("KUBECONFIG", kubeconfig.to_str().unwrap()), ("POD_NAMESPACE", "prestop")],
            &SELF_MANAGED,
        )
    };
    let replicas = [start(), start()];
    for serve in &replicas {
        wait_until("ready", || serve.get("/readyz").0 == 200);
        assert!(serve.get("/readyz?verbose").1.contains("[+]trust ok"));
        assert!(
            serve.metric("prestop_certificate_expiry_timestamp_seconds{certificate=\"serving\"}")
                > 0
        );
    }
    // A Service would need a cluster; a URL replaces it. The CA stays as published.
    control_plane.namespace("enabled", &json!({"prestop.dev/inject": "enabled"}));
    for serve in &replicas {
        installation.set(WEBHOOK, |configuration| {
            let client = configuration["webhooks"][0]["clientConfig"].as_object_mut().unwrap();
            client.shift_remove("service");
            let url = format!("https://127.0.0.1:{}/mutate", serve.address.port());
            client.insert("url".to_owned(), json!(url));
        });
        let before = serve.metric("prestop_admission_duration_seconds_count");
        control_plane.wait_for_effect("enabled", has_status);
        wait_until("a review", || {
            control_plane.wait_for_effect("enabled", has_status);
            serve.metric("prestop_admission_duration_seconds_count") > before
        });
    }
    let failed = control_plane.metric("apiserver_admission_webhook_fail_open_count", &["prestop"]);
    assert_eq!(failed, 0);
}

#[test]
#[ignore = "needs an API server; run: just control-plane"]
fn what_others_break_heals() {
    let installation = Installation::start();
    let now = SystemTime::now();
    let mut replica = installation.replica();
    let before = installation.settle(&mut replica, now).generation;
    let bundle = installation.bundle();
    // A foreign bundle, and none.
    for text in ["bm90IG91cnM=", ""] {
        installation.set(WEBHOOK, |configuration| {
            configuration["webhooks"][0]["clientConfig"]["caBundle"] = json!(text);
        });
        installation.settle(&mut replica, now);
        assert_eq!(installation.bundle(), bundle);
        assert!(installation.trusts(&replica, now));
    }
    // The Secret is emptied, and filled with garbage: a new CA is created, and the generation never
    // decreases.
    let mut generation = before;
    for data in [json!({}), json!({"state.json": STANDARD.encode("garbage")})] {
        installation.set(SECRET, |secret| secret["data"] = data);
        let looked = installation.settle(&mut replica, now);
        assert!(looked.generation > generation && looked.is_trusted);
        generation = looked.generation;
        assert!(installation.trusts(&replica, now));
    }
    // There was no poll until the CA had expired.
    let now = now + LIFETIMES.authority + Duration::from_secs(1);
    assert!(!installation.trusts(&replica, now));
    installation.settle(&mut replica, now);
    assert!(installation.trusts(&replica, now));
    // The Secret is deleted: that is reported, and the certificate in use is kept.
    assert_eq!(installation.control_plane.request("DELETE", SECRET, None).0, 200);
    assert!(matches!(installation.look(&mut replica, now), Err(StoreError::NoSecret(_))));
    assert!(installation.trusts(&replica, now));
    // A certificate that becomes due while a poll fails is renewed nevertheless.
    let end = replica.store.leaf_end().unwrap();
    let clock = Cell::new(now);
    let later = || clock.replace(end - Duration::from_secs(1));
    let looked = installation.runtime.block_on(replica.store.look(&replica.served, later));
    assert!(matches!(looked, Err(StoreError::NoSecret(_))));
    assert!(replica.store.leaf_end().unwrap() > end);
}

/// Cases that depend on the real API server: its `Date`, resource versions and patches.
#[test]
#[ignore = "needs an API server; run: just control-plane"]
fn what_is_not_to_be_changed_stays() {
    let installation = Installation::start();
    let now = SystemTime::now();
    let mut replica = installation.replica();
    let version = |path: &str| {
        let (_, object) = installation.control_plane.request("GET", path, None);
        object["metadata"]["resourceVersion"].clone()
    };
    let versions = || [version(SECRET), version(WEBHOOK)];
    installation.settle(&mut replica, now);
    let before = versions();
    // A clock that is far ahead.
    let mut wrong = installation.replica();
    let own = now + Duration::from_secs(50 * 86_400);
    let looked = installation.look_at(&mut wrong, own, now).unwrap();
    assert_eq!((looked.problem, looked.change), (Some(Problem::Clock), None));
    assert!(installation.trusts(&wrong, now));
    assert_eq!(versions(), before);
    // The annotation is ahead of the Secret, and the bundle is gone.
    for annotation in ["7", "18446744073709551615", "much"] {
        installation.set(WEBHOOK, |configuration| {
            configuration["metadata"]["annotations"] =
                json!({"prestop.dev/ca-generation": annotation});
            configuration["webhooks"][0]["clientConfig"]["caBundle"] = Value::Null;
        });
        let looked = installation.settle(&mut replica, now);
        assert!(looked.is_trusted && installation.trusts(&replica, now), "{annotation}");
    }
    // The Secret of a newer version.
    installation.set(SECRET, |secret| {
        secret["data"] = json!({"state.json": STANDARD.encode(r#"{"schema":2,"generation":99}"#)});
    });
    let before = versions();
    for _ in 0..3 {
        let looked = installation.look(&mut replica, now);
        assert!(matches!(looked, Err(StoreError::Newer(_))), "{looked:?}");
    }
    assert_eq!(versions(), before);
    assert!(installation.trusts(&replica, now));
}

/// The API server's real `Date`, which no test has set.
#[test]
#[ignore = "needs an API server; run: just control-plane"]
fn the_real_date_is_understood() {
    let installation = Installation::start();
    let (address, folder) = installation.control_plane.service_account("other", &rules());
    let account = ServiceAccount { address, folder };
    let date = installation.runtime.block_on(async {
        prestop::cluster::api::Api::new(account.client().unwrap()).date().await.unwrap()
    });
    let date = date.expect("a Date");
    let now = SystemTime::now();
    let apart = now.duration_since(date).or_else(|_| date.duration_since(now)).unwrap();
    assert!(apart < Duration::from_secs(60), "{apart:?}");
}

/// The API server stalls for a while: requests time out, and the next one is answered.
#[test]
#[ignore = "needs an API server; run: just control-plane"]
fn an_api_server_that_stands_still_is_not_waited_for() {
    let installation = Installation::start();
    let now = SystemTime::now();
    let mut replica = installation.replica();
    let before = installation.settle(&mut replica, now);
    signal(installation.control_plane.id(), "STOP");
    assert!(matches!(installation.look(&mut replica, now), Err(StoreError::TooLate)));
    signal(installation.control_plane.id(), "CONT");
    assert_eq!(installation.settle(&mut replica, now), before);
    assert!(installation.trusts(&replica, now));
}
