//! The API server, as far as prestop uses it: a client with credentials, and the few objects that
//! are read, with only the needed fields.
//!
//! kube handles the communication. Its typed objects and its reading of kubeconfigs are as large as
//! the rest of the program, so prestop has its own objects, and the program in the webhook's image
//! supports only the service accounts of pods (without the feature `kubeconfig`).

pub(crate) mod failure;
#[cfg(feature = "kubeconfig")]
mod kubeconfig;
pub(crate) mod objects;
mod service_account;
mod trust;

use std::path::PathBuf;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt};
use http::Request;
use http::header::{CONTENT_TYPE, DATE};
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use kube::Client;
use kube::client::Body;
use kube::core::PartialObjectMeta;
use kube::core::params::{GetParams, ListParams, PostParams};
use kube::core::request::{Error as RequestError, Request as Requests};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use prestop_core::policy::KubernetesVersion;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;

#[cfg(feature = "kubeconfig")]
pub use self::kubeconfig::{Contexts, KubeconfigError};
pub use self::service_account::{ServiceAccount, ServiceAccountError};
pub use self::trust::trusting;

/// Error: there is no usable address of an API server with credentials.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The pod's service account can't be used.
    #[error(transparent)]
    ServiceAccount(#[from] ServiceAccountError),
    /// The kubeconfig can't be used.
    #[cfg(feature = "kubeconfig")]
    #[error(transparent)]
    Kubeconfig(#[from] KubeconfigError),
    /// There is no kubeconfig in any of the expected places.
    #[cfg(feature = "kubeconfig")]
    #[error("no cluster to connect to: there is no kubeconfig{0}; set KUBECONFIG to its path")]
    NoKubeconfig(String),
}

/// Errors while reading from the cluster.
#[derive(Debug, Error)]
pub enum ClusterError {
    /// The API server does not answer, or refuses the request.
    #[error("the API server: {}", failure::reason(.0))]
    Request(#[from] kube::Error),
    /// The version of the API server has an unknown format.
    #[error("the API server's version is {0:?}")]
    Version(String),
}

/// The chosen cluster, if it is not the current context of the kubeconfig.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    /// The kubeconfig.
    pub kubeconfig: Option<PathBuf>,
    /// The context in it.
    pub context: Option<String>,
    /// The user to impersonate.
    pub impersonate: Option<String>,
    /// That user's groups.
    pub impersonate_groups: Vec<String>,
}

/// A cluster to which requests can be sent.
#[derive(Clone)]
pub struct Target {
    /// The client.
    pub client: Client,
    /// The address of the cluster and how it was found, for messages.
    pub name: String,
    /// The default namespace.
    pub namespace: Option<String>,
}

/// Objects of one kind, identified by their path in the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collection(String);

/// The API server.
#[derive(Clone)]
pub struct Api {
    client: Client,
}

#[derive(Deserialize)]
struct List<T> {
    items: Vec<T>,
}

/// Returns the chosen cluster: from the kubeconfig, or else the one that this process runs in.
///
/// # Errors
/// When there is neither, or it can't be used.
#[cfg_attr(not(feature = "kubeconfig"), allow(unused_variables))]
pub fn target(choice: &Choice) -> Result<Target, ClientError> {
    let account = ServiceAccount::of_this_pod(|name| std::env::var(name).ok());
    #[cfg(feature = "kubeconfig")]
    {
        let environment = |name: &str| std::env::var_os(name);
        let files = kubeconfig::files(choice.kubeconfig.as_deref(), environment);
        if let Some(kubeconfig) = kubeconfig::read(&files)? {
            return Ok(kubeconfig::target(&kubeconfig, choice)?);
        }
        // If there is neither, a missing kubeconfig is the more helpful error.
        if account.is_err() || *choice != Choice::default() {
            let places: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
            let places = if places.is_empty() {
                String::new()
            } else {
                format!(" at {}", places.join(", "))
            };
            return Err(ClientError::NoKubeconfig(places));
        }
    }
    let account = account?;
    let name = format!("https://{} (this pod's service account)", account.address);
    Ok(Target { client: account.client()?, name, namespace: None })
}

/// Returns the names of the contexts that can be chosen; none if no kubeconfig can be read.
#[must_use]
#[cfg(feature = "kubeconfig")]
pub fn contexts(choice: &Choice) -> Vec<String> {
    let environment = |name: &str| std::env::var_os(name);
    let files = kubeconfig::files(choice.kubeconfig.as_deref(), environment);
    let kubeconfig = kubeconfig::read(&files).ok().flatten();
    kubeconfig.map_or_else(Vec::new, |it| it.contexts.into_iter().map(|it| it.name).collect())
}

/// Returns no contexts: this build reads no kubeconfig.
#[must_use]
#[cfg(not(feature = "kubeconfig"))]
pub const fn contexts(_: &Choice) -> Vec<String> {
    Vec::new()
}

/// Returns the API server's version.
///
/// # Errors
/// When it does not answer, or its version can't be read.
pub async fn version(client: &Client) -> Result<KubernetesVersion, ClusterError> {
    let info = client.apiserver_version().await?;
    let text = format!("{}.{}", info.major, info.minor);
    text.parse().map_err(|_| ClusterError::Version(text))
}

impl Collection {
    /// Returns all namespaces.
    #[must_use]
    pub fn namespaces() -> Self {
        Self("/api/v1/namespaces".to_owned())
    }

    /// Returns the pods of a namespace.
    #[must_use]
    pub fn pods(namespace: &str) -> Self {
        Self::core(namespace, "pods")
    }

    /// Returns the Secrets of a namespace.
    #[must_use]
    pub fn secrets(namespace: &str) -> Self {
        Self::core(namespace, "secrets")
    }

    /// Returns the Services of a namespace.
    #[must_use]
    pub fn services(namespace: &str) -> Self {
        Self::core(namespace, "services")
    }

    /// Returns the Deployments of a namespace.
    #[must_use]
    pub fn deployments(namespace: &str) -> Self {
        Self(format!("/apis/apps/v1/namespaces/{namespace}/deployments"))
    }

    /// Returns the objects of another kind, by group and version (`apps/v1`) and plural.
    #[must_use]
    #[cfg(feature = "watch")]
    pub(crate) fn of(group_version: &str, namespace: &str, plural: &str) -> Self {
        Self(format!("/apis/{group_version}/namespaces/{namespace}/{plural}"))
    }

    /// Returns all mutating webhook configurations.
    #[must_use]
    pub fn mutating_webhook_configurations() -> Self {
        Self("/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations".to_owned())
    }

    /// Returns all validating webhook configurations.
    #[must_use]
    pub fn validating_webhook_configurations() -> Self {
        Self("/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations".to_owned())
    }

    /// Returns the versions of an API group, by name; not of the core group.
    #[must_use]
    pub fn versions(group: &str) -> Self {
        Self(format!("/apis/{group}"))
    }

    /// Returns the access reviews for any user.
    #[must_use]
    pub fn subject_access_reviews() -> Self {
        Self("/apis/authorization.k8s.io/v1/subjectaccessreviews".to_owned())
    }

    /// Returns the access reviews for the current user.
    #[must_use]
    pub fn self_subject_access_reviews() -> Self {
        Self("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews".to_owned())
    }

    fn core(namespace: &str, plural: &str) -> Self {
        Self(format!("/api/v1/namespaces/{namespace}/{plural}"))
    }

    fn requests(&self) -> Requests {
        Requests::new(self.0.as_str())
    }
}

/// Errors are kube's; [`kube::Error::Api`] is an answer of the API server.
impl Api {
    /// Creates an API from a kube client.
    #[must_use]
    pub const fn new(client: Client) -> Self {
        Self { client }
    }

    /// Returns the time by the API server's clock, in whole seconds: the `Date` of a response (RFC
    /// 9110, section 6.6.1), even of a refusal. `None` if the response has none.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn date(&self) -> Result<Option<SystemTime>, kube::Error> {
        let request =
            Request::get("/version").body(Body::empty()).map_err(kube::Error::HttpError)?;
        let (head, body) = self.client.send(request).await?.into_parts();
        // A connection whose response was read to its end is reused.
        body.collect_bytes().await?;
        let date = head.headers.get(DATE).and_then(|date| date.to_str().ok());
        Ok(date.and_then(|date| httpdate::parse_http_date(date).ok()))
    }

    /// Returns an object, if it exists.
    ///
    /// # Errors
    /// When the API server does not answer or refuses, or the answer is no `T`.
    pub async fn get<T: DeserializeOwned>(
        &self,
        collection: &Collection,
        name: &str,
    ) -> Result<Option<T>, kube::Error> {
        match self.ask(collection.requests().get(name, &GetParams::default())).await {
            Ok(text) => read(&text).map(Some),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns a pod's response to `GET path` on this port, through the API server.
    ///
    /// # Errors
    /// When the API server does not answer or refuses, or the pod does not answer.
    pub async fn get_of_pod(
        &self,
        namespace: &str,
        pod: &str,
        port: u16,
        path: &str,
    ) -> Result<String, kube::Error> {
        let pods = Collection::pods(namespace);
        let path = format!("{}/{pod}:{port}/proxy{path}", pods.0);
        self.ask(Request::get(path).body(Vec::new()).map_err(RequestError::BuildRequest)).await
    }

    /// Returns the objects with these labels, a selector in the API's format.
    ///
    /// # Errors
    /// When the API server does not answer or refuses, or the answer is no list of `T`.
    pub async fn list<T: DeserializeOwned>(
        &self,
        collection: &Collection,
        labels: &str,
    ) -> Result<Vec<T>, kube::Error> {
        let text = self.ask(collection.requests().list(&ListParams::default().labels(labels)));
        Ok(read::<List<T>>(&text.await?)?.items)
    }

    /// Sends a request and returns the response.
    ///
    /// # Errors
    /// When the API server does not answer or refuses.
    pub(crate) async fn bytes(&self, request: Request<Vec<u8>>) -> Result<Bytes, kube::Error> {
        let text = self.client.request_text(request).await?;
        Ok(Bytes::from(text))
    }

    /// Creates an object and returns the API server's response.
    ///
    /// # Errors
    /// When the API server does not answer or refuses, or the answer is no `T`.
    pub async fn create<T: DeserializeOwned>(
        &self,
        collection: &Collection,
        object: &Value,
    ) -> Result<T, kube::Error> {
        self.post(collection, object, &PostParams::default()).await
    }

    /// Returns the object as it would be created, after admission; it is not stored.
    ///
    /// # Errors
    /// When the API server does not answer or refuses, or the answer is no `T`.
    pub async fn create_dry_run<T: DeserializeOwned>(
        &self,
        collection: &Collection,
        object: &Value,
    ) -> Result<T, kube::Error> {
        let parameters = PostParams { dry_run: true, ..PostParams::default() };
        self.post(collection, object, &parameters).await
    }

    /// Replaces an object, if it still has the resource version in `object`.
    ///
    /// # Errors
    /// When the API server does not answer or refuses; status 409 if the object has changed.
    pub async fn replace(
        &self,
        collection: &Collection,
        name: &str,
        object: &(impl serde::Serialize + Sync),
    ) -> Result<(), kube::Error> {
        let body = serde_json::to_vec(object).map_err(kube::Error::SerdeError)?;
        let request = collection.requests().replace(name, &PostParams::default(), body);
        self.ask(request).await.map(drop)
    }

    /// Changes an object by the operations of a JSON patch.
    ///
    /// # Errors
    /// When the API server does not answer or refuses; status 409 or 422 if a `test` fails.
    pub async fn patch(
        &self,
        collection: &Collection,
        name: &str,
        operations: &Value,
    ) -> Result<(), kube::Error> {
        let body = serde_json::to_vec(operations).map_err(kube::Error::SerdeError)?;
        let request = Request::patch(format!("{}/{name}", collection.0))
            .header(CONTENT_TYPE, "application/json-patch+json")
            .body(body)
            .map_err(RequestError::BuildRequest);
        self.ask(request).await.map(drop)
    }

    /// Returns the changes of one mutating webhook configuration, beginning with its current state:
    /// `Ok` for each, and errors while it can't be watched. The stream never ends; a failed watch
    /// is retried after growing pauses.
    pub fn changes_of_mutating_webhook(
        &self,
        name: &str,
    ) -> impl Stream<Item = Result<(), watcher::Error>> + use<> {
        let all: kube::Api<PartialObjectMeta<MutatingWebhookConfiguration>> =
            kube::Api::all(self.client.clone());
        let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let events = watcher(all, config).default_backoff();
        let is_change = |event: &Event<_>| !matches!(event, Event::Init | Event::InitDone);
        let changes = events.try_filter(move |event| std::future::ready(is_change(event)));
        changes.map(|event| event.map(drop))
    }

    async fn post<T: DeserializeOwned>(
        &self,
        collection: &Collection,
        object: &Value,
        parameters: &PostParams,
    ) -> Result<T, kube::Error> {
        let body = serde_json::to_vec(object).map_err(kube::Error::SerdeError)?;
        read(&self.ask(collection.requests().create(parameters, body)).await?)
    }

    async fn ask(
        &self,
        request: Result<Request<Vec<u8>>, RequestError>,
    ) -> Result<String, kube::Error> {
        self.client.request_text(request.map_err(kube::Error::BuildRequest)?).await
    }
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, kube::Error> {
    serde_json::from_str(text).map_err(kube::Error::SerdeError)
}
