//! A unified diff of a whole file, of which at most one hunk is kept in memory: the file's parts
//! are passed in order, with their new text.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::mem;

use anstyle::{AnsiColor, Style};
use similar::algorithms::{Capture, Compact, Replace, myers};
use similar::{ChangeTag, DiffOp};

/// Number of unchanged lines around a change.
const CONTEXT_LINES: usize = 3;

/// The diff of one file.
#[derive(Debug)]
pub(super) struct FileDiff {
    name: String,
    colored: bool,
    has_head: bool,
    /// The ends of both texts so far that are not whole lines yet.
    old_rest: String,
    new_rest: String,
    /// The numbers of the next lines, from 1.
    old_line: usize,
    new_line: usize,
    /// The last unchanged lines, while no hunk is open.
    context: VecDeque<String>,
    hunk: Option<Hunk>,
}

/// A hunk to which further lines may belong.
#[derive(Debug)]
struct Hunk {
    old_start: usize,
    new_start: usize,
    lines: Vec<(ChangeTag, String)>,
    /// Number of unchanged lines at its end.
    unchanged: usize,
}

impl FileDiff {
    pub(super) fn new(name: &str, colored: bool) -> Self {
        Self {
            name: quoted(name),
            colored,
            has_head: false,
            old_rest: String::new(),
            new_rest: String::new(),
            old_line: 1,
            new_line: 1,
            context: VecDeque::new(),
            hunk: None,
        }
    }

    /// Adds the next part of the file. Parts need not end with a line break.
    pub(super) fn part(&mut self, old: &str, new: &str, out: &mut impl Write) -> io::Result<()> {
        let old = whole_lines(&mut self.old_rest, old);
        let new = whole_lines(&mut self.new_rest, new);
        self.lines(&old, &new, out)
    }

    /// Ends the file.
    pub(super) fn finish(&mut self, out: &mut impl Write) -> io::Result<()> {
        let (old, new) = (mem::take(&mut self.old_rest), mem::take(&mut self.new_rest));
        self.lines(&old, &new, out)?;
        self.close(out)
    }

    fn lines(&mut self, old: &str, new: &str, out: &mut impl Write) -> io::Result<()> {
        if old == new {
            for line in old.split_inclusive('\n') {
                self.unchanged(line, out)?;
            }
            return Ok(());
        }
        let [old, new] = [old, new].map(|text| text.split_inclusive('\n').collect::<Vec<&str>>());
        for operation in differences(&old, &new) {
            for change in operation.iter_changes(&*old, &*new) {
                match change.tag() {
                    ChangeTag::Equal => self.unchanged(change.value(), out)?,
                    tag => self.changed(tag, change.value()),
                }
            }
        }
        Ok(())
    }

    fn unchanged(&mut self, line: &str, out: &mut impl Write) -> io::Result<()> {
        self.old_line += 1;
        self.new_line += 1;
        if let Some(hunk) = &mut self.hunk {
            hunk.lines.push((ChangeTag::Equal, line.to_owned()));
            hunk.unchanged += 1;
            // At this distance from the last change, the next one has its own hunk.
            if hunk.unchanged > 2 * CONTEXT_LINES {
                self.close(out)?;
            }
            return Ok(());
        }
        self.remember(line.to_owned());
        Ok(())
    }

    fn remember(&mut self, line: String) {
        self.context.push_back(line);
        if self.context.len() > CONTEXT_LINES {
            self.context.pop_front();
        }
    }

    fn changed(&mut self, tag: ChangeTag, line: &str) {
        let hunk = self.hunk.get_or_insert_with(|| {
            let context = mem::take(&mut self.context);
            Hunk {
                old_start: self.old_line.saturating_sub(context.len()),
                new_start: self.new_line.saturating_sub(context.len()),
                lines: context.into_iter().map(|line| (ChangeTag::Equal, line)).collect(),
                unchanged: 0,
            }
        });
        hunk.lines.push((tag, line.to_owned()));
        hunk.unchanged = 0;
        match tag {
            ChangeTag::Delete => self.old_line += 1,
            _ => self.new_line += 1,
        }
    }

    /// Writes the open hunk; its last unchanged lines become the context of the next one.
    fn close(&mut self, out: &mut impl Write) -> io::Result<()> {
        let Some(mut hunk) = self.hunk.take() else { return Ok(()) };
        let behind = hunk.unchanged.saturating_sub(CONTEXT_LINES);
        let rest = hunk.lines.split_off(hunk.lines.len().saturating_sub(behind));
        self.write(&hunk, out)?;
        for (_, line) in rest {
            self.remember(line);
        }
        Ok(())
    }

    fn write(&mut self, hunk: &Hunk, out: &mut impl Write) -> io::Result<()> {
        let colored = self.colored;
        let paint = move |style: Style| if colored { style } else { Style::new() };
        if !mem::replace(&mut self.has_head, true) {
            let (name, bold) = (&self.name, paint(Style::new().bold()));
            writeln!(out, "{bold}--- {name}{bold:#}\n{bold}+++ {name}{bold:#}")?;
        }
        let count = |other: ChangeTag| hunk.lines.iter().filter(|(tag, _)| *tag != other).count();
        let [old, new] = [
            (hunk.old_start, count(ChangeTag::Insert)),
            (hunk.new_start, count(ChangeTag::Delete)),
        ]
        // A range without lines begins after the previous line.
        .map(|(start, count)| format!("{},{count}", if count == 0 { start - 1 } else { start }));
        let cyan = paint(AnsiColor::Cyan.on_default());
        writeln!(out, "{cyan}@@ -{old} +{new} @@{cyan:#}")?;
        for (tag, line) in &hunk.lines {
            let (sign, style) = match tag {
                ChangeTag::Equal => (' ', Style::new()),
                ChangeTag::Insert => ('+', AnsiColor::Green.on_default()),
                ChangeTag::Delete => ('-', AnsiColor::Red.on_default()),
            };
            let style = paint(style);
            let text = line.strip_suffix('\n').unwrap_or(line);
            writeln!(out, "{style}{sign}{text}{style:#}")?;
            if !line.ends_with('\n') {
                writeln!(out, "\\ No newline at end of file")?;
            }
        }
        Ok(())
    }
}

/// Adds a part to the rest, and returns the whole lines of both.
fn whole_lines(rest: &mut String, part: &str) -> String {
    let Some(end) = part.rfind('\n') else {
        rest.push_str(part);
        return String::new();
    };
    let (lines, behind) = part.split_at(end + 1);
    let mut whole = mem::replace(rest, behind.to_owned());
    whole.push_str(lines);
    whole
}

/// Returns the changes, as `diff` prints them. Uses one algorithm for one type of text: the text
/// API of the crate would include all algorithms for each type, half a megabyte.
fn differences(old: &[&str], new: &[&str]) -> Vec<DiffOp> {
    let mut found = Compact::new(Replace::new(Capture::new()), old, new);
    match myers::diff(&mut found, old, 0..old.len(), new, 0..new.len()) {
        Ok(()) => found.into_inner().into_inner().into_ops(),
        Err(never) => match never {},
    }
}

/// Quotes a name as `git diff` does: in quotes if it has characters that would end it, and followed
/// by a tab if it has spaces.
fn quoted(name: &str) -> String {
    if name.chars().any(|letter| letter.is_control() || matches!(letter, '"' | '\\')) {
        let escape = |letter: char| match letter {
            '"' => "\\\"".to_owned(),
            '\\' => "\\\\".to_owned(),
            '\n' => "\\n".to_owned(),
            '\t' => "\\t".to_owned(),
            _ if letter.is_control() => format!("\\{:03o}", u32::from(letter)),
            _ => letter.to_string(),
        };
        return format!("\"{}\"", name.chars().map(escape).collect::<String>());
    }
    if name.contains(' ') { format!("{name}\t") } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diff(parts: &[(&str, &str)]) -> String {
        let mut diff = FileDiff::new("a b", false);
        let mut out = Vec::new();
        for (old, new) in parts {
            diff.part(old, new, &mut out).unwrap();
        }
        diff.finish(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn context_continues_in_the_next_part() {
        assert_eq!(
            diff(&[("1\n", "1\n"), ("2\n", "2\nx\n"), ("3\n4\n5\n6\n", "3\n4\n5\n6\n")]),
            "--- a b\t\n+++ a b\t\n@@ -1,5 +1,6 @@\n 1\n 2\n+x\n 3\n 4\n 5\n"
        );
    }

    #[test]
    fn hunks_are_one_where_their_context_meets() {
        let lines = |count: usize| "x\n".repeat(count);
        let two = |between: usize| {
            diff(&[("a\n", "b\n"), (&lines(between), &lines(between)), ("a\n", "b\n")])
        };
        assert_eq!(two(6).matches("@@ -").count(), 1);
        assert_eq!(two(7).matches("@@ -").count(), 2);
    }

    #[test]
    fn parts_of_one_line_are_one_line() {
        assert_eq!(
            diff(&[("{}", "{}"), ("{1}", "{2}"), ("", "")]),
            "--- a b\t\n+++ a b\t\n@@ -1,1 +1,1 @@\n-{}{1}\n\\ No newline at end of file\n+{}{2}\n\\ No newline at end of file\n"
        );
        assert_eq!(diff(&[("a\nb", "a\nb")]), "");
    }
}
