//! The server inside the test process, for parts that the program never has: a namespace source
//! that panics, limits shorter than the settings allow.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use prestop::cluster::certificates::{ServedCertificate, ephemeral};
use prestop::webhook::metrics::{ByNamespace, Format, Metrics};
use prestop::webhook::server::routes::{self, Webhook};
use prestop::webhook::server::tls::{Acceptor, Terms};
use prestop::webhook::server::{Server, Transport};
use prestop::webhook::settings::{Limits, TlsVersion};
use prestop::webhook::shutdown::{self, Phase};
use prestop_core::admission::Namespaces;
use prestop_core::engine::settings::NamespaceSettings;
use prestop_core::policy::Policy;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use prestop_test_support::wire::{ClientTerms, Connection, body, review};

/// A namespace source that knows no namespace, and panics when it is asked for `panic`.
struct Panicking;

impl Namespaces for Panicking {
    fn settings(&self, namespace: &str) -> Option<Arc<NamespaceSettings>> {
        assert_ne!(namespace, "panic", "asked for on purpose");
        None
    }
}

struct Running {
    runtime: Option<Runtime>,
    address: SocketAddr,
    metrics: Arc<Metrics>,
    phase: watch::Sender<Phase>,
}

fn run(limits: Limits) -> Running {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let certificate = ServedCertificate::none();
    let (_, leaf) = ephemeral(SystemTime::now()).unwrap();
    certificate.serve(leaf.certified);
    let metrics = Arc::new(Metrics::new(ByNamespace::Counted, std::iter::empty()));
    let terms = Terms::new(TlsVersion::V1_3, certificate, None).unwrap();
    let server = Server {
        transport: Transport::Tls(Arc::new(Acceptor::new(terms))),
        router: routes::webhook(Webhook {
            fronts: Arc::new(prestop_core::admission::NoFronts),
            policy: Arc::new(ArcSwap::from_pointee(Policy {
                namespaces: prestop_core::policy::NamespaceRule::NotDisabled,
                ..Policy::built_in()
            })),
            namespaces: Arc::new(Panicking),
            metrics: metrics.clone(),
            limits,
        }),
        limits,
        metrics: Some(metrics.clone()),
    };
    let (phase, shutdown) = shutdown::by_hand();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(server.serve(listener, shutdown, Duration::from_secs(1)));
    Running { runtime: Some(runtime), address, metrics, phase }
}

impl Running {
    fn connect(&self) -> Connection {
        Connection::begin(self.address, None, ClientTerms::default())
    }

    fn has(&self, line: &str) -> bool {
        self.metrics.encode(Format::Prometheus).lines().any(|known| known == line)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.phase.send_replace(Phase::Stopping);
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[test]
fn a_panic_lets_the_pod_through_and_the_server_lives() {
    let running = run(Limits::default());
    let mut connection = running.connect();
    let mut panicking = review(&prestop_test_support::wire::pod());
    panicking["request"]["namespace"] = "panic".into();
    let response = connection.post(panicking.to_string()).response();
    assert_eq!(response["uid"], "0df28fbd-5f5f-11e8-bc74-36e6bb280816");
    assert_eq!(response["auditAnnotations"]["reason"], "panic");
    assert_eq!(response.get("patch"), None);
    assert!(running.has("prestop_panics_total 1"));
    assert!(running.has("prestop_admission_in_flight 0"));
    // The server continues to answer, on the same connection and on others.
    assert!(connection.post(body()).response().get("patch").is_some());
    assert!(running.connect().post(body()).response().get("patch").is_some());
}

#[test]
fn idle_connections_end_and_those_in_use_do_not() {
    let running = run(Limits {
        idle_timeout: Duration::from_millis(600),
        first_request_timeout: Duration::from_millis(100),
        ..Limits::default()
    });
    let mut connection = running.connect();
    for _ in 0..3 {
        connection.post(body()).response();
        // Longer than the timeout of the first request.
        std::thread::sleep(Duration::from_millis(150));
    }
    connection.post(body()).response();
    assert!(connection.is_closed_by_server());
}
