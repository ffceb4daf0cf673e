//! The shared CA in the cluster: read from one Secret, changed under its resource version,
//! published in the webhook configuration. What is to be done is decided in [`super::rotation`].

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

/// Where the Secret keeps the state, with the keys.
pub const STATE_KEY: &str = "state.json";
/// Where it keeps what is to be trusted, for people.
const BUNDLE_KEY: &str = "ca.crt";
/// On the webhook configuration: which generation its `caBundle` is of.
pub const GENERATION_ANNOTATION: &str = "prestop.dev/ca-generation";

/// For everything that one look asks of the API server; less where certificates live for minutes only.
const PATIENCE: Duration = Duration::from_secs(15);

/// Errors; each step is retried at the next poll.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The Secret is not there; the chart brings it, and prestop has no right to create it.
    #[error("the Secret {0} is missing; the chart creates it empty")]
    NoSecret(String),
    /// The Secret belongs to a newer version: it is not changed, and nothing is published.
    #[error("{0}; it is not changed")]
    Newer(#[source] SecretError),
    /// Another replica was first, and wrote what can't be used.
    #[error("another replica has just written the Secret {name}: {error}")]
    Unusable {
        /// Of the Secret.
        name: String,
        /// Why.
        #[source]
        error: SecretError,
    },
    /// There is no CA yet, and this replica must not create one.
    #[error(
        "the clocks of this replica and the API server differ, so it creates no CA; the Secret has none"
    )]
    ClockDiffers,
    /// Another replica was first, or somebody else, and took the state away.
    #[error("the Secret {0} was emptied in the meantime")]
    Emptied(String),
    /// The API server does not answer, or refuses.
    #[error("{0}: {1}")]
    Request(&'static str, #[source] kube::Error),
    /// The API server takes too long.
    #[error("the API server did not answer in time")]
    TooLate,
    /// A certificate could not be made.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// Names of what belongs to this installation.
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
    /// Whether nothing changed, so that the next look may wait.
    pub is_settled: bool,
    /// What this replica changed in the Secret.
    pub change: Option<Change>,
    /// Problems that it found.
    pub problem: Option<Problem>,
    /// Whether API servers trust what this replica serves, by the configuration that was read.
    pub is_trusted: bool,
    /// Of what is to be trusted.
    pub generation: u64,
    /// When the signing CA expires.
    pub authority_end: SystemTime,
    /// When this replica's certificate ends.
    pub leaf_end: Option<SystemTime>,
}

/// The webhook configuration as it was read.
struct Configuration {
    /// `None`: there is none, and nothing to publish to.
    version: Option<String>,
    has_annotations: bool,
    /// As it is written there.
    generation: Option<String>,
    /// Of each webhook in it.
    bundles: Vec<String>,
}

impl Configuration {
    /// 0 where there is none, or what is there is no number.
    fn known_generation(&self) -> u64 {
        self.generation.as_ref().and_then(|text| text.parse().ok()).unwrap_or(0)
    }
}

impl Problem {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Clock, Self::NoWebhook, Self::NewerSecret];

    /// A stable word.
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
    /// The problem that this is, if it is one of them.
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
    /// A replica that has not looked yet.
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

    /// Does what is due: changes the Secret, publishes, signs. To be called every half minute or so.
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
            // Patience took its time.
            let clocks = self.clocks(clock());
            self.sign(&clocks, served)?;
        }
        looked
    }

    /// Changes of the webhook configuration, by others and by us: reasons to look.
    pub fn changes(&self) -> impl Stream<Item = Result<(), watcher::Error>> + use<> {
        self.api.changes_of_mutating_webhook(&self.names.webhook)
    }

    /// When this replica's certificate ends.
    #[must_use]
    pub fn leaf_end(&self) -> Option<SystemTime> {
        self.signed.as_ref().map(|signed| signed.leaf.not_after)
    }

    /// How far this replica's clock was ahead of the API server's when both were last compared.
    #[must_use]
    pub const fn difference(&self) -> Difference {
        self.difference
    }

    /// The time by this replica's clock and, as far as is known, by the API server's.
    #[must_use]
    pub fn clocks(&self, own: SystemTime) -> Clocks {
        Clocks::new(own, self.difference, self.lifetimes.clock_tolerance())
    }

    /// Whether API servers trust what is served, by what was last read.
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
        // By a clock that may be wrong nothing is changed.
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
        // Last: pods do not wait for warnings.
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

    /// Holds this replica's clock against the API server's.
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

    /// Writes a change, unless another replica was first. Returns the content of the Secret after that,
    /// and the changes by this replica. `fault`: the previous error of the Secret.
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

    /// Writes the same into the webhook configuration of the warnings. Whether it did.
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
        // Of both kinds the same is read.
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

    /// Writes what is to be trusted, and nothing else, into the webhook configuration. Whether it did.
    async fn publish(
        &self,
        shared: &Shared,
        configuration: &Configuration,
        (webhooks, name): (&Collection, &str),
    ) -> Result<bool, StoreError> {
        let bundle = shared.bundle();
        let generation = shared.generation.to_string();
        let Some(version) = &configuration.version else { return Ok(false) };
        // The generation of a configuration without webhooks says nothing.
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
            // It changed in between: the next look sees how.
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

/// What the Secret says, if it says anything.
fn state(secret: &Secret) -> Result<Option<Shared>, SecretError> {
    secret.get(STATE_KEY).map(|json| Shared::from_json(&json)).transpose()
}
