//! The one thread of a process that writes: all that waits goes into one transaction, and
//! is answered once that is on the disk.

use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::Connection;

use super::inbox::{Inbox, Work};
use super::session::{Session, Told};
use super::watch::Watch;
use super::{Durability, schema, trouble};
use crate::clock::Clock;
use crate::job::JobError;
use crate::sqlite::Turns;

/// Works of one transaction.
const GROUP: usize = 64;

pub(super) struct Writer {
    pub(super) path: PathBuf,
    pub(super) durability: Durability,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) inbox: Arc<Inbox>,
    pub(super) watch: Arc<Watch>,
}

/// Should the thread end in a way that is not foreseen, nobody waits for it for ever.
struct AtEnd(Arc<Inbox>);

impl Drop for AtEnd {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

impl Writer {
    /// Works until the inbox is closed and empty.
    pub(super) fn run(self) {
        let _end = AtEnd(Arc::clone(&self.inbox));
        let (mut connection, mut turns) = (None, Turns::new());
        while let Some(mut works) = self.inbox.take(GROUP) {
            let recorded = self.record(&mut connection, &mut turns, &mut works);
            let answer = match &recorded {
                Ok(_) => Ok(()),
                Err(problem) => Err(problem.clone()),
            };
            if let Ok(told) = recorded {
                self.watch.told(told);
            }
            for work in works {
                work.answer(answer.clone());
            }
        }
    }

    fn record(
        &self,
        held: &mut Option<Connection>,
        turns: &mut Turns,
        works: &mut [Box<dyn Work>],
    ) -> Result<Told, JobError> {
        let connection = match held.take() {
            Some(connection) => connection,
            None => schema::open(&self.path, self.durability)?,
        };
        let lasting = works.iter().any(|work| work.terms().lasting);
        let told = match self.durability {
            Durability::Full if !lasting => self.transact_in_passing(&connection, turns, works),
            _ => self.transact(&connection, turns, works),
        }
        .map_err(|problem| trouble::of(&self.path, &problem))?;
        // Behind a failure the file is opened anew.
        *held = Some(connection);
        Ok(told)
    }

    /// The same without waiting for the disk.
    fn transact_in_passing(
        &self,
        connection: &Connection,
        turns: &mut Turns,
        works: &mut [Box<dyn Work>],
    ) -> rusqlite::Result<Told> {
        let pragma = |durability: Durability| {
            connection.pragma_update(None, "synchronous", durability.synchronous())
        };
        pragma(Durability::Normal)?;
        let told = self.transact(connection, turns, works)?;
        pragma(Durability::Full)?;
        Ok(told)
    }

    fn transact(
        &self,
        connection: &Connection,
        turns: &mut Turns,
        works: &mut [Box<dyn Work>],
    ) -> rusqlite::Result<Told> {
        turns.transact(connection, |transaction| {
            let mut session = Session::begin(transaction, &*self.clock)?;
            for work in works {
                work.run(&mut session)?;
            }
            session.end()
        })
    }
}
