//! Who waits for work or follows events is told: at once of what this process wrote, and
//! within some milliseconds of what others wrote to the file.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rusqlite::{Connection, OptionalExtension};
use tokio::sync::{Notify, broadcast};

use super::cancels::Requests;
use super::follow;
use super::inbox::{Inbox, Task, Terms};
use super::session::{Session, Told};
use super::trouble::count;
use crate::job::JobEvent;
use crate::job::feed::Feed;

/// How often the file is looked at while somebody waits or follows.
const LOOK: Duration = Duration::from_millis(20);
/// Events that are read at once.
const READ_STEP: usize = 1_000;
/// What is written while somebody follows.
const RENEWAL: Terms = Terms {
    urgent: true,
    lasting: false,
    weight: 1,
};
/// The number of an event that is not in the file.
const UNNUMBERED: i64 = i64::MAX;

pub(super) type Numbered = (i64, JobEvent);

pub(super) struct Watch {
    state: Mutex<State>,
    nudge: Condvar,
    events: Feed<Numbered>,
    cancels: Feed,
    /// Transactions that waited for the disk, and others.
    #[cfg(test)]
    pub(super) transactions: Mutex<(u32, u32)>,
}

#[derive(Default)]
struct State {
    bells: HashMap<Arc<str>, Bell>,
    /// The last event that was passed on, while somebody follows.
    passed: Option<i64>,
    /// When the file was last told that somebody follows.
    renewed: Option<Instant>,
    nudged: bool,
    running: bool,
    closed: bool,
}

#[derive(Default)]
struct Bell {
    notify: Arc<Notify>,
    /// The queue's count of rings that somebody here has answered.
    seen: u64,
    waiters: usize,
}

/// Somebody waits, until this is dropped.
pub(super) struct Waiter {
    watch: Arc<Watch>,
    queue: Arc<str>,
    pub(super) notify: Arc<Notify>,
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if let Some(bell) = self.watch.state.lock().bells.get_mut(&self.queue) {
            bell.waiters = bell.waiters.saturating_sub(1);
        }
    }
}

impl Watch {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::default(),
            nudge: Condvar::new(),
            events: Feed::of_events(),
            cancels: Feed::of_cancels(),
            #[cfg(test)]
            transactions: Mutex::default(),
        }
    }

    #[cfg(test)]
    pub(super) fn recorded(&self, lasting: bool) {
        let mut transactions = self.transactions.lock();
        transactions.0 += u32::from(lasting);
        transactions.1 += u32::from(!lasting);
    }

    /// Registers one who waits for work.
    pub(super) fn wait(self: &Arc<Self>, queue: &str) -> Waiter {
        let queue: Arc<str> = queue.into();
        let mut state = self.state.lock();
        let bell = state.bells.entry(Arc::clone(&queue)).or_default();
        bell.waiters += 1;
        let notify = Arc::clone(&bell.notify);
        state.nudged = true;
        drop(state);
        self.nudge.notify_one();
        Waiter {
            watch: Arc::clone(self),
            queue,
            notify,
        }
    }

    /// A claim has seen the queue as of that ring.
    pub(super) fn answered(&self, queue: &Arc<str>, rings: u64) {
        let mut state = self.state.lock();
        let bell = match state.bells.get_mut(queue) {
            Some(bell) => bell,
            None => state.bells.entry(Arc::clone(queue)).or_default(),
        };
        bell.seen = bell.seen.max(rings);
    }

    /// A channel of events; those it is for are behind the number that the file tells.
    pub(super) fn subscribe(&self) -> broadcast::Receiver<Numbered> {
        self.events.subscribe()
    }

    /// A channel of requests to cancel running jobs, those that are open first.
    pub(super) fn subscribe_to_cancels(&self) -> broadcast::Receiver<JobEvent> {
        let receiver = self.cancels.subscribe();
        self.state.lock().nudged = true;
        self.nudge.notify_one();
        receiver
    }

    /// Whether somebody follows already.
    pub(super) fn is_followed(&self) -> bool {
        self.state.lock().passed.is_some()
    }

    /// Somebody follows what comes behind that event.
    pub(super) fn follow(&self, last: i64) {
        let mut state = self.state.lock();
        state.passed.get_or_insert(last);
        state.renewed = Some(Instant::now());
        state.nudged = true;
        drop(state);
        self.nudge.notify_one();
    }

    /// Passes on what a transaction of this process did.
    pub(super) fn told(&self, told: Told) {
        let mut state = self.state.lock();
        for (queue, rings) in told.rung {
            let bell = state.bells.entry(queue).or_default();
            bell.seen = bell.seen.max(rings);
            bell.notify.notify_one();
        }
        if told.events && state.running {
            state.nudged = true;
            drop(state);
            self.nudge.notify_one();
        }
    }

    /// Whether the thread is to be started: the first one asked is told so.
    pub(super) fn start(&self) -> bool {
        !std::mem::replace(&mut self.state.lock().running, true)
    }

    /// The thread could not be started.
    pub(super) fn stopped(&self) {
        self.state.lock().running = false;
    }

    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.nudge.notify_all();
    }

    /// Looks at the file while somebody waits or follows, until it is closed.
    pub(super) fn run(&self, path: &Path, inbox: &Inbox, token: &str) {
        let mut connection: Option<Connection> = None;
        let mut version = None;
        let mut requests = Requests::default();
        while let Some(round) = self.next_round() {
            if round.renew {
                let token = token.to_owned();
                let (reply, _) = tokio::sync::oneshot::channel();
                let work = Task::new(
                    move |session: &mut Session<'_>| follow::renew(session, &token),
                    RENEWAL,
                    reply,
                );
                inbox.put_now(Box::new(work));
            }
            if round.nudged {
                version = None;
            }
            if connection.is_none() {
                connection = crate::sqlite::open_to_read(path).ok();
            }
            let Some(db) = &connection else { continue };
            if let Err(problem) = self.look(db, &round, &mut version, &mut requests) {
                tracing::warn!(file = %path.display(), %problem, "cannot look for news in the file of jobs");
                connection = None;
                version = None;
            }
        }
    }

    fn next_round(&self) -> Option<Round> {
        let mut state = self.state.lock();
        loop {
            if state.closed {
                return None;
            }
            if !self.events.is_followed() {
                state.passed = None;
            }
            let waited = state.bells.iter().filter(|(_, bell)| bell.waiters > 0);
            let waited: Vec<_> = waited
                .map(|(queue, bell)| (Arc::clone(queue), bell.seen))
                .collect();
            let called = self.cancels.is_followed();
            let busy = called || !waited.is_empty() || state.passed.is_some();
            if state.nudged && busy {
                return Some(Self::round(&mut state, waited, true));
            }
            state.nudged = false;
            if !busy {
                self.nudge.wait(&mut state);
            } else if self.nudge.wait_for(&mut state, LOOK).timed_out() {
                return Some(Self::round(&mut state, waited, false));
            }
        }
    }

    fn round(state: &mut State, waited: Vec<(Arc<str>, u64)>, nudged: bool) -> Round {
        state.nudged = false;
        let passed = state.passed;
        let old = state
            .renewed
            .is_none_or(|at| at.elapsed() > follow::RENEWAL);
        let renew = passed.is_some() && old;
        if renew {
            state.renewed = Some(Instant::now());
        }
        Round {
            waited,
            passed,
            renew,
            nudged,
        }
    }

    fn look(
        &self,
        db: &Connection,
        round: &Round,
        version: &mut Option<i64>,
        requests: &mut Requests,
    ) -> rusqlite::Result<()> {
        let found: i64 = db
            .prepare_cached("PRAGMA data_version")?
            .query_row([], |row| row.get(0))?;
        if *version == Some(found) {
            return Ok(());
        }
        *version = Some(found);
        for (queue, seen) in &round.waited {
            let rings: Option<i64> = db
                .prepare_cached("SELECT rings FROM queue WHERE name = ?1")?
                .query_row([&**queue], |row| row.get(0))
                .optional()?;
            let rings = count(rings.unwrap_or(0));
            if rings > *seen {
                self.ring(queue, rings);
            }
        }
        if self.cancels.is_followed() {
            for event in requests.news(db)? {
                self.cancels.send(event);
            }
        }
        match round.passed {
            Some(passed) => self.pass_on(db, passed),
            None => Ok(()),
        }
    }

    fn ring(&self, queue: &Arc<str>, rings: u64) {
        if let Some(bell) = self.state.lock().bells.get_mut(queue)
            && rings > bell.seen
        {
            bell.seen = rings;
            bell.notify.notify_one();
        }
    }

    fn pass_on(&self, db: &Connection, mut passed: i64) -> rusqlite::Result<()> {
        loop {
            let events = follow::read(db, passed, READ_STEP)?;
            let read = events.len();
            for event in events {
                if event.0 > passed + 1 {
                    self.events.send((UNNUMBERED, JobEvent::gap()));
                }
                passed = event.0;
                self.events.send(event);
            }
            if let Some(last) = &mut self.state.lock().passed {
                *last = passed;
            }
            if read < READ_STEP {
                return Ok(());
            }
        }
    }
}

/// What one look is for.
struct Round {
    waited: Vec<(Arc<str>, u64)>,
    passed: Option<i64>,
    renew: bool,
    nudged: bool,
}
