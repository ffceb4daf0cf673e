//! Positions of fields in the text.

use std::collections::HashMap;
use std::rc::Rc;

use prestop_manifest::{Document, TextPlace};

use super::super::objects::Place;

/// Positions of the fields of documents; those of the last document are kept, since a document can
/// have many workloads.
#[derive(Default)]
pub(super) struct Places {
    last: Option<(Rc<Document>, HashMap<String, TextPlace>)>,
}

impl Places {
    /// Returns the position of a field or, if the field is missing, of the value around it.
    pub(super) fn of(
        &mut self,
        document: &Rc<Document>,
        place: &Place,
        pointer: &str,
    ) -> TextPlace {
        let is_last = self.last.as_ref().is_some_and(|(last, _)| Rc::ptr_eq(last, document));
        if !is_last {
            self.last = Some((Rc::clone(document), document.places()));
        }
        let found = self.last.as_ref().and_then(|(_, places)| {
            let mut pointer = pointer;
            loop {
                if let Some(found) = places.get(pointer) {
                    return Some(*found);
                }
                pointer = pointer.get(..pointer.rfind('/')?)?;
            }
        });
        let Some(TextPlace { line, column }) = found else {
            return TextPlace { line: place.line, column: place.indent.saturating_add(1) };
        };
        let indent = if line == document.first_line { place.indent } else { 0 };
        TextPlace { line, column: column.saturating_add(indent) }
    }
}
