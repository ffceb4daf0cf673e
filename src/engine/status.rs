//! The annotation `prestop.dev/status`: what was done to a pod, for people, for `audit`, and for a
//! second pass that has to know the grace period of the first (`docs/rules.md`, section 8).

use std::borrow::Cow;
use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};

use super::grace::GracePeriod;
use super::hook::recognised_delay;
use super::pod::Container;
use crate::view::Shape;

/// The version of the annotation's own format.
const VERSION: u32 = 1;

/// The annotation's value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status<'a> {
    version: u32,
    grace: StatusGrace,
    #[serde(borrow)]
    containers: Vec<StatusContainer<'a>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
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
    /// What is written after an injection.
    #[must_use]
    pub fn new(
        grace: GracePeriod,
        containers: Vec<StatusContainer<'a>>,
        problems: Vec<Cow<'a, str>>,
    ) -> Self {
        let grace = StatusGrace { before: grace.before_seconds, after: grace.after_seconds };
        Self { version: VERSION, grace, containers, problems }
    }

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

impl fmt::Display for Status<'_> {
    /// As JSON on one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        serde_json::to_writer(Utf8Writer(f), self).map_err(|_| fmt::Error)
    }
}

/// Lets `serde_json` write into a formatter.
struct Utf8Writer<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl io::Write for Utf8Writer<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = std::str::from_utf8(bytes).map_err(io::Error::other)?;
        self.0.write_str(text).map_err(io::Error::other)?;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
