//! CAs with a lifetime of 45 s, certificates with a lifetime of 10 s, and continuous reviews over
//! new connections: no handshake fails. `just certificates` runs 16 installations of 3 replicas
//! until 200 CAs and 2,000 certificates have changed.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use prestop_test_support::full_size::{Row, sized};
use prestop_test_support::process::{SELF_MANAGED, Serve, configuration, wait_until};
use prestop_test_support::wire::{body, head, trusting};

use super::api::ApiServer;

const SECONDS: &str =
    "certificates: {authorityLifetime: 45s, lifetime: 10s, overlap: 5s, lookInterval: 1s}
server: {drainDelay: 0, workers: 1}
";
const REPLICAS: usize = 3;
/// Pause between two connections to one replica.
const PAUSE: Duration = Duration::from_millis(250);
/// A CA is followed by the next one after 30 s.
const ONE_ROTATION: Duration = Duration::from_secs(30);

/// An API server, and the replicas that share its Secret.
struct Installation {
    server: ApiServer,
    replicas: Vec<Serve>,
}

/// Observations of the clients.
#[derive(Default)]
struct Seen {
    handshakes: AtomicUsize,
    leaves: AtomicUsize,
}

impl Installation {
    fn start() -> Self {
        let server = ApiServer::new();
        let replicas = (0..REPLICAS).map(|_| {
            let folder = tempfile::tempdir().unwrap();
            let kubeconfig = server.kubeconfig(folder.path());
            fs::write(folder.path().join("prestop.yaml"), configuration(SECONDS)).unwrap();
            let environment =
                [("KUBECONFIG", kubeconfig.to_str().unwrap()), ("POD_NAMESPACE", "prestop")];
            let own = [
                &["--config", "{folder}/prestop.yaml"][..],
                &SELF_MANAGED,
                &["--kubernetes-version", "1.37"],
            ];
            Serve::launch(folder, &environment, &own.concat())
        });
        let installation = Self { replicas: replicas.collect(), server };
        for replica in &installation.replicas {
            wait_until("ready", || replica.get("/readyz").0 == 200);
        }
        installation
    }

    fn authority(&self) -> String {
        self.server.with(|cluster| cluster.shared().current.certificate_pem().to_owned())
    }
}

/// Sends reviews over new connections until the end; each trusts only the CAs that are published at
/// that moment.
fn review_again_and_again(
    installation: &Installation,
    replica: &Serve,
    is_over: &AtomicBool,
    seen: &Seen,
) {
    let mut leaves = HashSet::new();
    while !is_over.load(Ordering::Relaxed) {
        let bundle = installation.server.with(|cluster| cluster.bundle());
        match reviewed(replica.address, &bundle) {
            Ok(leaf) => leaves.insert(leaf),
            Err(error) => panic!("{error}\n{}", replica.log()),
        };
        seen.handshakes.fetch_add(1, Ordering::Relaxed);
        thread::sleep(PAUSE);
    }
    // The first certificate has replaced none.
    seen.leaves.fetch_add(leaves.len() - 1, Ordering::Relaxed);
}

/// Sends a review over a new connection that trusts these CAs. Returns the server's certificate.
fn reviewed(address: SocketAddr, bundle: &str) -> io::Result<Vec<u8>> {
    let name = "prestop.prestop.svc";
    let mut stream = trusting(bundle.as_bytes(), name, address, Duration::from_secs(10))?;
    let body = body();
    stream.write_all(&[head("/mutate", body.len()).as_bytes(), &body].concat())?;
    let mut beginning = [0; 12];
    stream.read_exact(&mut beginning)?;
    assert_eq!(&beginning, b"HTTP/1.1 200");
    Ok(stream.conn.peer_certificates().unwrap()[0].to_vec())
}

#[test]
#[ignore = "takes a minute; run: just test-tools, or at full size: just certificates"]
fn authorities_and_certificates_change_under_load_and_no_handshake_fails() {
    let (installations, rotations) = (sized(1, 16), sized(1, 13));
    let installations: Vec<_> = (0..installations).map(|_| Installation::start()).collect();
    let (began, is_over, seen) = (Instant::now(), AtomicBool::new(false), Seen::default());
    let [changed, fewest] = thread::scope(|scope| {
        for installation in &installations {
            for replica in &installation.replicas {
                let (is_over, seen) = (&is_over, &seen);
                scope.spawn(move || review_again_and_again(installation, replica, is_over, seen));
            }
        }
        // Even if something fails, the other threads end.
        let changes = changes(&installations, rotations);
        is_over.store(true, Ordering::Relaxed);
        [changes.iter().sum(), changes.into_iter().min().unwrap_or_default()]
    });
    let leaves = seen.leaves.into_inner();
    Row {
        what: "certificates under load",
        command: "just certificates",
        took: began.elapsed(),
        figures: format!(
            "{} installations of {REPLICAS} replicas: {changed} changes of the authority that signs, {leaves} of certificates, {} handshakes on new connections, 0 failed",
            installations.len(),
            seen.handshakes.into_inner()
        ),
    }
    .note();
    assert!(fewest >= rotations, "{fewest} of {rotations}");
    assert!(leaves >= changed * REPLICAS * 3, "{leaves}");
}

/// Returns the number of changes of each installation's CA, as soon as all have changed this often;
/// with a time limit.
fn changes(installations: &[Installation], rotations: usize) -> Vec<usize> {
    let mut seen: Vec<_> =
        installations.iter().map(|one| HashSet::from([one.authority()])).collect();
    let until = Instant::now()
        + (ONE_ROTATION + Duration::from_secs(15)) * u32::try_from(rotations + 1).unwrap();
    while Instant::now() < until && seen.iter().any(|known| known.len() <= rotations) {
        thread::sleep(Duration::from_millis(500));
        for (known, one) in seen.iter_mut().zip(installations) {
            known.insert(one.authority());
        }
    }
    seen.iter().map(|known| known.len() - 1).collect()
}
