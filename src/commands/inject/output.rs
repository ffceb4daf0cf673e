//! Where results go: standard output in five forms, or the files themselves.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use anstyle::{AnsiColor, Style};
use anyhow::Context;
use json_patch::Patch;
use serde_json::json;
use similar::algorithms::{Capture, Compact, Replace, myers};
use similar::{ChangeTag, DiffOp, group_diff_ops};
use tempfile::{NamedTempFile, SpooledTempFile};

use crate::cli::{Color, InjectArguments, OutputForm};
use crate::manifest::{Document, Format};
use crate::report::{API_VERSION, KIND, Summary, WorkloadReport};

use super::input::Source;

/// Up to here the result of a file is held in memory, beyond on disk.
const MOST_IN_MEMORY_BYTES: usize = 8 * 1024 * 1024;
/// Unchanged lines around a change, in diffs.
const CONTEXT_LINES: usize = 3;

/// The result of the whole run.
pub(super) struct Output {
    form: Option<OutputForm>,
    in_place: bool,
    colored: bool,
    /// Something was printed before: documents and items need a separator.
    is_first: bool,
}

/// The result of one file, held back until all of the file was understood.
pub(super) struct FileOutput {
    form: Option<OutputForm>,
    colored: bool,
    name: String,
    /// For standard output.
    printed: SpooledTempFile,
    /// The file's new text, beside the file.
    rewritten: Option<NamedTempFile>,
    is_changed: bool,
    has_items: bool,
    /// How many lines the new text has had so far.
    new_lines: usize,
}

impl Output {
    pub(super) fn new(arguments: &InjectArguments) -> Self {
        let silent = arguments.check || arguments.in_place;
        let form = arguments.output.or((!silent).then_some(OutputForm::Yaml));
        let colored = match arguments.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never
            }
        };
        Self { form, in_place: arguments.in_place, colored, is_first: true }
    }

    /// A place for the result of a file.
    pub(super) fn file(&self, source: &Source) -> anyhow::Result<FileOutput> {
        let path = source.file_path().filter(|_| self.in_place);
        Ok(FileOutput {
            form: self.form,
            colored: self.colored,
            name: source.name.clone(),
            printed: SpooledTempFile::new(MOST_IN_MEMORY_BYTES),
            rewritten: path.map(beside).transpose().with_context(|| source.name.clone())?,
            is_changed: false,
            has_items: false,
            new_lines: 0,
        })
    }

    /// Takes the result of a file that was understood.
    pub(super) fn take(&mut self, file: FileOutput, source: &Source) -> anyhow::Result<()> {
        let FileOutput { mut printed, rewritten, is_changed, .. } = file;
        if let (Some(rewritten), Some(path), true) = (rewritten, source.file_path(), is_changed) {
            replace(rewritten, path)?;
        }
        let length = printed.stream_position()?;
        if length == 0 {
            return Ok(());
        }
        printed.seek(SeekFrom::Start(0))?;
        let mut out = super::stdout();
        match self.form {
            Some(OutputForm::Json) => self.separate_items(&mut out)?,
            Some(OutputForm::Yaml) => self.separate_documents(&mut out, &mut printed)?,
            Some(OutputForm::Diff | OutputForm::JsonPatch | OutputForm::Report) | None => {}
        }
        io::copy(&mut printed, &mut out)?;
        out.flush()?;
        self.is_first = false;
        Ok(())
    }

    /// Ends the output as a whole.
    pub(super) fn finish(&self, summary: &Summary) -> anyhow::Result<()> {
        let mut out = super::stdout();
        match self.form {
            Some(OutputForm::Json) => {
                if self.is_first {
                    self.separate_items(&mut out)?;
                }
                writeln!(out, "\n],\"summary\":{}}}", serde_json::to_string(summary)?)?;
            }
            Some(OutputForm::Report) => writeln!(out, "{summary}")?,
            Some(OutputForm::Yaml | OutputForm::Diff | OutputForm::JsonPatch) | None => {}
        }
        Ok(out.flush()?)
    }

    fn separate_items(&self, out: &mut impl Write) -> io::Result<()> {
        if self.is_first {
            writeln!(out, "{{\"apiVersion\":\"{API_VERSION}\",\"kind\":\"{KIND}\",\"items\":[")
        } else {
            writeln!(out, ",")
        }
    }

    /// A file need not begin with `---`, but what follows another file must.
    fn separate_documents(
        &self,
        out: &mut impl Write,
        printed: &mut SpooledTempFile,
    ) -> io::Result<()> {
        let mut head = [0; 3];
        let read = printed.read(&mut head)?;
        printed.seek(SeekFrom::Start(0))?;
        if !self.is_first && head.get(..read) != Some(b"---") {
            writeln!(out, "---")?;
        }
        Ok(())
    }
}

impl FileOutput {
    /// A document that stays as it is.
    pub(super) fn unchanged(&mut self, document: &Document) -> io::Result<()> {
        self.text(document, &document.text)
    }

    /// A document with its new text.
    pub(super) fn changed(&mut self, document: &Document, text: &str) -> io::Result<()> {
        self.is_changed = true;
        if self.form == Some(OutputForm::Diff) {
            self.diff(document, text)?;
        }
        self.text(document, text)
    }

    /// What is said about one workload; `patch` where patches are wanted.
    pub(super) fn workload(
        &mut self,
        report: &WorkloadReport<'_>,
        patch: Option<&Patch>,
    ) -> anyhow::Result<()> {
        match self.form {
            Some(OutputForm::Report) => {
                let mut text = String::new();
                report.write_text(&mut text)?;
                writeln!(self.printed, "{text}")?;
            }
            Some(OutputForm::Json) => {
                if self.has_items {
                    writeln!(self.printed, ",")?;
                }
                serde_json::to_writer(&mut self.printed, report)?;
            }
            Some(OutputForm::JsonPatch) => {
                if let Some(patch) = patch {
                    let line = json!({ "target": report.target(), "patch": patch });
                    writeln!(self.printed, "{line}")?;
                }
            }
            Some(OutputForm::Yaml | OutputForm::Diff) | None => {}
        }
        self.has_items = true;
        Ok(())
    }

    fn text(&mut self, document: &Document, text: &str) -> io::Result<()> {
        self.new_lines += text.matches('\n').count();
        if let Some(rewritten) = &mut self.rewritten {
            rewritten.write_all(text.as_bytes())?;
        }
        if self.form == Some(OutputForm::Yaml) {
            self.printed.write_all(text.as_bytes())?;
            // The next file begins on a line of its own.
            if document.format == Format::Json && !text.ends_with('\n') {
                writeln!(self.printed)?;
            }
        }
        Ok(())
    }

    /// The document's part of a unified diff of the whole file.
    fn diff(&mut self, document: &Document, text: &str) -> io::Result<()> {
        let colored = self.colored;
        let paint = move |style: Style| if colored { style } else { Style::new() };
        let bold = paint(Style::new().bold());
        if !self.has_items || self.printed.stream_position()? == 0 {
            let name = &self.name;
            writeln!(self.printed, "{bold}--- {name}{bold:#}\n{bold}+++ {name}{bold:#}")?;
        }
        let [old_lines, new_lines] = [document.text.as_str(), text]
            .map(|text| text.split_inclusive('\n').collect::<Vec<&str>>());
        let first = document.first_line.saturating_sub(1);
        for group in group_diff_ops(differences(&old_lines, &new_lines), CONTEXT_LINES) {
            let (Some(head), Some(tail)) = (group.first(), group.last()) else { continue };
            let old = head.old_range().start..tail.old_range().end;
            let new = head.new_range().start..tail.new_range().end;
            let cyan = paint(AnsiColor::Cyan.on_default());
            writeln!(
                self.printed,
                "{cyan}@@ -{},{} +{},{} @@{cyan:#}",
                first + old.start + 1,
                old.len(),
                self.new_lines + new.start + 1,
                new.len()
            )?;
            let changes =
                group.iter().flat_map(|operation| operation.iter_changes(&*old_lines, &*new_lines));
            for change in changes {
                let (sign, style) = match change.tag() {
                    ChangeTag::Equal => (' ', Style::new()),
                    ChangeTag::Insert => ('+', AnsiColor::Green.on_default()),
                    ChangeTag::Delete => ('-', AnsiColor::Red.on_default()),
                };
                let (style, line) = (paint(style), change.value());
                let line_text = line.strip_suffix('\n').unwrap_or(line);
                writeln!(self.printed, "{style}{sign}{line_text}{style:#}")?;
                if !line.ends_with('\n') {
                    writeln!(self.printed, "\\ No newline at end of file")?;
                }
            }
        }
        Ok(())
    }
}

/// What has to change, as `diff` tells it. One algorithm for one kind of text: the crate's own front for
/// text would bring all of them for each kind, half a megabyte.
fn differences(old: &[&str], new: &[&str]) -> Vec<DiffOp> {
    let mut found = Compact::new(Replace::new(Capture::new()), old, new);
    match myers::diff(&mut found, old, 0..old.len(), new, 0..new.len()) {
        Ok(()) => found.into_inner().into_inner().into_ops(),
        Err(never) => match never {},
    }
}

/// A new file beside the old one, so that it can take its place in one step.
fn beside(path: &Path) -> io::Result<NamedTempFile> {
    let path = fs::canonicalize(path)?;
    NamedTempFile::new_in(path.parent().unwrap_or(Path::new(".")))
}

/// Puts the new text in the file's place, with the file's mode. A link stays a link.
fn replace(rewritten: NamedTempFile, path: &Path) -> anyhow::Result<()> {
    let path = fs::canonicalize(path)?;
    rewritten.as_file().set_permissions(fs::metadata(&path)?.permissions())?;
    rewritten.as_file().sync_all()?;
    rewritten.persist(&path).map_err(|error| error.error)?;
    Ok(())
}
