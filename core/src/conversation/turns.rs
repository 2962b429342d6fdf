//! Turns of one session go one after the other, in the order in which they were asked for.
//!
//! That holds within a process; between processes the order of jobs does it, and a session's
//! version refuses what came between. Who waits does so for a time, among so many.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::ConversationError;
use crate::clock::millis;
use crate::session::SessionKey;

/// Who is at turn in which session. Clones share it.
#[derive(Clone)]
pub(super) struct Turns {
    lines: Arc<Mutex<HashMap<SessionKey, Weak<Line>>>>,
    most: usize,
    at_most: Duration,
}

/// The turn of a session, and who waits for it.
struct Line {
    turn: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// It is one's turn, as long as one has this.
pub(super) struct Turn {
    _permit: OwnedSemaphorePermit,
    _line: Arc<Line>,
}

/// A place among those who wait.
struct Seat<'a>(&'a AtomicUsize);

/// Looked through for sessions in which nobody is at turn, when there are so many.
const SWEPT_AT: usize = 1_024;

impl Turns {
    /// How many wait at most, and how long, unless told otherwise.
    pub(super) const BOUNDS: (usize, Duration) = (100, Duration::from_secs(600));

    /// Turns for which at most so many wait, and at most so long.
    pub(super) fn within(most: usize, at_most: Duration) -> Self {
        Self {
            lines: Arc::default(),
            most,
            at_most,
        }
    }

    /// Waits until it is one's turn.
    ///
    /// # Errors
    /// [`ConversationError::Busy`].
    pub(super) async fn wait(&self, key: &SessionKey) -> Result<Turn, ConversationError> {
        let line = self.line(key);
        let turn = Arc::clone(&line.turn);
        // Who waits is served before who comes: a turn that is free has nobody waiting.
        let permit = match Arc::clone(&turn).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                let busy = |waited| ConversationError::Busy {
                    id: key.id().to_owned(),
                    waiting: line.waiting.load(Ordering::Relaxed),
                    waited_ms: millis(waited),
                };
                let seat = Seat::among(&line.waiting, self.most);
                let _seat = seat.ok_or_else(|| busy(Duration::ZERO))?;
                match tokio::time::timeout(self.at_most, turn.acquire_owned()).await {
                    Ok(Ok(permit)) => permit,
                    _ => return Err(busy(self.at_most)),
                }
            }
        };
        Ok(Turn {
            _permit: permit,
            _line: line,
        })
    }

    fn line(&self, key: &SessionKey) -> Arc<Line> {
        let mut lines = self.lines.lock();
        if lines.len() >= SWEPT_AT {
            lines.retain(|_, line| line.strong_count() > 0);
        }
        lines.get(key).and_then(Weak::upgrade).unwrap_or_else(|| {
            let line = Arc::new(Line {
                // First come, first served.
                turn: Arc::new(Semaphore::new(1)),
                waiting: AtomicUsize::new(0),
            });
            lines.insert(key.clone(), Arc::downgrade(&line));
            line
        })
    }
}

impl Default for Turns {
    fn default() -> Self {
        let (most, at_most) = Self::BOUNDS;
        Self::within(most, at_most)
    }
}

impl<'a> Seat<'a> {
    fn among(waiting: &'a AtomicUsize, most: usize) -> Option<Self> {
        let seat = Self(waiting);
        (waiting.fetch_add(1, Ordering::Relaxed) < most).then_some(seat)
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
