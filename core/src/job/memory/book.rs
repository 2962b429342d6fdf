//! All that is kept: queues, schedules, and who is there.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::line::Line;
use crate::clock::{self, EpochMillis, millis};
use crate::job::{Presence, Schedule};

/// How long a worker that is silent is still said to be there.
const PRESENCE: Duration = Duration::from_secs(30);

#[derive(Default)]
pub(super) struct Book {
    pub(super) lines: BTreeMap<Arc<str>, Line>,
    pub(super) schedules: BTreeMap<String, Schedule>,
    roles: HashMap<String, (String, EpochMillis)>,
    pub(super) workers: BTreeMap<String, Presence>,
}

impl Book {
    pub(super) fn line(&mut self, queue: &str) -> &mut Line {
        if !self.lines.contains_key(queue) {
            let name: Arc<str> = queue.into();
            self.lines.insert(Arc::clone(&name), Line::new(name));
        }
        self.lines
            .entry(queue.into())
            .or_insert_with_key(|name| Line::new(Arc::clone(name)))
    }

    /// Gives a role to who asks for it, unless another has it still.
    pub(super) fn lead(
        &mut self,
        role: &str,
        holder: &str,
        term: Duration,
        now: EpochMillis,
    ) -> bool {
        let taken = self
            .roles
            .get(role)
            .is_some_and(|(by, until)| by != holder && *until > now);
        if !taken {
            let until = now.saturating_add(clock::term(term));
            self.roles
                .insert(role.to_owned(), (holder.to_owned(), until));
        }
        !taken
    }

    pub(super) fn announce(&mut self, presence: &Presence, now: EpochMillis) {
        let presence = Presence {
            seen_at: now,
            ..presence.clone()
        };
        self.workers.insert(presence.key(), presence);
        self.workers.retain(|_, worker| is_there(worker, now));
    }

    /// The workers that are there.
    pub(super) fn present(&self, now: EpochMillis) -> Vec<Presence> {
        let there = |worker: &&Presence| is_there(worker, now);
        self.workers.values().filter(there).cloned().collect()
    }
}

fn is_there(worker: &Presence, now: EpochMillis) -> bool {
    worker.seen_at.saturating_add(millis(PRESENCE)) > now
}
