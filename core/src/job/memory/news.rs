//! What a change is to tell others, gathered under the lock and told behind it.

use std::sync::Arc;

use crate::clock::{Clock, EpochMillis};
use crate::job::{JobEvent, JobId, What};

pub(super) struct News {
    pub(super) now: EpochMillis,
    /// Leases that ended before this have run out.
    pub(super) lapse: EpochMillis,
    pub(super) events: Vec<JobEvent>,
    pub(super) rung: bool,
    followed: bool,
}

impl News {
    pub(super) fn at(clock: &dyn Clock, followed: bool) -> Self {
        let now = clock.now();
        Self {
            now,
            lapse: now.saturating_sub(clock.jumped()),
            events: Vec::new(),
            rung: false,
            followed,
        }
    }

    pub(super) fn tell(&mut self, queue: &Arc<str>, id: Option<&JobId>, what: What) {
        if self.followed {
            self.events.push(JobEvent {
                at: self.now,
                queue: (**queue).into(),
                id: id.cloned(),
                what,
            });
        }
    }

    /// A job may be ready, or ready sooner than was thought.
    pub(super) fn ring(&mut self) {
        self.rung = true;
    }
}
