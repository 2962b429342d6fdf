//! Where the processes of one host agree on cooldowns and budgets.
//!
//! A pool without a store keeps both to itself. A store knows nothing of
//! strategies or calls; its methods block, so the pool calls them off the
//! asynchronous threads.

mod sqlite;

use std::fmt;

pub use sqlite::SqliteStore;

use super::Limits;
use super::pool::{Mark, Scope};
use crate::clock::EpochMillis;
use crate::error::Error;

/// Shared state of pools. All methods may block.
pub trait PoolStore: Send + Sync + fmt::Debug {
    /// All marks, if anything changed since version `seen` (0 is never).
    ///
    /// # Errors
    /// [`Error::StateUnavailable`] when it cannot be read.
    fn snapshot(&self, seen: u64, now: EpochMillis) -> Result<Option<Snapshot>, Error>;

    /// Puts a mark, or keeps the one there if that lasts longer.
    ///
    /// # Errors
    /// [`Error::StateUnavailable`] when it cannot be written.
    fn put(&self, scope: &Scope, mark: &Mark, now: EpochMillis) -> Result<(), Error>;

    /// Takes a mark away.
    ///
    /// # Errors
    /// [`Error::StateUnavailable`] when it cannot be written.
    fn clear(&self, scope: &Scope) -> Result<(), Error>;

    /// Counts a call into the minute of a credential, or says when there is room.
    ///
    /// # Errors
    /// [`Error::StateUnavailable`] when it cannot be written.
    fn reserve(
        &self,
        key: &str,
        limits: Limits,
        tokens: u64,
        now: EpochMillis,
    ) -> Result<Reservation, Error>;

    /// Replaces a reservation's tokens by the usage that was reported.
    ///
    /// # Errors
    /// [`Error::StateUnavailable`] when it cannot be written.
    fn settle(&self, ticket: i64, tokens: u64) -> Result<(), Error>;
}

/// The marks at one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Counts changes; never 0.
    pub version: u64,
    /// The marks that hold.
    pub marks: Vec<(Scope, Mark)>,
}

/// What asking for room came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reservation {
    /// There is room; settle by this ticket.
    Granted(i64),
    /// There is none before this time.
    Refused(EpochMillis),
}
