//! The uid of a review of which only the beginning was kept.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::json;

/// A review with the version and the uid that stand in the beginning of one, and nothing else.
/// `None` where there is no uid in it.
pub(super) fn of_head(head: &[u8]) -> Option<Vec<u8>> {
    let found = Found::default();
    // That it breaks off somewhere is what is expected.
    let _ = serde_json::Deserializer::from_slice(head).deserialize_map(Outer(&found));
    let uid = found.uid.into_inner()?;
    let review = json!({
        "apiVersion": found.version.into_inner(),
        "kind": "AdmissionReview",
        "request": { "uid": uid },
    });
    serde_json::to_vec(&review).ok()
}

#[derive(Debug, Default)]
struct Found {
    version: RefCell<Option<String>>,
    uid: RefCell<Option<String>>,
}

struct Outer<'f>(&'f Found);

impl<'de> Visitor<'de> for Outer<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a review")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match &*key {
                "apiVersion" => {
                    self.0.version.replace(Some(map.next_value()?));
                }
                "request" => map.next_value_seed(Inner(self.0))?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

struct Inner<'f>(&'f Found);

impl<'de> DeserializeSeed<'de> for Inner<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Inner<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a request")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if key == "uid" {
                self.0.uid.replace(Some(map.next_value()?));
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_uid_of_a_review_that_breaks_off() {
        let review = r#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1beta1",
            "request":{"uid":"a\"b","kind":{"kind":"Pod"},"object":{"spec":"#;
        let kept = of_head(review.as_bytes()).unwrap();
        let kept: serde_json::Value = serde_json::from_slice(&kept).unwrap();
        assert_eq!(kept["apiVersion"], "admission.k8s.io/v1beta1");
        assert_eq!(kept["request"], json!({ "uid": "a\"b" }));
    }

    #[test]
    fn no_uid_no_review() {
        for text in ["", "[", "{", r#"{"request":{"uid":"a"#, r#"{"request":{"uid":7,"#, "\u{feff}{}"]
        {
            assert_eq!(of_head(text.as_bytes()), None, "{text}");
        }
    }
}
