//! Every object of manifests, one after the other, for commands that only read.

use std::path::PathBuf;
use std::rc::Rc;

use prestop_core::engine::template::{Object, objects, objects_of_item};
use prestop_manifest::{Document, ManifestError};
use serde_json::Value;

use super::input::{self, Input, list_of_objects};
use super::{Exit, tell};

/// Position of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Name of the file as given; `-` for standard input.
    pub(super) file: String,
    /// The line on which the object's document, or its item of a list, begins.
    pub(super) line: usize,
    /// Number of characters before it on that line, for an item in a JSON list.
    pub(super) indent: usize,
}

/// An object while the manifests are read.
pub(super) struct Found<'f> {
    pub(super) place: &'f Place,
    /// The text that contains it: a document, or an item of a list.
    pub(super) document: &'f Rc<Document>,
    pub(super) object: &'f Object<'f>,
}

/// Reads all files and calls `take` with each object. Files that can't be read are reported, and
/// the rest is read.
///
/// # Errors
/// When standard input can't be copied.
pub(super) fn read(paths: &[PathBuf], mut take: impl FnMut(&Found<'_>)) -> anyhow::Result<Exit> {
    let (inputs, missing) = input::all(paths, false)?;
    for error in &missing {
        tell(&format!("error: {error:#}"));
    }
    let mut exit = if missing.is_empty() { Exit::Done } else { Exit::BadInput };
    let mut documents = 0;
    // Patches of a kustomization are parts of objects.
    for input in inputs.iter().filter(|input| input.patch_of.is_none()) {
        match input_objects(input, &mut take) {
            Ok(count) => documents += count,
            Err(error) => {
                tell(&format!("error: {}: {error:#}", input.name));
                exit = Exit::BadInput;
            }
        }
    }
    if exit == Exit::Done && documents == 0 {
        tell("error: no document in the input");
        exit = Exit::BadInput;
    }
    Ok(exit)
}

/// Passes the objects of one file to `take`, up to the first error. Returns the number of
/// documents.
pub(super) fn input_objects(
    input: &Input,
    take: &mut impl FnMut(&Found<'_>),
) -> anyhow::Result<usize> {
    let mut count = 0;
    for document in input.documents()? {
        count += usize::from(document_objects(&Rc::new(document?), input, take)?);
    }
    Ok(count)
}

/// Passes the objects of a document to `take`. Returns whether the document is not empty.
fn document_objects(
    document: &Rc<Document>,
    input: &Input,
    take: &mut impl FnMut(&Found<'_>),
) -> Result<bool, ManifestError> {
    let place = |line, indent| Place { file: input.name.clone(), line, indent };
    if let Some((list, frame)) = list_of_objects(document) {
        for item in list.items() {
            let reading = item.document.read().map_err(|error| item.located(error))?;
            let Some(reading) = reading else { continue };
            let value = reading.value.pointer(item.pointer).unwrap_or(&Value::Null);
            let place = place(item.document.first_line, item.column);
            let document = Rc::new(item.document);
            for object in objects_of_item(value, &frame.value, item.pointer) {
                take(&Found { place: &place, document: &document, object: &object });
            }
        }
        return Ok(true);
    }
    let Some(reading) = document.read()? else { return Ok(false) };
    let place = place(first_line(document), 0);
    for object in objects(&reading.value) {
        take(&Found { place: &place, document, object: &object });
    }
    Ok(true)
}

/// Returns the line of the document's first key, after `---` and comments.
fn first_line(document: &Document) -> usize {
    let is_before = |line: &&str| {
        let line = line.trim();
        line.is_empty() || line.starts_with('#') || line == "---" || line.starts_with("%YAML")
    };
    document.first_line + document.text.lines().take_while(is_before).count()
}
