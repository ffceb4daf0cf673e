//! Entries of mappings that go, and values that give way to others, as changes of the text.

use std::ops::Range;

use serde_json::Value;

use super::change::Change;
use super::insert::{self, Frame, Key, Style};
use super::render::{self, BlockStyle, FlowStyle};

/// An entry of a mapping, where its neighbours are known.
#[derive(Debug)]
pub(super) struct Entry {
    /// Where the key begins.
    pub(super) start: usize,
    /// The end of the value.
    pub(super) end: usize,
    /// The end of the entry before it; `None` for the first one.
    pub(super) before: Option<usize>,
    /// Where the key of the entry behind it begins; `None` for the last one.
    pub(super) behind: Option<usize>,
}

impl Entry {
    /// The changes that take it out; `None` where there is no safe way. There is none for an only
    /// entry, since the rest would not be a mapping.
    pub(super) fn removed(&self, text: &str, style: Style) -> Option<Vec<Change>> {
        match (style, self.before, self.behind) {
            (_, None, None) => None,
            (Style::Block, ..) => self.lines(text),
            (Style::Flow, None, Some(behind)) => Some(vec![deletion(self.start..behind)]),
            (Style::Flow, Some(before), _) => self.behind_another(text, before),
        }
    }

    /// The lines of an entry in block style.
    fn lines(&self, text: &str) -> Option<Vec<Change>> {
        let start = insert::line_start(text, self.start);
        // `- key: value`: the dash belongs to the mapping.
        if !text.get(start..self.start)?.trim_matches(' ').is_empty() {
            return None;
        }
        Some(vec![deletion(start..insert::line_end(text, self.end))])
    }

    /// An entry of a flow mapping, with the white space before it and one comma.
    fn behind_another(&self, text: &str, before: usize) -> Option<Vec<Change>> {
        let between = text.get(before..self.start)?;
        let start = before.checked_add(between.trim_end().len())?;
        let rest = text.get(self.end..)?;
        let own_comma = rest.len().checked_sub(rest.trim_start().len())?;
        if rest.trim_start().starts_with(',') {
            let end = self.end.checked_add(own_comma)?.checked_add(1)?;
            return Some(vec![deletion(start..end)]);
        }
        let comma = before.checked_add(between.find(',')?)?;
        let behind_comma = comma.checked_add(1)?;
        if behind_comma == start {
            return Some(vec![deletion(comma..self.end)]);
        }
        Some(vec![deletion(comma..behind_comma), deletion(start..self.end)])
    }
}

impl Frame {
    /// Another value in place of a collection with entries. None where there is no safe place.
    pub(super) fn replace_collection(
        &self,
        text: &str,
        key: &Key,
        old: Range<usize>,
        value: &Value,
        style: BlockStyle,
    ) -> Option<Vec<Change>> {
        let colon = key.colon(text)?;
        let between = text.get(colon..old.start)?;
        if self.is_flow() || !between.contains('\n') {
            return self.replace(text, key, old, value, style);
        }
        if render::needs_lines(value) {
            return insert::on_its_own_line(text, key, old, value, style);
        }
        // The value goes to its key's line, and the lines of the old one go.
        let lines = insert::line_start(text, old.start)..insert::line_end(text, old.end);
        let new = format!(" {}", render::flow(value, FlowStyle::Yaml));
        Some(vec![Change { range: colon..colon, text: new }, deletion(lines)])
    }
}

const fn deletion(range: Range<usize>) -> Change {
    Change { range, text: String::new() }
}
