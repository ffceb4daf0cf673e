//! An object without unused fields. Two thirds of an object in a cluster are its status and its
//! managed fields; they are dropped while a page is read.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, de};
use serde_json::{Map, Value};

/// An object without most of its status and the fields below.
#[derive(Debug, PartialEq)]
pub(super) struct Trimmed(pub(super) Value);

/// Fields of `status` that are kept: the phase of a pod, and the kubelet of a node.
const READ_OF_STATUS: &[&str] = &["phase", "nodeInfo"];
/// Fields of `metadata` that are dropped.
const UNREAD: &[&str] = &["managedFields", "selfLink", "generation", "resourceVersion"];
/// Annotations that are dropped: they contain the whole object again.
const UNREAD_ANNOTATIONS: &[&str] = &["kubectl.kubernetes.io/last-applied-configuration"];

/// Part of an object, which determines the members that are dropped.
#[derive(Clone, Copy)]
enum Part {
    Object,
    Metadata,
    Annotations,
    Status,
}

impl<'de> Deserialize<'de> for Trimmed {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        Part::Object.deserialize(reader).map(Self)
    }
}

impl Part {
    /// Returns the part that a member is; `None` if it is kept as a whole.
    fn of(self, key: &str) -> Option<Self> {
        match (self, key) {
            (Self::Object, "metadata") => Some(Self::Metadata),
            (Self::Object, "status") => Some(Self::Status),
            (Self::Metadata, "annotations") => Some(Self::Annotations),
            _ => None,
        }
    }

    fn drops(self, key: &str) -> bool {
        match self {
            Self::Object => false,
            Self::Metadata => UNREAD.contains(&key),
            Self::Annotations => UNREAD_ANNOTATIONS.contains(&key),
            Self::Status => !READ_OF_STATUS.contains(&key),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Part {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Part {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of Kubernetes")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            if self.drops(&key) {
                members.next_value::<IgnoredAny>()?;
            } else if let Some(part) = self.of(&key) {
                map.insert(key, members.next_value_seed(part)?);
            } else {
                map.insert(key, members.next_value()?);
            }
        }
        Ok(Value::Object(map))
    }

    // `null`, which Go writes for empty values.
    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn status_and_managed_fields_are_gone_and_all_else_is_there() {
        let text = json!({
            "metadata": {"name": "a", "managedFields": [{"x": 1}], "annotations": {
                "kubectl.kubernetes.io/last-applied-configuration": "{}", "prestop.dev/delay": "5s"}},
            "spec": {"status": {"managedFields": 1}, "replicas": 3},
            "status": {"phase": "Running", "podIP": "10.0.0.1"},
        });
        let Trimmed(object) = serde_json::from_str(&text.to_string()).unwrap();
        assert_eq!(
            object,
            json!({
                "metadata": {"name": "a", "annotations": {"prestop.dev/delay": "5s"}},
                "spec": {"status": {"managedFields": 1}, "replicas": 3},
                "status": {"phase": "Running"},
            })
        );
        let Trimmed(odd) = serde_json::from_str(r#"{"metadata": null, "status": {}}"#).unwrap();
        assert_eq!(odd, json!({"metadata": null, "status": {}}));
        assert!(serde_json::from_str::<Trimmed>("[]").is_err());
    }
}
