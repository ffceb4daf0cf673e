//! The format of the table (`fronts.yaml`), and the validation of its entries.

use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;
use thiserror::Error;

use super::pattern::Pattern;
use super::table::{Bound, Condition, FrontKind, FrontTable, RecognisedBy, Withdrawal};
use crate::duration;

/// The table: `fronts.yaml` as JSON. A test compares the two.
const BUILT_IN: &str = include_str!("fronts.json");

/// Length limit for the name of a front.
const LONGEST_NAME: usize = 63;

/// The file `fronts.yaml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FrontsFile {
    fronts: Vec<FrontEntry>,
}

/// One entry of the table.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct FrontEntry {
    name: String,
    title: String,
    object: ObjectEntry,
    #[serde(default)]
    adds: bool,
    when: Vec<ConditionEntry>,
    #[serde(default)]
    backends: Vec<String>,
    delay: String,
    #[serde(default)]
    bounded_by: Option<BoundEntry>,
    reason: String,
    link: String,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ObjectEntry {
    Pod,
    Service,
    Ingress,
    Gateway,
    Route,
    TargetGroupBinding,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum BoundEntry {
    DeregistrationDelay,
    RecordTtl,
}

type Texts = BTreeMap<String, Vec<String>>;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct ConditionEntry {
    types: Vec<String>,
    headless: Option<bool>,
    publish_not_ready_addresses: Option<bool>,
    external_traffic_policy: Option<String>,
    internal_traffic_policy: Option<String>,
    classes: Vec<String>,
    controllers: Vec<String>,
    annotations: Texts,
    service_annotations: Texts,
    kinds: Vec<String>,
    fields: Texts,
    readiness_gates: Vec<String>,
    host_ports: Option<bool>,
}

/// An invalid part of an entry.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{path}: {message}")]
pub(super) struct EntryError {
    /// Path of the field, such as `fronts[2].delay`.
    path: String,
    /// The error and the allowed values.
    message: String,
}

/// Returns the table that is compiled in. A test reads it, so it can't be empty because of an
/// error.
pub(super) fn built_in() -> FrontTable {
    let file: Result<FrontsFile, _> = serde_json::from_str(BUILT_IN);
    file.ok().and_then(|file| validate(&file.fronts).ok()).unwrap_or_default()
}

/// Validates entries, given in the order in which they are tried.
fn validate(entries: &[FrontEntry]) -> Result<FrontTable, Vec<EntryError>> {
    let mut errors = Vec::new();
    let mut names = HashSet::new();
    let mut closed = HashSet::new();
    let mut kinds = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        let path = format!("fronts[{index}]");
        let mut tell = |field: &str, message: &str| {
            let path = format!("{path}.{field}");
            errors.push(EntryError { path, message: message.to_owned() });
        };
        let kind = entry.validate(&mut tell);
        if !names.insert(&entry.name) {
            tell("name", "there is another front with this name; names must be unique");
        }
        let Some(kind) = kind else { continue };
        if !kind.adds && closed.contains(&kind.object) {
            tell(
                "when",
                "an earlier entry matches every object of this kind; move this one before it",
            );
        }
        if !kind.adds && kind.when.iter().any(|when| *when == Condition::default()) {
            closed.insert(kind.object);
        }
        kinds.push(kind);
    }
    if errors.is_empty() { Ok(FrontTable::new(kinds)) } else { Err(errors) }
}

impl FrontEntry {
    fn validate(&self, tell: &mut impl FnMut(&str, &str)) -> Option<FrontKind> {
        let letters = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_name =
            (1..=LONGEST_NAME).contains(&self.name.len()) && self.name.bytes().all(letters);
        if !is_name || self.name.starts_with('-') || self.name.ends_with('-') {
            tell(
                "name",
                "a name consists of at most 63 lower-case letters, digits and '-', and begins and ends with a letter or digit",
            );
        }
        for (field, text) in [("title", &self.title), ("reason", &self.reason)] {
            if text.trim().is_empty() {
                tell(field, "empty; every front needs a value");
            }
        }
        if !self.link.starts_with("https://") {
            tell("link", "a link must begin with https://");
        }
        let object = self.object();
        if self.when.is_empty() {
            tell("when", "at least one alternative is needed; {} matches every object of the kind");
        }
        for (index, when) in self.when.iter().enumerate() {
            let foreign = when.set().into_iter().filter(|(_, objects)| !objects.contains(&object));
            for (field, _) in foreign {
                let field = format!("when[{index}].{field}");
                tell(&field, "objects of this kind do not have this field");
            }
            if when.has_empty_list() {
                tell(&format!("when[{index}]"), "a key without values never matches");
            }
        }
        if self.adds && self.when.iter().any(|when| when.set().is_empty()) {
            tell("adds", "an entry with adds: true needs a condition");
        }
        if (object == RecognisedBy::Route) == self.backends.is_empty() {
            tell("backends", "only routes have this field");
        }
        if self.backends.iter().any(|pointer| !pointer.starts_with('/')) {
            tell("backends", "a path begins with '/', as in /spec/routes/*/services/*");
        }
        let withdrawal = self.withdrawal(tell)?;
        let bounded_by = self.bounded_by.map(|bound| match bound {
            BoundEntry::DeregistrationDelay => Bound::DeregistrationDelay,
            BoundEntry::RecordTtl => Bound::RecordTtl,
        });
        if bounded_by.is_some() && withdrawal == Withdrawal::Never {
            tell("boundedBy", "needs a delay with an upper bound, not never");
        }
        Some(FrontKind {
            name: self.name.clone(),
            title: self.title.clone(),
            object,
            adds: self.adds,
            when: self.when.iter().map(ConditionEntry::condition).collect(),
            backends: self.backends.clone(),
            withdrawal,
            bounded_by,
            reason: self.reason.clone(),
            link: self.link.clone(),
        })
    }

    fn withdrawal(&self, tell: &mut impl FnMut(&str, &str)) -> Option<Withdrawal> {
        if self.delay == "never" {
            return Some(Withdrawal::Never);
        }
        let parsed = duration::parse_delay(&self.delay);
        let parsed = parsed.map_err(|error| tell("delay", &error.to_string())).ok();
        parsed.map(|parsed| Withdrawal::Within(parsed.delay))
    }

    const fn object(&self) -> RecognisedBy {
        match self.object {
            ObjectEntry::Pod => RecognisedBy::Pod,
            ObjectEntry::Service => RecognisedBy::Service,
            ObjectEntry::Ingress => RecognisedBy::Ingress,
            ObjectEntry::Gateway => RecognisedBy::Gateway,
            ObjectEntry::Route => RecognisedBy::Route,
            ObjectEntry::TargetGroupBinding => RecognisedBy::TargetGroupBinding,
        }
    }
}

impl ConditionEntry {
    /// Returns the fields that are set, each with the kinds of objects that have it.
    fn set(&self) -> Vec<(&'static str, &'static [RecognisedBy])> {
        use RecognisedBy::{Gateway, Ingress, Pod, Route, Service, TargetGroupBinding};
        let fields: [(&str, &[RecognisedBy], bool); 13] = [
            ("types", &[Service], !self.types.is_empty()),
            ("headless", &[Service], self.headless.is_some()),
            ("publishNotReadyAddresses", &[Service], self.publish_not_ready_addresses.is_some()),
            ("externalTrafficPolicy", &[Service], self.external_traffic_policy.is_some()),
            ("internalTrafficPolicy", &[Service], self.internal_traffic_policy.is_some()),
            ("classes", &[Service, Ingress, Gateway], !self.classes.is_empty()),
            ("controllers", &[Ingress, Gateway], !self.controllers.is_empty()),
            ("annotations", &[Service, Ingress], !self.annotations.is_empty()),
            ("serviceAnnotations", &[Ingress], !self.service_annotations.is_empty()),
            ("kinds", &[Route], !self.kinds.is_empty()),
            ("fields", &[TargetGroupBinding], !self.fields.is_empty()),
            ("readinessGates", &[Pod], !self.readiness_gates.is_empty()),
            ("hostPorts", &[Pod], self.host_ports.is_some()),
        ];
        let set = fields.into_iter().filter(|(.., is_set)| *is_set);
        set.map(|(name, objects, _)| (name, objects)).collect()
    }

    fn has_empty_list(&self) -> bool {
        let maps = [&self.annotations, &self.service_annotations, &self.fields];
        maps.into_iter().flat_map(BTreeMap::values).any(Vec::is_empty)
    }

    fn condition(&self) -> Condition {
        let patterns = |texts: &[String]| texts.iter().map(|text| Pattern::new(text)).collect();
        let pattern = |text: &Option<String>| text.as_deref().map(Pattern::new);
        let pairs = |texts: &Texts| {
            let pairs = texts.iter().map(|(key, values)| (Pattern::new(key), patterns(values)));
            pairs.collect()
        };
        Condition {
            types: patterns(&self.types),
            headless: self.headless,
            publish_not_ready_addresses: self.publish_not_ready_addresses,
            external_traffic_policy: pattern(&self.external_traffic_policy),
            internal_traffic_policy: pattern(&self.internal_traffic_policy),
            classes: patterns(&self.classes),
            controllers: patterns(&self.controllers),
            annotations: pairs(&self.annotations),
            service_annotations: pairs(&self.service_annotations),
            kinds: patterns(&self.kinds),
            fields: self
                .fields
                .iter()
                .map(|(key, values)| (key.clone(), patterns(values)))
                .collect(),
            readiness_gates: patterns(&self.readiness_gates),
            host_ports: self.host_ports,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn errors(change: impl Fn(&mut Value)) -> Vec<String> {
        let mut entry = json!({
            "name": "x", "title": "X", "object": "service", "when": [{"types": ["NodePort"]}],
            "delay": "5s-10s", "reason": "So.", "link": "https://example.com",
        });
        change(&mut entry);
        let entry = serde_json::from_value(entry).unwrap();
        let errors = validate(&[entry]).err().unwrap_or_default();
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_built_in_table_is_valid() {
        let file: FrontsFile = serde_json::from_str(BUILT_IN).unwrap();
        let table = validate(&file.fronts).unwrap();
        assert!(table.kinds().len() >= 25);
        assert_eq!(&table, FrontTable::built_in());
    }

    type Change = fn(&mut Value);

    #[test]
    fn what_no_entry_can_have_is_named() {
        assert!(errors(|_| ()).is_empty());
        let cases: [(Change, &str); 12] = [
            (|entry| entry["name"] = json!("X_1"), "fronts[0].name: a name consists"),
            (|entry| entry["title"] = json!(" "), "fronts[0].title: empty"),
            (|entry| entry["reason"] = json!(""), "fronts[0].reason: empty"),
            (|entry| entry["link"] = json!("http://example.com"), "fronts[0].link: a link"),
            (|entry| entry["delay"] = json!("soon"), "fronts[0].delay: not a duration"),
            (|entry| entry["delay"] = json!("10s-5s"), "fronts[0].delay: 10s is more than 5s"),
            (|entry| entry["when"] = json!([]), "fronts[0].when: at least one"),
            (
                |entry| entry["when"] = json!([{"controllers": ["a"]}]),
                "fronts[0].when[0].controllers: objects",
            ),
            (
                |entry| entry["when"] = json!([{"annotations": {"a": []}}]),
                "fronts[0].when[0]: a key without values",
            ),
            (
                |entry| {
                    entry["adds"] = json!(true);
                    entry["when"] = json!([{}]);
                },
                "fronts[0].adds: an entry with adds",
            ),
            (|entry| entry["backends"] = json!(["/spec"]), "fronts[0].backends: only routes"),
            (
                |entry| {
                    entry["delay"] = json!("never");
                    entry["boundedBy"] = json!("record-ttl");
                },
                "fronts[0].boundedBy: needs a delay",
            ),
        ];
        for (change, expected) in cases {
            let errors = errors(change);
            assert!(
                errors.iter().any(|error| error.starts_with(expected)),
                "{expected}: {errors:?}"
            );
        }
    }

    #[test]
    fn names_are_unique_and_every_entry_can_match() {
        let entry = |name: &str, when: Value| -> FrontEntry {
            serde_json::from_value(json!({
                "name": name, "title": "X", "object": "ingress", "when": [when],
                "delay": "5s", "reason": "So.", "link": "https://example.com",
            }))
            .unwrap()
        };
        let all = entry("all", json!({}));
        let late = entry("late", json!({"classes": ["nginx"]}));
        let told = validate(&[all.clone(), late.clone()]).unwrap_err();
        assert!(told[0].to_string().starts_with("fronts[1].when: an earlier entry"), "{told:?}");
        assert!(validate(&[late.clone(), all]).is_ok());
        let told = validate(&[late.clone(), late]).unwrap_err();
        assert!(
            told[0].to_string().starts_with("fronts[1].name: there is another front"),
            "{told:?}"
        );
    }
}
