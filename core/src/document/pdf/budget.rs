//! What is left of a document's limits.

use std::time::Instant;

use crate::document::{DocumentError, Limits};

/// How many operations pass between two looks at the clock.
const LOOK: u64 = 4_096;

/// Counts what a document has cost.
pub(super) struct Budget<'l> {
    pub(super) limits: &'l Limits,
    began: Instant,
    operations: u64,
    content: u64,
    output: usize,
    lost: Vec<Loss>,
    shown: bool,
    kept: usize,
}

/// Why a part of a page is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Loss {
    #[error("a part of it is damaged")]
    Damaged,
    #[error("a part of it unpacks to more than it may")]
    TooLarge,
    #[error("it has more characters than it may")]
    Crowded,
}

impl<'l> Budget<'l> {
    pub(super) fn new(limits: &'l Limits) -> Self {
        Self {
            limits,
            began: Instant::now(),
            operations: 0,
            content: 0,
            output: 0,
            lost: Vec::new(),
            shown: false,
            kept: 0,
        }
    }

    /// One more operation of a page, or glyph of one.
    pub(super) fn operation(&mut self) -> Result<(), DocumentError> {
        self.work(1)
    }

    /// What costs as much as so many operations.
    pub(super) fn work(&mut self, operations: u64) -> Result<(), DocumentError> {
        let before = self.operations / LOOK;
        self.operations = self.operations.saturating_add(operations);
        if self.operations > self.limits.operations {
            return Err(over(self.limits.operations, "operations"));
        }
        if self.operations / LOOK != before {
            return self.time();
        }
        Ok(())
    }

    /// So many more unpacked bytes.
    pub(super) fn content(&mut self, bytes: usize) -> Result<(), DocumentError> {
        self.content = self.content.saturating_add(bytes as u64);
        if self.content > self.limits.content_bytes {
            return Err(over(self.limits.content_bytes, "bytes of content"));
        }
        self.time()
    }

    /// So many more bytes of text.
    pub(super) fn output(&mut self, bytes: usize) -> Result<(), DocumentError> {
        self.output += bytes;
        if self.output > self.limits.output_bytes {
            return Err(over(self.limits.output_bytes, "bytes of text"));
        }
        Ok(())
    }

    /// A font that is read takes so much memory.
    pub(super) fn keep(&mut self, bytes: usize) {
        self.kept += bytes;
    }

    /// What was kept since this was last asked.
    pub(super) fn kept(&mut self) -> usize {
        std::mem::take(&mut self.kept)
    }

    /// A character is shown, whatever it means.
    pub(super) fn show(&mut self) {
        self.shown = true;
    }

    pub(super) fn has_shown(&self) -> bool {
        self.shown
    }

    /// Something is left out.
    pub(super) fn lose(&mut self, loss: Loss) {
        if !self.lost.contains(&loss) {
            self.lost.push(loss);
        }
    }

    /// What was left out since this was last asked.
    pub(super) fn losses(&mut self) -> Vec<Loss> {
        std::mem::take(&mut self.lost)
    }

    pub(super) fn time(&self) -> Result<(), DocumentError> {
        if self.began.elapsed() > self.limits.time {
            return Err(over(self.limits.time.as_secs_f32(), "seconds"));
        }
        Ok(())
    }
}

fn over(limit: impl std::fmt::Display, what: &str) -> DocumentError {
    DocumentError::limit(format_args!("{limit} {what}"))
}
