//! Why a document has no text to give.

use std::path::PathBuf;

use serde_json::{Value, json};

/// A document that cannot be read, or not within the limits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// There is nothing in it.
    #[error("the document is empty: give one that has content")]
    Empty,
    /// It is larger than a document may be.
    #[error("the document has {bytes} bytes, the limit is {limit}: split it, or raise `max_bytes`")]
    TooLarge {
        /// Its bytes.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// It is something else than its name says, or nothing that can be read.
    #[error(
        "the document looks like {looks}, not like {expected}: give a PDF, Markdown or plain text (UTF-8), under a name that says which"
    )]
    NotSupported {
        /// What its content looks like.
        looks: &'static str,
        /// What it ought to be.
        expected: &'static str,
    },
    /// It is locked.
    #[error("the document is encrypted with a password: save it without one, and give that")]
    Encrypted,
    /// Its pages are pictures, or nothing says what their letters are.
    #[error(
        "the document has no text on its {pages} pages: {problem}; run text recognition (OCR) over it first"
    )]
    NoText {
        /// Its pages.
        pages: u32,
        /// Why it probably has none.
        problem: &'static str,
    },
    /// Its structure is broken beyond what can be repaired.
    #[error("the document is damaged: {problem}; open it in a viewer and save it anew")]
    Damaged {
        /// What is broken.
        problem: String,
    },
    /// Reading it costs more than is allowed.
    #[error(
        "the document is over the limit of {limit}: read fewer pages with `max_pages`, or simplify it"
    )]
    Limit {
        /// Which limit, with its value.
        limit: String,
    },
    /// Its file cannot be read.
    #[error("cannot read {}: {problem}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        problem: String,
    },
    /// It waited for long while others were read.
    #[error("other documents are being read: try again, or read fewer at once")]
    Busy,
    /// Whoever asked for it wants it no more.
    #[error("the reading of the document was called off")]
    Cancelled,
}

impl DocumentError {
    /// The stable code: the same in every language.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "document_empty",
            Self::TooLarge { .. } => "document_too_large",
            Self::NotSupported { .. } => "document_not_supported",
            Self::Encrypted => "document_encrypted",
            Self::NoText { .. } => "document_no_text",
            Self::Damaged { .. } => "document_damaged",
            Self::Limit { .. } => "document_limit",
            Self::Unreadable { .. } => "document_unreadable",
            Self::Busy => "document_busy",
            Self::Cancelled => "document_cancelled",
        }
    }

    /// As it crosses into other languages: `code`, `message`, and what is known beside them.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut value = match self {
            Self::TooLarge { bytes, limit } => json!({ "bytes": bytes, "limit": limit }),
            Self::NotSupported { looks, expected } => {
                json!({ "looks": looks, "expected": expected })
            }
            Self::NoText { pages, .. } => json!({ "pages": pages }),
            _ => json!({}),
        };
        value["code"] = json!(self.code());
        value["message"] = json!(self.to_string());
        value
    }

    pub(super) fn damaged(problem: impl std::fmt::Display) -> Self {
        Self::Damaged {
            problem: problem.to_string(),
        }
    }

    pub(super) fn limit(limit: impl std::fmt::Display) -> Self {
        Self::Limit {
            limit: limit.to_string(),
        }
    }
}

/// Every code of a [`DocumentError`], in the order of the documentation.
pub const CODES: [&str; 10] = [
    "document_empty",
    "document_too_large",
    "document_not_supported",
    "document_encrypted",
    "document_no_text",
    "document_damaged",
    "document_limit",
    "document_unreadable",
    "document_busy",
    "document_cancelled",
];
