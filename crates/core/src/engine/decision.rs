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
    /// Injected or skipped.
    pub outcome: Outcome,
    /// Each regular container, in order. Empty if the whole pod is skipped.
    pub containers: Vec<ContainerDecision<'a>>,
    /// Settings that could not be applied.
    pub problems: Vec<Problem>,
    /// The container that the quit of the pod itself, or a profile by name, is for, where there is one.
    pub main: Option<Main<'a>>,
    /// The original values, kept in the status annotation.
    pub stood: Stood,
}

/// The original values of a pod and its manifest before an injection, as far as they can be large.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stood {
    /// A status that was not believed.
    pub status: Option<String>,
    /// What the manifest had behind the keys around the containers.
    pub text: Texts,
}

/// The main container of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Main<'a> {
    /// Its place in `spec.containers`.
    pub index: usize,
    /// Its name.
    pub name: &'a str,
    /// How it was found.
    pub found: MainBy,
}

/// How the main container was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MainBy {
    /// It is named, or the only one that it can be.
    Certain,
    /// It is the first of several application containers.
    First,
}

/// Injected or skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// At least one container gets a hook.
    Injected(Injection),
    /// The pod is not changed.
    Skipped(SkipReason),
}

/// What happens to the pod around its containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Injection {
    /// The grace period before us and after.
    pub grace: GracePeriod,
    /// The value in the pod; `None` if there is none.
    pub grace_now_seconds: Option<i64>,
    /// Where the status annotation can be added; `None` where there is no room for it.
    pub metadata: Option<MetadataParent>,
    /// The original value, if the injected pod does not show it.
    pub before: Before,
}

/// What an uninjection could not know from the pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Before {
    /// The grace period is written, and is what Kubernetes would take in any case.
    pub states_default_grace: bool,
    /// There are annotations with nothing in them.
    pub has_empty_annotations: bool,
    /// A status was not believed: it is not certain which hooks are of the author.
    pub has_doubtful_hooks: bool,
}

/// The innermost object that is there, of those around the status annotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetadataParent {
    /// No `metadata`.
    Pod,
    /// No `annotations`.
    Metadata,
    /// All there.
    Annotations,
}

/// The innermost object that is there, of those around a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PreStopParent {
    /// No `lifecycle`.
    Container,
    /// There is a `lifecycle`, without `preStop`.
    Lifecycle,
    /// There is a hook of its author's, which the new one takes the place of.
    OwnHook,
}

/// What is done to one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerDecision<'a> {
    /// Its place in `spec.containers`.
    pub index: usize,
    /// Its name; empty where it has none.
    pub name: &'a str,
    /// What is done.
    pub outcome: ContainerOutcome<'a>,
    /// Why it is done this way, where the settings alone do not say it.
    pub notes: Vec<HookNote>,
}

/// What is done to one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContainerOutcome<'a> {
    /// It gets a hook.
    Injected(Injected<'a>),
    /// An earlier pass gave it one.
    Earlier(StatusContainer<'a>),
    /// It is not changed.
    LeftAlone(ContainerReason),
}

/// A container's new hook, and where each part of it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Injected<'a> {
    /// The hook.
    pub hook: Hook<'a>,
    /// Where it can be added.
    pub parent: PreStopParent,
    /// Who said how long the delay is.
    pub delay_from: Source,
    /// The front that the delay is for, where it depends on that.
    pub front: Option<FrontDelay>,
    /// Why the delay is the upper bound of a range and not watched.
    pub unwatched: Option<Obstacle>,
    /// Who said that there is a quit, and which.
    pub quit_from: Option<Source>,
    /// Who said that the hook waits for connections, if it does.
    pub hold_from: Option<Source>,
    /// How many seconds the application may take to finish, and the level that set it; none if it is
    /// the grace period.
    pub timeout: Option<(i64, Source)>,
    /// The hook of its author's that it takes the place of, or a digest of a large one.
    pub original: Option<Value>,
    /// There was a `lifecycle` with nothing in it.
    pub had_empty_lifecycle: bool,
    /// What the manifest had behind `lifecycle` or `preStop`.
    pub text: Texts,
    /// The profile that was taken.
    pub profile: Option<&'a str>,
}

/// Where a value comes from.
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
    /// The profile.
    Profile,
    /// The rule that a sidecar outlives the application.
    Sidecar,
    /// The rule that a backend outlives the server in front of it.
    Backend,
    /// The application's own arguments or environment.
    Application,
    /// The hook that the author wrote.
    OwnHook,
    /// The configuration.
    Default,
}

impl Before {
    /// Of a pod that is not injected.
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
    /// Of a pod with a status that was not believed, or without one.
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

/// Whether there is a status, which was not believed if this is asked.
fn has_status(annotations: &Keys<'_>) -> bool {
    let mut ours = annotations.ours.iter();
    ours.any(|(key, value)| key == STATUS_ANNOTATION && !value.is_absent())
}

impl Decision<'_> {
    /// Whether it completes an existing hook.
    #[must_use]
    pub fn extends(&self) -> bool {
        let mut injected = self.containers.iter().filter_map(ContainerDecision::injected);
        injected.any(|injected| injected.original.is_some())
    }

    /// A pod that is skipped as a whole.
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

    /// Whether the pod is changed.
    #[must_use]
    pub const fn is_injected(&self) -> bool {
        matches!(self.outcome, Outcome::Injected(_))
    }

    /// Appends what is written on the pod, the value of `prestop.dev/status`, as a JSON text.
    pub(super) fn append_status(&self, injection: &Injection, json: &mut Vec<u8>) {
        status::append(json, self, injection);
    }
}

impl<'a> ContainerDecision<'a> {
    /// The new hook, if it gets one.
    #[must_use]
    pub const fn injected(&self) -> Option<&Injected<'a>> {
        match &self.outcome {
            ContainerOutcome::Injected(injected) => Some(injected),
            ContainerOutcome::Earlier(_) | ContainerOutcome::LeftAlone(_) => None,
        }
    }

    /// Why it is skipped, if it is.
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
    /// Whether somebody wrote it for this pod or its namespace.
    #[must_use]
    pub const fn is_annotation(self) -> bool {
        matches!(self, Self::Container | Self::Pod | Self::Namespace)
    }

    /// A stable word.
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
