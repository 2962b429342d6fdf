//! One attempt as its worker keeps it: shared by lane, handler, renewals and desk.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::desk::{Desk, News};
use super::hold::Holds;
use crate::clock::EpochMillis;
use crate::job::{Claimed, Lease, SharedJobs};

/// The place of an attempt that runs in no task.
const NOWHERE: usize = usize::MAX;

#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) claimed: Claimed,
    pub(super) begun: Instant,
    /// Made for the first who wants it: most handlers never do.
    token: OnceLock<CancellationToken>,
    cancelled: AtomicBool,
    pub(super) deadline: Option<EpochMillis>,
    pub(super) desk: Arc<Desk>,
    pub(super) jobs: SharedJobs,
    pub(super) news: Mutex<News>,
    pub(super) holds: Holds,
    place: AtomicUsize,
    cancel_requested: AtomicBool,
    lost: AtomicBool,
    ended: AtomicBool,
    /// Why it was not waited for any longer, as those who trace see it.
    given_up: OnceLock<&'static str>,
}

impl Attempt {
    pub(super) fn new(
        claimed: Claimed,
        begun: Instant,
        deadline: Option<EpochMillis>,
        desk: &Arc<Desk>,
        jobs: &SharedJobs,
    ) -> Arc<Self> {
        Arc::new(Self {
            claimed,
            begun,
            token: OnceLock::new(),
            cancelled: AtomicBool::new(false),
            deadline,
            desk: Arc::clone(desk),
            jobs: Arc::clone(jobs),
            news: Mutex::default(),
            holds: Holds::default(),
            place: AtomicUsize::new(NOWHERE),
            cancel_requested: AtomicBool::new(false),
            lost: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            given_up: OnceLock::new(),
        })
    }

    pub(super) fn lease(&self) -> &Lease {
        &self.claimed.lease
    }

    /// Where the lane has it.
    pub(super) fn place(&self) -> usize {
        self.place.load(Ordering::Acquire)
    }

    pub(super) fn set_place(&self, place: usize) {
        self.place.store(place, Ordering::Release);
    }

    /// Cancelled when the attempt is to end.
    pub(super) fn token(&self) -> CancellationToken {
        let token = self.token.get_or_init(CancellationToken::new);
        // With `cancel`, that looks in the other order: one of both sees the other.
        fence(Ordering::SeqCst);
        if self.is_cancelled() {
            token.cancel();
        }
        token.clone()
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }

    pub(super) fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        if let Some(token) = self.token.get() {
            token.cancel();
        }
    }

    /// It is to be called off. Tells whether that is news.
    pub(super) fn request_cancel(&self) -> bool {
        let news = !self.cancel_requested.swap(true, Ordering::AcqRel);
        if news {
            self.cancel();
        }
        news
    }

    pub(super) fn cancel_requested(&self) -> bool {
        self.cancel_requested.load(Ordering::Acquire)
    }

    /// The job is another's: nothing it does counts. Tells whether that is news.
    pub(super) fn lose(&self) -> bool {
        let news = !self.lost.swap(true, Ordering::AcqRel);
        if news {
            self.cancel();
        }
        news
    }

    pub(super) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// It is not waited for any longer.
    pub(super) fn give_up(&self, why: &'static str) {
        // The first reason is the one that counts.
        let _ = self.given_up.set(why);
        self.cancel();
    }

    pub(super) fn given_up(&self) -> Option<&'static str> {
        self.given_up.get().copied()
    }

    /// What came of it is known, and only to be recorded.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }
}
