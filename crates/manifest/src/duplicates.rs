//! The keys of a text with their positions: duplicate keys of a mapping, of which readers such as
//! `kubectl` use the last one, and the line and column of each key.

use std::collections::{HashMap, HashSet};

use granit_parser::{Event, Marker, Parser};

use super::{DuplicateKey, TextPlace};

/// A collection that is open while the events are read.
enum OpenCollection {
    Mapping { keys: HashSet<String>, is_value_next: bool },
    List { next_index: usize },
}

/// Returns every key that its mapping already contains, in the order of the text. `first_line` is
/// the line of the stream on which the text begins.
pub(super) fn find(text: &str, first_line: usize) -> Vec<DuplicateKey> {
    walk(text, first_line).found
}

/// Returns the position of each key and of each list item, by its JSON pointer.
pub(super) fn places(text: &str, first_line: usize) -> HashMap<String, TextPlace> {
    walk(text, first_line).places
}

fn walk(text: &str, first_line: usize) -> Walk {
    let options = granit_parser::options! { emit_comments: false };
    let mut walk = Walk { first_line, ..Walk::default() };
    for (event, span) in Parser::new_from_str_with_options(text, options).map_while(Result::ok) {
        match event {
            Event::Scalar(ref value, ..) => walk.leaf(value, span.start),
            Event::Alias(_) => walk.leaf("*", span.start),
            Event::MappingStart(..) => {
                let mapping =
                    OpenCollection::Mapping { keys: HashSet::new(), is_value_next: false };
                walk.begin(mapping, span.start);
            }
            Event::SequenceStart(..) => {
                walk.begin(OpenCollection::List { next_index: 0 }, span.start);
            }
            Event::MappingEnd | Event::SequenceEnd => {
                walk.open.pop();
                walk.end_node();
            }
            _ => {}
        }
    }
    walk
}

#[derive(Default)]
struct Walk {
    first_line: usize,
    open: Vec<OpenCollection>,
    /// JSON pointer to the current node, and the offset of each of its parts.
    pointer: String,
    parts: Vec<usize>,
    found: Vec<DuplicateKey>,
    places: HashMap<String, TextPlace>,
}

impl Walk {
    /// Records a node without children: a key, or a value.
    fn leaf(&mut self, text: &str, place: Marker) {
        if let Some(OpenCollection::Mapping { keys, is_value_next }) = self.open.last_mut()
            && !*is_value_next
        {
            *is_value_next = true;
            let is_new = keys.insert(text.to_owned());
            self.descend(text);
            self.note(place);
            if !is_new && text != "<<" {
                let TextPlace { line, column } = self.in_stream(place);
                self.found.push(DuplicateKey {
                    pointer: self.pointer.clone(),
                    key: text.to_owned(),
                    line,
                    column,
                });
            }
            return;
        }
        self.begin_item(place);
        self.end_node();
    }

    fn begin(&mut self, collection: OpenCollection, place: Marker) {
        self.begin_item(place);
        self.open.push(collection);
    }

    fn begin_item(&mut self, place: Marker) {
        if let Some(OpenCollection::List { next_index }) = self.open.last_mut() {
            let index = next_index.to_string();
            *next_index = next_index.saturating_add(1);
            self.descend(&index);
            self.note(place);
        }
    }

    /// Records a position. Of duplicate keys, the last one remains.
    fn note(&mut self, place: Marker) {
        self.places.insert(self.pointer.clone(), self.in_stream(place));
    }

    fn in_stream(&self, place: Marker) -> TextPlace {
        TextPlace {
            line: self.first_line.saturating_add(place.line()).saturating_sub(1),
            column: place.col().saturating_add(1),
        }
    }

    fn descend(&mut self, name: &str) {
        self.parts.push(self.pointer.len());
        self.pointer.push('/');
        for letter in name.chars() {
            match letter {
                '~' => self.pointer.push_str("~0"),
                '/' => self.pointer.push_str("~1"),
                letter => self.pointer.push(letter),
            }
        }
    }

    fn end_node(&mut self) {
        if let Some(around) = self.open.last_mut() {
            if let OpenCollection::Mapping { is_value_next, .. } = around {
                *is_value_next = false;
            }
            if let Some(start) = self.parts.pop() {
                self.pointer.truncate(start);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_duplicate_key_has_its_place() {
        let text = "\
a: 1
b:
- x: {y: 1, 'y': 2}
- [1, {z: 1}]
- z/: 1
  c: [2]
  \"z/\": {z: 3}
a: 2
<<: {}
<<: {}
";
        let found: Vec<_> = find(text, 10)
            .into_iter()
            .map(|found| (found.pointer, found.line, found.column))
            .collect();
        let expected = [("/b/0/x/y", 12, 13), ("/b/2/z~1", 16, 3), ("/a", 17, 1)];
        assert_eq!(
            found,
            expected.map(|(pointer, line, column)| (pointer.to_owned(), line, column))
        );
        let places = places(text, 10);
        let place = |pointer: &str| places.get(pointer).map(|place| (place.line, place.column));
        assert_eq!(
            [place("/a"), place("/b"), place("/b/0"), place("/b/0/x"), place("/b/0/x/y")],
            [(17, 1), (11, 1), (12, 3), (12, 3), (12, 13)].map(Some)
        );
        assert_eq!(
            [place("/b/1/1/z"), place("/b/2/c/0"), place("/c")],
            [Some((13, 8)), Some((15, 7)), None]
        );
        assert_eq!(find("{\"a\": 1, \"a\": [1]}", 1).len(), 1);
        assert!(find("a: {a: {a: 1}}\nb: {a: 1}\n", 1).is_empty());
    }
}
