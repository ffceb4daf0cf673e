//! Applies a patch to a document's text. The result is parsed again and compared with the patched
//! value, so a mistake here can cost the author's layout, but never change the meaning.

use std::collections::HashMap;

use json_patch::{Patch, PatchOperation};
use serde_json::Value;

use super::change::{Change, Obstacle};
use super::insert::line_break;
use super::locate::{self, Changes};
use super::patch::apply_patch;
use super::render::{self, BlockStyle, JsonLines};
use super::wanted::Wanted;
use super::{Document, Edited, Format, Layout, ManifestError, Replaced};

/// Applies a patch to a document's text.
pub(super) fn edited(
    document: &Document,
    before: &Value,
    patch: &Patch,
    texts: &HashMap<String, String>,
) -> Result<Edited, ManifestError> {
    let mut after = before.clone();
    apply_patch(&mut after, patch)
        .map_err(|error| document.error(1, 1, format!("the patch does not apply: {error}")))?;
    // A text from another format or indentation may no longer fit.
    if !texts.is_empty()
        && let Ok(edit) = in_place(document, patch, texts)
        && reads_as(document, &edit.text, &after)
    {
        let InPlace { text, replaced } = edit;
        return Ok(Edited { text, layout: Layout::Kept, replaced, has_texts: true });
    }
    let reason = match in_place(document, patch, &HashMap::new()) {
        Ok(InPlace { text, replaced }) if reads_as(document, &text, &after) => {
            let has_texts = texts.is_empty();
            return Ok(Edited { text, layout: Layout::Kept, replaced, has_texts });
        }
        Ok(_) => "the edited text would not parse as the patched value".to_owned(),
        Err(Obstacle(reason)) => reason,
    };
    let text = rewritten(document, &after);
    if !reads_as(document, &text, &after) {
        let message = format!("the patched document can't be written: {reason}");
        return Err(document.error(1, 1, message));
    }
    let (layout, has_texts) = (Layout::Rewritten { reason }, texts.is_empty());
    Ok(Edited { text, layout, replaced: Vec::new(), has_texts })
}

/// A text that was edited in place.
struct InPlace {
    text: String,
    replaced: Vec<Replaced>,
}

fn reads_as(document: &Document, text: &str, value: &Value) -> bool {
    // Most readers of JSON accept nothing else.
    let is_json = document.format == Format::Json;
    if is_json && is_pure_json(&document.text) && !is_pure_json(text) {
        return false;
    }
    let read = Document { text: text.to_owned(), ..*document };
    // Duplicate keys elsewhere are not this function's concern.
    read.read().is_ok_and(|read| read.map(|read| read.value).unwrap_or_default() == *value)
}

/// Returns the text with the operations applied. Operations that do not depend on each other are
/// applied in the same pass.
fn in_place(
    document: &Document,
    patch: &Patch,
    texts: &HashMap<String, String>,
) -> Result<InPlace, Obstacle> {
    let mut text = document.text.clone();
    let mut all_replaced = Vec::new();
    let mut operations = patch.iter().peekable();
    while operations.peek().is_some() {
        let mut wanted = Wanted::default();
        let mut has_any = false;
        while let Some(operation) = operations.peek() {
            let added = match operation {
                PatchOperation::Add(add) => wanted.add(&add.path, &add.value),
                PatchOperation::Replace(replace) => wanted.add(&replace.path, &replace.value),
                PatchOperation::Remove(remove) => wanted.remove(&remove.path),
                _ => {
                    let reason = "the patch does more than add, replace and remove";
                    return Err(Obstacle(reason.to_owned()));
                }
            };
            if added.is_err() {
                break;
            }
            has_any = true;
            operations.next();
        }
        if !has_any {
            let reason = "the patch replaces the whole document";
            return Err(Obstacle(reason.to_owned()));
        }
        let Changes { changes, replaced } =
            locate::changes(&text, document.format, &wanted, texts)?;
        text = apply(&text, changes)?;
        all_replaced.extend(replaced);
    }
    Ok(InPlace { text, replaced: all_replaced })
}

fn is_pure_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text.trim_start_matches('\u{feff}')).is_ok()
}

fn apply(text: &str, mut changes: Vec<Change>) -> Result<String, Obstacle> {
    // The sort is stable: changes at the same position keep their order, the inner mapping's before
    // the outer's.
    changes.sort_by_key(|change| change.range.start);
    let added = changes.iter().map(|change| change.text.len()).sum();
    let mut out = String::with_capacity(text.len().saturating_add(added));
    let mut end = 0;
    for change in changes {
        let kept = text.get(end..change.range.start);
        out.push_str(kept.ok_or_else(|| Obstacle("changes overlap".to_owned()))?);
        out.push_str(&change.text);
        end = change.range.end;
    }
    out.push_str(text.get(end..).unwrap_or_default());
    // A last line without a line break stays without one, even if the lines after it were removed.
    if !text.ends_with('\n')
        && let Some(bare) = out.strip_suffix('\n')
    {
        out.truncate(bare.strip_suffix('\r').unwrap_or(bare).len());
    }
    Ok(out)
}

/// Returns the rewritten document, between the text above and below it.
fn rewritten(document: &Document, value: &Value) -> String {
    let text = &document.text;
    let line_break = line_break(text, 0);
    match document.format {
        Format::Json => {
            let body = text.trim_start_matches('\u{feff}').trim();
            let start = text.find(body).unwrap_or_default();
            let end = start.saturating_add(body.len());
            let mut out = text.get(..start).unwrap_or_default().to_owned();
            let lines = JsonLines { indentation: "", unit: "  ", line_break };
            render::json_lines(&mut out, value, lines);
            out.push_str(text.get(end..).unwrap_or_default());
            out
        }
        Format::Yaml => {
            let style = BlockStyle { line_break, list_step: 0 };
            let mut out = head(text, line_break);
            out.push_str(&style.document(value));
            out.push_str(tail(text));
            out
        }
    }
}

/// Returns the text above the content: comments, directives and the `---` line.
fn head(text: &str, line_break: &str) -> String {
    let mut head = String::new();
    let mut has_marker = false;
    for line in text.split_inclusive('\n') {
        let bare = line.trim_start_matches('\u{feff}');
        let is_comment = bare.trim().is_empty() || bare.trim_start().starts_with('#');
        if is_comment || (!has_marker && bare.starts_with('%')) {
            head.push_str(line);
            continue;
        }
        let Some(behind) = bare.strip_prefix("---").filter(|_| !has_marker) else {
            break;
        };
        has_marker = true;
        if behind.trim().is_empty() || behind.trim_start().starts_with('#') {
            head.push_str(line);
        } else {
            head.push_str("---");
            head.push_str(line_break);
            break;
        }
    }
    if !head.is_empty() && !head.ends_with('\n') {
        head.push_str(line_break);
    }
    head
}

/// Returns the `...` line at the end and the text after it.
fn tail(text: &str) -> &str {
    let last = text.trim_end().rfind('\n').map_or(0, |last| last + 1);
    let tail = text.get(last..).unwrap_or_default();
    let is_end = |rest: &str| rest.is_empty() || rest.starts_with(char::is_whitespace);
    if tail.strip_prefix("...").is_some_and(is_end) { tail } else { "" }
}
