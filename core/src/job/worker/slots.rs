//! The attempts of a lane that run, and what they are waited for until.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use slab::Slab;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::attempt::Attempt;

/// How long an attempt may take to end once it is called off or its lease is lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// An attempt in a task.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) attempt: Arc<Attempt>,
    /// Of its lease.
    pub(super) mark: usize,
    /// Its queue's place in the lane.
    pub(super) side: usize,
    /// Whether its end counts. If not, it only holds its slot until nothing of it is left.
    pub(super) counts: bool,
    timeout: Option<(Instant, Duration)>,
    patience: Option<Instant>,
    task: Option<AbortHandle>,
}

/// Why an attempt is not waited for any longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// It took longer than this.
    TimedOut(Duration),
    /// It did not give way.
    Stubborn,
}

#[derive(Debug, Default)]
pub(super) struct Slots {
    running: Slab<Running>,
    timers: BTreeSet<(Instant, usize)>,
    counting: usize,
}

impl Slots {
    /// How many are taken.
    pub(super) fn taken(&self) -> usize {
        self.running.len()
    }

    /// How many hold an attempt whose end counts.
    pub(super) fn counting(&self) -> usize {
        self.counting
    }

    pub(super) fn take(
        &mut self,
        attempt: Arc<Attempt>,
        mark: usize,
        side: usize,
        timeout: Option<Duration>,
    ) -> usize {
        // A time that no clock reaches is none.
        let until = |timeout| Some((Instant::now().checked_add(timeout)?, timeout));
        let timeout = timeout.and_then(until);
        let entry = self.running.vacant_entry();
        let place = entry.key();
        attempt.set_place(place);
        entry.insert(Running {
            attempt,
            mark,
            side,
            counts: true,
            timeout,
            patience: None,
            task: None,
        });
        self.counting += 1;
        self.timers.extend(timeout.map(|(at, _)| (at, place)));
        place
    }

    pub(super) fn set_task(&mut self, place: usize, task: AbortHandle) {
        if let Some(running) = self.running.get_mut(place) {
            running.task = Some(task);
        }
    }

    /// The task, and what it left behind, is gone: the slot is free.
    pub(super) fn free(&mut self, place: usize) -> Option<Running> {
        let running = self.running.try_remove(place)?;
        self.counting -= usize::from(running.counts);
        let times = [running.timeout.map(|(at, _)| at), running.patience];
        for at in times.into_iter().flatten() {
            self.timers.remove(&(at, place));
        }
        Some(running)
    }

    /// The attempt that holds the slot, and its queue's place in the lane.
    pub(super) fn at(&self, place: usize) -> Option<(&Arc<Attempt>, usize)> {
        let running = self.running.get(place)?;
        Some((&running.attempt, running.side))
    }

    /// The end of the attempt counts no more. Tells its mark and side if it did.
    pub(super) fn discount(&mut self, place: usize) -> Option<(usize, usize)> {
        let running = self.running.get_mut(place)?;
        let counted = std::mem::replace(&mut running.counts, false);
        self.counting -= usize::from(counted);
        counted.then_some((running.mark, running.side))
    }

    /// Waits for an attempt only a little longer.
    pub(super) fn hurry(&mut self, attempt: &Arc<Attempt>) -> Option<usize> {
        let place = attempt.place();
        let running = self.running.get_mut(place)?;
        if !Arc::ptr_eq(&running.attempt, attempt) {
            return None;
        }
        if running.patience.is_none() {
            let until = Instant::now() + PATIENCE;
            running.patience = Some(until);
            self.timers.insert((until, place));
        }
        Some(place)
    }

    /// When one is next not waited for any longer.
    pub(super) fn next_time(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// One that is not waited for any longer.
    pub(super) fn over(&mut self, now: Instant) -> Option<(Arc<Attempt>, usize, Over)> {
        let (at, place) = self.timers.first().copied().filter(|(at, _)| *at <= now)?;
        self.timers.pop_first();
        let running = self.running.get_mut(place)?;
        let over = match running.timeout {
            Some((when, timeout)) if when == at => {
                running.timeout = None;
                Over::TimedOut(timeout)
            }
            _ => Over::Stubborn,
        };
        Some((Arc::clone(&running.attempt), place, over))
    }

    /// Ends the attempt's task, at its next pause.
    pub(super) fn abort(&self, place: usize) {
        let task = self.running.get(place).and_then(|held| held.task.as_ref());
        task.into_iter().for_each(AbortHandle::abort);
    }

    /// Those whose end counts.
    pub(super) fn all_counting(&self) -> Vec<(usize, Arc<Attempt>)> {
        let counting = self.running.iter().filter(|(_, running)| running.counts);
        counting
            .map(|(place, running)| (place, Arc::clone(&running.attempt)))
            .collect()
    }
}

/// Nobody would hear of their ends.
impl Drop for Slots {
    fn drop(&mut self) {
        for (_, running) in &self.running {
            running.attempt.cancel();
            running.task.iter().for_each(AbortHandle::abort);
        }
    }
}
