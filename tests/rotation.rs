//! The shared CA over years of virtual time: replicas that poll irregularly, with different clocks,
//! an API server that sees changes late, Secrets that are lost. At every moment, each replica has
//! to serve a certificate that the API server trusts.

use std::time::{Duration, SystemTime};

use prestop::cluster::certificates::Authority;
use prestop::cluster::certificates::clock::{Clocks, Difference};
use prestop::cluster::certificates::outlook::outlook;
use prestop::cluster::certificates::rotation::{
    Change, Lifetimes, Published, Retired, SecretError, Shared, Sighting, Successor,
};
use prestop::cluster::certificates::signing::Signed;
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

/// State of the cluster.
struct Cluster {
    /// Content of the Secret.
    secret: String,
    bundle: String,
    generation: u64,
    /// The bundles that the API server uses, each with the time from which it is used.
    seen: Vec<(SystemTime, String)>,
    changes: Vec<Change>,
}

#[derive(Default)]
struct Replica {
    signed: Option<Signed>,
    /// Seconds by which the replica's clock is ahead of the true time.
    skew: i64,
    sighting: Sighting,
}

/// Whether a replica can ask the API server for the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asks {
    Yes,
    No,
}

impl Replica {
    fn new(skew: i64) -> Self {
        Self { skew, ..Self::default() }
    }

    fn clock(&self, now: SystemTime) -> SystemTime {
        shifted(now, self.skew)
    }
}

fn shifted(now: SystemTime, seconds: i64) -> SystemTime {
    let by = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { now - by } else { now + by }
}

/// Time until the API server uses a changed webhook configuration.
const SEEN_AFTER: Duration = Duration::from_secs(10);

impl Cluster {
    fn new() -> Self {
        Self {
            secret: String::new(),
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

    /// Returns the bundle that the API server uses.
    fn trusted(&self, now: SystemTime) -> &str {
        let seen = self.seen.iter().rev().find(|(from, _)| now >= *from);
        seen.map_or("", |(_, bundle)| bundle.as_str())
    }

    /// Polls for one replica: makes the change that is due, publishes the bundle, and signs.
    fn look(&mut self, replica: &mut Replica, now: SystemTime) {
        self.look_and(replica, now, Asks::Yes);
    }

    fn look_and(&mut self, replica: &mut Replica, now: SystemTime, asks: Asks) {
        let own = replica.clock(now);
        let difference = match asks {
            // A `Date` has whole seconds, and so has `now` in these tests.
            Asks::Yes => Difference::measured(own, now, own),
            Asks::No => Difference::default(),
        };
        let clocks = Clocks::new(own, difference, LIFETIMES.clock_tolerance());
        let mut shared = match Shared::from_json(self.secret.as_bytes()) {
            Err(SecretError::Newer(_)) => return,
            shared => shared.ok(),
        };
        let bundle = self.bundle.clone();
        let published = Published { bundle: &bundle, generation: self.generation };
        let sighting = &mut replica.sighting;
        sighting.look(shared.as_ref(), &published, own);
        let due = Shared::due(shared.as_ref(), &published, sighting, own, &LIFETIMES);
        if let Some(change) = due.filter(|_| clocks.agree()) {
            let changed = Shared::changed(shared, change, &published, own, &LIFETIMES).unwrap();
            self.secret = changed.to_json();
            self.changes.push(change);
            shared = Some(changed);
        }
        let Some(shared) = shared else { return };
        if shared.bundle() != self.bundle && shared.generation >= self.generation {
            self.publish(shared.bundle(), shared.generation, now);
        }
        // Signs with a CA that was published when the bundle was last read, which is before now.
        let signed = replica.signed.as_ref();
        let new = shared.sign(signed, &published, &clocks, &LIFETIMES, &[NAME]).unwrap();
        replica.signed = new.or(replica.signed.take());
    }

    /// Whether the API server trusts the certificate that a replica serves.
    fn trusts_replica(&self, replica: &Replica, now: SystemTime) -> bool {
        replica.signed.as_ref().is_some_and(|signed| self.trusts(signed, now))
    }

    /// Whether the API server would accept a replica's certificate.
    fn trusts(&self, signed: &Signed, now: SystemTime) -> bool {
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
        verifier.verify_server_cert(&signed.leaf.certified.cert[0], &[], &name, &[], now).is_ok()
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
        // Polls come at irregular times, never at the same moment.
        now += Duration::from_secs(1800 + step * 7919 % 3600);
        let index = usize::try_from(step % 3).unwrap();
        cluster.look(&mut replicas[index], now);
        for at in [now, now + SEEN_AFTER] {
            let all = replicas.iter().all(|replica| cluster.trusts_replica(replica, at));
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
    // The CA before the last switch may still be published.
    assert!(count(Change::Switch) - count(Change::Retire) <= 1, "{:?}", cluster.changes);
    assert_eq!(count(Change::Replace), 0);
}

/// After the Secret was lost or broken, a new CA begins, and replicas are trusted throughout.
#[test]
fn a_lost_or_broken_secret_heals() {
    for broken in ["", "{}", "garbage", r#"{"schema":0,"generation":1}"#] {
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
        // The old certificates are trusted all the time, because the old CA remains published.
        for _ in 0..10 {
            let now = look(&mut cluster, &mut replicas, 1) + SEEN_AFTER;
            for replica in &replicas {
                assert!(cluster.trusts_replica(replica, now), "{broken}");
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
    // No replica polled for two years.
    now += DAY * 730;
    for _ in 0..3 {
        now += Duration::from_secs(30);
        cluster.look(&mut replica, now);
    }
    assert!(cluster.changes.contains(&Change::Replace));
    assert!(cluster.trusts_replica(&replica, now + SEEN_AFTER));
    assert_eq!(Shared::from_json(cluster.secret.as_bytes()).unwrap().retired, []);
}

/// The clock of the replica that recorded the publication of the successor is two hours behind: to
/// a replica with a correct clock, the overlap seems to be over immediately. It waits for the
/// overlap after its own sighting.
#[test]
fn a_clock_that_is_behind_does_not_shorten_the_overlap() {
    let fresh = || Authority::generate(start(), LIFETIMES.authority).unwrap();
    let next = Successor { authority: fresh(), published_at: Some(start() - DAY / 12) };
    let shared = Shared {
        generation: 2,
        current: fresh(),
        next: Some(next),
        retired: Vec::new(),
        overlap: None,
    };
    let bundle = shared.bundle();
    let published = Published { bundle: &bundle, generation: 2 };
    let mut sighting = Sighting::default();
    sighting.look(Some(&shared), &published, start());
    let due = |at| Shared::due(Some(&shared), &published, &sighting, at, &LIFETIMES);
    assert_eq!(due(start()), None);
    assert_eq!(due(start() + LIFETIMES.overlap), Some(Change::Switch));
    // A successor that is no longer published counts as never seen.
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
        retired: vec![Retired {
            certificate_pem: authority().certificate_pem().to_owned(),
            until: start() + DAY,
        }],
        overlap: Some(Duration::from_secs(20)),
    };
    let read = Shared::from_json(shared.to_json().as_bytes()).unwrap();
    assert_eq!(read.to_json(), shared.to_json());
    assert_eq!(read.bundle(), shared.bundle());
    assert_eq!(read.bundle().matches("BEGIN CERTIFICATE").count(), 3);
    assert!(!read.bundle().contains("PRIVATE"));
    let newer = shared.to_json().replacen("\"schema\":1", "\"schema\":2", 1);
    assert!(matches!(Shared::from_json(newer.as_bytes()), Err(SecretError::Newer(2))));
    let far = shared
        .to_json()
        .replace("\"overlapSeconds\":20", "\"overlapSeconds\":18446744073709551615");
    let far = Shared::from_json(far.as_bytes()).unwrap();
    assert!(
        outlook(&far, start()).last().unwrap().at > start() + DAY * 3650,
        "it can be counted with"
    );
    let swapped = Shared { current: authority(), ..shared };
    assert!(
        Shared::from_json(swapped.to_json().replace("BEGIN PRIVATE", "BEGIN OTHER").as_bytes())
            .is_err()
    );
}

const DAYS: i64 = 86_400;

/// Returns a cluster whose replicas serve trusted certificates after some polls, and the time.
fn running(replicas: &mut [Replica]) -> (Cluster, SystemTime) {
    let (mut cluster, mut now) = (Cluster::new(), start());
    for _ in 0..4 {
        for replica in &mut *replicas {
            now += Duration::from_secs(30);
            cluster.look(replica, now);
        }
    }
    assert!(replicas.iter().all(|replica| cluster.trusts_replica(replica, now)));
    (cluster, now)
}

/// One clock is wrong for six seconds, and its replica polls in this time. With the time of the API
/// server, the replica is not misled; without it, the next poll corrects the certificate.
#[test]
fn a_clock_that_was_wrong_for_a_moment_costs_nothing() {
    for days in [6, -6, 300, -300, 3000] {
        let mut replicas = [Replica::new(0), Replica::new(0)];
        let (mut cluster, mut now) = running(&mut replicas);
        let before = cluster.secret.clone();
        now += DAY;
        for asks in [Asks::Yes, Asks::No] {
            now += Duration::from_secs(6);
            replicas[1].skew = days * DAYS;
            if asks == Asks::Yes {
                cluster.look(&mut replicas[1], now);
                assert!(cluster.trusts_replica(&replicas[1], now), "{days} days, during");
            } else {
                // While the API server is unavailable, the replica only signs, with what it knows.
                let shared = Shared::from_json(cluster.secret.as_bytes()).unwrap();
                let published = Published { bundle: &cluster.bundle, generation: 1 };
                let clocks = replicas[1].clock(now).into();
                let signed = replicas[1].signed.as_ref();
                let new = shared.sign(signed, &published, &clocks, &LIFETIMES, &[NAME]).unwrap();
                replicas[1].signed = new.or(replicas[1].signed.take());
            }
            now += Duration::from_secs(6);
            replicas[1].skew = 0;
            cluster.look_and(&mut replicas[1], now, asks);
            assert!(cluster.trusts_replica(&replicas[1], now), "{days} days, {asks:?}");
        }
        assert_eq!(cluster.secret, before, "the authority is as it was");
    }
}

/// One clock is wrong for weeks: its replica doesn't change the CA, and the certificates that it
/// signs are still valid for the API server.
#[test]
fn a_wrong_clock_does_not_move_the_authority() {
    for days in [300, -300, -20_000, 400, 1] {
        let mut replicas = [Replica::new(0), Replica::new(0)];
        let (mut cluster, mut now) = running(&mut replicas);
        let before = cluster.secret.clone();
        replicas[1].skew = days * DAYS;
        for _ in 0..10 {
            now += DAY * 2;
            for replica in &mut replicas {
                cluster.look(replica, now);
                assert!(cluster.trusts_replica(replica, now), "{days} days off");
            }
        }
        assert_eq!(cluster.secret, before);
        // Its replica doesn't begin a new CA either.
        cluster.secret.clear();
        cluster.look(&mut replicas[1], now);
        assert_eq!(cluster.secret, "");
        cluster.look(&mut replicas[0], now);
        assert_ne!(cluster.secret, "");
    }
}

/// All clocks were wrong, including that of the API server, and the CA followed them. When they are
/// right again, a CA that is valid only from next year is replaced within a few polls.
#[test]
fn an_authority_of_next_year_is_replaced() {
    let mut replicas = [Replica::new(0), Replica::new(0)];
    let (mut cluster, mut now) = running(&mut replicas);
    for _ in 0..20 {
        now += Duration::from_secs(700);
        for replica in &mut replicas {
            cluster.look(replica, now + DAY * 300);
        }
    }
    assert!(cluster.changes.contains(&Change::Switch));
    let mut clocks = replicas.iter();
    assert!(!clocks.any(|replica| cluster.trusts_replica(replica, now)), "it begins next year");
    // The API server uses the bundle that was published last, even though its time is in the
    // future.
    cluster.seen = vec![(now, cluster.bundle.clone())];
    for _ in 0..4 {
        now += Duration::from_secs(30);
        for replica in &mut replicas {
            cluster.look(replica, now);
        }
    }
    assert_eq!(cluster.changes.last(), Some(&Change::Replace));
    assert!(replicas.iter().all(|replica| cluster.trusts_replica(replica, now + SEEN_AFTER)));
}

/// The Secret as an earlier version left it: a wrong clock has prepared a successor, or switched
/// the CA. Replicas with correct clocks continue without a gap.
#[test]
fn what_a_wrong_clock_left_in_the_secret_heals_without_a_gap() {
    for changes in [
        &[Change::Prepare][..],
        &[Change::Prepare, Change::Seen],
        &[Change::Prepare, Change::Seen, Change::Switch],
    ] {
        let mut replicas = [Replica::new(0), Replica::new(0)];
        let (mut cluster, mut now) = running(&mut replicas);
        for change in changes {
            let shared = Shared::from_json(cluster.secret.as_bytes()).ok();
            let published = Published { bundle: &cluster.bundle, generation: cluster.generation };
            let wrong = now + DAY * 300;
            let changed = Shared::changed(shared, *change, &published, wrong, &LIFETIMES).unwrap();
            cluster.secret = changed.to_json();
            cluster.publish(changed.bundle(), changed.generation, now);
        }
        // Longer than the lifetime of the certificates that were signed before.
        for _ in 0..20 {
            now += DAY / 2;
            for replica in &mut replicas {
                now += Duration::from_secs(30);
                cluster.look(replica, now);
                let is_trusted = cluster.trusts_replica(replica, now + SEEN_AFTER);
                assert!(is_trusted, "{changes:?}");
            }
        }
        let shared = Shared::from_json(cluster.secret.as_bytes()).unwrap();
        assert!(shared.current.is_valid(now));
        assert!(shared.next.is_none_or(|next| next.authority.is_valid(now)), "{changes:?}");
    }
}

/// The generation in the annotation of the webhook configuration is ahead of the Secret: a backup
/// restored an old Secret, or the annotation was edited. A new CA resolves this, even at the
/// largest number and if the Secret is emptied.
#[test]
fn a_generation_that_is_ahead_of_the_secret_is_caught_up_with() {
    for ahead in [7, u64::MAX - 1, u64::MAX] {
        for (secret_too, bundle_too) in [(false, false), (false, true), (true, false), (true, true)]
        {
            let mut replicas = [Replica::new(0), Replica::new(0)];
            let (mut cluster, mut now) = running(&mut replicas);
            let old = Shared::from_json(cluster.secret.as_bytes()).unwrap();
            cluster.generation = ahead;
            if secret_too {
                cluster.secret.clear();
            }
            if bundle_too {
                cluster.publish(String::new(), ahead, now);
            }
            for _ in 0..3 {
                for replica in &mut replicas {
                    now += Duration::from_secs(15);
                    cluster.look(replica, now);
                    let is_trusted = cluster.trusts_replica(replica, now);
                    assert!(bundle_too || is_trusted, "there is no gap");
                }
            }
            assert!(replicas.iter().all(|it| cluster.trusts_replica(it, now + SEEN_AFTER)));
            assert_eq!(cluster.changes, [Change::Begin, Change::Begin]);
            assert_eq!(cluster.generation, ahead.saturating_add(1));
            let shared = Shared::from_json(cluster.secret.as_bytes()).unwrap();
            assert_eq!(shared.generation, cluster.generation);
            assert_ne!(shared.current.certificate_pem(), old.current.certificate_pem());
        }
    }
}

/// The generation of the Secret has its largest value.
#[test]
fn the_largest_generation_does_not_wrap_around() {
    let authority = || Authority::generate(start(), LIFETIMES.authority).unwrap();
    let shared = Shared {
        generation: u64::MAX,
        current: authority(),
        next: None,
        retired: Vec::new(),
        overlap: None,
    };
    let published = Published { bundle: "", generation: u64::MAX };
    let now = start() + DAY * 300;
    let due = Shared::due(Some(&shared), &published, &Sighting::default(), now, &LIFETIMES);
    assert_eq!(due, Some(Change::Prepare));
    let changed =
        Shared::changed(Some(shared), Change::Prepare, &published, now, &LIFETIMES).unwrap();
    assert_eq!(changed.generation, u64::MAX);
}

/// The Secret of a newer version is recognised whatever else it contains, and is not taken for
/// garbage.
#[test]
fn a_newer_secret_is_no_garbage() {
    for json in [r#"{"schema":2}"#, r#"{"generation":"seven","current":[],"schema":4294967297}"#] {
        assert!(matches!(Shared::from_json(json.as_bytes()), Err(SecretError::Newer(_))), "{json}");
        let mut replicas = [Replica::new(0), Replica::new(0)];
        let (mut cluster, now) = running(&mut replicas);
        cluster.secret = json.to_owned();
        for replica in &mut replicas {
            cluster.look(replica, now + DAY);
            assert!(cluster.trusts_replica(replica, now + DAY));
        }
        assert_eq!(cluster.secret, json);
    }
    for json in [r#"{"schema":-1}"#, r#"{"schema":"2"}"#, r#"{"schema":1}"#, "[2]", "2"] {
        let error = Shared::from_json(json.as_bytes()).unwrap_err();
        assert!(!matches!(error, SecretError::Newer(_)), "{json}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// With any content of the Secret and of the configuration, nothing panics, and the result is
    /// usable.
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
        prop_assert!(changed.signer(&published, &start().into()).is_none(), "it is not published yet");
        let all = changed.bundle();
        let after = Published { bundle: &all, generation: changed.generation };
        prop_assert!(changed.signer(&after, &start().into()).is_some());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// The clocks of replicas jump while that of the API server is right: after each poll, a
    /// replica serves a certificate that the API server trusts.
    #[test]
    fn clocks_that_jump_do_no_harm(
        steps in prop::collection::vec((0..2_usize, -30_000..30_000_i64, any::<bool>(), 1..200_u64), 1..40),
    ) {
        let mut replicas = [Replica::new(0), Replica::new(0)];
        let (mut cluster, mut now) = running(&mut replicas);
        for (index, days, is_right, hours) in steps {
            now += Duration::from_secs(hours * 3600);
            replicas[index].skew = if is_right { 0 } else { days * DAYS + 7 };
            cluster.look(&mut replicas[index], now);
            // Only a replica whose clock is right renews the CA, so the CA expires if all have been
            // wrong for a year.
            if !is_right && now >= Shared::from_json(cluster.secret.as_bytes()).unwrap().current.not_after() {
                break;
            }
            now += SEEN_AFTER;
            cluster.look(&mut replicas[index], now);
            prop_assert!(cluster.trusts_replica(&replicas[index], now));
        }
    }
}
