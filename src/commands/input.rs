//! The sources of manifests: files, folders, standard input.

mod kustomize;

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use prestop_core::engine::template::is_list;
use prestop_manifest::{Document, Documents, ListOfItems, Reading};
use walkdir::WalkDir;

use super::{name_of, unopened};

/// Extensions of the files in folders that are read.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// An input that can be read more than once.
pub(super) struct Input {
    /// The name in reports; `-` for standard input.
    pub(super) name: String,
    /// The kustomization that lists it as a patch.
    pub(super) patch_of: Option<PathBuf>,
    content: Content,
}

enum Content {
    Path(PathBuf),
    /// Standard input, copied to a file without a name.
    Copy(File),
}

/// Opens every input that the arguments name; returns errors for missing ones.
///
/// # Errors
/// When standard input can't be copied, or would have to be written in place.
pub(super) fn all(
    paths: &[PathBuf],
    in_place: bool,
) -> anyhow::Result<(Vec<Input>, Vec<anyhow::Error>)> {
    let mut inputs = Vec::new();
    let mut errors = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            if in_place {
                bail!("standard input can't be written in place; remove --in-place");
            }
            inputs.push(Input::standard_input()?);
        } else if path.is_dir() {
            let before = inputs.len();
            errors.extend(folder(path, &mut inputs));
            if inputs.len() == before {
                let path = path.display();
                errors.push(anyhow::anyhow!("{path}: no .yaml, .yml or .json file in this folder"));
            }
        } else {
            match File::open(path) {
                Ok(_) => inputs.push(Input::path(path)),
                Err(error) => errors.push(unopened(path, &error)),
            }
        }
    }
    let patches = kustomize::patches(inputs.iter().filter_map(Input::file_path));
    for input in &mut inputs {
        let path = input.file_path().and_then(|path| fs::canonicalize(path).ok());
        input.patch_of = path.and_then(|path| patches.get(&path).cloned());
    }
    Ok((inputs, errors))
}

/// Returns a document as a list of objects, and the list without them; `None` if it is not a list.
pub(super) fn list_of_objects(document: &Document) -> Option<(ListOfItems<'_>, Reading)> {
    // Most documents are not lists, so their nodes need not be visited.
    if !document.text.contains("List") {
        return None;
    }
    let list = document.list_of_items()?;
    let frame = list.frame().read().ok()??;
    is_list(&frame.value).then_some((list, frame))
}

/// Adds the manifests of a folder, sorted by name; returns the errors.
fn folder(path: &Path, inputs: &mut Vec<Input>) -> Vec<anyhow::Error> {
    let mut errors = Vec::new();
    for entry in WalkDir::new(path).follow_links(true).sort_by_file_name() {
        match entry {
            Ok(entry) => {
                let extension = entry.path().extension().and_then(|extension| extension.to_str());
                if entry.file_type().is_file()
                    && extension.is_some_and(|it| EXTENSIONS.contains(&it))
                {
                    inputs.push(Input::path(entry.path()));
                }
            }
            Err(error) => errors.push(error.into()),
        }
    }
    errors
}

impl Input {
    fn path(path: &Path) -> Self {
        Self { name: name_of(path), patch_of: None, content: Content::Path(path.to_owned()) }
    }

    pub(super) fn standard_input() -> anyhow::Result<Self> {
        Self::copied(&mut io::stdin().lock())
    }

    /// Creates an input from a text, in place of standard input.
    pub(super) fn of_text(text: &str) -> anyhow::Result<Self> {
        Self::copied(&mut text.as_bytes())
    }

    fn copied(source: &mut impl Read) -> anyhow::Result<Self> {
        let mut copy = tempfile::tempfile().context("temporary file for standard input")?;
        io::copy(source, &mut copy).context("standard input")?;
        Ok(Self { name: "-".to_owned(), patch_of: None, content: Content::Copy(copy) })
    }

    /// Returns the path of the file, if it has one.
    pub(super) fn file_path(&self) -> Option<&Path> {
        match &self.content {
            Content::Path(path) => Some(path),
            Content::Copy(_) => None,
        }
    }

    /// Reads the documents from the beginning.
    pub(super) fn documents(&self) -> anyhow::Result<Documents<BufReader<File>>> {
        self.read().map(Documents::new)
    }

    /// Opens the input at its first byte.
    pub(super) fn read(&self) -> anyhow::Result<BufReader<File>> {
        let file = match &self.content {
            Content::Path(path) => File::open(path).with_context(|| self.name.clone())?,
            Content::Copy(copy) => {
                let mut copy = copy.try_clone().context("standard input")?;
                copy.rewind().context("standard input")?;
                copy
            }
        };
        Ok(BufReader::new(file))
    }
}
