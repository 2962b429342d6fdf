//! Slots held by what no abort ends: a thread, or a program that takes its time.

use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::mpsc;

use super::attempt::Attempt;
use super::attempt_run::Ended;
use super::verdict::End;
use crate::job::metrics::Stuck;

/// Holds the slot of an attempt until it is dropped, also when its worker waits for the
/// attempt no longer. Made by [`Context::hold_slot`](super::Context::hold_slot).
#[derive(Debug)]
pub struct SlotHold(Arc<Attempt>);

impl SlotHold {
    pub(super) fn of(attempt: &Arc<Attempt>) -> Self {
        attempt.holds.0.lock().count += 1;
        Self(Arc::clone(attempt))
    }
}

impl Drop for SlotHold {
    fn drop(&mut self) {
        let mut holds = self.0.holds.0.lock();
        holds.count -= 1;
        if holds.count > 0 {
            return;
        }
        if let Some(waiting) = holds.waiting.take() {
            // Its lane may be gone.
            let _ = waiting.lane.send(Ended {
                place: waiting.place,
                end: End::Dropped,
            });
        }
    }
}

/// Who holds the slot of an attempt beside its task.
#[derive(Debug, Default)]
pub(super) struct Holds(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    count: usize,
    waiting: Option<Waiting>,
}

/// A lane that is to have its slot back.
#[derive(Debug)]
struct Waiting {
    place: usize,
    lane: mpsc::UnboundedSender<Ended>,
    _counted: Stuck,
}

impl Holds {
    /// Whether the slot is still held now that the task is gone. If so, the lane is told
    /// when it is not.
    pub(super) fn outlast(
        &self,
        place: usize,
        lane: &mpsc::UnboundedSender<Ended>,
        stuck: impl FnOnce() -> Stuck,
    ) -> bool {
        let mut holds = self.0.lock();
        if holds.count == 0 {
            return false;
        }
        holds.waiting = Some(Waiting {
            place,
            lane: lane.clone(),
            _counted: stuck(),
        });
        true
    }
}
