//! The shared CA in the cluster: read from one Secret, changed under its resource version,
//! published in the webhook configuration. [`super::rotation`] decides which change is due.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::Stream;
use kube::Client;
use kube::runtime::watcher;
use serde_json::{Value, json};
use thiserror::Error;
use tokio::time::timeout;
use tracing::{info, warn};

use super::clock::{Clocks, Difference};
use super::rotation::{Change, Lifetimes, Published, SecretError, Shared, Sighting};
use super::signing::Signed;
use super::{CertificateError, ServedCertificate};
use crate::cluster::api::objects::{MutatingWebhookConfiguration, Secret};
use crate::cluster::api::{Api, Collection};

/// Key in the Secret of the state, with the private keys.
pub const STATE_KEY: &str = "state.json";
/// Key in the Secret of the trusted CAs, for people.
const BUNDLE_KEY: &str = "ca.crt";
/// Annotation of the webhook configuration: the generation of its `caBundle`.
pub const GENERATION_ANNOTATION: &str = "prestop.dev/ca-generation";

/// Time limit for all requests of one poll; less if certificates live for minutes only.
const PATIENCE: Duration = Duration::from_secs(15);

/// Errors; each step is retried at the next poll.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The Secret does not exist; the chart creates it, and prestop has no right to do so.
    #[error("the Secret {0} is missing; the chart creates it empty")]
    NoSecret(String),
    /// The Secret belongs to a newer version: it is not changed, and nothing is published.
    #[error("{0}; it is not changed")]
    Newer(#[source] SecretError),
    /// Another replica was first, and wrote a state that can't be used.
    #[error("another replica has just written the Secret {name}: {error}")]
    Unusable {
        /// Name of the Secret.
        name: String,
        /// The reason.
        #[source]
        error: SecretError,
    },
    /// There is no CA yet, and this replica must not create one.
    #[error(
        "the clocks of this replica and the API server differ, so it creates no CA; the Secret has none"
    )]
    ClockDiffers,
    /// Another replica or something else was first, and removed the state.
    #[error("the Secret {0} was emptied in the meantime")]
    Emptied(String),
    /// The API server does not answer, or refuses the request.
    #[error("{0}: {1}")]
    Request(&'static str, #[source] kube::Error),
    /// The API server takes too long.
    #[error("the API server did not answer in time")]
    TooLate,
    /// A certificate could not be created.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// Names of the objects of this installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// The namespace of Secret and Service.
    pub namespace: String,
    /// The Secret.
    pub secret: String,
    /// The Service that API servers connect to.
    pub service: String,
    /// The `MutatingWebhookConfiguration`.
    pub webhook: String,
    /// The `ValidatingWebhookConfiguration` of the warnings, if they are on.
    pub warnings: Option<String>,
}

/// One replica's view of the shared CA.
pub struct Store {
    api: Api,
    secrets: Collection,
    names: Names,
    lifetimes: Lifetimes,
    signed: Option<Signed>,
    /// The last state that was read: enough to continue while the API server is unavailable.
    shared: Option<Shared>,
    bundle: String,
    difference: Difference,
    sighting: Sighting,
}

/// Problems that keep a replica from managing the CA, although the API server answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// The clocks of this replica and the API server differ: one of them is wrong, so the CA is not
    /// changed.
    Clock,
    /// There is no webhook configuration, or none with a webhook: nothing to publish in.
    NoWebhook,
    /// The Secret belongs to a newer version.
    NewerSecret,
}

/// The result of one poll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    /// Whether nothing changed and nothing is expected to change soon, so that the next poll can
    /// wait.
    pub is_settled: bool,
    /// The change of the Secret by this replica.
    pub change: Option<Change>,
    /// The problem that was found.
    pub problem: Option<Problem>,
    /// Whether API servers trust the certificate of this replica, according to the configuration
    /// that was read.
    pub is_trusted: bool,
    /// The generation of the trusted CAs.
    pub generation: u64,
    /// Time at which the signing CA expires.
    pub authority_end: SystemTime,
    /// Time at which this replica's certificate expires.
    pub leaf_end: Option<SystemTime>,
}

/// The webhook configuration as it was read.
struct Configuration {
    /// Resource version; `None` if there is no configuration, and nothing to publish to.
    version: Option<String>,
    has_annotations: bool,
    /// The annotation with the generation, as written.
    generation: Option<String>,
    /// The `caBundle` of each webhook in it.
    bundles: Vec<String>,
}

impl Configuration {
    /// Returns the generation; 0 if there is none, or it is not a number.
    fn known_generation(&self) -> u64 {
        self.generation.as_ref().and_then(|text| text.parse().ok()).unwrap_or(0)
    }
}

impl Problem {
    /// All problems.
    pub const ALL: [Self; 3] = [Self::Clock, Self::NoWebhook, Self::NewerSecret];

    /// Returns the stable name of this problem.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clock => "clock",
            Self::NoWebhook => "no_webhook",
            Self::NewerSecret => "newer_secret",
        }
    }
}

impl StoreError {
    /// Returns the problem that causes this error, if it is one of them.
    #[must_use]
    pub const fn problem(&self) -> Option<Problem> {
        match self {
            Self::Newer(_) => Some(Problem::NewerSecret),
            Self::ClockDiffers => Some(Problem::Clock),
            _ => None,
        }
    }
}

impl Store {
    /// Creates a replica that has not polled yet.
    #[must_use]
    pub fn new(client: Client, names: Names, lifetimes: Lifetimes) -> Self {
        let (api, secrets) = (Api::new(client), Collection::secrets(&names.namespace));
        Self {
            api,
            secrets,
            names,
            lifetimes,
            signed: None,
            shared: None,
            bundle: String::new(),
            difference: Difference::default(),
            sighting: Sighting::default(),
        }
    }

    /// Does everything that is due: changes the Secret, publishes, signs. To be called about every
    /// half minute.
    ///
    /// # Errors
    /// When the API server is unavailable or refuses, or the Secret must not be changed. The
    /// certificate in use is kept, and renewed as long as the last known CA is valid.
    pub async fn look(
        &mut self,
        served: &ServedCertificate,
        clock: impl Fn() -> SystemTime,
    ) -> Result<Looked, StoreError> {
        let patience = PATIENCE.min(self.lifetimes.leaf / 6);
        let looked = timeout(patience, self.look_at_cluster(served, &clock)).await;
        let looked = looked.unwrap_or(Err(StoreError::TooLate));
        if looked.is_err() {
            // The poll took time.
            let clocks = self.clocks(clock());
            self.sign(&clocks, served)?;
        }
        looked
    }

    /// Returns a stream of changes of the webhook configuration, by others and by this replica:
    /// reasons to poll.
    pub fn changes(&self) -> impl Stream<Item = Result<(), watcher::Error>> + use<> {
        self.api.changes_of_mutating_webhook(&self.names.webhook)
    }

    /// Returns the time at which this replica's certificate expires.
    #[must_use]
    pub fn leaf_end(&self) -> Option<SystemTime> {
        self.signed.as_ref().map(|signed| signed.leaf.not_after)
    }

    /// Returns how far this replica's clock was ahead of the API server's when they were last
    /// compared.
    #[must_use]
    pub const fn difference(&self) -> Difference {
        self.difference
    }

    /// Returns the time by this replica's clock and, as far as known, by the API server's.
    #[must_use]
    pub fn clocks(&self, own: SystemTime) -> Clocks {
        Clocks::new(own, self.difference, self.lifetimes.clock_tolerance())
    }

    /// Whether API servers trust the served certificate, according to the configuration that was
    /// last read.
    #[must_use]
    pub fn is_trusted(&self, clocks: &Clocks) -> bool {
        let published = Published { bundle: &self.bundle, generation: 0 };
        self.signed.as_ref().is_some_and(|signed| signed.is_trusted(&published, clocks))
    }

    async fn look_at_cluster(
        &mut self,
        served: &ServedCertificate,
        clock: impl Fn() -> SystemTime,
    ) -> Result<Looked, StoreError> {
        let clocks = self.compare(clock).await?;
        let secret = self.secret().await?;
        let pods = Collection::mutating_webhook_configurations();
        let configuration = self.configuration(&pods, &self.names.webhook).await?;
        self.bundle = configuration.bundles.first().cloned().unwrap_or_default();
        let published =
            Published { bundle: &self.bundle, generation: configuration.known_generation() };
        let (shared, mut fault) = match state(&secret) {
            Ok(shared) => (shared, None),
            Err(error @ SecretError::Newer(_)) => return Err(StoreError::Newer(error)),
            Err(error) => (None, Some(error.to_string())),
        };
        if shared.as_ref().is_some_and(|shared| shared.is_older(&published)) {
            fault =
                Some("it is older than the published CA, as after restoring a backup".to_owned());
        }
        self.sighting.look(shared.as_ref(), &published, clocks.own());
        let sighting = &self.sighting;
        let due = Shared::due(shared.as_ref(), &published, sighting, clocks.own(), &self.lifetimes);
        // Nothing is changed while a clock may be wrong.
        let due = due.filter(|_| clocks.agree());
        let (shared, change) = match due {
            None => (shared, None),
            Some(due) => {
                let changed =
                    Shared::changed(shared, due, &published, clocks.own(), &self.lifetimes)?;
                self.write(secret, changed, due, fault).await?
            }
        };
        let Some(shared) = shared else {
            // No replica has created a CA, and this one must not.
            return Err(StoreError::ClockDiffers);
        };
        let was_published =
            self.publish(&shared, &configuration, (&pods, &self.names.webhook)).await?;
        let generation = shared.generation;
        let authority_end = shared.current.not_after();
        self.shared = Some(shared);
        let is_new = self.sign(&clocks, served)?;
        // Last, so that pods do not wait for warnings.
        let was_published = self.publish_for_warnings().await? || was_published;
        let is_trusted = self.is_trusted(&clocks);
        let problem = if !clocks.agree() {
            Some(Problem::Clock)
        } else if configuration.bundles.is_empty() {
            Some(Problem::NoWebhook)
        } else {
            None
        };
        let is_at_rest = is_trusted || problem.is_some();
        Ok(Looked {
            is_settled: due.is_none() && !was_published && !is_new && is_at_rest,
            change,
            problem,
            is_trusted,
            generation,
            authority_end,
            leaf_end: self.leaf_end(),
        })
    }

    /// Compares this replica's clock with the API server's.
    async fn compare(&mut self, clock: impl Fn() -> SystemTime) -> Result<Clocks, StoreError> {
        let asked = clock();
        let date = self.api.date().await;
        let date = date.map_err(|error| StoreError::Request("the API server's time", error))?;
        let answered = clock();
        // Without a `Date` there is nothing to compare with.
        self.difference = date
            .map_or_else(Difference::default, |date| Difference::measured(asked, date, answered));
        Ok(self.clocks(answered))
    }

    /// Writes a change, unless another replica was first. Returns the content of the Secret after
    /// that, and the change if this replica made it. `fault`: the error in the previous content of
    /// the Secret.
    async fn write(
        &self,
        mut secret: Secret,
        changed: Shared,
        change: Change,
        fault: Option<String>,
    ) -> Result<(Option<Shared>, Option<Change>), StoreError> {
        secret.set(STATE_KEY, changed.to_json().as_bytes());
        secret.set(BUNDLE_KEY, changed.bundle().as_bytes());
        match self.api.replace(&self.secrets, &self.names.secret, &secret).await {
            Ok(()) => {
                let (change_name, generation) = (change.name(), changed.generation);
                if let Some(error) = fault {
                    warn!(%error, generation, "the Secret was unusable: replacing its CA with a new one");
                }
                info!(change = change_name, generation, "certificate authority changed");
                Ok((Some(changed), Some(change)))
            }
            // Another replica was first: its result is used.
            Err(kube::Error::Api(status)) if status.code == 409 => {
                let name = || self.names.secret.clone();
                match state(&self.secret().await?) {
                    Ok(Some(shared)) => Ok((Some(shared), None)),
                    Ok(None) => Err(StoreError::Emptied(name())),
                    Err(error @ SecretError::Newer(_)) => Err(StoreError::Newer(error)),
                    Err(error) => Err(StoreError::Unusable { name: name(), error }),
                }
            }
            Err(error) => Err(StoreError::Request("the Secret", error)),
        }
    }

    async fn secret(&self) -> Result<Secret, StoreError> {
        let found = self.api.get(&self.secrets, &self.names.secret).await;
        found
            .map_err(|error| StoreError::Request("the Secret", error))?
            .ok_or_else(|| StoreError::NoSecret(self.names.secret.clone()))
    }

    /// Publishes the same CAs in the webhook configuration for warnings. Returns whether it did.
    async fn publish_for_warnings(&self) -> Result<bool, StoreError> {
        let (Some(name), Some(shared)) = (&self.names.warnings, &self.shared) else {
            return Ok(false);
        };
        let webhooks = Collection::validating_webhook_configurations();
        let configuration = self.configuration(&webhooks, name).await?;
        self.publish(shared, &configuration, (&webhooks, name)).await
    }

    async fn configuration(
        &self,
        webhooks: &Collection,
        name: &str,
    ) -> Result<Configuration, StoreError> {
        let found = self.api.get(webhooks, name).await;
        // The same fields are read of both kinds.
        let found: Option<MutatingWebhookConfiguration> =
            found.map_err(|error| StoreError::Request("the webhook configuration", error))?;
        let Some(found) = found else {
            // API servers do not call this replica; it can create a first certificate nevertheless.
            let (version, bundles) = (None, Vec::new());
            return Ok(Configuration {
                version,
                has_annotations: false,
                generation: None,
                bundles,
            });
        };
        let annotations = found.metadata.annotations;
        let generation =
            annotations.as_ref().and_then(|all| all.get(GENERATION_ANNOTATION)).cloned();
        let bundles = found.webhooks.iter().map(|webhook| &webhook.client_config.ca_bundle);
        Ok(Configuration {
            version: Some(found.metadata.resource_version),
            has_annotations: annotations.is_some(),
            generation,
            bundles: bundles.map(|pem| String::from_utf8_lossy(pem).into_owned()).collect(),
        })
    }

    /// Publishes the trusted CAs in the webhook configuration, and changes nothing else. Returns
    /// whether it did.
    async fn publish(
        &self,
        shared: &Shared,
        configuration: &Configuration,
        (webhooks, name): (&Collection, &str),
    ) -> Result<bool, StoreError> {
        let bundle = shared.bundle();
        let generation = shared.generation.to_string();
        let Some(version) = &configuration.version else { return Ok(false) };
        // The generation of a configuration without webhooks has no meaning.
        let is_there = configuration.bundles.iter().all(|known| *known == bundle)
            && (configuration.bundles.is_empty()
                || configuration.generation.as_ref() == Some(&generation));
        if configuration.known_generation() > shared.generation || is_there {
            return Ok(false);
        }
        let add = |path: String, value: Value| json!({"op": "add", "path": path, "value": value});
        let mut operations =
            vec![json!({"op": "test", "path": "/metadata/resourceVersion", "value": version})];
        for index in 0..configuration.bundles.len() {
            let path = format!("/webhooks/{index}/clientConfig/caBundle");
            operations.push(add(path, json!(STANDARD.encode(&bundle))));
        }
        operations.push(if configuration.has_annotations {
            let path =
                format!("/metadata/annotations/{}", GENERATION_ANNOTATION.replace('/', "~1"));
            add(path, json!(generation))
        } else {
            add("/metadata/annotations".to_owned(), json!({GENERATION_ANNOTATION: generation}))
        });
        match self.api.patch(webhooks, name, &Value::Array(operations)).await {
            Ok(()) => Ok(true),
            // The configuration has changed since it was read: the next poll reads it again.
            Err(kube::Error::Api(status)) if [409, 422].contains(&status.code) => Ok(true),
            Err(error) => Err(StoreError::Request("the webhook configuration", error)),
        }
    }

    /// Creates a new certificate if one is due and there is a published CA. Returns whether it did.
    fn sign(&mut self, clocks: &Clocks, served: &ServedCertificate) -> Result<bool, StoreError> {
        let Some(shared) = &self.shared else { return Ok(false) };
        let Names { namespace, service, .. } = &self.names;
        let names = [
            service.clone(),
            format!("{service}.{namespace}"),
            format!("{service}.{namespace}.svc"),
            format!("{service}.{namespace}.svc.cluster.local"),
            "localhost".to_owned(),
            "127.0.0.1".to_owned(),
        ];
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let published = Published { bundle: &self.bundle, generation: shared.generation };
        let signed = self.signed.as_ref();
        let new = shared.sign(signed, &published, clocks, &self.lifetimes, &names)?;
        let Some(new) = new else { return Ok(false) };
        served.serve(Arc::clone(&new.leaf.certified));
        self.signed = Some(new);
        Ok(true)
    }
}

/// Reads the state from the Secret, if there is one.
fn state(secret: &Secret) -> Result<Option<Shared>, SecretError> {
    secret.get(STATE_KEY).map(|json| Shared::from_json(&json)).transpose()
}
