//! Changes of the text that remove entries of mappings and replace collections.

use std::ops::Range;

use serde_json::Value;

use super::change::Change;
use super::insert::{self, Frame, Key, Style};
use super::render::{self, BlockStyle, FlowStyle};

/// An entry of a mapping, with the positions of its neighbours.
#[derive(Debug)]
pub(super) struct Entry {
    /// Beginning of the key.
    pub(super) start: usize,
    /// End of the value.
    pub(super) end: usize,
    /// End of the previous entry; `None` for the first one.
    pub(super) before: Option<usize>,
    /// Beginning of the next entry's key; `None` for the last one.
    pub(super) behind: Option<usize>,
}

impl Entry {
    /// Returns the changes that remove the entry; `None` if there is no safe way. There is none for
    /// the only entry, because the rest would not be a mapping.
    pub(super) fn removed(&self, text: &str, style: Style) -> Option<Vec<Change>> {
        match (style, self.before, self.behind) {
            (_, None, None) => None,
            (Style::Block, ..) => self.lines(text),
            (Style::Flow, None, Some(behind)) => Some(vec![deletion(self.start..behind)]),
            (Style::Flow, Some(before), _) => self.behind_another(text, before),
        }
    }

    /// Removes the lines of an entry in block style.
    fn lines(&self, text: &str) -> Option<Vec<Change>> {
        let start = insert::line_start(text, self.start);
        // In `- key: value` the dash belongs to the mapping.
        if !text.get(start..self.start)?.trim_matches(' ').is_empty() {
            return None;
        }
        Some(vec![deletion(start..insert::line_end(text, self.end))])
    }

    /// Removes an entry of a flow mapping, with its line break or the white space before it, and
    /// one comma.
    fn behind_another(&self, text: &str, before: usize) -> Option<Vec<Change>> {
        let between = text.get(before..self.start)?;
        // White space at the end of the line before it belongs to that line.
        let bare = between.trim_end();
        let blank = between.get(bare.len()..)?;
        let kept = blank.rfind('\n').and_then(|at| blank.get(..at)).unwrap_or_default();
        let kept = kept.strip_suffix('\r').unwrap_or(kept);
        let start = before.checked_add(bare.len())?.checked_add(kept.len())?;
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
    /// Replaces a collection that has entries. Returns `None` if there is no safe position.
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
        // The value is written on its key's line, and the lines of the old one are removed.
        let lines = insert::line_start(text, old.start)..insert::line_end(text, old.end);
        let new = format!(" {}", render::flow(value, FlowStyle::Yaml));
        Some(vec![Change { range: colon..colon, text: new }, deletion(lines)])
    }
}

const fn deletion(range: Range<usize>) -> Change {
    Change { range, text: String::new() }
}
