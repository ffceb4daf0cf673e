//! The annotation `prestop.dev/status`: records the changes to a pod, for people and for a later pass,
//! which needs the original grace period (`docs/rules.md`, section 8).

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::grace::{DEFAULT_GRACE_PERIOD_SECONDS, GracePeriod};
use super::hook::{append as append_value, recognised_delay};
use super::pod::Container;
use super::printable::{is_plain, printable};
use super::reason::ProblemCode;
use super::{Before, ContainerDecision, Decision, Injection, Source, Stood};
use crate::view::Shape;

/// Version of the annotation's format.
const VERSION: u32 = 1;
/// Limit for the listed problems. A pod can have thousands, and they would take room that its own
/// annotations need.
const MOST_PROBLEMS: usize = 20;
/// Length limit for the name of a container in a sentence.
const LONGEST_NAME: usize = 80;

/// Texts that a manifest had after keys whose values were replaced, by a name for the key; `None` if a
/// text was too large to be kept. Only `prestop inject` reads manifests.
pub type Texts = BTreeMap<String, Option<String>>;

/// The annotation's value.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status<'a> {
    version: u32,
    grace: StatusGrace,
    /// Sorted by name.
    #[serde(borrow)]
    containers: Vec<StatusContainer<'a>>,
    /// The main container, for which the pod's own quit or a named profile was.
    #[serde(default)]
    main: Option<Cow<'a, str>>,
    /// Whether there was an empty map of annotations.
    #[serde(default)]
    empty_annotations: bool,
    /// Whether the first pass found a status that it did not trust.
    #[serde(default)]
    doubtful_hooks: bool,
    /// The status that the first pass did not trust.
    #[serde(default)]
    was: Option<String>,
    #[serde(default)]
    text: Texts,
    #[serde(default)]
    problems: Vec<Cow<'a, str>>,
}

/// The grace period, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
struct StatusGrace {
    before: i64,
    after: i64,
    /// Whether the author wrote the grace period although it equals Kubernetes' default.
    #[serde(default)]
    stated: bool,
}

/// The injected parts of one container, and their sources.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusContainer<'a> {
    /// The container's name.
    pub name: Cow<'a, str>,
    /// The form of the hook.
    pub hook: Cow<'a, str>,
    /// The delay of the hook, in seconds.
    pub delay: i64,
    /// The lower bound of a watched delay, in seconds; `delay` is then the upper bound.
    #[serde(default)]
    pub least: Option<i64>,
    /// Reason why a range of delays is not watched.
    #[serde(default)]
    pub unwatched: Option<Cow<'a, str>>,
    /// Source of the delay.
    pub delay_from: Cow<'a, str>,
    /// The front that determines the delay, by its name in the table, if the delay is `auto`.
    #[serde(default)]
    pub front: Option<Cow<'a, str>>,
    /// The longest wait, in seconds, if the hook waits.
    #[serde(default)]
    pub wait: Option<i64>,
    /// Source of the quit, if there is one.
    #[serde(default)]
    pub quit_from: Option<Cow<'a, str>>,
    /// Source of the hold, if the hook waits for connections.
    #[serde(default)]
    pub hold_from: Option<Cow<'a, str>>,
    /// Source of the time that the application may take to finish, if it is set.
    #[serde(default)]
    pub timeout_from: Option<Cow<'a, str>>,
    /// The profile used, if there is one.
    #[serde(default)]
    pub profile: Option<Cow<'a, str>>,
    /// The author's hook that was replaced: itself, or a digest of a large hook.
    #[serde(default)]
    pub original: Option<Value>,
    /// Whether there was an empty `lifecycle`.
    #[serde(default)]
    pub empty_lifecycle: bool,
    /// The texts that the manifest had after `lifecycle` or `preStop`.
    #[serde(default)]
    pub text: Texts,
}

impl<'a> Status<'a> {
    /// Parses the status annotation of a pod, if it matches the pod: it can be forged, copied with
    /// a manifest, or outdated, so it is used only if it agrees with the pod.
    #[must_use]
    pub fn believed(
        text: &'a str,
        grace_now: i64,
        containers: &[Shape<Container<'_>>],
    ) -> Option<Self> {
        let mut status: Self = serde_json::from_str(text).ok()?;
        let StatusGrace { before, after, .. } = status.grace;
        let grace_agrees = (1..=after).contains(&before) && after == grace_now;
        if status.version != VERSION || !grace_agrees || status.containers.is_empty() {
            return None;
        }
        // Sorted for binary search: a status can name as many containers as a pod has.
        status.containers.sort_by(|one, other| one.name.cmp(&other.name));
        let has_hook = |container: &Container<'_>, recorded: &StatusContainer<'_>| {
            let hook = container.lifecycle.value().and_then(|lifecycle| lifecycle.pre_stop.value());
            hook.and_then(recognised_delay) == Some(recorded.delay)
        };
        let mut is_found = vec![false; status.containers.len()];
        for container in containers.iter().filter_map(Shape::value) {
            let place = container.name.value().and_then(|name| status.next_place(name, &is_found));
            let Some(place) = place else { continue };
            let (Some(is_found), Some(recorded)) =
                (is_found.get_mut(place), status.containers.get(place))
            else {
                return None;
            };
            // Of several containers with the same name, the first ones are compared.
            if !std::mem::replace(is_found, true) && !has_hook(container, recorded) {
                return None;
            }
        }
        is_found.iter().all(|is_found| *is_found).then_some(status)
    }

    /// Returns why a status is not trusted: its first statement that does not match the pod.
    #[must_use]
    pub fn contradiction(
        text: &'a str,
        grace_now: i64,
        containers: &[Shape<Container<'_>>],
    ) -> String {
        let Ok(status) = serde_json::from_str::<Self>(text) else {
            return "the annotation prestop.dev/status can't be read".to_owned();
        };
        let after = status.grace.after;
        if after != grace_now {
            return format!("the grace period is {grace_now}s, but prestop set it to {after}s");
        }
        for recorded in &status.containers {
            let of_name = |container: &&Container<'_>| {
                container.name.value().is_some_and(|name| *name == recorded.name)
            };
            let container = containers.iter().filter_map(Shape::value).find(of_name);
            let hook = container.and_then(|it| it.lifecycle.value()?.pre_stop.value());
            let name = printable(&recorded.name, LONGEST_NAME);
            let Some(delay) = hook.map(recognised_delay) else {
                return format!("container {name} no longer has prestop's hook");
            };
            if delay != Some(recorded.delay) {
                return format!("the hook of container {name} is no longer prestop's");
            }
        }
        "the annotation prestop.dev/status belongs to another pod".to_owned()
    }

    /// Returns the author's own grace period, in seconds.
    #[must_use]
    pub const fn grace_before_seconds(&self) -> i64 {
        self.grace.before
    }

    /// Returns original values from before the first pass; `grace_now` is the current grace period.
    #[must_use]
    pub fn before(&self, grace_now: Option<i64>) -> Before {
        let StatusGrace { before, after, stated } = self.grace;
        let is_unchanged = before == after && grace_now.is_some();
        Before {
            states_default_grace: stated
                || (is_unchanged && before == DEFAULT_GRACE_PERIOD_SECONDS),
            has_empty_annotations: self.empty_annotations,
            has_doubtful_hooks: self.doubtful_hooks,
        }
    }

    /// Returns original values that the pod does not show.
    #[must_use]
    pub fn stood(&self) -> Stood {
        Stood { status: self.was.clone(), text: self.text.clone() }
    }

    /// Returns the container that had the pod's own quit: it keeps the quit, even if another
    /// container is inserted before it.
    #[must_use]
    pub fn main(&self) -> Option<&str> {
        let of_pod = [Source::Pod, Source::Namespace].map(Source::name);
        let has_it = |container: &&StatusContainer<'_>| {
            container.quit_from.as_deref().is_some_and(|from| of_pod.contains(&from))
        };
        // Older versions did not record the name.
        self.main.as_deref().or_else(|| {
            self.containers.iter().find(has_it).map(|container| container.name.as_ref())
        })
    }

    /// Returns the changes of an earlier pass to each container, sorted by name.
    #[must_use]
    pub fn containers(&self) -> &[StatusContainer<'a>] {
        &self.containers
    }

    /// Returns the changes of an earlier pass to the container with this name.
    #[must_use]
    pub fn container(&self, name: &str) -> Option<&StatusContainer<'a>> {
        self.containers.get(self.place(name)?)
    }

    /// Returns the first container with this name that has not been found yet, else the last one.
    /// Kubernetes refuses pods with two containers of the same name, but manifests can contain
    /// them.
    fn next_place(&self, name: &str, is_found: &[bool]) -> Option<usize> {
        let start = self.containers.partition_point(|recorded| recorded.name.as_ref() < name);
        let of_name = self.containers.iter().skip(start).take_while(|it| it.name == name).count();
        let left = is_found.iter().skip(start).take(of_name).position(|is_found| !is_found);
        let last = of_name.checked_sub(1)?;
        start.checked_add(left.unwrap_or(last))
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.containers.binary_search_by(|container| container.name.as_ref().cmp(name)).ok()
    }
}

/// Appends the status for an injected pod: JSON on one line, itself encoded as a JSON string.
/// Quotes are written in their escaped form, so that the JSON need not be encoded a second time.
pub(super) fn append(json: &mut Vec<u8>, decision: &Decision<'_>, injection: &Injection) {
    let GracePeriod { before_seconds, after_seconds, .. } = injection.grace;
    json.extend_from_slice(br#""{\"version\":"#);
    append_value(json, &VERSION);
    json.extend_from_slice(br#",\"grace\":{\"before\":"#);
    append_value(json, &before_seconds);
    json.extend_from_slice(br#",\"after\":"#);
    append_value(json, &after_seconds);
    if injection.before.states_default_grace && before_seconds != after_seconds {
        json.extend_from_slice(br#",\"stated\":true"#);
    }
    json.extend_from_slice(br#"},\"containers\":["#);
    let containers = decision.containers.iter().filter_map(ContainerDecision::status);
    for (index, container) in containers.enumerate() {
        json.extend_from_slice(if index == 0 { b"" } else { b"," });
        append_container(json, &container);
    }
    json.push(b']');
    if let Some(main) = decision.main {
        json.extend_from_slice(br#",\"main\":"#);
        append_text(json, main.name);
    }
    if injection.before.has_empty_annotations {
        json.extend_from_slice(br#",\"emptyAnnotations\":true"#);
    }
    if injection.before.has_doubtful_hooks {
        json.extend_from_slice(br#",\"doubtfulHooks\":true"#);
    }
    if let Some(was) = &decision.stood.status {
        json.extend_from_slice(br#",\"was\":"#);
        append_text(json, was);
    }
    append_texts(json, &decision.stood.text);
    // The webhook does not see the workload, and its status has to be the same.
    let of_pod =
        || decision.problems.iter().filter(|problem| problem.code != ProblemCode::Misplaced);
    let count = of_pod().count();
    if count > 0 {
        json.extend_from_slice(br#",\"problems\":["#);
        for (index, problem) in of_pod().take(MOST_PROBLEMS).enumerate() {
            json.extend_from_slice(if index == 0 { b"" } else { b"," });
            append_text(json, &format!("{}: {}", problem.code.code(), problem.place));
        }
        if let Some(left_out @ 1..) = count.checked_sub(MOST_PROBLEMS) {
            json.push(b',');
            append_text(json, &format!("{left_out} more"));
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
    if let Some(least) = &container.least {
        json.extend_from_slice(br#",\"least\":"#);
        append_value(json, least);
    }
    append_optional(json, br#",\"unwatched\":"#, container.unwatched.as_deref());
    json.extend_from_slice(br#",\"delayFrom\":"#);
    append_text(json, &container.delay_from);
    append_optional(json, br#",\"front\":"#, container.front.as_deref());
    if let Some(wait) = &container.wait {
        json.extend_from_slice(br#",\"wait\":"#);
        append_value(json, wait);
    }
    append_optional(json, br#",\"quitFrom\":"#, container.quit_from.as_deref());
    append_optional(json, br#",\"holdFrom\":"#, container.hold_from.as_deref());
    append_optional(json, br#",\"timeoutFrom\":"#, container.timeout_from.as_deref());
    append_optional(json, br#",\"profile\":"#, container.profile.as_deref());
    if let Some(original) = &container.original {
        json.extend_from_slice(br#",\"original\":"#);
        append_json(json, original);
    }
    if container.empty_lifecycle {
        json.extend_from_slice(br#",\"emptyLifecycle\":true"#);
    }
    append_texts(json, &container.text);
    json.push(b'}');
}

/// Appends the texts of a manifest, if there are any.
fn append_texts(json: &mut Vec<u8>, texts: &Texts) {
    if texts.is_empty() {
        return;
    }
    json.extend_from_slice(br#",\"text\":"#);
    append_json(json, &serde_json::to_value(texts).unwrap_or_default());
}

/// Appends a member of the object, if it has a text.
fn append_optional(json: &mut Vec<u8>, name: &[u8], text: Option<&str>) {
    if let Some(text) = text {
        json.extend_from_slice(name);
        append_text(json, text);
    }
}

/// Appends a string inside the JSON that is itself encoded as a string.
fn append_text(json: &mut Vec<u8>, text: &str) {
    if is_plain(text) {
        json.extend_from_slice(br#"\""#);
        json.extend_from_slice(text.as_bytes());
        json.extend_from_slice(br#"\""#);
        return;
    }
    append_json(json, &Value::from(text));
}

/// Appends a value inside the JSON that is itself encoded as a string.
fn append_json(json: &mut Vec<u8>, value: &Value) {
    let outer = Value::from(value.to_string()).to_string();
    // Without the enclosing quotes.
    let inside = outer.get(1..outer.len() - 1).unwrap_or_default();
    json.extend_from_slice(inside.as_bytes());
}
