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

/// The file as it is open.
struct Open {
    connection: Connection,
    turns: Turns,
    /// What the next transaction survives.
    durability: Durability,
}

impl Writer {
    /// Works until the inbox is closed and empty.
    pub(super) fn run(self) {
        let _end = AtEnd(Arc::clone(&self.inbox));
        let mut held = None;
        while let Some(mut works) = self.inbox.take(GROUP) {
            let recorded = self.record(&mut held, &mut works);
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
        held: &mut Option<Open>,
        works: &mut [Box<dyn Work>],
    ) -> Result<Told, JobError> {
        let mut file = match held.take() {
            Some(file) => file,
            None => self.open()?,
        };
        let told = self
            .transact(&mut file, works)
            .map_err(|problem| trouble::of(&self.path, &problem))?;
        // Behind a failure the file is opened anew.
        *held = Some(file);
        Ok(told)
    }

    fn open(&self) -> Result<Open, JobError> {
        Ok(Open {
            connection: schema::open(&self.path, self.durability)?,
            turns: Turns::new(),
            durability: self.durability,
        })
    }

    fn transact(&self, file: &mut Open, works: &mut [Box<dyn Work>]) -> rusqlite::Result<Told> {
        let lasting = works.iter().any(|work| work.terms().lasting);
        file.survive(if lasting {
            self.durability
        } else {
            Durability::Normal
        })?;
        let told = file.turns.transact(&file.connection, |transaction| {
            let mut session = Session::begin(transaction, &*self.clock)?;
            for work in works {
                work.run(&mut session)?;
            }
            session.end()
        })?;
        #[cfg(test)]
        self.watch.recorded(lasting);
        Ok(told)
    }
}

impl Open {
    fn survive(&mut self, durability: Durability) -> rusqlite::Result<()> {
        if self.durability != durability {
            let word = durability.synchronous();
            self.connection.pragma_update(None, "synchronous", word)?;
            self.durability = durability;
        }
        Ok(())
    }
}
