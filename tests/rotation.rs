//! The shared authority over years of virtual time: replicas that look now and then, with clocks that
//! differ, an API server that sees changes late, Secrets that are lost. At every moment each replica
//! has to serve a certificate that the API server trusts.

use std::time::{Duration, SystemTime};

use prestop::certificates::rotation::{
    Change, Lifetimes, Published, SecretError, Shared, Sighting, Successor,
};
use prestop::certificates::{Authority, Leaf};
use proptest::prelude::*;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use std::sync::Arc;

const DAY: Duration = Duration::from_secs(86_400);
const LIFETIMES: Lifetimes = Lifetimes {
    authority: Duration::from_secs(365 * 86_400),
    leaf: Duration::from_secs(7 * 86_400),
    overlap: Duration::from_secs(600),
};
const NAME: &str = "prestop.prestop.svc";

fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

/// What is in the cluster.
struct Cluster {
    /// The Secret's state and its resource version.
    secret: String,
    version: u64,
    bundle: String,
    generation: u64,
    /// What the API server goes by: each bundle with the time from which on it does.
    seen: Vec<(SystemTime, String)>,
    changes: Vec<Change>,
}

struct Replica {
    leaf: Option<(Leaf, SystemTime, String)>,
    /// Ahead of true time, in seconds.
    skew: i64,
    sighting: Sighting,
}

impl Replica {
    fn new(skew: i64) -> Self {
        Self { leaf: None, skew, sighting: Sighting::default() }
    }
}

/// How long an API server may take to see a changed webhook configuration.
const SEEN_AFTER: Duration = Duration::from_secs(10);

impl Cluster {
    fn new() -> Self {
        Self {
            secret: String::new(),
            version: 0,
            bundle: String::new(),
            generation: 0,
            seen: Vec::new(),
            changes: Vec::new(),
        }
    }

    fn publish(&mut self, bundle: String, generation: u64, now: SystemTime) {
        self.seen.push((now + SEEN_AFTER, bundle.clone()));
        (self.bundle, self.generation) = (bundle, generation);
    }

    /// The bundle that the API server goes by.
    fn trusted(&self, now: SystemTime) -> &str {
        let seen = self.seen.iter().rev().find(|(from, _)| now >= *from);
        seen.map_or("", |(_, bundle)| bundle.as_str())
    }

    /// One look of one replica: what is due is done, published, and signed with.
    fn look(&mut self, replica: &mut Replica, now: SystemTime) {
        let clock = if replica.skew < 0 {
            now - Duration::from_secs(replica.skew.unsigned_abs())
        } else {
            now + Duration::from_secs(replica.skew.unsigned_abs())
        };
        let mut shared = Shared::from_json(self.secret.as_bytes()).ok();
        let bundle = self.bundle.clone();
        let published = Published { bundle: &bundle, generation: self.generation };
        let sighting = &mut replica.sighting;
        sighting.look(shared.as_ref(), &published, clock);
        if let Some(change) = Shared::due(shared.as_ref(), &published, sighting, clock, &LIFETIMES)
        {
            let changed = Shared::changed(shared, change, &published, clock, &LIFETIMES).unwrap();
            self.secret = changed.to_json();
            self.version += 1;
            self.changes.push(change);
            shared = Some(changed);
        }
        let shared = shared.unwrap();
        if shared.bundle() != self.bundle && shared.generation >= self.generation {
            self.publish(shared.bundle(), shared.generation, now);
        }
        // What is signed with was published when it was last read, which is before now.
        let published = Published { bundle: &bundle, generation: 0 };
        let is_due = replica.leaf.as_ref().is_none_or(|(leaf, from, issuer)| {
            Lifetimes::is_due(*from, leaf.not_after, clock)
                || shared
                    .signer(&published, clock)
                    .is_some_and(|signer| signer.certificate_pem() != issuer)
        });
        if is_due && let Some(signer) = shared.signer(&published, clock) {
            let leaf = signer.issue(&[NAME], clock, LIFETIMES.leaf).unwrap();
            replica.leaf = Some((leaf, clock, signer.certificate_pem().to_owned()));
        }
    }

    /// What the API server would say to a replica's certificate.
    fn trusts(&self, leaf: &Leaf, now: SystemTime) -> bool {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(self.trusted(now).as_bytes()) {
            roots.add(certificate.unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let Ok(verifier) =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build()
        else {
            return false;
        };
        let name = ServerName::try_from(NAME).unwrap();
        let now = UnixTime::since_unix_epoch(now.duration_since(SystemTime::UNIX_EPOCH).unwrap());
        verifier.verify_server_cert(&leaf.certified.cert[0], &[], &name, &[], now).is_ok()
    }
}

#[test]
fn every_served_certificate_is_trusted_through_years_of_rotations() {
    let mut cluster = Cluster::new();
    let mut replicas: Vec<_> = [0, -7200, 7200].into_iter().map(Replica::new).collect();
    let mut now = start();
    let mut first_trusted = None;
    let mut step = 0_u64;
    while now < start() + DAY * 365 * 4 {
        step += 1;
        // Looks come at odd times; nobody looks at the same moment.
        now += Duration::from_secs(1800 + step * 7919 % 3600);
        let index = usize::try_from(step % 3).unwrap();
        cluster.look(&mut replicas[index], now);
        for at in [now, now + SEEN_AFTER] {
            let all = replicas.iter().all(|replica| {
                replica.leaf.as_ref().is_some_and(|(leaf, ..)| cluster.trusts(leaf, at))
            });
            if first_trusted.is_none() && all {
                first_trusted = Some(now);
            }
            assert!(
                all || first_trusted.is_none(),
                "not trusted after {:?}",
                now.duration_since(start())
            );
        }
    }
    assert!(first_trusted.unwrap() < start() + DAY);
    let count = |change| cluster.changes.iter().filter(|known| **known == change).count();
    assert_eq!(count(Change::Begin), 1);
    assert!(count(Change::Switch) >= 5, "{:?}", cluster.changes);
    // The last one may still be published.
    assert!(count(Change::Switch) - count(Change::Retire) <= 1, "{:?}", cluster.changes);
    assert_eq!(count(Change::Replace), 0);
}

/// Another step of the same for what went wrong: replicas are trusted again within a few looks.
#[test]
fn a_lost_or_broken_secret_heals() {
    for broken in ["", "{}", "garbage", r#"{"schema":2,"generation":1}"#] {
        let mut cluster = Cluster::new();
        let mut replicas: Vec<_> = [0, 5].into_iter().map(Replica::new).collect();
        let mut now = start();
        let mut look = |cluster: &mut Cluster, replicas: &mut [Replica], times: usize| {
            for index in 0..times {
                now += Duration::from_secs(30);
                cluster.look(&mut replicas[index % 2], now);
            }
            now
        };
        look(&mut cluster, &mut replicas, 6);
        let generation = cluster.generation;
        cluster.secret = broken.to_owned();
        // All the while the old certificates are trusted, since the old authority stays published.
        for _ in 0..10 {
            let now = look(&mut cluster, &mut replicas, 1) + SEEN_AFTER;
            for replica in &replicas {
                assert!(cluster.trusts(&replica.leaf.as_ref().unwrap().0, now), "{broken}");
            }
        }
        assert!(cluster.generation > generation, "a generation never falls");
        assert_eq!(cluster.changes.last(), Some(&Change::Begin));
    }
}

#[test]
fn an_ended_authority_is_replaced() {
    let mut cluster = Cluster::new();
    let mut replica = Replica::new(0);
    let mut now = start();
    for _ in 0..4 {
        now += Duration::from_secs(30);
        cluster.look(&mut replica, now);
    }
    // Nobody looked for two years.
    now += DAY * 730;
    for _ in 0..3 {
        now += Duration::from_secs(30);
        cluster.look(&mut replica, now);
    }
    assert!(cluster.changes.contains(&Change::Replace));
    assert!(cluster.trusts(&replica.leaf.unwrap().0, now + SEEN_AFTER));
    assert_eq!(Shared::from_json(cluster.secret.as_bytes()).unwrap().retired, []);
}

/// The clock that wrote when the successor was published is two hours behind: for a replica whose clock
/// is right the overlap seems to be over at once. It waits for its own.
#[test]
fn a_clock_that_is_behind_does_not_shorten_the_overlap() {
    let fresh = || Authority::generate(start(), LIFETIMES.authority).unwrap();
    let next = Successor { authority: fresh(), published_at: Some(start() - DAY / 12) };
    let shared = Shared { generation: 2, current: fresh(), next: Some(next), retired: Vec::new() };
    let bundle = shared.bundle();
    let published = Published { bundle: &bundle, generation: 2 };
    let mut sighting = Sighting::default();
    sighting.look(Some(&shared), &published, start());
    let due = |at| Shared::due(Some(&shared), &published, &sighting, at, &LIFETIMES);
    assert_eq!(due(start()), None);
    assert_eq!(due(start() + LIFETIMES.overlap), Some(Change::Switch));
    // What was seen and is gone was not seen.
    let gone = Published { bundle: "", generation: 2 };
    sighting.look(Some(&shared), &gone, start() + DAY);
    assert_eq!(sighting, Sighting::default());
}

#[test]
fn what_is_in_the_secret_is_read_as_it_was_written() {
    let authority = || Authority::generate(start(), LIFETIMES.authority).unwrap();
    let shared = Shared {
        generation: 7,
        current: authority(),
        next: Some(Successor { authority: authority(), published_at: Some(start()) }),
        retired: vec![prestop::certificates::rotation::Retired {
            certificate_pem: authority().certificate_pem().to_owned(),
            until: start() + DAY,
        }],
    };
    let read = Shared::from_json(shared.to_json().as_bytes()).unwrap();
    assert_eq!(read.to_json(), shared.to_json());
    assert_eq!(read.bundle(), shared.bundle());
    assert_eq!(read.bundle().matches("BEGIN CERTIFICATE").count(), 3);
    assert!(!read.bundle().contains("PRIVATE"));
    let newer = shared.to_json().replacen("\"schema\":1", "\"schema\":2", 1);
    assert!(matches!(Shared::from_json(newer.as_bytes()), Err(SecretError::Schema(2))));
    let swapped = Shared { current: authority(), ..shared };
    assert!(
        Shared::from_json(swapped.to_json().replace("BEGIN PRIVATE", "BEGIN OTHER").as_bytes())
            .is_err()
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever stands in the Secret and the configuration: nothing panics, and something usable
    /// comes of it.
    #[test]
    fn any_secret_gives_an_authority(secret in prop::collection::vec(any::<u8>(), 0..200), bundle in ".*", generation: u32) {
        let shared = Shared::from_json(&secret).ok();
        let published = Published { bundle: &bundle, generation: u64::from(generation) };
        let sighting = Sighting::default();
        let change =
            Shared::due(shared.as_ref(), &published, &sighting, start(), &LIFETIMES).unwrap();
        prop_assert_eq!(change, Change::Begin);
        let changed = Shared::changed(shared, change, &published, start(), &LIFETIMES).unwrap();
        prop_assert!(changed.generation > u64::from(generation));
        prop_assert!(changed.signer(&published, start()).is_none(), "it is not published yet");
        let all = changed.bundle();
        let after = Published { bundle: &all, generation: changed.generation };
        prop_assert!(changed.signer(&after, start()).is_some());
    }
}
