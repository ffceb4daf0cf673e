//! The borrowed view of an `AdmissionReview`.

use crate::engine::pod::Pod;
use crate::view::{self, Shape, Text, view};

const V1: &str = "admission.k8s.io/v1";
const V1_BETA_1: &str = "admission.k8s.io/v1beta1";

view! {
    /// A review as the API server sends it.
    pub(super) Review {
        /// `apiVersion`.
        api_version: Text<'a> = "apiVersion",
        /// `kind`.
        kind: Text<'a> = "kind",
        /// `request`.
        request: Request<'a> = "request",
    }
}

view! {
    /// The request of a review.
    pub(super) Request {
        /// `uid`, echoed in the answer.
        uid: Text<'a> = "uid",
        /// `kind` of the object, converted to the version that the webhook is registered for.
        kind: GroupKind<'a> = "kind",
        /// `resource` being written.
        resource: Resource<'a> = "resource",
        /// `subResource`; absent if the request is for the object itself.
        sub_resource: Text<'a> = "subResource",
        /// `name`; absent if the API server is to generate one.
        name: Text<'a> = "name",
        /// `namespace`.
        namespace: Text<'a> = "namespace",
        /// `operation`.
        operation: Text<'a> = "operation",
        /// `dryRun`.
        dry_run: bool = "dryRun",
        /// `object`, in its new state.
        object: Pod<'a> = "object",
    }
}

view! {
    /// The fields of a review that an answer needs even if the review can't be read.
    Head {
        /// `apiVersion`.
        api_version: Text<'a> = "apiVersion",
        /// `request`.
        request: RequestHead<'a> = "request",
    }
}

view! {
    /// The fields of the request that such an answer needs.
    RequestHead {
        /// `uid`.
        uid: Text<'a> = "uid",
    }
}

view! {
    /// An API group and kind; the version does not matter.
    pub(super) GroupKind {
        /// `group`, empty for the core group.
        group: Text<'a> = "group",
        /// `kind`.
        kind: Text<'a> = "kind",
    }
}

view! {
    /// An API group and resource; the version does not matter.
    pub(super) Resource {
        /// `group`, empty for the core group.
        group: Text<'a> = "group",
        /// `resource`.
        resource: Text<'a> = "resource",
    }
}

/// Operation of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `CREATE`: the only operation for which prestop changes the object.
    Create,
    /// `UPDATE`.
    Update,
    /// `DELETE`.
    Delete,
    /// `CONNECT`.
    Connect,
    /// Any other word, or no operation.
    Unknown,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 5] =
        [Self::Create, Self::Update, Self::Delete, Self::Connect, Self::Unknown];

    /// The operation's name in reviews, in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Connect => "connect",
            Self::Unknown => "unknown",
        }
    }
}

impl<'a> Review<'a> {
    /// Parses the text of a body.
    pub(super) fn from_json(text: &'a str) -> Result<Self, serde_json::Error> {
        view::read::<Self>(text).map(|shape| match shape {
            Shape::Value(review) => review,
            Shape::Absent | Shape::Wrong => Self::default(),
        })
    }

    /// Returns whether this is an `AdmissionReview` of a supported version.
    pub(super) fn is_known(&self) -> bool {
        let version = self.api_version.value().map(AsRef::as_ref);
        self.kind.value().is_some_and(|kind| kind == "AdmissionReview")
            && matches!(version, Some(V1 | V1_BETA_1))
    }

    /// Returns the request, and the uid that the answer has to contain.
    pub(super) fn request_with_uid(&self) -> Option<(&Request<'a>, &Text<'a>)> {
        let request = self.request.value()?;
        Some((request, request.uid.value().filter(|uid| !uid.is_empty())?))
    }

    /// API version for the answer.
    pub(super) fn answer_version(&self) -> &'static str {
        answer_version(self.api_version.value().map(AsRef::as_ref))
    }
}

impl<'a> Request<'a> {
    pub(super) fn operation(&self) -> Operation {
        match self.operation.value().map(AsRef::as_ref) {
            Some("CREATE") => Operation::Create,
            Some("UPDATE") => Operation::Update,
            Some("DELETE") => Operation::Delete,
            Some("CONNECT") => Operation::Connect,
            _ => Operation::Unknown,
        }
    }

    /// Returns whether a whole object is created or replaced, rather than a subresource such as its
    /// status.
    pub(super) fn is_write_of_whole_object(&self) -> bool {
        self.is_of_whole_object()
            && matches!(self.operation(), Operation::Create | Operation::Update)
    }

    fn is_of_whole_object(&self) -> bool {
        match &self.sub_resource {
            Shape::Absent => true,
            Shape::Value(name) => name.is_empty(),
            Shape::Wrong => false,
        }
    }

    /// Returns the pod that is being created: `nothing` if the request contains none, `None` if the
    /// request is not the creation of a pod.
    pub(super) fn created_pod(&'a self, nothing: &'a Pod<'a>) -> Option<&'a Pod<'a>> {
        let is_core = |group: &Shape<Text<'_>>| group.value().is_none_or(|group| group.is_empty());
        let is_pod = self.kind.value().is_some_and(|kind| {
            is_core(&kind.group) && kind.kind.value().is_some_and(|kind| kind == "Pod")
        });
        let is_pods = self.resource.value().is_some_and(|resource| {
            is_core(&resource.group)
                && resource.resource.value().is_some_and(|resource| resource == "pods")
        });
        // Bindings and ephemeral containers are also created under `pods`.
        let is_creation =
            is_pod && is_pods && self.is_of_whole_object() && self.operation() == Operation::Create;
        is_creation.then(|| self.object.value().unwrap_or(nothing))
    }
}

/// Reads the API version for the answer, and the uid, from the available part of a body. The API
/// server writes both before the object.
pub(super) fn version_and_uid(body: &[u8]) -> Option<(&'static str, String)> {
    let head = view::read_start::<Head<'_>>(body);
    let head = head.value()?;
    let uid = head.request.value()?.uid.value().filter(|uid| !uid.is_empty())?;
    Some((answer_version(head.api_version.value().map(AsRef::as_ref)), uid.to_string()))
}

fn answer_version(version: Option<&str>) -> &'static str {
    if version == Some(V1_BETA_1) { V1_BETA_1 } else { V1 }
}
