//! The shared authority in the cluster: read from one Secret, changed under its resource version,
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

use super::rotation::{Change, Lifetimes, Published, Shared, Sighting};
use super::{CertificateError, Leaf, ServedCertificate};
use crate::api::objects::{MutatingWebhookConfiguration, Secret};
use crate::api::{Api, Collection};

/// Where the Secret keeps the state, with the keys.
pub const STATE_KEY: &str = "state.json";
/// Where it keeps what is to be trusted, for people.
const BUNDLE_KEY: &str = "ca.crt";
/// On the webhook configuration: which generation its `caBundle` is of.
pub const GENERATION_ANNOTATION: &str = "prestop.dev/ca-generation";

/// For everything that one look asks of the API server; less where certificates live for minutes only.
const PATIENCE: Duration = Duration::from_secs(15);

/// What can go wrong; each is tried again at the next look.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The Secret is not there; the chart brings it, and prestop has no right to create it.
    #[error("the Secret {0} is missing; the chart creates it, empty")]
    NoSecret(String),
    /// The API server does not answer, or refuses.
    #[error("{0}: {1}")]
    Request(&'static str, #[source] kube::Error),
    /// The API server takes too long.
    #[error("the API server does not answer in time")]
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
}

/// One replica's view of the shared authority.
pub struct Store {
    api: Api,
    secrets: Collection,
    names: Names,
    lifetimes: Lifetimes,
    leaf: Option<Signed>,
    known: Option<Known>,
    sighting: Sighting,
}

/// What was last read: enough to go on while the API server is away.
struct Known {
    shared: Shared,
    bundle: String,
}

/// What this replica serves.
struct Signed {
    leaf: Leaf,
    from: SystemTime,
    issuer_pem: String,
}

/// What one look found and did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    /// Whether something changed, so that the next look should not wait.
    pub is_settled: bool,
    /// What this replica changed in the Secret.
    pub change: Option<Change>,
    /// Whether API servers trust what this replica serves, by the configuration that was read.
    pub is_trusted: bool,
    /// Of what is to be trusted.
    pub generation: u64,
    /// When the authority that signs ends.
    pub authority_end: SystemTime,
    /// When this replica's certificate ends.
    pub leaf_end: Option<SystemTime>,
}

/// The webhook configuration as it was read.
struct Configuration {
    /// `None`: there is none, and nothing to publish to.
    version: Option<String>,
    has_annotations: bool,
    generation: u64,
    /// Of each webhook in it.
    bundles: Vec<String>,
}

impl Store {
    /// A replica that has not looked yet.
    #[must_use]
    pub fn new(client: Client, names: Names, lifetimes: Lifetimes) -> Self {
        let (api, secrets) = (Api::new(client), Collection::secrets(&names.namespace));
        let sighting = Sighting::default();
        Self { api, secrets, names, lifetimes, leaf: None, known: None, sighting }
    }

    /// Does what is due: changes the Secret, publishes, signs. To be called every half minute or so.
    ///
    /// # Errors
    /// When the API server is away or refuses. What is served stays, and is renewed as long as the
    /// authority lives that was last read.
    pub async fn look(
        &mut self,
        served: &ServedCertificate,
        clock: impl Fn() -> SystemTime,
    ) -> Result<Looked, StoreError> {
        let patience = PATIENCE.min(self.lifetimes.leaf / 6);
        let looked = timeout(patience, self.look_at_cluster(served, clock())).await;
        let looked = looked.unwrap_or(Err(StoreError::TooLate));
        if looked.is_err()
            && let Some(known) = self.known.take()
        {
            let published =
                Published { bundle: &known.bundle, generation: known.shared.generation };
            // Patience took its time.
            self.sign(&known.shared, &published, served, clock())?;
            self.known = Some(known);
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
        self.leaf.as_ref().map(|signed| signed.leaf.not_after)
    }

    async fn look_at_cluster(
        &mut self,
        served: &ServedCertificate,
        now: SystemTime,
    ) -> Result<Looked, StoreError> {
        let mut secret = self.secret().await?;
        let configuration = self.configuration().await?;
        let bundle = configuration.bundles.first().cloned().unwrap_or_default();
        let published = Published { bundle: &bundle, generation: configuration.generation };
        let mut shared = read_state(&secret);
        self.sighting.look(shared.as_ref(), &published, now);
        let due = Shared::due(shared.as_ref(), &published, &self.sighting, now, &self.lifetimes);
        let mut done = None;
        if let Some(change) = due {
            let changed = Shared::changed(shared, change, &published, now, &self.lifetimes)?;
            write_state(&mut secret, &changed);
            let replaced = self.api.replace(&self.secrets, &self.names.secret, &secret).await;
            shared = match replaced {
                Ok(()) => {
                    info!(change = change.name(), generation = changed.generation, "the authority");
                    done = Some(change);
                    Some(changed)
                }
                // Another replica was first: what it wrote holds.
                Err(kube::Error::Api(status)) if status.code == 409 => {
                    read_state(&self.secret().await?)
                }
                Err(error) => return Err(StoreError::Request("the Secret", error)),
            };
        }
        let Some(shared) = shared else {
            return Err(StoreError::NoSecret(self.names.secret.clone()));
        };
        let was_published = self.publish(&shared, &configuration).await?;
        let is_new = self.sign(&shared, &published, served, now)?;
        let is_trusted =
            self.leaf.as_ref().is_some_and(|signed| bundle.contains(signed.issuer_pem.trim_end()));
        let looked = Looked {
            is_settled: due.is_none() && !was_published && !is_new && is_trusted,
            change: done,
            is_trusted,
            generation: shared.generation,
            authority_end: shared.current.not_after(),
            leaf_end: self.leaf_end(),
        };
        self.known = Some(Known { shared, bundle });
        Ok(looked)
    }

    async fn secret(&self) -> Result<Secret, StoreError> {
        let found = self.api.get(&self.secrets, &self.names.secret).await;
        found
            .map_err(|error| StoreError::Request("the Secret", error))?
            .ok_or_else(|| StoreError::NoSecret(self.names.secret.clone()))
    }

    async fn configuration(&self) -> Result<Configuration, StoreError> {
        let webhooks = Collection::mutating_webhook_configurations();
        let found = self.api.get(&webhooks, &self.names.webhook).await;
        let found: Option<MutatingWebhookConfiguration> =
            found.map_err(|error| StoreError::Request("the webhook configuration", error))?;
        let Some(found) = found else {
            // Nobody calls. A first certificate can be made all the same.
            let (version, bundles) = (None, Vec::new());
            return Ok(Configuration { version, has_annotations: false, generation: 0, bundles });
        };
        let annotations = found.metadata.annotations;
        let generation =
            annotations.as_ref().and_then(|all| all.get(GENERATION_ANNOTATION)?.parse().ok());
        let bundles = found.webhooks.iter().map(|webhook| &webhook.client_config.ca_bundle);
        Ok(Configuration {
            version: Some(found.metadata.resource_version),
            has_annotations: annotations.is_some(),
            generation: generation.unwrap_or(0),
            bundles: bundles.map(|pem| String::from_utf8_lossy(pem).into_owned()).collect(),
        })
    }

    /// Writes what is to be trusted, and nothing else, into the webhook configuration. Whether it did.
    async fn publish(
        &self,
        shared: &Shared,
        configuration: &Configuration,
    ) -> Result<bool, StoreError> {
        let bundle = shared.bundle();
        let Some(version) = &configuration.version else { return Ok(false) };
        let is_older = shared.generation < configuration.generation;
        if is_older || configuration.bundles.iter().all(|known| *known == bundle) {
            return Ok(false);
        }
        let add = |path: String, value: Value| json!({"op": "add", "path": path, "value": value});
        let mut operations =
            vec![json!({"op": "test", "path": "/metadata/resourceVersion", "value": version})];
        for index in 0..configuration.bundles.len() {
            let path = format!("/webhooks/{index}/clientConfig/caBundle");
            operations.push(add(path, json!(STANDARD.encode(&bundle))));
        }
        let generation = shared.generation.to_string();
        operations.push(if configuration.has_annotations {
            let path =
                format!("/metadata/annotations/{}", GENERATION_ANNOTATION.replace('/', "~1"));
            add(path, json!(generation))
        } else {
            add("/metadata/annotations".to_owned(), json!({GENERATION_ANNOTATION: generation}))
        });
        let webhooks = Collection::mutating_webhook_configurations();
        match self.api.patch(&webhooks, &self.names.webhook, &Value::Array(operations)).await {
            Ok(()) => Ok(true),
            // It changed in between: the next look sees how.
            Err(kube::Error::Api(status)) if [409, 422].contains(&status.code) => Ok(true),
            Err(error) => Err(StoreError::Request("the webhook configuration", error)),
        }
    }

    /// Makes a new certificate if one is due and there is an authority that is published. Whether it
    /// did.
    fn sign(
        &mut self,
        shared: &Shared,
        published: &Published<'_>,
        served: &ServedCertificate,
        now: SystemTime,
    ) -> Result<bool, StoreError> {
        let Some(signer) = shared.signer(published, now) else { return Ok(false) };
        let is_due = self.leaf.as_ref().is_none_or(|signed| {
            signed.issuer_pem != signer.certificate_pem()
                || Lifetimes::is_due(signed.from, signed.leaf.not_after, now)
        });
        if !is_due {
            return Ok(false);
        }
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
        let leaf = signer.issue(&names, now, self.lifetimes.leaf)?;
        served.serve(Arc::clone(&leaf.certified));
        self.leaf =
            Some(Signed { leaf, from: now, issuer_pem: signer.certificate_pem().to_owned() });
        Ok(true)
    }
}

/// What the Secret says, if it can be used.
fn read_state(secret: &Secret) -> Option<Shared> {
    match Shared::from_json(&secret.get(STATE_KEY)?) {
        Ok(shared) => Some(shared),
        Err(error) => {
            warn!(%error, "the Secret can't be used: a new authority is made");
            None
        }
    }
}

fn write_state(secret: &mut Secret, shared: &Shared) {
    secret.set(STATE_KEY, shared.to_json().as_bytes());
    secret.set(BUNDLE_KEY, shared.bundle().as_bytes());
}
