//! The decision of the engine, for the pod as a whole and for each container.

use std::borrow::Cow;

use serde_json::Value;

use super::Obstacle;
use super::grace::{DEFAULT_GRACE_PERIOD_SECONDS, GracePeriod};
use super::hook::Hook;
use super::hook_note::HookNote;
use super::own_hook_extend::LARGEST_KEPT_BYTES;
use super::pod::{Keys, Metadata};
use super::reason::{ContainerReason, Problem, SkipReason};
use super::settings::STATUS_ANNOTATION;
use super::status::{self, StatusContainer, Texts};
use super::undo::TEXT_OF_STATUS;
use crate::fronts::FrontDelay;

/// The changes to a pod, and the reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision<'a> {
    /// Whether the pod is injected or skipped.
    pub outcome: Outcome,
    /// Each regular container, in order. Empty if the whole pod is skipped.
    pub containers: Vec<ContainerDecision<'a>>,
    /// Settings that could not be applied.
    pub problems: Vec<Problem>,
    /// The main container, for which the pod's own quit or a named profile is; `None` if there is
    /// neither.
    pub main: Option<Main<'a>>,
    /// The original values, kept in the status annotation.
    pub stood: Stood,
}

/// Original values of a pod and its manifest before an injection, limited to those that can be
/// large.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stood {
    /// A status that was not trusted.
    pub status: Option<String>,
    /// The texts that the manifest had after the keys around the containers.
    pub text: Texts,
}

/// The main container of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Main<'a> {
    /// Index in `spec.containers`.
    pub index: usize,
    /// Name of the container.
    pub name: &'a str,
    /// How the container was found.
    pub found: MainBy,
}

/// How the main container was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MainBy {
    /// It is named, or is the only candidate.
    Certain,
    /// It is the first of several application containers.
    First,
}

/// Result for a pod: injected or skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// At least one container gets a hook.
    Injected(Injection),
    /// The pod is not changed.
    Skipped(SkipReason),
}

/// Changes to the pod outside its containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Injection {
    /// The original grace period and the new one.
    pub grace: GracePeriod,
    /// The current value in the pod, in seconds; `None` if there is none.
    pub grace_now_seconds: Option<i64>,
    /// The innermost existing object to which the status annotation is added; `None` if there is no
    /// room for the annotation.
    pub metadata: Option<MetadataParent>,
    /// Original values that the injected pod does not show.
    pub before: Before,
}

/// Facts that an uninjection can't derive from the pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Before {
    /// Whether the grace period is written although it equals Kubernetes' default.
    pub states_default_grace: bool,
    /// Whether there is an empty map of annotations.
    pub has_empty_annotations: bool,
    /// Whether a status was not trusted, so that it is not certain which hooks are the author's.
    pub has_doubtful_hooks: bool,
}

/// The innermost existing object around the status annotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetadataParent {
    /// The pod: it has no `metadata`.
    Pod,
    /// `metadata`: it has no `annotations`.
    Metadata,
    /// `annotations`.
    Annotations,
}

/// The innermost existing object around a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PreStopParent {
    /// The container: it has no `lifecycle`.
    Container,
    /// `lifecycle`, without `preStop`.
    Lifecycle,
    /// `lifecycle` with a hook of the author, which the new one replaces.
    OwnHook,
}

/// Decision for one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerDecision<'a> {
    /// Index in `spec.containers`.
    pub index: usize,
    /// Name of the container; empty if it has none.
    pub name: &'a str,
    /// The change to the container.
    pub outcome: ContainerOutcome<'a>,
    /// Reasons for the form of the hook that the settings alone do not show.
    pub notes: Vec<HookNote>,
}

/// Change to one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContainerOutcome<'a> {
    /// The container gets a hook.
    Injected(Injected<'a>),
    /// The container has a hook of an earlier pass.
    Earlier(StatusContainer<'a>),
    /// The container is not changed.
    LeftAlone(ContainerReason),
}

/// A container's new hook, and the source of each of its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Injected<'a> {
    /// The hook.
    pub hook: Hook<'a>,
    /// The innermost existing object to which the hook is added.
    pub parent: PreStopParent,
    /// Source of the delay.
    pub delay_from: Source,
    /// The front that determines the delay, if the delay is `auto`.
    pub front: Option<FrontDelay>,
    /// Reason why the delay is the upper bound of a range and is not watched.
    pub unwatched: Option<Obstacle>,
    /// Source of the quit, if there is one.
    pub quit_from: Option<Source>,
    /// Source of the hold, if the hook holds.
    pub hold_from: Option<Source>,
    /// Seconds that the application may take to finish, and the level that set them; `None` if it
    /// is the grace period.
    pub timeout: Option<(i64, Source)>,
    /// The author's hook that the new one replaces, or a digest of a large hook.
    pub original: Option<Value>,
    /// Whether there was an empty `lifecycle`.
    pub had_empty_lifecycle: bool,
    /// The texts that the manifest had after `lifecycle` or `preStop`.
    pub text: Texts,
    /// The profile used.
    pub profile: Option<&'a str>,
}

/// Source of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Annotation for one container.
    Container,
    /// Annotation of the pod.
    Pod,
    /// Annotation of the namespace.
    Namespace,
    /// The catalogue, by the image.
    Image,
    /// The catalogue, by the container's name.
    Name,
    /// The container's profile.
    Profile,
    /// The rule that a sidecar outlives the application.
    Sidecar,
    /// The rule that a backend outlives the server in front of it.
    Backend,
    /// The application's own arguments or environment.
    Application,
    /// The author's hook.
    OwnHook,
    /// The configuration.
    Default,
}

impl Before {
    /// Values of a pod without a trusted status.
    pub(super) fn first(metadata: Option<&Metadata<'_>>, grace_seconds: Option<i64>) -> Self {
        let annotations = metadata.and_then(|metadata| metadata.annotations.value());
        Self {
            states_default_grace: grace_seconds == Some(DEFAULT_GRACE_PERIOD_SECONDS),
            has_empty_annotations: annotations.is_some_and(|annotations| annotations.bytes == 0),
            has_doubtful_hooks: annotations.is_some_and(has_status),
        }
    }
}

impl Stood {
    /// Values of a pod without a trusted status: the untrusted one, if there is one.
    pub(super) fn first(metadata: Option<&Metadata<'_>>) -> Self {
        let annotations = metadata.and_then(|metadata| metadata.annotations.value());
        let mut ours = annotations.into_iter().flat_map(|annotations| &annotations.ours);
        let status =
            ours.find(|(key, _)| key == STATUS_ANNOTATION).and_then(|(_, was)| was.value());
        match status {
            None => Self::default(),
            Some(status) if status.len() <= LARGEST_KEPT_BYTES => {
                Self { status: Some(status.clone().into_owned()), text: Texts::new() }
            }
            Some(_) => {
                Self { status: None, text: Texts::from([(TEXT_OF_STATUS.to_owned(), None)]) }
            }
        }
    }
}

/// Returns whether there is a status. Used only if no status is trusted.
fn has_status(annotations: &Keys<'_>) -> bool {
    let mut ours = annotations.ours.iter();
    ours.any(|(key, value)| key == STATUS_ANNOTATION && !value.is_absent())
}

impl Decision<'_> {
    /// Returns whether the decision completes an existing hook.
    #[must_use]
    pub fn extends(&self) -> bool {
        let mut injected = self.containers.iter().filter_map(ContainerDecision::injected);
        injected.any(|injected| injected.original.is_some())
    }

    /// Creates the decision to skip the whole pod.
    #[must_use]
    pub const fn skipped(reason: SkipReason, problems: Vec<Problem>) -> Self {
        Self {
            outcome: Outcome::Skipped(reason),
            containers: Vec::new(),
            problems,
            main: None,
            stood: Stood { status: None, text: Texts::new() },
        }
    }

    /// Returns whether the pod is changed.
    #[must_use]
    pub const fn is_injected(&self) -> bool {
        matches!(self.outcome, Outcome::Injected(_))
    }

    /// Appends the value of `prestop.dev/status` as a JSON string.
    pub(super) fn append_status(&self, injection: &Injection, json: &mut Vec<u8>) {
        status::append(json, self, injection);
    }
}

impl<'a> ContainerDecision<'a> {
    /// Returns the new hook, if the container gets one.
    #[must_use]
    pub const fn injected(&self) -> Option<&Injected<'a>> {
        match &self.outcome {
            ContainerOutcome::Injected(injected) => Some(injected),
            ContainerOutcome::Earlier(_) | ContainerOutcome::LeftAlone(_) => None,
        }
    }

    /// Returns why the container is skipped, if it is.
    #[must_use]
    pub const fn reason(&self) -> Option<ContainerReason> {
        match &self.outcome {
            ContainerOutcome::LeftAlone(reason) => Some(*reason),
            ContainerOutcome::Earlier(_) | ContainerOutcome::Injected(_) => None,
        }
    }

    pub(super) fn status(&self) -> Option<StatusContainer<'_>> {
        match &self.outcome {
            ContainerOutcome::LeftAlone(_) => None,
            ContainerOutcome::Earlier(earlier) => Some(earlier.clone()),
            ContainerOutcome::Injected(injected) => Some(StatusContainer {
                name: Cow::Borrowed(self.name),
                hook: Cow::Borrowed(injected.hook.form()),
                delay: injected.hook.delay_seconds(),
                least: injected.hook.watch().map(|watch| watch.least_seconds),
                unwatched: injected.unwatched.map(|obstacle| Cow::Borrowed(obstacle.name())),
                delay_from: Cow::Borrowed(injected.delay_from.name()),
                front: injected.front.as_ref().map(|front| Cow::Borrowed(front.kind.name.as_str())),
                wait: injected.hook.wait_seconds(),
                hold_from: injected.hold_from.map(|source| Cow::Borrowed(source.name())),
                quit_from: injected.quit_from.map(|source| Cow::Borrowed(source.name())),
                timeout_from: injected.timeout.map(|(_, source)| Cow::Borrowed(source.name())),
                profile: injected.profile.map(Cow::Borrowed),
                original: injected.original.clone(),
                empty_lifecycle: injected.had_empty_lifecycle,
                text: injected.text.clone(),
            }),
        }
    }
}

impl Source {
    /// Returns whether the value is from an annotation of the pod or its namespace.
    #[must_use]
    pub const fn is_annotation(self) -> bool {
        matches!(self, Self::Container | Self::Pod | Self::Namespace)
    }

    /// Stable word for reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Container => "container-annotation",
            Self::Pod => "pod-annotation",
            Self::Namespace => "namespace-annotation",
            Self::Image => "image",
            Self::Name => "container-name",
            Self::Profile => "profile",
            Self::Sidecar => "sidecar-rule",
            Self::Backend => "backend-rule",
            Self::Application => "application",
            Self::OwnHook => "own-hook",
            Self::Default => "default",
        }
    }
}
