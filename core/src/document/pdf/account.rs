//! What one file has cost so far, in one place for all who read it: the memory that they hold
//! at a time, and the time since the first of them began. Limits of single things do not add
//! up to more than this.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::document::{DocumentError, Limits};

/// Counts memory and time.
pub(super) struct Account {
    memory: u64,
    held: Cell<u64>,
    time: Duration,
    /// How long it has been.
    elapsed: Box<dyn Fn() -> Duration>,
}

/// Memory that is held; whoever drops it gives it back.
pub(super) struct Held {
    account: Rc<Account>,
    bytes: u64,
}

impl Account {
    /// Begins now.
    pub(super) fn new(limits: &Limits) -> Rc<Self> {
        let began = Instant::now();
        Self::by(limits, move || began.elapsed())
    }

    /// With a clock of its own.
    pub(super) fn by(limits: &Limits, elapsed: impl Fn() -> Duration + 'static) -> Rc<Self> {
        Rc::new(Self {
            memory: limits.memory_bytes,
            held: Cell::new(0),
            time: limits.time,
            elapsed: Box::new(elapsed),
        })
    }

    /// Whether there is time left.
    pub(super) fn time(&self) -> Result<(), DocumentError> {
        if (self.elapsed)() > self.time {
            let seconds = self.time.as_secs_f32();
            return Err(DocumentError::limit(format_args!("{seconds} seconds")));
        }
        Ok(())
    }

    /// Holds so many bytes.
    pub(super) fn hold(self: &Rc<Self>, bytes: usize) -> Result<Held, DocumentError> {
        let mut held = self.nothing();
        held.grow(bytes)?;
        Ok(held)
    }

    /// Holds nothing yet.
    pub(super) fn nothing(self: &Rc<Self>) -> Held {
        Held {
            account: Rc::clone(self),
            bytes: 0,
        }
    }
}

impl Held {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Holds so many more bytes.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), DocumentError> {
        let account = &self.account;
        let held = account.held.get().saturating_add(bytes as u64);
        if held > account.memory {
            let limit = account.memory;
            return Err(DocumentError::limit(format_args!(
                "{limit} bytes of memory"
            )));
        }
        account.held.set(held);
        self.bytes += bytes as u64;
        Ok(())
    }

    /// Holds so many bytes, if it does not hold more.
    pub(super) fn at_least(&mut self, bytes: usize) -> Result<(), DocumentError> {
        let more = (bytes as u64).saturating_sub(self.bytes);
        self.grow(usize::try_from(more).unwrap_or(usize::MAX))
    }

    /// Gives back so many bytes.
    pub(super) fn give_back(&mut self, bytes: u64) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.account.held.set(self.account.held.get() - bytes);
    }

    /// Gives back all but so many bytes.
    pub(super) fn shrink_to(&mut self, bytes: usize) {
        self.give_back(self.bytes.saturating_sub(bytes as u64));
    }

    /// Holds what another has held.
    pub(super) fn join(&mut self, mut other: Self) {
        self.bytes += std::mem::take(&mut other.bytes);
    }

    /// Hands all of it over.
    pub(super) fn take(&mut self) -> Self {
        let nothing = self.account.nothing();
        std::mem::replace(self, nothing)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;
    use crate::document::pdf::read_here;

    /// A file without a table, of whose two pages one is missing: it is gone through twice.
    fn to_be_rebuilt() -> Vec<u8> {
        let blanks = " ".repeat(9 << 20);
        format!(
            "%PDF-1.4 1 0 obj <</Type /Catalog /Pages 2 0 R>> endobj \
             2 0 obj <</Type /Pages /Count 2 /Kids [3 0 R 9 0 R]>> endobj \
             3 0 obj <</Type /Page /Contents 4 0 R /Resources <</Font <</F 5 0 R>>>>>> endobj \
             4 0 obj <</Length 27>> stream\nBT /F 9 Tf 9 9 Td (x) Tj ET\nendstream endobj \
             5 0 obj <</Type /Font /Subtype /Type1 /BaseFont /Helvetica>> endobj {blanks} \
             trailer <</Root 1 0 R>>"
        )
        .into_bytes()
    }

    /// Reads it; each look at the clock takes a second. Tells how many there were.
    fn looks(file: &[u8], seconds: u64) -> (u64, Result<String, DocumentError>) {
        let limits = Limits {
            time: Duration::from_secs(seconds),
            ..Limits::default()
        };
        let looks = Rc::new(Cell::new(0));
        let clock = Rc::clone(&looks);
        let account = Account::by(&limits, move || {
            clock.set(clock.get() + 1);
            Duration::from_secs(clock.get())
        });
        let read = read_here(file, &limits, &account, &mut |_| ControlFlow::Continue(()));
        (looks.get(), read.map(|document| document.text()))
    }

    #[test]
    fn a_file_that_is_rebuilt_has_no_more_time_than_another() {
        let file = to_be_rebuilt();
        let (all, read) = looks(&file, 1_000);
        assert_eq!(read.as_deref(), Ok("x"));
        assert!(all > 8, "{all}");
        // Wherever its time ends, it is the same time for all that is done with it.
        for seconds in 1..all {
            let (looked, read) = looks(&file, seconds);
            let limit = format!("{seconds} seconds");
            assert_eq!(read, Err(DocumentError::Limit { limit }));
            // One look may find the time over while there is still another way to go on.
            assert!((seconds + 1..seconds + 5).contains(&looked), "{looked}");
        }
    }

    #[test]
    fn what_all_hold_at_a_time_is_within_one_limit() {
        let limits = Limits {
            memory_bytes: 100,
            ..Limits::default()
        };
        let account = Account::new(&limits);
        let mut first = account.hold(60).unwrap();
        assert!(account.hold(41).is_err());
        let second = account.hold(40).unwrap();
        assert!(first.grow(1).is_err());
        drop(second);
        first.at_least(50).unwrap();
        first.at_least(90).unwrap();
        first.shrink_to(30);
        let all = first.take();
        assert_eq!(
            (first.bytes(), all.bytes(), account.held.get()),
            (0, 30, 30)
        );
        drop(all);
        assert_eq!(account.held.get(), 0);
    }
}
