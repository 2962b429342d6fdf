//! What the writing thread is to do: two bounded lines, of which the urgent one goes first.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::session::Session;
use crate::job::JobError;

/// How many works a line holds; beyond, those who bring them wait.
const ROOM: usize = 1_024;

/// How much work a transaction takes up: behind it others wait, and other processes.
const HEAVY: usize = 2_000;

/// What the lines, and who takes from them, know of a work.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// Whether it goes before what is ordinary.
    pub(super) urgent: bool,
    /// Whether no loss of power may undo it once it is answered.
    pub(super) lasting: bool,
    /// About how many jobs it moves.
    pub(super) weight: usize,
}

/// Something to be done in a transaction, and to be told of behind it.
pub(super) trait Work: Send {
    fn terms(&self) -> Terms;
    /// Does it. A failure undoes the whole transaction.
    fn run(&mut self, session: &mut Session<'_>) -> rusqlite::Result<()>;
    /// Tells who waits what came of it, once that is on the disk if it is to last.
    fn answer(self: Box<Self>, recorded: Result<(), JobError>);
}

/// A work made of a function.
pub(super) struct Task<T, F> {
    work: Option<F>,
    done: Option<T>,
    terms: Terms,
    reply: oneshot::Sender<Result<T, JobError>>,
}

impl<T, F> Task<T, F> {
    pub(super) fn new(work: F, terms: Terms, reply: oneshot::Sender<Result<T, JobError>>) -> Self {
        Self {
            work: Some(work),
            done: None,
            terms,
            reply,
        }
    }
}

impl<T, F> Work for Task<T, F>
where
    T: Send,
    F: FnOnce(&mut Session<'_>) -> rusqlite::Result<T> + Send,
{
    fn terms(&self) -> Terms {
        self.terms
    }

    fn run(&mut self, session: &mut Session<'_>) -> rusqlite::Result<()> {
        if let Some(work) = self.work.take() {
            self.done = Some(work(session)?);
        }
        Ok(())
    }

    fn answer(self: Box<Self>, recorded: Result<(), JobError>) {
        let Self { done, reply, .. } = *self;
        let answer = recorded.and_then(|()| done.ok_or(JobError::Closed));
        // Whoever asked may have gone: the work is done all the same.
        let _ = reply.send(answer);
    }
}

/// The two lines.
pub(super) struct Inbox {
    lines: Mutex<Lines>,
    filled: Condvar,
    room: Arc<Semaphore>,
    urgent_room: Arc<Semaphore>,
}

type Held = (Box<dyn Work>, Option<OwnedSemaphorePermit>);

#[derive(Default)]
struct Lines {
    urgent: VecDeque<Held>,
    ordinary: VecDeque<Held>,
    /// Whether ordinary ones have their turn before quick ones go alone again.
    owed: bool,
    closed: bool,
}

impl Inbox {
    pub(super) fn new() -> Self {
        Self {
            lines: Mutex::default(),
            filled: Condvar::new(),
            room: Arc::new(Semaphore::new(ROOM)),
            urgent_room: Arc::new(Semaphore::new(ROOM)),
        }
    }

    /// Brings a work, when there is room. Tells whether there is still somebody to do it.
    pub(super) async fn put(&self, work: Box<dyn Work>) -> bool {
        let room = if work.terms().urgent {
            &self.urgent_room
        } else {
            &self.room
        };
        let Ok(permit) = Arc::clone(room).acquire_owned().await else {
            return false;
        };
        self.hold((work, Some(permit)))
    }

    /// Brings a small work of this backend's own, whether there is room or not.
    pub(super) fn put_now(&self, work: Box<dyn Work>) {
        self.hold((work, None));
    }

    /// Waits for works and takes at most so many, or fewer of much work; none when it is closed
    /// and empty. Urgent ones that need not last come without others, every other time: they do
    /// not wait for a disk.
    pub(super) fn take(&self, most: usize) -> Option<Vec<Box<dyn Work>>> {
        let mut lines = self.lines.lock();
        while lines.urgent.is_empty() && lines.ordinary.is_empty() {
            if lines.closed {
                return None;
            }
            self.filled.wait(&mut lines);
        }
        let passing = |(work, _): &&Held| !work.terms().lasting;
        let owed = std::mem::take(&mut lines.owed);
        let alone = if owed { 0 } else { most };
        let quick = lines.urgent.iter().take(alone).take_while(passing).count();
        let urgent = match quick {
            0 => lines.urgent.len().min(most),
            quick => quick,
        };
        let mut taken: Vec<_> = lines.urgent.drain(..urgent).map(|(work, _)| work).collect();
        if quick > 0 {
            lines.owed = !lines.ordinary.is_empty();
            return Some(taken);
        }
        let mut weight = 0;
        while taken.len() < most
            && weight < HEAVY
            && let Some((work, _)) = lines.ordinary.pop_front()
        {
            weight += work.terms().weight;
            taken.push(work);
        }
        Some(taken)
    }

    /// Takes no more; what was brought is still done.
    pub(super) fn close(&self) {
        self.lines.lock().closed = true;
        self.room.close();
        self.urgent_room.close();
        self.filled.notify_all();
    }

    /// Nobody takes any more: those who wait are told so.
    pub(super) fn abandon(&self) {
        self.close();
        let left = {
            let mut lines = self.lines.lock();
            (
                std::mem::take(&mut lines.urgent),
                std::mem::take(&mut lines.ordinary),
            )
        };
        drop(left);
    }

    fn hold(&self, held: Held) -> bool {
        let mut lines = self.lines.lock();
        if lines.closed {
            return false;
        }
        if held.0.terms().urgent {
            lines.urgent.push_back(held);
        } else {
            lines.ordinary.push_back(held);
        }
        drop(lines);
        self.filled.notify_one();
        true
    }
}
