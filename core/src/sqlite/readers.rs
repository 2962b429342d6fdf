//! Connections that read a file beside the one that writes it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Reads at once.
const READERS: usize = 4;

/// A few connections to one file. Clones share them.
#[derive(Clone)]
pub(crate) struct Readers {
    path: Arc<PathBuf>,
    idle: Arc<Mutex<Vec<Connection>>>,
    room: Arc<Semaphore>,
}

/// Why a read has no answer.
pub(crate) enum Unread {
    /// SQLite could not.
    Sqlite(rusqlite::Error),
    /// The thread that read has ended.
    Ended(String),
}

impl Readers {
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            path: Arc::new(path.to_owned()),
            idle: Arc::default(),
            room: Arc::new(Semaphore::new(READERS)),
        }
    }

    /// Reads from one moment's state of the file.
    pub(crate) async fn read<T, F>(&self, work: F) -> Result<T, Unread>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let room = Arc::clone(&self.room).acquire_owned();
        let permit = room.await.map_err(|e| Unread::Ended(e.to_string()))?;
        let readers = self.clone();
        tokio::task::spawn_blocking(move || readers.read_now(work, permit))
            .await
            .map_err(|e| Unread::Ended(e.to_string()))?
            .map_err(Unread::Sqlite)
    }

    fn read_now<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
        _permit: OwnedSemaphorePermit,
    ) -> rusqlite::Result<T> {
        let idle = self.idle.lock().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => super::open_to_read(&self.path)?,
        };
        let transaction = connection.unchecked_transaction()?;
        let found = work(&transaction)?;
        transaction.finish()?;
        // One that failed is not used again.
        self.idle.lock().push(connection);
        Ok(found)
    }
}
