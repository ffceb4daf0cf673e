//! Changes of the text that add entries to mappings and replace values of keys, in the style of the
//! surrounding text.

use std::ops::Range;

use granit_parser::{Event, ScalarStyle, Span, StructureStyle};
use serde_json::Value;

use super::change::Change;
use super::render::{self, BlockStyle, FlowStyle, JsonLines};

/// A key of a mapping.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) range: Range<usize>,
    /// Column of the mapping's entries, from 0.
    pub(super) column: usize,
    /// Whether the key is `<<`, which merges another mapping's entries.
    pub(super) is_merge: bool,
    is_double_quoted: bool,
}

/// A mapping, and the style of its entries.
#[derive(Debug)]
pub(super) struct Frame {
    style: Style,
    /// The opening brace of a flow mapping.
    open: Range<usize>,
    first_key: Key,
    /// White space before the first entry, if the entry is the first on its line.
    indentation: Option<String>,
    flow: FlowStyle,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Block,
    Flow,
}

impl Key {
    /// Creates a key from a scalar; `None` for other nodes.
    pub(super) fn new(event: &Event<'_>, span: &Span) -> Option<Self> {
        let range = span.byte_range()?;
        let (name, style) = event.scalar()?;
        Some(Self {
            name: name.to_owned(),
            column: span.indent.unwrap_or_else(|| span.start.col()),
            is_merge: name == "<<" && style == ScalarStyle::Plain,
            is_double_quoted: style == ScalarStyle::DoubleQuoted,
            range,
        })
    }

    /// Returns the position after the key's colon.
    pub(super) fn colon(&self, text: &str) -> Option<usize> {
        let rest = text.get(self.range.end..)?;
        let colon = rest.len() - rest.trim_start_matches([' ', '\t']).len();
        rest.get(colon..)?.strip_prefix(':')?;
        self.range.end.checked_add(colon)?.checked_add(1)
    }
}

impl Style {
    pub(super) const fn new(style: StructureStyle) -> Self {
        match style {
            StructureStyle::Block => Self::Block,
            StructureStyle::Flow => Self::Flow,
        }
    }
}

impl Frame {
    pub(super) fn new(text: &str, style: Style, open: Range<usize>, first_key: &Key) -> Self {
        let before = text.get(..first_key.range.start).unwrap_or_default();
        // The line may be the whole document, so only its white space is examined.
        let bare = before.trim_end_matches([' ', '\t', '\u{feff}']);
        let indentation = before.get(bare.len()..);
        let indentation = indentation.filter(|_| bare.is_empty() || bare.ends_with('\n'));
        let behind_colon = first_key.colon(text).and_then(|colon| text.get(colon..));
        let is_spaced = behind_colon.is_none_or(|rest| rest.starts_with([' ', '\t', '\r', '\n']));
        Self {
            style,
            open,
            indentation: indentation.map(ToOwned::to_owned),
            first_key: first_key.clone(),
            flow: match (first_key.is_double_quoted, is_spaced) {
                (true, true) => FlowStyle::Json,
                (true, false) => FlowStyle::CompactJson,
                (false, _) => FlowStyle::Yaml,
            },
        }
    }

    /// Returns whether the mapping is written with braces.
    pub(super) fn is_flow(&self) -> bool {
        self.style == Style::Flow
    }

    /// Adds an entry after the last one. `end_of_content` is the end of that one, `end` the closing
    /// brace of a flow mapping. Returns `None` if there is no safe position.
    pub(super) fn insert(
        &self,
        text: &str,
        end_of_content: usize,
        end: &Range<usize>,
        name: &str,
        value: &Value,
        style: BlockStyle,
    ) -> Option<Vec<Change>> {
        if self.style == Style::Flow {
            return self.insert_in_flow(text, end_of_content, end.start, name, value, style);
        }
        let column = self.first_key.column;
        let mut lines = render::spaces(column);
        style.entry(&mut lines, name, value, column);
        let end = behind_comments(text, end_of_content, column);
        Some(vec![lines_behind(text, end, &lines, style)])
    }

    fn insert_in_flow(
        &self,
        text: &str,
        end_of_content: usize,
        close: usize,
        name: &str,
        value: &Value,
        style: BlockStyle,
    ) -> Option<Vec<Change>> {
        let (end, has_comma) = end_of_entry(text, end_of_content, close)?;
        // An entry behind a trailing comma has one as well, so a removal finds the text as it was.
        let (comma, trailing) = if has_comma { ("", ",") } else { (",", "") };
        let Some(indentation) = self.lines_of_their_own(text) else {
            let entry = render::flow_entry(name, value, self.flow);
            let separator = match (has_comma, self.flow) {
                (true, FlowStyle::CompactJson) => "",
                (true, _) => " ",
                (false, flow) => flow.comma(),
            };
            return Some(vec![insertion(end, format!("{separator}{entry}{trailing}"))]);
        };
        let entry = if self.flow == FlowStyle::Yaml {
            render::flow_entry(name, value, self.flow)
        } else {
            let key = render::flow(&Value::String(name.to_owned()), self.flow);
            format!("{key}: {}", self.value_in_flow(text, value, style))
        };
        let rest = text.get(end..close)?;
        let line = rest.split('\n').next()?;
        let is_last_on_line =
            rest.contains('\n') && matches!(line.trim_start().chars().next(), None | Some('#'));
        if !is_last_on_line {
            let line_break = style.line_break;
            let entry = format!("{comma}{line_break}{indentation}{entry}{trailing}");
            return Some(vec![insertion(end, entry)]);
        }
        // The comma is appended to the previous entry, and the new line is inserted after that entry's comment.
        let entry = format!("{indentation}{entry}{trailing}{}", style.line_break);
        Some(vec![insertion(end, comma.to_owned()), insertion(line_end(text, end), entry)])
    }

    /// Replaces the value of a key. The old value (a scalar, an empty collection, or nothing) is at
    /// `old`. Returns `None` if there is no safe position.
    pub(super) fn replace(
        &self,
        text: &str,
        key: &Key,
        old: Range<usize>,
        value: &Value,
        style: BlockStyle,
    ) -> Option<Vec<Change>> {
        let colon = key.colon(text)?;
        let in_lines = self.style == Style::Block && render::needs_lines(value);
        if !in_lines {
            let new = match self.style {
                Style::Block => render::flow(value, FlowStyle::Yaml),
                Style::Flow => self.value_in_flow(text, value, style),
            };
            return Some(vec![if old.is_empty() {
                insertion(colon, format!(" {new}"))
            } else {
                Change { range: old, text: new }
            }]);
        }
        let end = if old.is_empty() { colon } else { old.end };
        let between = text.get(colon..old.start.max(colon))?;
        if between.contains('\n') {
            return on_its_own_line(text, key, old, value, style);
        }
        if !between.trim_start_matches([' ', '\t']).is_empty() {
            return None;
        }
        let mut lines = String::new();
        style.after_colon(&mut lines, value, key.column);
        let (head, lines) = lines.split_once(style.line_break)?;
        let head = Change { range: colon..end, text: head.to_owned() };
        Some(vec![head, lines_behind(text, end, lines, style)])
    }

    /// Writes a value inside this flow mapping.
    fn value_in_flow(&self, text: &str, value: &Value, style: BlockStyle) -> String {
        let indentation = self.lines_of_their_own(text);
        let (FlowStyle::Json, Some(indentation)) = (self.flow, indentation) else {
            return render::flow(value, self.flow);
        };
        let line = text.get(line_start(text, self.open.start)..self.open.start);
        // Each entry has its own line, so this one is short.
        let line = line.unwrap_or_default();
        let outer = line.get(..line.len() - line.trim_start().len()).unwrap_or_default();
        let unit = indentation.strip_prefix(outer).unwrap_or_default();
        let lines = JsonLines {
            indentation,
            unit: if unit.is_empty() { "  " } else { unit },
            line_break: style.line_break,
        };
        let mut out = String::new();
        render::json_lines(&mut out, value, lines);
        out
    }

    /// Returns the white space before each entry, if each entry has its own line.
    fn lines_of_their_own(&self, text: &str) -> Option<&str> {
        let opening = text.get(self.open.end..self.first_key.range.start)?;
        let indentation = self.indentation.as_deref()?;
        opening.contains('\n').then_some(indentation)
    }
}

/// Replaces an empty collection or a scalar that is on the line below its key, such as `{}` below
/// `key:`, with several lines.
pub(super) fn on_its_own_line(
    text: &str,
    key: &Key,
    old: Range<usize>,
    value: &Value,
    style: BlockStyle,
) -> Option<Vec<Change>> {
    let line = text.get(line_start(text, old.start)..old.start)?;
    let least = if value.is_array() { key.column } else { key.column.checked_add(1)? };
    if !line.trim_matches(' ').is_empty() || line.len() < least {
        return None;
    }
    let mut lines = String::new();
    style.lines(&mut lines, value, line.len())?;
    let lines = lines.strip_suffix(style.line_break)?.to_owned();
    Some(vec![Change { range: old, text: lines }])
}

/// Returns the end of the comment lines after a position that belong to the value above them and
/// not to a new key at `column`: commented-out lines with a deeper indentation, or a commented-out
/// item of the list above.
fn behind_comments(text: &str, place: usize, column: usize) -> usize {
    let mut end = place;
    let mut next = line_end(text, place);
    // Column at which the text of the last commented-out item began.
    let mut item = None;
    while let Some(line) = text.get(next..).and_then(|rest| rest.split('\n').next()) {
        let Some(comment) = Comment::new(line) else { break };
        let is_of_item = item.is_some_and(|(indentation, code)| {
            comment.indentation == indentation && comment.code > code
        });
        let is_item = comment.is_item && comment.stands_at() >= column.max(1);
        if !(is_item || is_of_item || comment.is_deeper_than(column)) {
            break;
        }
        if is_item {
            item = Some((comment.indentation, comment.code));
        }
        end = next.saturating_add(line.trim_end().len());
        next = line_end(text, end);
    }
    end
}

/// A line that contains only a comment.
struct Comment {
    /// Column of the `#`.
    indentation: usize,
    /// Column of the text after the `#`.
    code: usize,
    /// Whether the text is an item of a list.
    is_item: bool,
}

impl Comment {
    fn new(line: &str) -> Option<Self> {
        let comment = line.trim_start_matches(' ');
        let indentation = line.len().saturating_sub(comment.len());
        let text = comment.strip_prefix('#')?;
        let code = text.trim_start_matches(' ');
        Some(Self {
            indentation,
            code: line.len().saturating_sub(code.len()),
            is_item: code.starts_with("- "),
        })
    }

    /// Returns the column of the line before it was commented out. Editors insert the `#` in the
    /// first column and leave the line where it is.
    fn stands_at(&self) -> usize {
        if self.indentation == 0 { self.code.saturating_sub(1) } else { self.indentation }
    }

    fn is_deeper_than(&self, column: usize) -> bool {
        // With a space after a `#` in the first column, the line is indented by one more.
        let doubt = usize::from(self.indentation == 0);
        self.stands_at() > column.saturating_add(doubt)
    }
}

/// Returns the line break in use at a position: that of the position's line, else the document's first.
pub(super) fn line_break(text: &str, place: usize) -> &'static str {
    let here = text.get(place..).and_then(|rest| rest.find('\n'));
    let here = here.map_or_else(|| text.find('\n'), |offset| place.checked_add(offset));
    let before = here.and_then(|end| text.get(..end)).unwrap_or_default();
    if before.ends_with('\r') { "\r\n" } else { "\n" }
}

/// Inserts whole lines after the line of a position.
fn lines_behind(text: &str, place: usize, lines: &str, style: BlockStyle) -> Change {
    let at = line_end(text, place);
    let before = text.get(..at).unwrap_or_default();
    if before.ends_with('\n') {
        return insertion(at, lines.to_owned());
    }
    // The document's last line has no line break, and the new last line gets none either.
    let lines = lines.strip_suffix(style.line_break).unwrap_or(lines);
    insertion(at, format!("{}{lines}", style.line_break))
}

/// Returns the end of a flow mapping's last entry, after its comma if there is one, and whether
/// there is a comma.
fn end_of_entry(text: &str, end_of_content: usize, close: usize) -> Option<(usize, bool)> {
    let rest = text.get(end_of_content..close)?;
    let (mut end, mut has_comma, mut in_comment) = (end_of_content, false, false);
    for (offset, letter) in rest.char_indices() {
        match letter {
            '\n' => in_comment = false,
            _ if in_comment => {}
            '#' => in_comment = true,
            // The colon belongs to a key without a value.
            ':' | ',' => {
                has_comma = letter == ',';
                end = end_of_content.checked_add(offset)?.checked_add(1)?;
            }
            _ if letter.is_whitespace() => {}
            _ => return None,
        }
    }
    Some((end, has_comma))
}

const fn insertion(at: usize, text: String) -> Change {
    Change { range: at..at, text }
}

/// Returns the beginning of the line that contains a position.
pub(super) fn line_start(text: &str, place: usize) -> usize {
    let before = text.get(..place).unwrap_or_default();
    before.rfind('\n').map_or(0, |last| last.saturating_add(1))
}

/// Returns the end of the line that contains a position, after its line break.
pub(super) fn line_end(text: &str, place: usize) -> usize {
    let rest = text.get(place..).unwrap_or_default();
    let length = rest.find('\n').map_or(rest.len(), |last| last + 1);
    place.saturating_add(length)
}
