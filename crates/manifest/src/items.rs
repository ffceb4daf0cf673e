//! A list of objects as one text per item, so that a large list is never held as a single value.

use std::collections::HashSet;
use std::ops::Range;

use granit_parser::{Event, Parser, Span, StrInput, StructureStyle};

use super::{Document, Format, ManifestError};

/// The key of the items of a Kubernetes list.
const ITEMS: &str = "items";

/// A document with a list of mappings at `items` of its root, split at each item.
#[derive(Debug)]
pub struct ListOfItems<'d> {
    document: &'d Document,
    /// Byte ranges of the items, in order; without gaps in YAML.
    places: Vec<Range<usize>>,
}

/// One item as a document of its own.
#[derive(Debug)]
pub struct ListItem {
    /// Byte range of the item in the list's text.
    pub range: Range<usize>,
    /// The text, with its line and number in the stream. Columns are those of the list.
    pub document: Document,
    /// JSON pointer to the item in the document's value.
    pub pointer: &'static str,
    /// Number of characters before the text on its first line.
    pub column: usize,
}

impl ListItem {
    /// Moves an error of this document to its position in the stream.
    #[must_use]
    pub fn located(&self, mut error: ManifestError) -> ManifestError {
        if error.line == self.document.first_line {
            error.column = error.column.saturating_add(self.column);
        }
        error
    }
}

impl Document {
    /// Returns the document as a list of items; `None` if it is not a list, or if its items can't
    /// be separated (because of anchors or their layout).
    #[must_use]
    pub fn list_of_items(&self) -> Option<ListOfItems<'_>> {
        // Few documents are lists, so the nodes of most need not be visited.
        if !self.text.contains(ITEMS) {
            return None;
        }
        let options = granit_parser::options! { emit_comments: false };
        let parser = Parser::new_from_str_with_options(&self.text, options);
        let places = Cut { document: self, parser }.places()?;
        (!places.is_empty()).then_some(ListOfItems { document: self, places })
    }
}

impl ListOfItems<'_> {
    /// Returns the list without its items.
    #[must_use]
    pub fn frame(&self) -> Document {
        let text = &self.document.text;
        let head = self.places.first().and_then(|place| text.get(..place.start));
        let tail = self.places.last().and_then(|place| text.get(place.end..));
        Document {
            text: [head.unwrap_or_default(), tail.unwrap_or_default()].concat(),
            ..*self.document
        }
    }

    /// Iterates over the items.
    pub fn items(&self) -> impl Iterator<Item = ListItem> {
        let text = &self.document.text;
        let mut line = self.document.first_line;
        let (mut end, mut column) = (0, 0);
        self.places.iter().map(move |range| {
            let between = text.get(end..range.start).unwrap_or_default();
            let own = text.get(range.clone()).unwrap_or_default();
            line = line.saturating_add(between.matches('\n').count());
            let first_line = line;
            line = line.saturating_add(own.matches('\n').count());
            end = range.end;
            let first_column = column_behind(column, between);
            column = column_behind(first_column, own);
            ListItem {
                range: range.clone(),
                document: Document { first_line, text: own.to_owned(), ..*self.document },
                pointer: match self.document.format {
                    Format::Yaml => "/0",
                    Format::Json => "",
                },
                column: first_column,
            }
        })
    }
}

struct Cut<'d> {
    document: &'d Document,
    parser: Parser<'d, StrInput<'d>>,
}

type Node<'d> = (Event<'d>, Span);

impl<'d> Cut<'d> {
    fn places(mut self) -> Option<Vec<Range<usize>>> {
        let text = self.document.text.as_str();
        loop {
            match self.next()?.0 {
                Event::StreamStart | Event::DocumentStart(..) => {}
                Event::MappingStart(..) => break,
                _ => return None,
            }
        }
        let mut keys = HashSet::new();
        let mut places: Option<Vec<Range<usize>>> = None;
        let mut is_open = false;
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                break;
            }
            let (key, _) = event.scalar()?;
            if !keys.insert(key.to_owned()) {
                return None;
            }
            let is_items = key == ITEMS;
            if let Some(last) = places.as_mut().and_then(|places| places.last_mut())
                && is_open
            {
                last.end = line_start(text, span.byte_range()?.start);
                is_open = false;
            }
            let value = self.next()?;
            match (&value.0, self.document.format) {
                (Event::SequenceStart(StructureStyle::Block, ..), Format::Yaml) if is_items => {
                    places = Some(self.block_items()?);
                    is_open = true;
                }
                (Event::SequenceStart(..), Format::Json) if is_items => {
                    places = Some(self.flow_items()?);
                }
                _ if is_items => return None,
                _ => self.skip(value).map(|_| ())?,
            }
        }
        // The rest has to be well-formed as well.
        for next in self.parser.by_ref() {
            next.ok()?;
        }
        places
    }

    /// Returns the range from the line of each dash to the next one; the last item ends with the
    /// text.
    fn block_items(&mut self) -> Option<Vec<Range<usize>>> {
        let text = self.document.text.as_str();
        let mut places: Vec<Range<usize>> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                return Some(places);
            }
            if !matches!(event, Event::MappingStart(..)) {
                return None;
            }
            let at = span.byte_range()?.start;
            let start = line_start(text, at);
            // The line must contain nothing except the item.
            if !text.get(start..at)?.trim().trim_matches('-').is_empty()
                || !text.get(start..)?.trim_start().starts_with("- ")
            {
                return None;
            }
            if let Some(last) = places.last_mut() {
                last.end = start;
            }
            places.push(start..text.len());
            self.skip((event, span))?;
        }
    }

    /// Returns the range from brace to brace of each item, with the white space before it on the
    /// same line.
    fn flow_items(&mut self) -> Option<Vec<Range<usize>>> {
        let text = self.document.text.as_str();
        let mut places = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                return Some(places);
            }
            if !matches!(event, Event::MappingStart(..)) {
                return None;
            }
            let brace = span.byte_range()?.start;
            let before = text.get(..brace)?;
            let bare = before.trim_end_matches([' ', '\t']);
            let start = if bare.ends_with('\n') { bare.len() } else { brace };
            places.push(start..self.skip((event, span))?);
        }
    }

    /// Skips a node with its children; returns its end.
    fn skip(&mut self, node: Node<'d>) -> Option<usize> {
        let mut depth: usize = 0;
        let (mut event, mut span) = node;
        loop {
            match event {
                Event::MappingStart(..) | Event::SequenceStart(..) => {
                    depth = depth.saturating_add(1);
                }
                Event::MappingEnd | Event::SequenceEnd => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                return Some(span.byte_range()?.end);
            }
            (event, span) = self.next()?;
        }
    }

    /// Returns the next event, unless it makes items depend on each other.
    fn next(&mut self) -> Option<Node<'d>> {
        let (event, span) = self.parser.next()?.ok()?;
        let is_tied =
            event.anchor_id().is_some() || event.alias_id().is_some() || event.tag().is_some();
        (!is_tied).then_some((event, span))
    }
}

/// Returns the column after a text that begins at `column`.
fn column_behind(column: usize, text: &str) -> usize {
    let line = text.rsplit('\n').next().unwrap_or_default();
    let before = if line.len() == text.len() { column } else { 0 };
    before.saturating_add(line.chars().count())
}

fn line_start(text: &str, place: usize) -> usize {
    let before = text.get(..place).unwrap_or_default();
    before.rfind('\n').map_or(0, |last| last.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str, format: Format) -> Option<(String, Vec<(String, usize)>)> {
        let document = Document { number: 1, first_line: 1, format, text: text.to_owned() };
        let list = document.list_of_items()?;
        let items = list.items().map(|item| (item.document.text, item.document.first_line));
        Some((list.frame().text, items.collect()))
    }

    #[test]
    fn lists_are_cut_at_their_dashes() {
        let text = "kind: List\nitems:\n# one\n- a: 1\n  b:\n  - c\n# two\n- a: 2\nmetadata: {}\n";
        let (frame, items) = cut(text, Format::Yaml).unwrap();
        assert_eq!(frame, "kind: List\nitems:\n# one\nmetadata: {}\n");
        let expected = [("- a: 1\n  b:\n  - c\n# two\n", 4), ("- a: 2\n", 8)];
        assert_eq!(items, expected.map(|(text, line)| (text.to_owned(), line)));
        let (frame, items) = cut("items:\n  - a: 1\n  -   b: 2", Format::Yaml).unwrap();
        assert_eq!((frame.as_str(), items.len()), ("items:\n", 2));
        assert_eq!(items[1], ("  -   b: 2".to_owned(), 3));
    }

    #[test]
    fn json_is_cut_at_its_braces() {
        let (frame, items) =
            cut("{\"items\":[{\"a\":[1]},{\"b\":2}],\"kind\":\"List\"}", Format::Json).unwrap();
        assert_eq!(frame, "{\"items\":[],\"kind\":\"List\"}");
        assert_eq!(items, [("{\"a\":[1]}".to_owned(), 1), ("{\"b\":2}".to_owned(), 1)]);
        let (frame, items) =
            cut("{\n \"items\": [\n  {\n   \"a\": 1\n  },\n  {}\n ]\n}\n", Format::Json).unwrap();
        assert_eq!(frame, "{\n \"items\": [\n\n ]\n}\n");
        assert_eq!(items, [("  {\n   \"a\": 1\n  }".to_owned(), 3), ("  {}".to_owned(), 6)]);
    }

    #[test]
    fn what_hangs_together_stays_together() {
        for text in [
            "items:\n- a: &a 1\n- a: *a\n",
            "items: []\n",
            "items:\n- 1\n",
            "items: [{a: 1}]\n",
            "items:\n-\n  a: 1\n",
            "items:\n- a: 1\nitems:\n- b: 1\n",
            "- items:\n  - a: 1\n",
            "other: {items: 1}\n",
            "items:\n- a: [\n",
        ] {
            assert_eq!(cut(text, Format::Yaml), None, "{text:?}");
        }
    }
}
