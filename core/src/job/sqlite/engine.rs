//! What one process has open of the file: the writing thread, the reading connections and
//! the thread that looks for news. A forked child makes its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::Builder;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::inbox::{Inbox, Task, Terms};
use super::session::Session;
use super::watch::Watch;
use super::writer::Writer;
use super::{Durability, trouble};
use crate::clock::Clock;
use crate::job::JobError;
use crate::sqlite::{Readers, Unread};

pub(super) struct Engine {
    path: PathBuf,
    process: u32,
    inbox: Arc<Inbox>,
    readers: Readers,
    pub(super) watch: Arc<Watch>,
    /// Its name among those who follow.
    pub(super) token: String,
}

impl Engine {
    pub(super) fn start(
        path: &Path,
        durability: Durability,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, JobError> {
        let (inbox, watch) = (Arc::new(Inbox::new()), Arc::new(Watch::new()));
        let writer = Writer {
            path: path.to_owned(),
            durability,
            clock,
            inbox: Arc::clone(&inbox),
            watch: Arc::clone(&watch),
        };
        Builder::new()
            .name("jobs-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(|e| trouble::no_writer(path, e.to_string()))?;
        Ok(Self {
            path: path.to_owned(),
            process: std::process::id(),
            inbox,
            readers: Readers::new(path),
            watch,
            token: uuid::Uuid::now_v7().simple().to_string(),
        })
    }

    /// Whether it is this process's own: a connection must not be used on the other side of
    /// a fork, and the threads are not there.
    pub(super) fn is_inherited(&self) -> bool {
        self.process != std::process::id()
    }

    /// Does something in the next transaction, and waits until it is on the disk if it is to
    /// last.
    pub(super) async fn write<T, F>(&self, terms: Terms, work: F) -> Result<T, JobError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Session<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        let gone = || trouble::no_writer(&self.path, "the thread that writes has ended");
        let (reply, answer) = oneshot::channel();
        let task = Box::new(Task::new(work, terms, reply));
        if !self.inbox.put(task).await {
            return Err(gone());
        }
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Reads from one moment's state of the file.
    pub(super) async fn read<T, F>(&self, work: F) -> Result<T, JobError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.readers
            .read(work)
            .await
            .map_err(|unread| match unread {
                Unread::Sqlite(problem) => trouble::of(&self.path, &problem),
                Unread::Ended(problem) => trouble::no_writer(&self.path, problem),
            })
    }

    /// Starts to look for news of other processes, if that is not done yet.
    pub(super) fn look(&self) -> Result<(), JobError> {
        if !self.watch.start() {
            return Ok(());
        }
        let (watch, inbox) = (Arc::clone(&self.watch), Arc::clone(&self.inbox));
        let (path, token) = (self.path.clone(), self.token.clone());
        let thread = Builder::new().name("jobs-watch".to_owned());
        let started = thread.spawn(move || watch.run(&path, &inbox, &token));
        started.map(drop).map_err(|e| {
            self.watch.stopped();
            trouble::no_writer(&self.path, e.to_string())
        })
    }
}

impl Drop for Engine {
    // The threads end by themselves, the writer when all that was brought is done.
    fn drop(&mut self) {
        self.inbox.close();
        self.watch.close();
    }
}
