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
}

impl<'l> Budget<'l> {
    pub(super) fn new(limits: &'l Limits) -> Self {
        Self {
            limits,
            began: Instant::now(),
            operations: 0,
            content: 0,
            output: 0,
        }
    }

    /// One more operation of a page, or glyph of one.
    pub(super) fn operation(&mut self) -> Result<(), DocumentError> {
        self.operations += 1;
        if self.operations > self.limits.operations {
            return Err(over(self.limits.operations, "operations"));
        }
        if self.operations.is_multiple_of(LOOK) {
            return self.time();
        }
        Ok(())
    }

    /// So many more unpacked bytes.
    pub(super) fn content(&mut self, bytes: usize) -> Result<(), DocumentError> {
        self.content += bytes as u64;
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
