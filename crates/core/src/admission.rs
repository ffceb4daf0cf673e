//! Admission reviews (`admission.k8s.io`): bytes in, bytes out, pure.
//!
//! No answer of this module refuses a pod: `allowed` is a constant. A patch is checked against the
//! pod before it is sent, because a patch that does not apply makes the API server refuse the pod,
//! whatever the webhook's failure policy is; if the check fails, no patch is sent.
//!
//! - `request`: the borrowed view of a review;
//! - [`patch`]: operations as a JSON patch;
//! - `check`: a patch against its pod;
//! - `served`: a review's pod as Services see it;
//! - `answer`: the review that is sent back;
//! - `warn`: warnings shown when a workload is applied.

mod answer;
mod check;
pub mod patch;
mod request;
mod served;
mod warn;

use std::str::Utf8Error;
use std::sync::Arc;

use thiserror::Error;

use self::answer::{Answer, Audit};
use self::request::Review;
use crate::engine::pod::Pod;
use crate::engine::reason::SkipReason;
use crate::engine::settings::NamespaceSettings;
use crate::engine::{self, Decision};
use crate::fronts::{AskedFront, FrontDelay, PodShape};
use crate::policy::Policy;
use crate::view::Text;

pub use self::request::Operation;
pub use self::warn::{Warned, warn};

/// The known namespaces, in memory.
pub trait Namespaces: Send + Sync {
    /// Settings of a namespace; `None` if the namespace is not known, in which case the defaults
    /// apply.
    fn settings(&self, namespace: &str) -> Option<Arc<NamespaceSettings>>;

    /// Returns whether the namespace may exist; always `true` if the implementation does not know
    /// the namespaces.
    fn may_exist(&self, _namespace: &str) -> bool {
        true
    }
}

/// The known Services and their fronts, in memory.
pub trait Fronts: Send + Sync {
    /// Returns the delay that the known fronts of a pod need.
    fn of(&self, pod: &PodShape) -> Option<FrontDelay>;
}

/// Implementation of [`Fronts`] that knows no front.
#[derive(Debug, Clone, Copy)]
pub struct NoFronts;

/// The known state of the cluster, in memory.
#[derive(Clone, Copy)]
pub struct ClusterView<'c> {
    /// The known namespaces.
    pub namespaces: &'c dyn Namespaces,
    /// The known fronts of pods.
    pub fronts: &'c dyn Fronts,
}

/// One answered review, for logs and counters.
#[derive(Debug)]
pub struct Event<'a> {
    /// The review's uid.
    pub uid: &'a str,
    /// The operation on the object.
    pub operation: Operation,
    /// The namespace of the request; empty if there is none.
    pub namespace: &'a str,
    /// The pod's name, or else its `generateName`; may be empty.
    pub name: &'a str,
    /// The kind of the pod's controlling owner.
    pub owner_kind: Option<&'a str>,
    /// Whether the request is a dry run: nothing will be stored.
    pub is_dry_run: bool,
    /// The answer.
    pub verdict: Verdict<'a>,
}

/// The answer to a review.
#[derive(Debug, Clone, Copy)]
pub enum Verdict<'a> {
    /// The engine's decision.
    Decided(&'a Decision<'a>),
    /// The engine's patch was withheld because it does not fit the pod: a fault of prestop.
    SelfCheckFailed(&'static str),
}

/// Reason why a pod is admitted unchanged without being evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unchanged {
    /// The server handles as many requests as its limits allow.
    Overloaded,
    /// The caller's deadline is too close.
    Deadline,
    /// A panic while the request was handled: a fault of prestop.
    Panic,
}

/// Reason why a body gets no answer: the uid that the answer must contain is not known.
#[derive(Debug, Error)]
pub enum Refusal {
    /// The body can't be parsed.
    #[error("the body is not JSON: {0}")]
    NotJson(String),
    /// The body has no uid.
    #[error("the body is not an AdmissionReview: it has no request with a uid")]
    NoUid,
}

/// Size limit for the resulting object, in bytes: etcd's default (`--max-request-bytes`). The
/// stored form is slightly smaller than its JSON, and the review contains slightly more than the
/// object, so the limit is conservative.
const LARGEST_STORED_BYTES: usize = 1_572_864;

/// Answers a review. `observe` is called once with the decision, before the answer is sent.
///
/// # Errors
/// Returns an error if the body is not JSON in UTF-8 or has no uid; the API server sends neither.
/// Parts of a review that the answer does not depend on are skipped without being checked.
pub fn review(
    body: &[u8],
    cluster: ClusterView<'_>,
    policy: &Policy,
    observe: &mut dyn FnMut(&Event<'_>),
) -> Result<Vec<u8>, Refusal> {
    review_with(body, cluster, policy, observe, check::fits)
}

/// Checks that a patch, as JSON, fits a pod. The error is the reason why it does not.
type SelfCheck = fn(&[u8], &Pod<'_>) -> Result<(), &'static str>;

fn review_with(
    body: &[u8],
    cluster: ClusterView<'_>,
    policy: &Policy,
    observe: &mut dyn FnMut(&Event<'_>),
    check: SelfCheck,
) -> Result<Vec<u8>, Refusal> {
    let (text, review) = read(body)?;
    let (request, uid) = review.request_with_uid().ok_or(Refusal::NoUid)?;
    let namespace = request.namespace.value().map_or("", AsRef::as_ref);
    let nothing = Pod::default();
    let pod = if review.is_known() { request.created_pod(&nothing) } else { None };
    let settings = pod.and_then(|_| cluster.namespaces.settings(namespace)).unwrap_or_default();
    let front = || cluster.fronts.of(&served::pod_shape(text, namespace));
    let decision = pod.map_or_else(
        || Decision::skipped(SkipReason::NotAPodCreation, Vec::new()),
        |pod| engine::decide_behind(pod, pod.owner(), &settings, policy, &AskedFront::new(&front)),
    );
    let patch = patch::to_json(&decision, "");
    let is_too_large =
        patch.as_ref().is_some_and(|patch| body.len() + patch.len() > LARGEST_STORED_BYTES);
    let (decision, patch) = if is_too_large {
        (Decision::skipped(SkipReason::TooLarge, Vec::new()), None)
    } else {
        (decision, patch)
    };
    let patch = patch.map(|patch| check(&patch, pod.unwrap_or(&nothing)).map(|()| patch));
    let (patch, verdict) = match patch {
        None => (None, Verdict::Decided(&decision)),
        Some(Ok(patch)) => (Some(patch), Verdict::Decided(&decision)),
        Some(Err(fault)) => (None, Verdict::SelfCheckFailed(fault)),
    };
    observe(&Event {
        uid,
        operation: request.operation(),
        namespace,
        name: pod.and_then(name_of).or(request.name.value()).map_or("", AsRef::as_ref),
        owner_kind: pod.and_then(Pod::owner).map(|owner| owner.kind),
        is_dry_run: request.dry_run.value() == Some(&true),
        verdict,
    });
    let audit = match verdict {
        Verdict::Decided(decision) => Audit::of(decision),
        Verdict::SelfCheckFailed(_) => Audit::skipped("selfcheck_failed"),
    };
    let warnings = answer::warnings(&decision);
    let answer = Answer {
        api_version: review.answer_version(),
        uid,
        patch: patch.as_deref(),
        warnings,
        audit,
    };
    Ok(answer.to_json())
}

/// Parses a body into its text and the review.
fn read(body: &[u8]) -> Result<(&str, Review<'_>), Refusal> {
    let text = utf8(body).map_err(|error| Refusal::NotJson(error.to_string()))?;
    let review = Review::from_json(text).map_err(|error| Refusal::NotJson(error.to_string()))?;
    Ok((text, review))
}

/// Checks that a body is UTF-8. `simdutf8` is much faster for valid text; the standard library
/// reports the position of an error.
fn utf8(body: &[u8]) -> Result<&str, Utf8Error> {
    simdutf8::basic::from_utf8(body).or_else(|_| str::from_utf8(body))
}

/// Answers a review that there was no time to read: the pod is admitted unchanged. `body` may be
/// only the beginning of a body. Returns `None` if it contains no uid.
#[must_use]
pub fn allow_unchanged(body: &[u8], why: Unchanged) -> Option<Vec<u8>> {
    let (version, uid) = request::version_and_uid(body)?;
    let audit = Audit::skipped(why.code());
    let answer =
        Answer { api_version: version, uid: &uid, patch: None, warnings: Vec::new(), audit };
    Some(answer.to_json())
}

impl Fronts for NoFronts {
    fn of(&self, _: &PodShape) -> Option<FrontDelay> {
        None
    }
}

impl Unchanged {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::Overloaded, Self::Deadline, Self::Panic];

    /// Stable word for logs and metrics.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Overloaded => "overloaded",
            Self::Deadline => "deadline",
            Self::Panic => "panic",
        }
    }
}

fn name_of<'a>(pod: &'a Pod<'_>) -> Option<&'a Text<'a>> {
    let metadata = pod.metadata.value()?;
    let name = metadata.name.value().filter(|name| !name.is_empty());
    name.or(metadata.generate_name.value())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::policy::NamespaceRule;

    struct Nowhere;

    impl Namespaces for Nowhere {
        fn settings(&self, _: &str) -> Option<Arc<NamespaceSettings>> {
            None
        }
    }

    fn answer(check: SelfCheck) -> (Value, bool) {
        let body = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {
                "uid": "u", "operation": "CREATE", "namespace": "shop",
                "kind": {"group": "", "version": "v1", "kind": "Pod"},
                "resource": {"group": "", "version": "v1", "resource": "pods"},
                "object": {"metadata": {}, "spec": {"containers": [{"name": "web", "image": "x"}]}},
            },
        });
        let policy = Policy { namespaces: NamespaceRule::NotDisabled, ..Policy::built_in() };
        let mut has_failed = false;
        let answer = review_with(
            body.to_string().as_bytes(),
            ClusterView { namespaces: &Nowhere, fronts: &NoFronts },
            &policy,
            &mut |event| {
                assert_eq!((event.uid, event.namespace), ("u", "shop"));
                has_failed = matches!(event.verdict, Verdict::SelfCheckFailed("odd"));
            },
            check,
        );
        (serde_json::from_slice(&answer.unwrap()).unwrap(), has_failed)
    }

    #[test]
    fn a_patch_that_does_not_fit_is_withheld_and_reported() {
        let (good, has_failed) = answer(check::fits);
        assert!(good["response"]["patch"].is_string() && !has_failed);
        let (held_back, has_failed) = answer(|_, _| Err("odd"));
        assert!(has_failed);
        let audit = json!({"decision": "skipped", "reason": "selfcheck_failed"});
        assert_eq!(
            held_back["response"],
            json!({"uid": "u", "allowed": true, "auditAnnotations": audit})
        );
    }

    #[test]
    fn the_uid_is_found_in_any_part_that_has_it() {
        let whole = r#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1beta1","request":{"uid":"a\"b","object":{"x":[1,2]}}}"#;
        let after_uid = whole.find(",\"object").unwrap();
        for length in 0..=whole.len() {
            let answer = allow_unchanged(&whole.as_bytes()[..length], Unchanged::Deadline);
            assert_eq!(answer.is_some(), length >= after_uid, "{length}");
            if let Some(answer) = answer {
                let answer: Value = serde_json::from_slice(&answer).unwrap();
                assert_eq!(answer["apiVersion"], "admission.k8s.io/v1beta1");
                assert_eq!(answer["response"]["uid"], "a\"b");
                assert_eq!(answer["response"]["allowed"], true);
            }
        }
        for odd in [
            "",
            "[]",
            "{\"request\":[{\"uid\":\"x\"}]}",
            "{\"request\":{\"uid\":7}}",
            "{\"request\":{\"uid\":\"\"}}",
        ] {
            assert_eq!(allow_unchanged(odd.as_bytes(), Unchanged::Panic), None, "{odd}");
        }
    }
}
