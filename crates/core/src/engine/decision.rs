//! What the engine says: for the pod as a whole, and for each container.

use std::borrow::Cow;

use super::grace::GracePeriod;
use super::hook::Hook;
use super::hook_note::HookNote;
use super::reason::{ContainerReason, Problem, SkipReason};
use super::status::{self, StatusContainer};

/// What is to be done to a pod, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision<'a> {
    /// Injected or left alone.
    pub outcome: Outcome,
    /// Each regular container, in order. Empty where the pod as a whole is left alone.
    pub containers: Vec<ContainerDecision<'a>>,
    /// What could not be done as somebody asked.
    pub problems: Vec<Problem>,
    /// The container that the quit of the pod itself, or a profile by name, is for, where there is one.
    pub main: Option<Main<'a>>,
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

/// Injected or left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// At least one container gets a hook.
    Injected(Injection),
    /// The pod is left as it is.
    Skipped(SkipReason),
}

/// What happens to the pod around its containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Injection {
    /// The grace period before us and after.
    pub grace: GracePeriod,
    /// What stands in the pod; `None` where nothing does.
    pub grace_now_seconds: Option<i64>,
    /// Where the status annotation can be added; `None` where there is no room for it.
    pub metadata: Option<MetadataParent>,
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
    /// It is left as it is.
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
    /// Who said that there is a quit, and which.
    pub quit_from: Option<Source>,
    /// How many seconds the application may take to finish, and who said so; nobody where it is the
    /// grace period.
    pub timeout: Option<(i64, Source)>,
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
    /// The configuration.
    Default,
}

impl Decision<'_> {
    /// A pod that is left alone as a whole.
    #[must_use]
    pub const fn skipped(reason: SkipReason, problems: Vec<Problem>) -> Self {
        Self { outcome: Outcome::Skipped(reason), containers: Vec::new(), problems, main: None }
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

    /// Why it is left alone, if it is.
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
                delay_from: Cow::Borrowed(injected.delay_from.name()),
                wait: injected.hook.wait_seconds(),
                quit_from: injected.quit_from.map(|source| Cow::Borrowed(source.name())),
                timeout_from: injected.timeout.map(|(_, source)| Cow::Borrowed(source.name())),
                profile: injected.profile.map(Cow::Borrowed),
            }),
        }
    }
}

impl Source {
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
            Self::Default => "default",
        }
    }
}
