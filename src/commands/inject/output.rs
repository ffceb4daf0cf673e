//! The output of results: standard output in five forms, or the files themselves.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::Context;
use json_patch::Patch;
use prestop_manifest::Document;
use serde_json::json;
use tempfile::{NamedTempFile, SpooledTempFile};

use super::super::input::Input;
use super::diff::FileDiff;
use super::function::results::Results;
use super::joint::{FilePlace, Joint};
use super::report::{API_VERSION, KIND, Summary, WorkloadReport};
use super::signals::Signals;
use crate::cli::{Color, ManifestArguments, OutputForm};

/// Maximum size of a file's result in memory; a larger one is kept on disk.
const MOST_IN_MEMORY_BYTES: usize = 8 * 1024 * 1024;

/// The output of the whole run.
pub(super) struct Output {
    form: Option<OutputForm>,
    /// Holds signals back while a file is replaced; `None` if no files are written.
    signals: Option<Signals>,
    colored: bool,
    /// Whether nothing was printed yet: later documents and items need a separator.
    is_first: bool,
    /// How the next file's documents are joined to those that were printed.
    joint: Joint,
}

/// The result of one file, held back until the whole file was parsed.
pub(super) struct FileOutput {
    form: Option<OutputForm>,
    /// Text for standard output.
    printed: SpooledTempFile,
    diff: Option<FileDiff>,
    /// The file's new text.
    rewritten: Option<SpooledTempFile>,
    is_changed: bool,
    has_items: bool,
    /// How its documents are joined to those of other files.
    joint: Joint,
    /// The results of a function.
    results: Option<Results>,
}

impl Output {
    pub(super) fn new(arguments: &ManifestArguments) -> anyhow::Result<Self> {
        let silent = arguments.check || arguments.in_place;
        let form = arguments.output.or((!silent).then_some(OutputForm::Yaml));
        let colored = match arguments.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never
            }
        };
        let signals = arguments.in_place.then(Signals::take).transpose().context("signals")?;
        Ok(Self { form, signals, colored, is_first: true, joint: Joint::default() })
    }

    /// Creates the output for the result of a file.
    pub(super) fn file(&self, input: &Input) -> FileOutput {
        let spool = || SpooledTempFile::new(MOST_IN_MEMORY_BYTES);
        let is_written = self.signals.is_some() && input.file_path().is_some();
        FileOutput {
            form: self.form,
            printed: spool(),
            diff: (self.form == Some(OutputForm::Diff))
                .then(|| FileDiff::new(&input.name, self.colored)),
            rewritten: is_written.then(spool),
            is_changed: false,
            has_items: false,
            joint: Joint::new(if self.is_first { FilePlace::First } else { FilePlace::Later }),
            results: None,
        }
    }

    /// Writes the new text of a parsed file, if it has changed and files are to be written.
    pub(super) fn replace(&self, file: &mut FileOutput, input: &Input) -> anyhow::Result<()> {
        let FileOutput { rewritten, is_changed, .. } = file;
        let (Some(rewritten), Some(path)) = (rewritten, input.file_path()) else { return Ok(()) };
        if *is_changed && let Some(signals) = &self.signals {
            let _held = signals.hold();
            replace(rewritten, path)?;
        }
        Ok(())
    }

    /// Prints the result of a parsed file.
    pub(super) fn print(&mut self, file: FileOutput) -> anyhow::Result<()> {
        let FileOutput { mut printed, mut diff, mut joint, .. } = file;
        if let Some(diff) = &mut diff {
            diff.finish(&mut printed)?;
        }
        let length = printed.stream_position()?;
        if length == 0 && joint.is_empty() {
            return Ok(());
        }
        printed.seek(SeekFrom::Start(0))?;
        let mut out = super::stdout();
        match self.form {
            Some(OutputForm::Json) => self.separate_items(&mut out)?,
            Some(OutputForm::Yaml) => {
                if !self.is_first {
                    self.joint.write_between(&mut joint, &mut out)?;
                }
                self.joint = joint;
            }
            Some(OutputForm::Diff | OutputForm::JsonPatch | OutputForm::Report) | None => {}
        }
        io::copy(&mut printed, &mut out)?;
        out.flush()?;
        self.is_first = false;
        Ok(())
    }

    /// Writes the end of the output.
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
            Some(OutputForm::Yaml) => out.write_all(self.joint.held().as_bytes())?,
            Some(OutputForm::Diff | OutputForm::JsonPatch) | None => {}
        }
        Ok(out.flush()?)
    }

    /// Whether the summary is part of the printed output.
    pub(super) const fn has_summary(&self) -> bool {
        matches!(self.form, Some(OutputForm::Json | OutputForm::Report))
    }

    fn separate_items(&self, out: &mut impl Write) -> io::Result<()> {
        if self.is_first {
            writeln!(out, "{{\"apiVersion\":\"{API_VERSION}\",\"kind\":\"{KIND}\",\"items\":[")
        } else {
            writeln!(out, ",")
        }
    }
}

impl FileOutput {
    /// Creates an output in memory for the text, and for the results of a function.
    pub(super) fn in_memory(results: Option<Results>) -> Self {
        Self {
            form: Some(OutputForm::Yaml),
            printed: SpooledTempFile::new(MOST_IN_MEMORY_BYTES),
            diff: None,
            rewritten: None,
            is_changed: false,
            has_items: false,
            joint: Joint::new(FilePlace::First),
            results,
        }
    }

    /// Returns the text and the results.
    pub(super) fn into_memory(mut self) -> io::Result<(String, Option<Results>)> {
        self.printed.seek(SeekFrom::Start(0))?;
        let mut text = String::new();
        self.printed.read_to_string(&mut text)?;
        text.push_str(self.joint.held());
        Ok((text, self.results))
    }

    /// Returns the results of a function, if it is one.
    pub(super) fn results(&mut self) -> Option<&mut Results> {
        self.results.as_mut()
    }

    /// Adds a document that is not changed.
    pub(super) fn unchanged(&mut self, document: &Document) -> io::Result<()> {
        self.begin(document)?;
        self.part(&document.text, &document.text)
    }

    /// Begins another document; its parts follow.
    pub(super) fn begin(&mut self, document: &Document) -> io::Result<()> {
        if self.form == Some(OutputForm::Yaml) {
            self.joint.begin(document, &mut self.printed)?;
        }
        Ok(())
    }

    /// Adds a part of a document with its new text. The parts of a document follow each other
    /// without gaps.
    pub(super) fn part(&mut self, old: &str, new: &str) -> io::Result<()> {
        self.is_changed |= old != new;
        if let Some(rewritten) = &mut self.rewritten {
            rewritten.write_all(new.as_bytes())?;
        }
        if let Some(diff) = &mut self.diff {
            diff.part(old, new, &mut self.printed)?;
        }
        if self.form == Some(OutputForm::Yaml) {
            self.joint.write(new, &mut self.printed)?;
        }
        Ok(())
    }

    /// Adds the report on one workload, and its `patch` if patches are wanted.
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
}

/// Replaces a file by the new text, in one step and with the same mode. A symbolic link stays one.
fn replace(rewritten: &mut SpooledTempFile, path: &Path) -> anyhow::Result<()> {
    let path = fs::canonicalize(path)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut beside = NamedTempFile::new_in(folder)
        .map_err(|error| error.kind())
        .map_err(io::Error::from)
        .with_context(|| format!("no file can be created in the folder {}", folder.display()))?;
    rewritten.seek(SeekFrom::Start(0))?;
    io::copy(rewritten, &mut beside)?;
    beside.as_file().set_permissions(fs::metadata(&path)?.permissions())?;
    beside.as_file().sync_all()?;
    beside.persist(&path).map_err(|error| error.error)?;
    Ok(())
}
