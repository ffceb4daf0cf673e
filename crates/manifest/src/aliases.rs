//! The size to which a document's aliases expand, computed before anything is expanded: a few lines
//! of nested aliases can expand to terabytes.

use std::collections::HashMap;

use granit_parser::{Event, Marker, Parser};

/// Cost of a node in addition to its text, in bytes; approximately its size in memory.
const NODE_BYTES: usize = 128;

/// Limit for the expanded size of all aliases together. Manifests written by people stay below a
/// hundredth of it.
const MOST_EXPANDED_BYTES: usize = 64 * 1024 * 1024;

/// Returns the alias with which the expanded size of a document exceeds the limit.
pub(super) fn first_above_limit(text: &str) -> Option<Marker> {
    // Most documents have no anchors, so their nodes need not be visited.
    if !(text.contains('&') && text.contains('*')) {
        return None;
    }
    let options = granit_parser::options! { emit_comments: false };
    let mut sizes: HashMap<usize, usize> = HashMap::new();
    // The anchor and the size so far of each open collection; anchor 0 means none.
    let mut open: Vec<(usize, usize)> = Vec::new();
    let mut expanded: usize = 0;
    for next in Parser::new_from_str_with_options(text, options) {
        // Invalid YAML is reported by the reader of values.
        let (event, span) = next.ok()?;
        let size = match &event {
            Event::Scalar(value, _, anchor, _) => {
                let size = value.len().saturating_add(NODE_BYTES);
                sizes.insert(*anchor, size);
                size
            }
            Event::SequenceStart(_, anchor, _) | Event::MappingStart(_, anchor, _) => {
                open.push((*anchor, NODE_BYTES));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let (anchor, size) = open.pop()?;
                sizes.insert(anchor, size);
                size
            }
            Event::Alias(anchor) => {
                let size = sizes.get(anchor).copied().unwrap_or(NODE_BYTES);
                expanded = expanded.saturating_add(size);
                if expanded > MOST_EXPANDED_BYTES {
                    return Some(span.start);
                }
                size
            }
            _ => continue,
        };
        if let Some((_, sum)) = open.last_mut() {
            *sum = sum.saturating_add(size);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_aliases_stand_for() {
        assert_eq!(first_above_limit("a: &a [1, 2]\nb: [*a, *a]\n"), None);
        let mut laughs = "a: &a lol\n".to_owned();
        for level in 0..9 {
            let (name, of) = (char::from(b'b' + level), char::from(b'a' + level));
            let ten = vec![format!("*{of}"); 10].join(", ");
            laughs.extend([
                name.to_string().as_str(),
                ": &",
                name.to_string().as_str(),
                " [",
                &ten,
                "]\n",
            ]);
        }
        assert!(first_above_limit(&laughs).is_some());
    }

    #[test]
    fn counts_the_text_of_scalars() {
        let many = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), "*a,".repeat(80));
        assert!(first_above_limit(&many).is_some());
        let few = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), "*a,".repeat(40));
        assert_eq!(first_above_limit(&few), None);
    }
}
