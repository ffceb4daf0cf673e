//! A text that depends on a namespace and on the catalogue. It is computed for the first pod, and
//! again when one of them has changed.

use std::fmt;
use std::sync::{Mutex, TryLockError};

use crate::catalogue::{Catalogue, Edition};

/// The text, and the catalogue with which it was computed. It is a cache: two instances are always
/// equal, and a clone is empty.
#[derive(Default)]
pub(super) struct Remembered(Mutex<Option<(Edition, String)>>);

impl Remembered {
    /// Returns the text for this catalogue, and computes it if it is not cached. A thread never
    /// waits for another one: it computes the text itself.
    pub(super) fn text(&self, catalogue: &Catalogue, compute: impl FnOnce() -> String) -> String {
        let mut kept = match self.0.try_lock() {
            Ok(kept) => kept,
            // After a panic the value is either the old or the new one, never partly written.
            Err(TryLockError::Poisoned(kept)) => kept.into_inner(),
            Err(TryLockError::WouldBlock) => return compute(),
        };
        match &*kept {
            Some((edition, text)) if edition.is_of(catalogue) => text.clone(),
            _ => {
                let text = compute();
                *kept = Some((catalogue.edition(), text.clone()));
                text
            }
        }
    }
}

impl Clone for Remembered {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Remembered {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Remembered {}

impl fmt::Debug for Remembered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Remembered")
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_text_is_computed_once_for_each_catalogue() {
        let built_in = Catalogue::built_in();
        let other = built_in.clone().with_profiles(built_in.profiles().to_vec());
        let remembered = Remembered::default();
        let computed = Cell::new(0);
        let text = |catalogue: &Catalogue| {
            remembered.text(catalogue, || {
                computed.set(computed.get() + 1);
                format!("number {}", computed.get())
            })
        };
        for (catalogue, expected) in [
            (built_in, "number 1"),
            (built_in, "number 1"),
            (&built_in.clone(), "number 1"),
            (&other, "number 2"),
            (&other, "number 2"),
            (built_in, "number 3"),
        ] {
            assert_eq!(text(catalogue), expected);
        }
        assert_eq!(computed.get(), 3);
    }

    #[test]
    fn a_catalogue_of_the_same_place_in_memory_is_another_one() {
        let remembered = Remembered::default();
        for round in 0..100 {
            // The allocator tends to reuse the memory of the previous catalogue.
            let catalogue = Catalogue::new(Vec::new());
            let expected = format!("number {round}");
            assert_eq!(remembered.text(&catalogue, || expected.clone()), expected);
        }
    }

    #[test]
    fn a_thread_computes_the_text_itself_while_another_one_does() {
        let remembered = Remembered::default();
        let catalogue = Catalogue::built_in();
        let outer = remembered.text(catalogue, || {
            std::thread::scope(|scope| {
                let inner = scope.spawn(|| remembered.text(catalogue, || "inner".to_owned()));
                assert_eq!(inner.join().unwrap(), "inner");
            });
            "outer".to_owned()
        });
        assert_eq!(outer, "outer");
        assert_eq!(remembered.text(catalogue, || "again".to_owned()), "outer");
    }
}
