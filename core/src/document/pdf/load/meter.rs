//! What opening a file may cost. Objects are read when they are asked for, by functions that
//! cannot fail: what goes over a limit is remembered here, and nothing more is read.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::document::pdf::account::{Account, Held};
use crate::document::{DocumentError, Limits};

/// Bytes that are looked at, those of the file several times if its objects overlap. A file's
/// own and those of its streams of objects, with as much again for what is damaged.
const WORK: u64 = 512 << 20;
/// Bytes that pass between two looks at the clock.
const LOOK: u64 = 4 << 20;

/// Counts what the objects of a file have cost.
pub(in crate::document::pdf) struct Meter {
    limits: Limits,
    pub(super) account: Rc<Account>,
    held: RefCell<Held>,
    memory: Cell<u64>,
    kept: Cell<u64>,
    work: Cell<u64>,
    looked: Cell<u64>,
    unpacked: Cell<usize>,
    fault: RefCell<Option<DocumentError>>,
}

impl Meter {
    pub(super) fn new(limits: &Limits, account: &Rc<Account>) -> Self {
        Self {
            limits: limits.clone(),
            account: Rc::clone(account),
            held: RefCell::new(account.nothing()),
            memory: Cell::new(0),
            kept: Cell::new(0),
            work: Cell::new(0),
            looked: Cell::new(0),
            unpacked: Cell::new(0),
            fault: RefCell::new(None),
        }
    }

    /// What went over a limit, if anything did.
    pub(super) fn check(&self) -> Result<(), DocumentError> {
        self.fault.borrow().clone().map_or(Ok(()), Err)
    }

    /// Whether more may be read.
    pub(super) fn goes_on(&self) -> bool {
        self.fault.borrow().is_none()
    }

    /// Takes so many bytes of memory for objects.
    pub(super) fn take(&self, bytes: usize) -> bool {
        self.memory.set(self.memory.get() + bytes as u64);
        let most = self.limits.object_bytes;
        self.within(self.memory.get() <= most, most, "bytes of objects") && self.hold(bytes)
    }

    /// Holds so many bytes beside those of objects, as long as the file is open.
    pub(super) fn hold(&self, bytes: usize) -> bool {
        let held = self.held.borrow_mut().grow(bytes);
        self.unless(held).is_some() && self.goes_on()
    }

    /// What was made, unless it went over a limit.
    pub(super) fn unless<T>(&self, made: Result<T, DocumentError>) -> Option<T> {
        match made {
            Ok(made) => Some(made),
            Err(fault) => {
                self.fault.borrow_mut().get_or_insert(fault);
                None
            }
        }
    }

    pub(super) fn taken(&self) -> u64 {
        self.memory.get()
    }

    /// What was taken since then is kept.
    pub(super) fn keep(&self, since: u64) {
        let more = self.memory.get().saturating_sub(since);
        self.kept.set(self.kept.get() + more);
    }

    /// Gives back what `look` took and did not keep.
    pub(super) fn for_a_look(&self, look: impl FnOnce()) {
        let (taken, kept) = (self.memory.get(), self.kept.get());
        look();
        let kept = self.kept.get() - kept;
        let now = self.memory.get();
        self.memory.set(now.min(taken + kept));
        let back = now - self.memory.get();
        self.held.borrow_mut().give_back(back);
    }

    /// Looks at so many bytes.
    pub(super) fn work(&self, bytes: usize) -> bool {
        let work = self.work.get() + bytes as u64;
        self.work.set(work);
        if work - self.looked.get() >= LOOK {
            self.looked.set(work);
            self.unless(self.account.time());
        }
        self.within(work <= WORK, WORK, "bytes that are read to find objects")
    }

    /// How many more bytes streams may unpack to find objects in them.
    pub(super) fn left(&self) -> usize {
        self.limits.load_stream_bytes - self.unpacked.get()
    }

    /// Has unpacked so many of them; none if they were more.
    pub(super) fn unpack(&self, bytes: Option<usize>) -> bool {
        let most = self.limits.load_stream_bytes;
        let within = bytes.is_some_and(|bytes| bytes <= self.left());
        if let Some(bytes) = bytes.filter(|_| within) {
            self.unpacked.set(self.unpacked.get() + bytes);
        }
        self.within(within, most, "bytes of packed objects")
    }

    /// So many objects are in the file.
    pub(super) fn count(&self, objects: usize) -> bool {
        let most = self.limits.objects;
        self.within(objects as u64 <= most, most, "objects")
    }

    fn within(&self, is: bool, limit: impl std::fmt::Display, what: &str) -> bool {
        if !is {
            let fault = DocumentError::limit(format_args!("{limit} {what}"));
            self.fault.borrow_mut().get_or_insert(fault);
        }
        self.goes_on()
    }
}
