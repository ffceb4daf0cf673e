//! The places that a patch changes, as a tree: one pass over a document finds all of them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use json_patch::jsonptr::Pointer;
use serde_json::Value;

/// A place in a document: the value to write there, and the places below it.
#[derive(Debug, Default)]
pub(super) struct Wanted<'p> {
    /// The new value of this place.
    pub(super) value: Option<&'p Value>,
    /// Whether this place is removed.
    pub(super) is_removed: bool,
    /// The places below, by key or by the index of a list item.
    pub(super) members: BTreeMap<String, Wanted<'p>>,
}

/// Error for an operation that can be applied only after earlier ones are in the text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Dependent;

impl<'p> Wanted<'p> {
    /// Adds an operation, unless it depends on one that was added before: if it changes what that
    /// one writes, or adds to the same mapping.
    pub(super) fn add(&mut self, path: &Pointer, value: &'p Value) -> Result<(), Dependent> {
        self.put(path, Self { value: Some(value), ..Self::default() })
    }

    /// Adds the removal of a place, under the same condition.
    pub(super) fn remove(&mut self, path: &Pointer) -> Result<(), Dependent> {
        self.put(path, Self { is_removed: true, ..Self::default() })
    }

    fn is_changed(&self) -> bool {
        self.value.is_some() || self.is_removed
    }

    fn put(&mut self, path: &Pointer, place_of: Self) -> Result<(), Dependent> {
        let Some((parent, last)) = path.split_back() else {
            return Err(Dependent);
        };
        let mut place = self;
        for token in parent.tokens() {
            if place.is_changed() {
                return Err(Dependent);
            }
            place = place.members.entry(token.decoded().into_owned()).or_default();
        }
        if place.is_changed() || place.members.values().any(Self::is_changed) {
            return Err(Dependent);
        }
        match place.members.entry(last.decoded().into_owned()) {
            Entry::Occupied(_) => Err(Dependent),
            Entry::Vacant(entry) => {
                entry.insert(place_of);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn add_all(paths: &[&'static str]) -> Vec<bool> {
        let value = json!(1);
        let mut wanted = Wanted::default();
        paths.iter().map(|path| wanted.add(Pointer::from_static(path), &value).is_ok()).collect()
    }

    #[test]
    fn takes_operations_that_do_not_touch_each_other() {
        assert_eq!(add_all(&["/a/0/b", "/a/1/b", "/a~1b", "/c"]), [true, true, true, false]);
        assert_eq!(add_all(&["/a/b", "/a/c"]), [true, false]);
    }

    #[test]
    fn keeps_back_what_depends_on_another() {
        assert_eq!(add_all(&["/a", "/a/b"]), [true, false]);
        assert_eq!(add_all(&["/a/b", "/a"]), [true, false]);
        assert_eq!(add_all(&["/a/b", "/a/b"]), [true, false]);
        assert_eq!(add_all(&["/a", "/a/b/c/d"]), [true, false]);
    }
}
