//! The annotation `prestop.dev/status`: what was done to a pod, for people, for `audit`, and for a
//! second pass that has to know the grace period of the first (`docs/rules.md`, section 8).

use std::borrow::Cow;

use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};

use super::hook::recognised_delay;
use super::pod::Container;
use super::reason::Problem;
use super::{ContainerDecision, Decision, Injection};
use crate::view::Shape;

/// The version of the annotation's own format.
const VERSION: u32 = 1;
/// More than it takes without containers and problems.
const FIXED_BYTES: usize = 96;
/// What most containers and problems take.
const ITEM_BYTES: usize = 160;

/// The annotation's value.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Status<'a> {
    version: u32,
    grace: StatusGrace,
    #[serde(borrow)]
    containers: Vec<StatusContainer<'a>>,
    #[serde(default)]
    problems: Vec<Cow<'a, str>>,
}

/// The grace period, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct StatusGrace {
    before: i64,
    after: i64,
}

/// What one container got, and from which level.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusContainer<'a> {
    /// The container's name.
    pub name: Cow<'a, str>,
    /// The form of the hook.
    pub hook: Cow<'a, str>,
    /// Its delay in seconds.
    pub delay: i64,
    /// Where the delay came from.
    pub delay_from: Cow<'a, str>,
    /// The longest wait in seconds, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<i64>,
    /// Where the quit came from, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quit_from: Option<Cow<'a, str>>,
    /// The profile, where one was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Cow<'a, str>>,
}

impl<'a> Status<'a> {
    /// Reads a status that stands on a pod, if it is true of the pod: a status can be forged,
    /// copied with a manifest, or have grown old. What it says must agree with the pod itself.
    #[must_use]
    pub fn believed(
        text: &'a str,
        grace_now: i64,
        containers: &[Shape<Container<'_>>],
    ) -> Option<Self> {
        let status: Self = serde_json::from_str(text).ok()?;
        let StatusGrace { before, after } = status.grace;
        let grace_agrees = (1..=after).contains(&before) && after == grace_now;
        let agrees = |recorded: &StatusContainer<'_>| {
            let named = containers
                .iter()
                .filter_map(Shape::value)
                .find(|container| container.is_named(&recorded.name));
            let hook = named.and_then(|container| container.lifecycle.value()?.pre_stop.value());
            hook.and_then(recognised_delay) == Some(recorded.delay)
        };
        let is_true =
            status.version == VERSION && grace_agrees && status.containers.iter().all(agrees);
        is_true.then_some(status)
    }

    /// The author's own grace period, in seconds.
    #[must_use]
    pub const fn grace_before_seconds(&self) -> i64 {
        self.grace.before
    }

    /// What an earlier pass did to the container of this name.
    #[must_use]
    pub fn container(&self, name: &str) -> Option<&StatusContainer<'a>> {
        self.containers.iter().find(|container| container.name == name)
    }
}

impl Container<'_> {
    pub(super) fn is_named(&self, name: &str) -> bool {
        self.name.value().is_some_and(|own| own == name)
    }
}

/// What is written on a pod after an injection, as JSON on one line.
pub(super) fn written(decision: &Decision<'_>, injection: &Injection) -> String {
    let items = decision.containers.len() + decision.problems.len();
    let mut json = Vec::with_capacity(FIXED_BYTES + items * ITEM_BYTES);
    // Texts can always be written, and a vector takes all of them.
    let _ = write(decision, injection, &mut serde_json::Serializer::new(&mut json));
    String::from_utf8(json).unwrap_or_default()
}

fn write<S: Serializer>(
    decision: &Decision<'_>,
    injection: &Injection,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let grace = &injection.grace;
    let grace = StatusGrace { before: grace.before_seconds, after: grace.after_seconds };
    let mut status = serializer.serialize_map(None)?;
    status.serialize_entry("version", &VERSION)?;
    status.serialize_entry("grace", &grace)?;
    status.serialize_entry("containers", &Containers(decision))?;
    if !decision.problems.is_empty() {
        status.serialize_entry("problems", &Problems(decision))?;
    }
    status.end()
}

struct Containers<'a>(&'a Decision<'a>);

impl Serialize for Containers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.containers.iter().filter_map(ContainerDecision::status))
    }
}

struct Problems<'a>(&'a Decision<'a>);

impl Serialize for Problems<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let told = |problem: &Problem| format!("{}: {}", problem.code.code(), problem.place);
        serializer.collect_seq(self.0.problems.iter().map(told))
    }
}
