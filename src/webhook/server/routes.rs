//! HTTP paths: admission reviews only on the TLS port; probes, metrics and version only on the
//! administration port.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use prestop_core::admission::{self, ClusterView, Event, Fronts, Namespaces, Refusal, Unchanged};
use prestop_core::policy::Policy;
use tokio::time::Instant;
use tracing::{debug, error, warn};

use super::body::{BodyError, BodyMemory, BodyReader, ReadBody};
use super::connections::Connections;
use super::deadline::{Alarms, time_for_body};
use super::readiness::Readiness;
use crate::version::Version;
use crate::webhook::metrics::{Format, Metrics};
use crate::webhook::settings::Limits;
use crate::webhook::telemetry;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Everything needed to answer reviews.
pub struct Webhook {
    /// The policy in use; replaced when the configuration is reloaded.
    pub policy: Arc<ArcSwap<Policy>>,
    /// The known namespaces.
    pub namespaces: Arc<dyn Namespaces>,
    /// The known fronts of pods.
    pub fronts: Arc<dyn Fronts>,
    /// Counts requests.
    pub metrics: Arc<Metrics>,
    /// Limits of one request, and of all requests together.
    pub limits: Limits,
}

/// State shown on the administration port.
pub struct Administration {
    /// The readiness checks.
    pub readiness: Readiness,
    /// The metrics.
    pub metrics: Arc<Metrics>,
}

struct Reviews {
    webhook: Webhook,
    memory: BodyMemory,
    alarms: Alarms,
}

/// The paths of the TLS port.
pub fn webhook(webhook: Webhook) -> Router {
    let memory = BodyMemory::new(webhook.limits.bodies_in_flight_bytes);
    let other = |status: StatusCode| {
        let metrics = webhook.metrics.clone();
        move || async move {
            metrics.refused(status.as_u16());
            status
        }
    };
    Router::new()
        .route("/mutate", post(mutate))
        .route("/mutate/v1/pods", post(mutate))
        .route("/warn", post(warn_at_apply))
        .fallback(other(StatusCode::NOT_FOUND))
        .method_not_allowed_fallback(other(StatusCode::METHOD_NOT_ALLOWED))
        .with_state(Arc::new(Reviews { webhook, memory, alarms: Alarms::default() }))
}

/// The paths of the administration port.
pub fn administration(administration: Administration) -> Router {
    Router::new()
        .route("/livez", get(|| async { ([(CONTENT_TYPE, TEXT)], "ok\n") }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/version", get(version))
        .with_state(Arc::new(administration))
}

/// Kind of object under review.
#[derive(Clone, Copy)]
enum Reviewed {
    /// Pods, which may be changed.
    Pods,
    /// Workloads, which are not changed but may get warnings.
    Workloads,
}

async fn mutate(reviews: State<Arc<Reviews>>, request: Request) -> Response {
    answered(reviews, request, Reviewed::Pods).await
}

async fn warn_at_apply(reviews: State<Arc<Reviews>>, request: Request) -> Response {
    answered(reviews, request, Reviewed::Workloads).await
}

async fn answered(
    State(reviews): State<Arc<Reviews>>,
    request: Request,
    what: Reviewed,
) -> Response {
    let began = Instant::now();
    let metrics = &reviews.webhook.metrics;
    let in_flight = metrics.request_begins();
    let response = reviews.answer(request, began, what).await;
    drop(in_flight);
    if !response.status().is_success() {
        metrics.refused(response.status().as_u16());
    }
    response
}

impl Reviews {
    async fn answer(&self, request: Request, began: Instant, what: Reviewed) -> Response {
        let (head, body) = request.into_parts();
        if !is_json(&head.headers) {
            return refused(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "send Content-Type: application/json, without Content-Encoding",
            );
        }
        let limits = &self.webhook.limits;
        let reader = BodyReader {
            memory: &self.memory,
            connections: head.extensions.get::<Arc<Connections>>().map(AsRef::as_ref),
            alarms: &self.alarms,
            most_bytes: limits.body_bytes,
            deadline: began + time_for_body(head.uri.query(), limits.body_timeout),
        };
        match reader.read(body, announced_length(&head.headers)).await {
            Ok(body) => self.review(body, began, what),
            Err(BodyError::TooLarge) => {
                refused(StatusCode::PAYLOAD_TOO_LARGE, "longer than server.maximumBodyBytes")
            }
            Err(BodyError::Late(start)) => closing(self.unchanged(
                &start,
                Unchanged::Deadline,
                began.elapsed(),
                StatusCode::REQUEST_TIMEOUT,
            )),
            Err(BodyError::NoMemory(start)) => self.unchanged(
                &start,
                Unchanged::Overloaded,
                began.elapsed(),
                StatusCode::SERVICE_UNAVAILABLE,
            ),
            Err(BodyError::Broken) => {
                refused(StatusCode::BAD_REQUEST, "the body ended before its length")
            }
        }
    }

    fn review(&self, body: ReadBody, began: Instant, what: Reviewed) -> Response {
        let reviewed = catch_unwind(AssertUnwindSafe(|| match what {
            Reviewed::Pods => self.decide(&body.bytes, began),
            Reviewed::Workloads => self.warn(&body.bytes, began),
        }));
        match reviewed {
            Ok(Ok(answer)) => match body.answered(&self.memory, answer) {
                Ok(answer) => json(answer),
                Err(body) => self.unchanged(
                    &body,
                    Unchanged::Overloaded,
                    began.elapsed(),
                    StatusCode::SERVICE_UNAVAILABLE,
                ),
            },
            Ok(Err(refusal)) => {
                debug!(%refusal, "request refused");
                let advice = match refusal {
                    Refusal::NotJson(_) => "send an AdmissionReview as JSON",
                    Refusal::NoUid => "send an AdmissionReview with request.uid",
                };
                refused(StatusCode::BAD_REQUEST, &format!("{refusal}; {advice}"))
            }
            Err(_) => {
                error!("panic while answering a review: please report this");
                self.unchanged(
                    &body.bytes,
                    Unchanged::Panic,
                    began.elapsed(),
                    StatusCode::INTERNAL_SERVER_ERROR,
                )
            }
        }
    }

    fn decide(&self, body: &[u8], began: Instant) -> Result<Vec<u8>, Refusal> {
        let Webhook { policy, namespaces, fronts, metrics, .. } = &self.webhook;
        let policy = policy.load();
        let cluster = ClusterView { namespaces: namespaces.as_ref(), fronts: fronts.as_ref() };
        admission::review(body, cluster, &policy, &mut |event| {
            let duration = began.elapsed();
            let is_known = namespaces.may_exist(event.namespace);
            let namespace = if is_known { event.namespace } else { "" };
            metrics.answered(&Event { namespace, ..*event }, duration);
            telemetry::decided(event, duration);
        })
    }

    fn warn(&self, body: &[u8], began: Instant) -> Result<Vec<u8>, Refusal> {
        let Webhook { policy, namespaces, metrics, .. } = &self.webhook;
        let policy = policy.load();
        admission::warn(body, namespaces.as_ref(), &policy, &mut |warned| {
            metrics.warned(warned);
            telemetry::warned(warned, began.elapsed());
        })
    }

    /// Admits the pod unchanged. If the uid of its review is not known, returns an error with the
    /// status `otherwise`.
    fn unchanged(
        &self,
        start: &[u8],
        why: Unchanged,
        duration: Duration,
        otherwise: StatusCode,
    ) -> Response {
        let Some(answer) = admission::allow_unchanged(start, why) else {
            return refused(otherwise, why.code());
        };
        warn!(reason = why.code(), "a pod was admitted without evaluation");
        self.webhook.metrics.unchanged(why, duration);
        json(answer)
    }
}

async fn ready(State(administration): State<Arc<Administration>>, uri: Uri) -> Response {
    let is_verbose = uri
        .query()
        .is_some_and(|query| query.split('&').any(|key| key == "verbose" || key == "verbose=true"));
    let (status, text) = match administration.readiness.report() {
        Ok(text) if is_verbose => (StatusCode::OK, text + "readyz check passed\n"),
        Ok(_) => (StatusCode::OK, "ok\n".to_owned()),
        Err(text) => (StatusCode::SERVICE_UNAVAILABLE, text + "readyz check failed\n"),
    };
    (status, [(CONTENT_TYPE, TEXT)], text).into_response()
}

async fn metrics(
    State(administration): State<Arc<Administration>>,
    headers: HeaderMap,
) -> Response {
    let format = Format::accepted(headers.get(ACCEPT).and_then(|value| value.to_str().ok()));
    let content_type = HeaderValue::from_static(format.content_type());
    ([(CONTENT_TYPE, content_type)], administration.metrics.encode(format)).into_response()
}

async fn version() -> Response {
    // Serializing a version never fails.
    let mut text = serde_json::to_vec(Version::this()).unwrap_or_default();
    text.push(b'\n');
    json(text)
}

fn is_json(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let is_end = |byte: &u8| *byte == b';';
    let media_type = text(CONTENT_TYPE).and_then(|value| value.as_bytes().split(is_end).next());
    let is_json =
        media_type.is_some_and(|name| name.trim_ascii().eq_ignore_ascii_case(b"application/json"));
    let is_encoded = headers.contains_key(CONTENT_ENCODING)
        && !text(CONTENT_ENCODING).is_some_and(|name| name.trim().eq_ignore_ascii_case("identity"));
    is_json && !is_encoded
}

fn announced_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn json(body: impl Into<Body>) -> Response {
    ([(CONTENT_TYPE, JSON)], body.into()).into_response()
}

/// Returns an error, which the API server treats as a failure of the webhook.
fn refused(status: StatusCode, why: &str) -> Response {
    // The rest of the body is not read.
    closing((status, [(CONTENT_TYPE, TEXT)], format!("{why}\n")).into_response())
}

fn closing(mut response: Response) -> Response {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
