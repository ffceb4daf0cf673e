//! One certificate for all contestants, as files, and what else they are given as files.

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

/// An authority and a certificate for `localhost`, both ECDSA P-256.
pub(crate) struct Certificates {
    folder: TempDir,
    authority: CertificateDer<'static>,
    authority_pem: String,
}

impl Certificates {
    /// New ones, in a folder that goes when this is dropped.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(parameters, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        // With all that cert-manager puts into one.
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

    /// Who signed it.
    pub(crate) const fn authority(&self) -> &CertificateDer<'static> {
        &self.authority
    }

    /// The same as PEM.
    pub(crate) fn authority_pem(&self) -> &str {
        &self.authority_pem
    }

    /// The certificate's file.
    pub(crate) fn chain(&self) -> PathBuf {
        self.folder.path().join("tls.crt")
    }

    /// Its key's.
    pub(crate) fn key(&self) -> PathBuf {
        self.folder.path().join("tls.key")
    }

    /// A configuration of prestop that writes and counts less.
    pub(crate) fn quiet_configuration(&self) -> PathBuf {
        self.folder.path().join("quiet.yaml")
    }
}
