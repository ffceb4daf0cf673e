//! Decides whether a new certificate in the files may replace the one in use. Pure: the time is an
//! argument.

use std::time::SystemTime;

use rustls::RootCertStore;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::UnixTime;
use rustls::server::ParsedCertificate;
use thiserror::Error;

use super::{Invalid, Pair};

/// Reason why API servers would refuse a certificate, although it could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum Objection {
    /// The certificate is not valid at this time.
    #[error("the certificate is {}", .0.name())]
    Invalid(Invalid),
    /// Clients that trust the certificate in use need not trust this one.
    #[error(
        "the certificate is signed by another CA than the one in use, and ca.crt next to it does not contain that CA"
    )]
    OtherAuthority,
    /// The certificate is for other names.
    #[error("the certificate has no name in common with the one in use")]
    OtherNames,
}

/// Returns the objection to a certificate at a time; the last two objections need a certificate in
/// use. `authorities` are the CAs that came with the files: an intended change of the CA is
/// declared there.
#[must_use]
pub(crate) fn objection(
    new: &Pair,
    served: Option<&Pair>,
    authorities: &RootCertStore,
    now: SystemTime,
) -> Option<Objection> {
    if let Some(fault) = new.validity.fault(now) {
        return Some(Objection::Invalid(fault));
    }
    let served = served?;
    if !new.is_issued_as(served) && !is_signed_by(new, authorities, now) {
        return Some(Objection::OtherAuthority);
    }
    let is_common = new.names.iter().any(|name| served.names.contains(name));
    (!is_common && !served.names.is_empty()).then_some(Objection::OtherNames)
}

/// Whether the chain ends at one of these CAs.
fn is_signed_by(pair: &Pair, authorities: &RootCertStore, now: SystemTime) -> bool {
    let Some((leaf, chain)) = pair.certified.cert.split_first() else { return false };
    let Ok(leaf) = ParsedCertificate::try_from(leaf) else { return false };
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let algorithms = default_provider().signature_verification_algorithms.all;
    let now = UnixTime::since_unix_epoch(now);
    verify_server_cert_signed_by_trust_anchor(&leaf, authorities, chain, now, algorithms).is_ok()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose,
        IsCa, KeyPair,
    };

    use super::super::{Authorities, read_pair};
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    /// Creates a pair that is valid for ten days, beginning at `from`.
    fn pair(
        authority: &CertifiedIssuer<'static, KeyPair>,
        name: &str,
        from: SystemTime,
        knows_key: KnowsKey,
    ) -> Pair {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.not_before, params.not_after) = (from.into(), (from + 10 * DAY).into());
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = knows_key == KnowsKey::Yes;
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, authority).unwrap();
        read_pair(certificate.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap()
    }

    /// Whether a certificate identifies the key that signed it.
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum KnowsKey {
        Yes,
        No,
    }

    #[test]
    fn what_api_servers_would_refuse_is_objected_to() {
        let (ours, other) = (authority("ours"), authority("other"));
        let same_name = authority("ours");
        let none = RootCertStore::empty();
        let (both, _) = Authorities::read((ours.pem() + &other.pem()).as_bytes()).all().unwrap();
        let (from, key) = (now() - DAY, KnowsKey::Yes);
        let served = pair(&ours, "a", from, key);
        let ended = Objection::Invalid(Invalid::Ended);
        let not_yet = Objection::Invalid(Invalid::NotYet);
        for (new, roots, expected) in [
            (pair(&ours, "a", from, key), &none, None),
            (pair(&ours, "a", now() - 10 * DAY, key), &none, Some(ended)),
            (pair(&ours, "a", now() + Duration::from_secs(1), key), &both, Some(not_yet)),
            (pair(&other, "a", from, key), &none, Some(Objection::OtherAuthority)),
            (pair(&other, "a", from, key), &both, None),
            (pair(&same_name, "a", from, key), &none, Some(Objection::OtherAuthority)),
            (pair(&same_name, "a", from, key), &both, Some(Objection::OtherAuthority)),
            // The two CAs can't be distinguished.
            (pair(&same_name, "a", from, KnowsKey::No), &none, None),
            (pair(&ours, "b", from, key), &none, Some(Objection::OtherNames)),
        ] {
            assert_eq!(objection(&new, Some(&served), roots, now()), expected);
        }
        // At the start there is nothing to compare with.
        assert_eq!(objection(&pair(&other, "b", from, key), None, &none, now()), None);
    }
}
