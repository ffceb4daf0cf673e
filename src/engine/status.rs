//! The annotation `prestop.dev/status`: what was done to a pod, for people, for `audit`, and for a
//! second pass that has to know the grace period of the first (`docs/rules.md`, section 8).

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;

use super::grace::GracePeriod;
use super::hook::{append as append_value, recognised_delay};
use super::pod::Container;
use super::reason::is_plain;
use super::{ContainerDecision, Decision, Injection};
use crate::view::Shape;

/// The version of the annotation's own format.
const VERSION: u32 = 1;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
struct StatusGrace {
    before: i64,
    after: i64,
}

/// What one container got, and from which level.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
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
    #[serde(default)]
    pub wait: Option<i64>,
    /// Where the quit came from, where there is one.
    #[serde(default)]
    pub quit_from: Option<Cow<'a, str>>,
    /// The profile, where one was taken.
    #[serde(default)]
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

/// Appends what is written on a pod after an injection: JSON on one line, as a JSON text. Each quote
/// in it is escaped from the start, so that it need not be written twice.
pub(super) fn append(json: &mut Vec<u8>, decision: &Decision<'_>, injection: &Injection) {
    let GracePeriod { before_seconds, after_seconds, .. } = injection.grace;
    json.extend_from_slice(br#""{\"version\":"#);
    append_value(json, &VERSION);
    json.extend_from_slice(br#",\"grace\":{\"before\":"#);
    append_value(json, &before_seconds);
    json.extend_from_slice(br#",\"after\":"#);
    append_value(json, &after_seconds);
    json.extend_from_slice(br#"},\"containers\":["#);
    let containers = decision.containers.iter().filter_map(ContainerDecision::status);
    for (index, container) in containers.enumerate() {
        json.extend_from_slice(if index == 0 { b"" } else { b"," });
        append_container(json, &container);
    }
    json.push(b']');
    if !decision.problems.is_empty() {
        json.extend_from_slice(br#",\"problems\":["#);
        for (index, problem) in decision.problems.iter().enumerate() {
            json.extend_from_slice(if index == 0 { b"" } else { b"," });
            append_text(json, &format!("{}: {}", problem.code.code(), problem.place));
        }
        json.push(b']');
    }
    json.extend_from_slice(b"}\"");
}

fn append_container(json: &mut Vec<u8>, container: &StatusContainer<'_>) {
    json.extend_from_slice(br#"{\"name\":"#);
    append_text(json, &container.name);
    json.extend_from_slice(br#",\"hook\":"#);
    append_text(json, &container.hook);
    json.extend_from_slice(br#",\"delay\":"#);
    append_value(json, &container.delay);
    json.extend_from_slice(br#",\"delayFrom\":"#);
    append_text(json, &container.delay_from);
    if let Some(wait) = &container.wait {
        json.extend_from_slice(br#",\"wait\":"#);
        append_value(json, wait);
    }
    if let Some(quit_from) = &container.quit_from {
        json.extend_from_slice(br#",\"quitFrom\":"#);
        append_text(json, quit_from);
    }
    if let Some(profile) = &container.profile {
        json.extend_from_slice(br#",\"profile\":"#);
        append_text(json, profile);
    }
    json.push(b'}');
}

/// Appends a text of the JSON that itself is a text.
fn append_text(json: &mut Vec<u8>, text: &str) {
    if is_plain(text) {
        json.extend_from_slice(br#"\""#);
        json.extend_from_slice(text.as_bytes());
        json.extend_from_slice(br#"\""#);
        return;
    }
    let inner = Value::from(text).to_string();
    let outer = Value::from(inner).to_string();
    // Without the quotes around it.
    let inside = outer.get(1..outer.len() - 1).unwrap_or_default();
    json.extend_from_slice(inside.as_bytes());
}
