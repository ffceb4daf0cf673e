//! The pages of the repository: their fenced blocks, and the positions of the blocks.

use std::fs;
use std::path::{Path, PathBuf};

use crate::root;

/// A page in Markdown.
pub struct Page {
    /// Path from the repository's root, with `/`.
    pub name: String,
    pub path: PathBuf,
    pub text: String,
}

/// A fenced block of a page.
pub struct Block {
    /// Line of the opening fence, from 1.
    pub line: usize,
    /// Text after the opening fence: `sh run`.
    pub mark: String,
    /// Contents, without the indentation of the fence.
    pub body: String,
}

/// Returns every page that users read, sorted by name.
pub fn pages() -> Vec<Page> {
    let mut pages = Vec::new();
    for folder in ["", "docs", "docs/decisions", "examples", "certs"] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(page(&path));
            }
        }
    }
    pages.sort_by(|one, other| one.name.cmp(&other.name));
    pages
}

/// Reads a page.
pub fn page(path: &Path) -> Page {
    let name = path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/");
    Page { name, path: path.to_owned(), text: fs::read_to_string(path).unwrap() }
}

impl Page {
    pub fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut lines = self.text.lines().enumerate();
        while let Some((number, line)) = lines.next() {
            let Some(mark) = line.trim_start().strip_prefix("```") else { continue };
            let fence = &line[..line.len() - mark.len()];
            let indentation = fence.len() - 3;
            let mut body = String::new();
            for (_, line) in lines.by_ref() {
                if line == fence {
                    break;
                }
                body.push_str(line.get(indentation..).unwrap_or_default());
                body.push('\n');
            }
            blocks.push(Block { line: number + 1, mark: mark.to_owned(), body });
        }
        blocks
    }

    /// Returns the lines outside of fenced blocks, with their numbers from 1.
    pub fn prose(&self) -> Vec<(usize, &str)> {
        let mut is_block = false;
        let mut prose = Vec::new();
        for (number, line) in self.text.lines().enumerate() {
            let is_fence = line.trim_start().starts_with("```");
            if !is_block && !is_fence {
                prose.push((number + 1, line));
            }
            is_block ^= is_fence;
        }
        prose
    }
}
