//! What is left of a document's limits.

use std::rc::Rc;

use super::account::{Account, Held};
use super::font::Text;
use crate::document::{DocumentError, Limits};

/// How many operations pass between two looks at the clock.
const LOOK: u64 = 4_096;
/// What a glyph takes in memory until its page is text: itself, and where each of them lies
/// apart, a piece, a line and a block that are its own.
const GLYPH: usize = 400;
/// How often a text of several characters is there at a time, from its font to its page.
const COPIES: usize = 6;

/// Counts what a document has cost.
pub(super) struct Budget<'l> {
    pub(super) limits: &'l Limits,
    pub(super) account: Rc<Account>,
    operations: u64,
    arranged: u64,
    content: u64,
    output: usize,
    lost: Vec<Loss>,
    shown: bool,
    /// Memory of the font that is read, of the page, and of the text of all pages.
    font: Held,
    page: Held,
    text: Held,
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
    pub(super) fn new(limits: &'l Limits, account: &Rc<Account>) -> Self {
        Self {
            limits,
            account: Rc::clone(account),
            operations: 0,
            arranged: 0,
            content: 0,
            output: 0,
            lost: Vec::new(),
            shown: false,
            font: account.nothing(),
            page: account.nothing(),
            text: account.nothing(),
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

    /// What costs as much as so many operations, to put text in order. It is counted by itself:
    /// a file that shows as much as it may can be put in order too.
    pub(super) fn arrange(&mut self, operations: u64) -> Result<(), DocumentError> {
        self.arranged = self.arranged.saturating_add(operations);
        if self.arranged > self.limits.operations {
            let what = "operations to put text in order";
            return Err(over(self.limits.operations, what));
        }
        self.time()
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

    /// One more glyph of the page.
    pub(super) fn glyph(&mut self, text: &Text) -> Result<(), DocumentError> {
        self.output(text.len())?;
        let copies = match text {
            Text::Many(text) => COPIES * text.len(),
            _ => 0,
        };
        self.page.grow(GLYPH + copies)
    }

    /// The text of a line is longer than that of its glyphs by so much.
    pub(super) fn longer(&mut self, bytes: usize) -> Result<(), DocumentError> {
        self.output(bytes)?;
        self.page.grow(COPIES * bytes)
    }

    /// A page is text now: only that is held.
    pub(super) fn page_done(&mut self, text: &String) -> Result<(), DocumentError> {
        self.page.shrink_to(0);
        self.text.grow(text.capacity())
    }

    /// A font that is read takes so much memory.
    pub(super) fn keep(&mut self, bytes: usize) -> Result<(), DocumentError> {
        self.font.grow(bytes)
    }

    /// A font that is read keeps what is held already.
    pub(super) fn keep_held(&mut self, held: Held) {
        self.font.join(held);
    }

    /// What was kept since this was last asked.
    pub(super) fn kept(&mut self) -> Held {
        self.font.take()
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
        self.account.time()
    }
}

fn over(limit: impl std::fmt::Display, what: &str) -> DocumentError {
    DocumentError::limit(format_args!("{limit} {what}"))
}
