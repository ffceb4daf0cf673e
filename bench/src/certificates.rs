//! One certificate for all contestants, and other input files for them.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::CertificateDer;
use tempfile::TempDir;

const QUIET: &str = "apiVersion: prestop.dev/v1alpha1\nkind: Configuration\n\
                     log: {level: error}\nmetrics: {byNamespace: false}\n";

/// A CA and a certificate for `localhost`, both ECDSA P-256.
pub(crate) struct Certificates {
    folder: TempDir,
    authority: CertificateDer<'static>,
    authority_pem: String,
}

impl Certificates {
    /// Creates both, in a folder that is removed when this is dropped.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(parameters, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        // With the extensions that cert-manager adds.
        let mut leaf = CertificateParams::new(names)?;
        leaf.is_ca = IsCa::ExplicitNoCa;
        leaf.use_authority_key_identifier_extension = true;
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let leaf = leaf.signed_by(&key, &authority)?;
        fs::write(folder.path().join("tls.crt"), leaf.pem())?;
        fs::write(folder.path().join("tls.key"), key.serialize_pem())?;
        fs::write(folder.path().join("quiet.yaml"), QUIET).context("quiet.yaml")?;
        Ok(Self { folder, authority: authority.der().clone(), authority_pem: authority.pem() })
    }

    /// Returns the CA that signed the certificate.
    pub(crate) const fn authority(&self) -> &CertificateDer<'static> {
        &self.authority
    }

    /// Returns the CA as PEM.
    pub(crate) fn authority_pem(&self) -> &str {
        &self.authority_pem
    }

    /// Returns the file of the certificate.
    pub(crate) fn chain(&self) -> PathBuf {
        self.folder.path().join("tls.crt")
    }

    /// Returns the file of the certificate's key.
    pub(crate) fn key(&self) -> PathBuf {
        self.folder.path().join("tls.key")
    }

    /// Returns a configuration of prestop with less logging and fewer metrics.
    pub(crate) fn quiet_configuration(&self) -> PathBuf {
        self.folder.path().join("quiet.yaml")
    }
}
