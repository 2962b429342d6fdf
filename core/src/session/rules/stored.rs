//! A message as it is stored, and what must be known of the last turn to take it away.

use serde::{Deserialize, Serialize};

use crate::session::Entry;

/// A message as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::session) struct Added {
    pub(in crate::session) place: u64,
    pub(in crate::session) body: Box<str>,
}

/// The last turn: where it begins, its bytes, and the session's last summary before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::session) struct Tail {
    pub(in crate::session) place: u64,
    pub(in crate::session) bytes: u64,
    pub(in crate::session) summary: Option<u64>,
}

#[derive(Serialize)]
struct Stored<'a> {
    #[serde(flatten)]
    entry: &'a Entry,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary_before: Option<u64>,
}

/// What a summary says of the one that it took the place of.
#[derive(Deserialize)]
struct Link {
    summary_before: Option<u64>,
}

/// A message as JSON; a summary with the place of the one that holds again without it.
pub(super) fn body(entry: &Entry, summary_before: Option<u64>) -> serde_json::Result<Box<str>> {
    let stored = Stored {
        entry,
        summary_before,
    };
    Ok(serde_json::to_string(&stored)?.into())
}

impl Tail {
    /// Of the messages from a place on, as they are stored, in a session whose last summary
    /// is at that place.
    pub(in crate::session) fn of(
        place: u64,
        bodies: &[impl AsRef<[u8]>],
        mut summary: Option<u64>,
    ) -> Self {
        let bytes = bodies.iter().map(|body| body.as_ref().len() as u64).sum();
        // A turn may have several, each of which knows the one before it.
        while let Some(at) = summary.filter(|at| *at >= place) {
            let index = usize::try_from(at - place).ok();
            let body = index.and_then(|index| bodies.get(index));
            let link = body.and_then(|body| serde_json::from_slice(body.as_ref()).ok());
            let before = link.and_then(|link: Link| link.summary_before);
            summary = before.filter(|before| *before < at);
        }
        Self {
            place,
            bytes,
            summary,
        }
    }
}
