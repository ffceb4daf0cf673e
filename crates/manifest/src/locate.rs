//! Finds the positions in a text for the changes of a patch. One pass over the parser's events:
//! nodes that do not lead to a change are skipped, so memory use depends on the patch and not on
//! the document.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle, Span, StrInput, StructureStyle};
use serde_json::{Map, Value};

use super::change::{Change, Obstacle, range};
use super::insert::{Frame, Key, Style, line_end};
use super::remove::Entry;
use super::render::{self, BlockStyle, FlowStyle};
use super::wanted::Wanted;
use super::{Format, Replaced};

/// The role of a node in its parent.
enum Slot<'f> {
    /// The node is the value of a key.
    Member(&'f Frame, &'f Key),
    /// The node is an item of a list, or the document.
    Other,
}

type Node<'t> = (Event<'t>, Span);

/// The changes of a text.
#[derive(Debug)]
pub(super) struct Changes {
    /// The changes. Those at the same position are in the order in which they have to be made.
    pub(super) changes: Vec<Change>,
    /// The values that are replaced.
    pub(super) replaced: Vec<Replaced>,
}

/// Returns the changes that write the wanted values. `texts` contains the former texts of values
/// that are to be restored, by JSON pointer.
pub(super) fn changes(
    text: &str,
    format: Format,
    wanted: &Wanted<'_>,
    texts: &HashMap<String, String>,
) -> Result<Changes, Obstacle> {
    let options = granit_parser::options! { emit_comments: false };
    let mut walk = Walk {
        text,
        format,
        parser: Parser::new_from_str_with_options(text, options),
        end_of_content: 0,
        path: Vec::new(),
        anchors: Vec::new(),
        changed_anchors: HashSet::new(),
        used_anchors: HashSet::new(),
        list_step: 0,
        line_break: the_only_line_break(text),
        changes: Vec::new(),
        replaced: Vec::new(),
        texts,
    };
    walk.document(wanted)?;
    if !walk.changed_anchors.is_disjoint(&walk.used_anchors) {
        let reason = "the value is part of an anchor that is also used elsewhere";
        return Err(Obstacle(reason.to_owned()));
    }
    Ok(Changes { changes: walk.changes, replaced: walk.replaced })
}

struct Walk<'t> {
    text: &'t str,
    /// Former texts of values that are to be restored, by JSON pointer.
    texts: &'t HashMap<String, String>,
    format: Format,
    parser: Parser<'t, StrInput<'t>>,
    /// End of the last text that was not white space or a comment.
    end_of_content: usize,
    /// The keys and indices of the current node.
    path: Vec<String>,
    /// The anchors around the current node.
    anchors: Vec<usize>,
    /// Anchors around changes, and anchors that aliases refer to.
    changed_anchors: HashSet<usize>,
    used_anchors: HashSet<usize>,
    /// Number of columns by which the document's lists are indented more than their keys: 0 or 2.
    list_step: usize,
    /// The document's line break, if it uses only one kind.
    line_break: Option<&'static str>,
    changes: Vec<Change>,
    replaced: Vec<Replaced>,
}

impl<'t> Walk<'t> {
    fn document(&mut self, wanted: &Wanted<'_>) -> Result<(), Obstacle> {
        loop {
            let node = self.next()?;
            if node.0.is_node() {
                self.node(node, wanted, &Slot::Other)?;
                break;
            }
            if matches!(node.0, Event::DocumentEnd | Event::StreamEnd) {
                return Err(self.obstacle("is not there"));
            }
        }
        // Aliases further down count as well, and so do errors.
        for next in self.parser.by_ref() {
            next.map_err(|error| Obstacle(error.to_string()))?;
        }
        Ok(())
    }

    /// Processes a node that leads to a change or is changed itself.
    fn node(
        &mut self,
        node: Node<'t>,
        wanted: &Wanted<'_>,
        slot: &Slot<'_>,
    ) -> Result<(), Obstacle> {
        if let Some(value) = wanted.value {
            return self.replace(node, value, slot);
        }
        let anchor = node.0.anchor_id();
        match node.0 {
            Event::MappingStart(style, ..) => {
                self.anchors.extend(anchor);
                self.mapping(style, &node.1, wanted, slot)?;
            }
            Event::SequenceStart(style, ..) => {
                self.anchors.extend(anchor);
                self.list(style, wanted, slot)?;
            }
            Event::Alias(_) => return Err(self.obstacle("comes through an alias")),
            _ => return Err(self.obstacle("is neither a mapping nor a list")),
        }
        if anchor.is_some() {
            self.anchors.pop();
        }
        Ok(())
    }

    fn mapping(
        &mut self,
        style: StructureStyle,
        start: &Span,
        wanted: &Wanted<'_>,
        slot: &Slot<'_>,
    ) -> Result<(), Obstacle> {
        let mut frame: Option<Frame> = None;
        let mut missing: Vec<&String> = wanted.members.keys().collect();
        let mut is_merged = false;
        let mut removed: Vec<Entry> = Vec::new();
        let mut before = None;
        let open = range(start)?;
        let end = loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                break range(&span)?;
            }
            let key = Key::new(&event, &span).ok_or_else(|| self.no_place())?;
            let start = key.range.start;
            if let Some(last) = removed.last_mut() {
                last.behind.get_or_insert(start);
            }
            self.skip((event, span))?;
            let frame = frame.get_or_insert_with(|| {
                Frame::new(self.text, Style::new(style), open.clone(), &key)
            });
            is_merged |= key.is_merge;
            let value = self.next()?;
            match wanted.members.get_key_value(&key.name) {
                Some((name, member)) if member.is_removed => {
                    missing.retain(|other| *other != name);
                    self.skip(value)?;
                    removed.push(Entry { start, end: self.end_of_content, before, behind: None });
                }
                Some((name, member)) => {
                    missing.retain(|other| *other != name);
                    self.path.push(name.clone());
                    self.node(value, member, &Slot::Member(frame, &key))?;
                    self.path.pop();
                }
                None => self.skip(value)?,
            }
            before = Some(self.end_of_content);
        };
        for entry in &removed {
            let changes = entry.removed(self.text, Style::new(style));
            self.change(changes.ok_or_else(|| self.no_place())?, None);
        }
        for name in missing {
            let value = wanted.members.get(name).and_then(|member| member.value);
            let Some(value) = value else {
                self.path.push(name.clone());
                return Err(self.obstacle(if is_merged {
                    "comes through a merge key"
                } else {
                    "is not there"
                }));
            };
            match &frame {
                Some(frame) => self.insert(frame, name, value, &end)?,
                None => self.fill(&(open.start..end.end), name, value, slot)?,
            }
        }
        self.end_of_content = self.content_end(&end);
        Ok(())
    }

    /// Returns the end of a collection's content. The end of a flow collection is content itself; a
    /// block collection ends without any.
    fn content_end(&self, end: &Range<usize>) -> usize {
        if end.is_empty() { self.end_of_content } else { end.end }
    }

    fn list(
        &mut self,
        style: StructureStyle,
        wanted: &Wanted<'_>,
        slot: &Slot<'_>,
    ) -> Result<(), Obstacle> {
        let mut missing = wanted.members.len();
        for index in 0_usize.. {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                let end = range(&span)?;
                self.end_of_content = self.content_end(&end);
                break;
            }
            if let (0, StructureStyle::Block, Slot::Member(_, key)) = (index, style, slot) {
                self.list_step = self.step_of_list(key, range(&span)?.start);
            }
            let index = index.to_string();
            if let Some(item) = wanted.members.get(&index) {
                missing = missing.saturating_sub(1);
                self.path.push(index);
                self.node((event, span), item, &Slot::Other)?;
                self.path.pop();
            } else {
                self.skip((event, span))?;
            }
        }
        if missing > 0 {
            return Err(self.obstacle("would get another item"));
        }
        Ok(())
    }

    /// Returns by how many columns the dashes of a list are indented more than their key; 0 if that
    /// is not known.
    fn step_of_list(&self, key: &Key, first_item: usize) -> usize {
        let before = self.text.get(..first_item).unwrap_or_default();
        let dash = before.rfind('-').unwrap_or_default();
        let line = before.get(..dash).unwrap_or_default();
        let line = line.rsplit('\n').next().unwrap_or_default();
        if line.trim().is_empty() && line.len() > key.column { 2 } else { 0 }
    }

    /// Adds an entry after the last one of a mapping.
    fn insert(
        &mut self,
        frame: &Frame,
        name: &str,
        value: &Value,
        end: &Range<usize>,
    ) -> Result<(), Obstacle> {
        let style = self.block_style();
        let changes = frame.insert(self.text, self.end_of_content, end, name, value, style);
        self.change(changes.ok_or_else(|| self.no_place())?, None);
        Ok(())
    }

    /// Adds the first entry to an empty mapping.
    fn fill(
        &mut self,
        empty: &Range<usize>,
        name: &str,
        value: &Value,
        slot: &Slot<'_>,
    ) -> Result<(), Obstacle> {
        self.end_of_content = empty.end;
        let changes = match slot {
            Slot::Member(frame, key) => {
                self.note_replaced(frame, key);
                let map = Map::from_iter([(name.to_owned(), value.clone())]);
                let style = self.block_style();
                frame.replace(self.text, key, empty.clone(), &Value::Object(map), style)
            }
            Slot::Other => {
                let style = match self.format {
                    Format::Json => FlowStyle::Json,
                    Format::Yaml => FlowStyle::Yaml,
                };
                Some(vec![Change {
                    range: empty.clone(),
                    text: format!("{{{}}}", render::flow_entry(name, value, style)),
                }])
            }
        };
        self.change(changes.ok_or_else(|| self.no_place())?, None);
        Ok(())
    }

    /// Replaces the value of a key.
    fn replace(&mut self, node: Node<'t>, value: &Value, slot: &Slot<'_>) -> Result<(), Obstacle> {
        let (event, span) = &node;
        let Slot::Member(frame, key) = slot else {
            return Err(self.obstacle("is not the value of a key"));
        };
        let old = range(span)?;
        let anchor = event.anchor_id();
        let has_properties = anchor.is_some() || event.tag().is_some();
        let is_block_scalar =
            matches!(event, Event::Scalar(_, ScalarStyle::Literal | ScalarStyle::Folded, ..));
        let is_collection = matches!(event, Event::MappingStart(..) | Event::SequenceStart(..));
        self.skip(node)?;
        if self.write_as_before(frame, key, anchor) {
            return Ok(());
        }
        // A tag or an anchor belongs to the value after it: it can stay if the new value is on one
        // line.
        let is_simple = !old.is_empty() && !render::needs_lines(value);
        if is_block_scalar || (has_properties && !is_simple) {
            return Err(self.no_place());
        }
        self.note_replaced(frame, key);
        let style = self.block_style();
        let changes = if is_collection {
            let old = old.start..self.end_of_content.max(old.end);
            let written = self.text.get(old.clone()).unwrap_or_default();
            match is_empty_collection(written) {
                true if written.contains('#') => None,
                true => frame.replace(self.text, key, old, value, style),
                false => frame.replace_collection(self.text, key, old, value, style),
            }
        } else {
            frame.replace(self.text, key, old, value, style)
        };
        self.change(changes.ok_or_else(|| self.no_place())?, anchor);
        Ok(())
    }

    /// Restores the former text of the value that was read last, if it is known.
    fn write_as_before(&mut self, frame: &Frame, key: &Key, anchor: Option<usize>) -> bool {
        let text = self.texts.get(&self.pointer());
        let (Some(text), Some(range)) = (text, self.text_of_value(frame, key)) else {
            return false;
        };
        let mut text = text.clone();
        // The text may have been at the end of the document formerly, but not now.
        if !frame.is_flow() && !text.ends_with('\n') && range.end < self.text.len() {
            text.push_str(self.block_style().line_break);
        }
        self.change(vec![Change { range, text }], anchor);
        true
    }

    /// Records the text of a value that will be replaced: the value that was read last.
    fn note_replaced(&mut self, frame: &Frame, key: &Key) {
        let text = self.text_of_value(frame, key).and_then(|range| self.text.get(range));
        if let Some(text) = text {
            let (pointer, text) = (self.pointer(), text.to_owned());
            self.replaced.push(Replaced { pointer, text });
        }
    }

    /// Returns the range after a key's colon to the end of its value, which was read last; if
    /// entries have their own lines, to the end of the value's last line.
    fn text_of_value(&self, frame: &Frame, key: &Key) -> Option<Range<usize>> {
        let colon = key.colon(self.text)?;
        let end = self.end_of_content.max(colon);
        Some(colon..if frame.is_flow() { end } else { line_end(self.text, end) })
    }

    fn pointer(&self) -> String {
        let escaped = |key: &String| key.replace('~', "~0").replace('/', "~1");
        self.path.iter().flat_map(|key| ["/".to_owned(), escaped(key)]).collect()
    }

    /// Records changes inside the anchors around this position, and inside the position's own
    /// anchor.
    fn change(&mut self, changes: Vec<Change>, own_anchor: Option<usize>) {
        self.changes.extend(changes);
        self.changed_anchors.extend(&self.anchors);
        self.changed_anchors.extend(own_anchor);
    }

    /// Skips a node with its children.
    fn skip(&mut self, node: Node<'t>) -> Result<(), Obstacle> {
        let mut depth: usize = 0;
        let (mut event, mut span) = node;
        loop {
            match &event {
                Event::Scalar(text, style, ..) => self.pass_scalar(text, *style, &span)?,
                Event::Alias(_) => self.end_of_content = range(&span)?.end,
                Event::MappingStart(..) | Event::SequenceStart(..) => {
                    depth = depth.saturating_add(1);
                }
                Event::MappingEnd | Event::SequenceEnd => {
                    depth = depth.saturating_sub(1);
                    self.end_of_content = self.content_end(&range(&span)?);
                }
                _ => {}
            }
            if depth == 0 {
                return Ok(());
            }
            (event, span) = self.next()?;
        }
    }

    fn pass_scalar(
        &mut self,
        value: &str,
        style: ScalarStyle,
        span: &Span,
    ) -> Result<(), Obstacle> {
        let place = range(span)?;
        if matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
            let source = self.text.get(place.clone()).unwrap_or_default();
            let length = length_of_block(source, value, span.indent.unwrap_or_default());
            self.end_of_content = match length {
                Some(length) => place.start.saturating_add(length),
                None => self.end_of_header(&place),
            };
        } else if !place.is_empty() {
            self.end_of_content = place.end;
        }
        Ok(())
    }

    /// Returns the end of the header of a block scalar without content: the text before its
    /// position ends with the header's line, or its position is that of the header.
    fn end_of_header(&self, place: &Range<usize>) -> usize {
        let before = self.text.get(self.end_of_content..place.end).unwrap_or_default();
        match before.rfind(['|', '>']) {
            Some(header) => self.end_of_content.saturating_add(header).saturating_add(1),
            None => self.end_of_content,
        }
    }

    fn next(&mut self) -> Result<Node<'t>, Obstacle> {
        let next = self.parser.next();
        let (event, span) = next
            .ok_or_else(|| Obstacle("the document ends too early".to_owned()))?
            .map_err(|error| Obstacle(error.to_string()))?;
        if let Some(anchor) = event.alias_id() {
            self.used_anchors.insert(anchor);
        }
        Ok((event, span))
    }

    fn block_style(&self) -> BlockStyle {
        BlockStyle {
            line_break: self
                .line_break
                .unwrap_or_else(|| super::insert::line_break(self.text, self.end_of_content)),
            list_step: self.list_step,
        }
    }

    fn no_place(&self) -> Obstacle {
        self.obstacle("is written in a form that can't be edited in place")
    }

    fn obstacle(&self, what: &str) -> Obstacle {
        Obstacle(format!("/{} {what}", self.path.join("/")))
    }
}

/// Returns whether a collection contains nothing except white space and comments between its braces
/// or brackets.
fn is_empty_collection(text: &str) -> bool {
    let inner = text.strip_prefix(['{', '[']).and_then(|text| text.strip_suffix(['}', ']']));
    let is_blank = |line: &str| matches!(line.trim_start().chars().next(), None | Some('#'));
    inner.is_some_and(|inner| inner.split('\n').all(is_blank))
}

/// Returns the line break, if the text uses only one kind. Searched only once, because a line may
/// be the whole document.
fn the_only_line_break(text: &str) -> Option<&'static str> {
    let (all, long) = (text.matches('\n').count(), text.matches("\r\n").count());
    match long {
        0 => Some("\n"),
        _ if long == all => Some("\r\n"),
        _ => None,
    }
}

/// Returns the length of a block scalar's content in its source: blank lines after it do not belong
/// to it, unless its value contains them (`|+`). `None` if there is no content.
fn length_of_block(source: &str, value: &str, indentation: usize) -> Option<usize> {
    let keeps = value.ends_with("\n\n") || (!value.is_empty() && value.trim().is_empty());
    if keeps {
        // Callers that add a line search for the last line break again.
        return source.rfind('\n');
    }
    let mut content = source;
    while let Some((before, last)) = content.rsplit_once('\n') {
        let last = last.trim_end_matches('\r');
        if last.len() > indentation || !last.trim_start_matches(' ').is_empty() {
            break;
        }
        content = before;
    }
    (!content.trim().is_empty()).then_some(content.len())
}
