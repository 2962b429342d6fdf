//! Documents as text: PDF, Markdown and plain text, from files that nobody vouches for.
//!
//! A file costs at most what its [`Limits`] say, and ends in text or in a [`DocumentError`].
//! What is done with the text it does not know.

mod error;
mod kind;
mod limits;
mod pdf;
mod queue;
mod text;
pub mod wire;

use std::io::Read;
use std::ops::ControlFlow;
use std::path::Path;

use serde::Serialize;

pub use error::{CODES, DocumentError};
pub use kind::DocumentKind;
pub use limits::{Limits, MAX_BYTES};

/// A document as text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Document {
    /// What it was told to be, or found to be.
    pub kind: DocumentKind,
    /// What it calls itself.
    pub title: Option<String>,
    /// The pages of the file, those that were not read included. A text has one.
    pub page_count: u32,
    /// The pages that were read.
    pub pages: Vec<Page>,
    /// What could not be read, in words.
    pub warnings: Vec<String>,
}

/// A page of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Page {
    /// Its number, from 1.
    pub number: u32,
    /// Its text in reading order.
    pub text: String,
}

/// How far the reading of a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The bytes of the file.
    pub bytes: u64,
    /// The pages that have been read.
    pub pages: u32,
    /// The pages that are to be read; none while others are read first.
    pub page_count: u32,
}

impl Document {
    /// All of its text, an empty line between pages.
    #[must_use]
    pub fn text(&self) -> String {
        let texts: Vec<&str> = self
            .pages
            .iter()
            .map(|page| page.text.as_str())
            .filter(|text| !text.is_empty())
            .collect();
        texts.join("\n\n")
    }

    /// How many words it has.
    #[must_use]
    pub fn words(&self) -> usize {
        let words = |page: &Page| page.text.split_whitespace().count();
        self.pages.iter().map(words).sum()
    }
}

/// Reads a document; `name` is its file's, by whose ending it is told what it ought to be.
///
/// # Errors
/// [`DocumentError`] for one that cannot be read, has no text, or costs more than the limits
/// allow.
pub fn read(bytes: &[u8], name: Option<&str>, limits: &Limits) -> Result<Document, DocumentError> {
    read_with(bytes, name, limits, &mut |_| ControlFlow::Continue(()))
}

/// Reads a document from a file.
///
/// # Errors
/// [`DocumentError::Unreadable`], and as [`read`].
pub fn read_path(path: &Path, limits: &Limits) -> Result<Document, DocumentError> {
    let unreadable = |problem: std::io::Error| DocumentError::Unreadable {
        path: path.to_owned(),
        problem: problem.to_string(),
    };
    let file = std::fs::metadata(path).map_err(unreadable)?;
    if !file.is_file() {
        // It would have no end, or never begin.
        return Err(unreadable(std::io::Error::other("it is no regular file")));
    }
    limits.check_size(file.len())?;
    let most = limits.max_bytes.saturating_add(1);
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(most).read_to_end(&mut bytes))
        .map_err(unreadable)?;
    let name = path.file_name().map(|name| name.to_string_lossy());
    read(&bytes, name.as_deref(), limits)
}

/// Reads a document and tells how far it is, page by page; [`ControlFlow::Break`] ends it
/// with [`DocumentError::Cancelled`].
///
/// # Errors
/// As [`read`].
pub fn read_with(
    bytes: &[u8],
    name: Option<&str>,
    limits: &Limits,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Document, DocumentError> {
    limits.check_size(bytes.len() as u64)?;
    limits.check_pages()?;
    match kind::of(bytes, name)? {
        DocumentKind::Pdf => pdf::read(bytes, limits, progress),
        kind => text::read(bytes, kind, limits),
    }
}

/// Whether it can be a document at all, by its beginning, name and size.
///
/// # Errors
/// As [`read`], of what shows at once.
pub fn check(bytes: &[u8], name: Option<&str>, limits: &Limits) -> Result<(), DocumentError> {
    limits.check_size(bytes.len() as u64)?;
    limits.check_pages()?;
    kind::of(bytes, name).map(drop)
}
