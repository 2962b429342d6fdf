//! Whose turn it is: higher priority first, then groups in turn, then first come.
//!
//! Each job gets a tag when it begins to wait: one more than its group's last one, or
//! than the tag served last if that is later. Served by tag, a group with a thousand
//! jobs and one with a single job take turns; jobs without a group are a group, so
//! they are served as they came.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

/// A place in the line: less is sooner. Groups have the same tags, so the last number,
/// which counts jobs, tells two apart.
pub(super) type Place = (Reverse<i16>, u64, u64);

#[derive(Debug, Default)]
pub(super) struct Turns {
    served: u64,
    /// Of the jobs without a group.
    last: u64,
    groups: HashMap<Box<str>, Group>,
}

#[derive(Debug, Default)]
struct Group {
    last: u64,
    running: u32,
    /// Jobs that were at the head of the line while their group had all it may.
    parked: BTreeMap<Place, usize>,
}

impl Turns {
    /// A place for a job that begins to wait.
    pub(super) fn place(&mut self, priority: i16, group: Option<&str>, sequence: u64) -> Place {
        let last = match group {
            None => &mut self.last,
            Some(name) => &mut self.group(name).last,
        };
        *last += 1;
        let mut tag = *last;
        if tag <= self.served {
            tag = self.served + 1;
            match group {
                None => self.last = tag,
                Some(name) => self.group(name).last = tag,
            }
        }
        (Reverse(priority), tag, sequence)
    }

    /// Whether another job of the group may run.
    pub(super) fn may_run(&self, group: Option<&str>, limit: Option<u32>) -> bool {
        let (Some(name), Some(limit)) = (group, limit) else {
            return true;
        };
        self.groups
            .get(name)
            .is_none_or(|group| group.running < limit)
    }

    /// The job at that place runs.
    pub(super) fn serve(&mut self, place: Place, group: Option<&str>) {
        self.served = self.served.max(place.1);
        if let Some(name) = group {
            self.group(name).running += 1;
        }
    }

    /// The job at that place waits aside until its group has room.
    pub(super) fn park(&mut self, place: Place, group: &str, slot: usize) {
        self.group(group).parked.insert(place, slot);
    }

    /// A job of the group runs no more: gives the one that may go back to the line.
    pub(super) fn leave(&mut self, group: Option<&str>) -> Option<(Place, usize)> {
        let name = group?;
        let group = self.groups.get_mut(name)?;
        group.running = group.running.saturating_sub(1);
        let next = group.parked.pop_first();
        self.forget_if_idle(name);
        next
    }

    /// A job of the group has left the line without a run: gives the one that may go back
    /// in its place, as nobody else would call that.
    pub(super) fn call_back(
        &mut self,
        group: Option<&str>,
        limit: Option<u32>,
    ) -> Option<(Place, usize)> {
        if !self.may_run(group, limit) {
            return None;
        }
        self.groups.get_mut(group?)?.parked.pop_first()
    }

    /// Removes a job that waits aside. Tells whether it did.
    pub(super) fn unpark(&mut self, place: Place, group: Option<&str>) -> bool {
        let Some(name) = group else { return false };
        let found = self
            .groups
            .get_mut(name)
            .and_then(|group| group.parked.remove(&place));
        self.forget_if_idle(name);
        found.is_some()
    }

    /// All that wait aside, when the limit has changed.
    pub(super) fn unpark_all(&mut self) -> Vec<(Place, usize)> {
        let groups = self.groups.values_mut();
        groups
            .flat_map(|group| std::mem::take(&mut group.parked))
            .collect()
    }

    /// Forgets groups whose jobs went unrun, once their turn has passed.
    pub(super) fn forget_idle(&mut self) {
        let served = self.served;
        self.groups.retain(|_, group| !group.is_idle(served));
    }

    fn group(&mut self, name: &str) -> &mut Group {
        if !self.groups.contains_key(name) {
            self.groups.insert(name.into(), Group::default());
        }
        self.groups.entry(name.into()).or_default()
    }

    // Tenants come and go: what nobody needs is not kept.
    fn forget_if_idle(&mut self, name: &str) {
        let served = self.served;
        if self
            .groups
            .get(name)
            .is_some_and(|group| group.is_idle(served))
        {
            self.groups.remove(name);
        }
    }
}

impl Group {
    fn is_idle(&self, served: u64) -> bool {
        self.running == 0 && self.parked.is_empty() && self.last <= served
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_whose_jobs_went_unrun_are_forgotten_once_their_turn_has_passed() {
        let mut turns = Turns::default();
        for (group, sequence) in [("a", 1), ("b", 2)] {
            turns.place(0, Some(group), sequence);
        }
        turns.forget_idle();
        assert_eq!(turns.groups.len(), 2);
        let served = turns.place(0, None, 3);
        turns.serve(served, None);
        turns.forget_idle();
        assert_eq!(turns.groups.len(), 0);
    }
}
