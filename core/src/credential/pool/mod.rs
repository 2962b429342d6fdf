//! The pool: who may be used now, and who is lent to whom.
//!
//! It knows nothing of requests, retries or wire formats. A caller takes a
//! [`Lease`], and says by a [`Settlement`] what came of it; what a fault means is
//! decided by the caller.

mod by_hand;
mod lease;
mod mark;
mod options;
mod slot;
mod strategy;
mod window;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

pub use lease::{Lease, Marked, Settlement};
pub use mark::{Mark, MarkKind, Scope};
pub use options::{PoolOptions, StoreChoice};
pub use strategy::{Strategy, Want};
pub use window::MINUTE;

use self::slot::Slot;
use self::strategy::{Pick, Slots};
use super::store::{PoolStore, Reservation};
use super::{Credential, CredentialState, CredentialStatus};
use crate::clock::{Clock, EpochMillis, SystemClock, millis};
use crate::error::Error;

/// How often a store is asked for what other processes put there, in milliseconds.
const STORE_CHECK: u64 = 250;

/// A waiting call looks again at least this often, in milliseconds: a slot can
/// come free for a reason that wakes nobody, such as a clock set by hand.
const LOOK_AGAIN: u64 = 250;

/// Credentials that calls borrow. Cheap to clone: all clones are one pool.
#[derive(Clone, Debug)]
pub struct CredentialPool(Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared {
    slots: Mutex<Slots>,
    released: Notify,
    clock: Arc<dyn Clock>,
    store: Option<Arc<dyn PoolStore>>,
    max_waiting: usize,
    waiting: AtomicUsize,
    /// When the store was last asked, and at which version.
    checked: AtomicU64,
    version: AtomicU64,
    /// Counts marks of this process, so that an older snapshot does not undo one.
    puts: AtomicU64,
    warned: AtomicBool,
}

impl CredentialPool {
    /// A pool with the default options.
    ///
    /// # Errors
    /// [`Error::NoCredentials`] for none, [`Error::DuplicateCredential`] for two of one id.
    pub fn new(credentials: Vec<Credential>) -> Result<Self, Error> {
        Self::with_options(credentials, PoolOptions::default())
    }

    /// A pool with a strategy, limits and perhaps a store of its own.
    ///
    /// # Errors
    /// As [`CredentialPool::new`], and [`Error::StateUnavailable`] for a store that cannot be opened.
    pub fn with_options(credentials: Vec<Credential>, options: PoolOptions) -> Result<Self, Error> {
        let store = options.store.open()?;
        Self::assemble(credentials, &options, store, Arc::new(SystemClock))
    }

    /// A pool over any store and clock.
    ///
    /// # Errors
    /// As [`CredentialPool::new`].
    pub fn assemble(
        credentials: Vec<Credential>,
        options: &PoolOptions,
        store: Option<Arc<dyn PoolStore>>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Error> {
        if credentials.is_empty() {
            return Err(Error::NoCredentials {
                place: "the pool".to_owned(),
                remedy: "give at least one credential or source".to_owned(),
            });
        }
        let mut ids = std::collections::HashSet::new();
        if let Some(twice) = credentials.iter().find(|c| !ids.insert(c.id().to_owned())) {
            return Err(Error::DuplicateCredential {
                id: twice.id().to_owned(),
            });
        }
        let slots = Slots {
            all: credentials.into_iter().map(Slot::new).collect(),
            strategy: options.strategy,
            probe: options.probe_ms,
            turn: 0,
            passes: BTreeSet::new(),
            pass: 0,
            process: std::process::id(),
        };
        Ok(Self(Arc::new(Shared {
            slots: Mutex::new(slots),
            released: Notify::new(),
            clock,
            store,
            max_waiting: options.max_waiting,
            waiting: AtomicUsize::new(0),
            checked: AtomicU64::new(0),
            version: AtomicU64::new(0),
            puts: AtomicU64::new(0),
            warned: AtomicBool::new(false),
        })))
    }

    /// Borrows a credential, waiting while all that are not out are in use.
    ///
    /// # Errors
    /// [`Error::AllCooling`] at once when all are out; [`Error::PoolSaturated`] when too
    /// many wait already; [`Error::DeadlineExceeded`] when `patience` passed.
    pub async fn acquire(&self, want: &Want<'_>, patience: Duration) -> Result<Lease, Error> {
        let give_up = self.now().saturating_add(millis(patience));
        let mut place = None;
        loop {
            self.learn().await;
            let released = self.0.released.notified();
            tokio::pin!(released);
            released.as_mut().enable();
            let now = self.now();
            let until = match self.borrow(want, now) {
                Borrowed::Lease(lease) => match self.confirm(lease, want).await {
                    Some(lease) => return Ok(lease),
                    None => continue,
                },
                Borrowed::Out { earliest } => return Err(self.all_cooling(want.model, earliest)),
                Borrowed::Busy { until } => until,
            };
            if now >= give_up {
                return Err(Error::DeadlineExceeded {
                    after: patience,
                    last: None,
                });
            }
            if place.is_none() {
                place = Some(Place::take(&self.0)?);
            }
            let wait = until
                .unwrap_or(EpochMillis::MAX)
                .min(give_up)
                .saturating_sub(now)
                .clamp(1, LOOK_AGAIN);
            let _ = tokio::time::timeout(Duration::from_millis(wait), released).await;
        }
    }

    /// Borrows a credential if one is ready now. Does not look at the store.
    ///
    /// # Errors
    /// [`Error::AllCooling`] when all are out; [`Error::PoolSaturated`] when those that
    /// are not out are in use.
    pub fn try_acquire(&self, want: &Want<'_>) -> Result<Lease, Error> {
        match self.borrow(want, self.now()) {
            Borrowed::Lease(lease) => Ok(lease),
            Borrowed::Out { earliest } => Err(self.all_cooling(want.model, earliest)),
            Borrowed::Busy { .. } => Err(Error::PoolSaturated {
                waiting: self.0.waiting.load(Ordering::Relaxed),
            }),
        }
    }

    /// Every credential, its state and when it comes back.
    #[must_use]
    pub fn list(&self) -> Vec<CredentialStatus> {
        self.statuses(None)
    }

    /// The same after a look at what other processes put into the store.
    pub async fn refreshed_list(&self) -> Vec<CredentialStatus> {
        self.0.checked.store(0, Ordering::Relaxed);
        self.learn().await;
        self.list()
    }

    /// The credential of an id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<Credential> {
        let slots = self.0.slots.lock();
        slots
            .all
            .iter()
            .map(|slot| &slot.credential)
            .find(|c| c.id() == id)
            .cloned()
    }

    /// How many credentials there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.slots.lock().all.len()
    }

    /// Never: a pool has at least one credential.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The pool's time.
    #[must_use]
    pub fn now(&self) -> EpochMillis {
        self.0.clock.now()
    }

    /// Puts a mark in this process and, if there is a store, for the others.
    pub(crate) async fn put(&self, scope: Scope, mark: Mark) {
        self.0.puts.fetch_add(1, Ordering::SeqCst);
        apply(&mut self.0.slots.lock(), &scope, &mark);
        self.with_store(move |store, now| store.put(&scope, &mark, now))
            .await;
        self.0.puts.fetch_add(1, Ordering::SeqCst);
    }

    // Choosing and lending are one step: two calls must not choose the same slot.
    fn borrow(&self, want: &Want<'_>, now: EpochMillis) -> Borrowed {
        let mut slots = self.0.slots.lock();
        if slots.forget_loans_of_parent() {
            self.0.waiting.store(0, Ordering::SeqCst);
        }
        match slots.pick(want, now) {
            Pick::Slot(index) => {
                let (credential, ticket) = slots.lend(index, want.tokens, now);
                drop(slots);
                Borrowed::Lease(Lease::new(self.clone(), credential, index, ticket))
            }
            Pick::Busy { until } => Borrowed::Busy { until },
            Pick::Out { earliest } => Borrowed::Out { earliest },
        }
    }

    // The minute is shared with other processes: the store has the last word.
    async fn confirm(&self, mut lease: Lease, want: &Want<'_>) -> Option<Lease> {
        let limits = lease.credential().limits();
        if self.0.store.is_none() || (limits.rpm.is_none() && limits.tpm.is_none()) {
            return Some(lease);
        }
        let key = self
            .0
            .slots
            .lock()
            .all
            .get(lease.index())
            .map(|slot| slot.key.clone())?;
        let tokens = want.tokens;
        let answer = self
            .with_store(move |store, now| store.reserve(&key, limits, tokens, now))
            .await;
        match answer {
            Some(Reservation::Refused(at)) => {
                let mut slots = self.0.slots.lock();
                if let Some(slot) = slots.all.get_mut(lease.index()) {
                    slot.window.withdraw(lease.ticket());
                    slot.put(Mark {
                        kind: MarkKind::Cooling,
                        reason: "limit_of_the_minute".to_owned(),
                        until: Some(at),
                    });
                }
                None
            }
            Some(Reservation::Granted(ticket)) => {
                lease.shared_ticket = Some(ticket);
                Some(lease)
            }
            None => Some(lease),
        }
    }

    fn all_cooling(&self, model: Option<&str>, earliest: Option<EpochMillis>) -> Error {
        Error::AllCooling {
            earliest,
            credentials: self.statuses(model),
        }
    }

    /// Whether it has that credential and it is not out for the model; it may be in use.
    pub(crate) fn admits(&self, id: &str, model: Option<&str>) -> bool {
        let mut all = self.statuses(model).into_iter();
        all.any(|status| {
            status.id == id
                && matches!(status.state, CredentialState::Ready | CredentialState::Busy)
        })
    }

    fn statuses(&self, model: Option<&str>) -> Vec<CredentialStatus> {
        let now = self.now();
        let mut slots = self.0.slots.lock();
        let probe = slots.probe;
        slots
            .all
            .iter_mut()
            .map(|slot| slot.status(model, now, probe))
            .collect()
    }

    // Looks, at most every STORE_CHECK, whether other processes changed anything.
    async fn learn(&self) {
        if self.0.store.is_none() {
            return;
        }
        let now = self.now();
        let checked = self.0.checked.load(Ordering::Relaxed);
        let due = now.saturating_sub(checked) >= STORE_CHECK;
        if !due
            || self
                .0
                .checked
                .compare_exchange(checked, now, Ordering::SeqCst, Ordering::Relaxed)
                .is_err()
        {
            return;
        }
        let puts = self.0.puts.load(Ordering::SeqCst);
        let seen = self.0.version.load(Ordering::SeqCst);
        let Some(Some(snapshot)) = self
            .with_store(move |store, now| store.snapshot(seen, now))
            .await
        else {
            return;
        };
        let mut slots = self.0.slots.lock();
        if self.0.puts.load(Ordering::SeqCst) != puts || puts % 2 == 1 {
            return;
        }
        for slot in &mut slots.all {
            slot.mark = None;
            slot.models.clear();
        }
        for (scope, mark) in &snapshot.marks {
            apply(&mut slots, scope, mark);
        }
        self.0.version.store(snapshot.version, Ordering::SeqCst);
        drop(slots);
        self.0.released.notify_waiters();
    }

    // A store in trouble costs sharing, not calls: this process goes on by itself.
    async fn with_store<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn PoolStore, EpochMillis) -> Result<T, Error> + Send + 'static,
    ) -> Option<T> {
        let store = Arc::clone(self.0.store.as_ref()?);
        let now = self.now();
        let done = tokio::task::spawn_blocking(move || work(store.as_ref(), now)).await;
        match done {
            Ok(Ok(value)) => Some(value),
            Ok(Err(problem)) => {
                if !self.0.warned.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%problem, "pool state is not shared with other processes");
                }
                None
            }
            Err(_) => None,
        }
    }
}

fn apply(slots: &mut Slots, scope: &Scope, mark: &Mark) {
    for slot in &mut slots.all {
        match scope {
            Scope::Credential(key) if *key == slot.key => slot.put(mark.clone()),
            Scope::Group(name) if slot.credential.quota_group() == Some(name) => {
                slot.put(mark.clone())
            }
            Scope::Model(key, model) if *key == slot.key => slot.put_model(model, mark.clone()),
            _ => {}
        }
    }
}

enum Borrowed {
    Lease(Lease),
    Busy { until: Option<EpochMillis> },
    Out { earliest: Option<EpochMillis> },
}

/// A place in the queue of waiting calls, given up when dropped.
struct Place<'a>(&'a Shared);

impl<'a> Place<'a> {
    fn take(shared: &'a Shared) -> Result<Self, Error> {
        let waiting = shared.waiting.fetch_add(1, Ordering::SeqCst);
        let place = Self(shared);
        if waiting >= shared.max_waiting {
            return Err(Error::PoolSaturated { waiting });
        }
        Ok(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests;
