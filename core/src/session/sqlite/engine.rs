//! What one process has open of the file: the thread that writes, where many writes share a
//! transaction, and the connections that read. A forked child makes its own.

use std::path::{Path, PathBuf};
use std::thread::Builder;

use rusqlite::{Connection, Transaction};
use tokio::sync::{mpsc, oneshot};

use super::schema;
use crate::job::JobError;
use crate::job::sqlite::trouble;
use crate::session::SessionError;
use crate::sqlite::{Readers, Turns, Unread};

/// Works that wait; beyond, those who bring them wait.
const ROOM: usize = 1_024;
/// Works of one transaction.
const GROUP: usize = 64;

pub(super) struct Engine {
    path: PathBuf,
    process: u32,
    works: mpsc::Sender<Box<dyn Work>>,
    readers: Readers,
}

/// Something to be done in a transaction, and to be told of once it is on the disk.
trait Work: Send {
    fn run(&mut self, db: &Connection) -> rusqlite::Result<()>;
    fn answer(self: Box<Self>, recorded: Result<(), JobError>);
}

struct Task<T, F> {
    work: Option<F>,
    done: Option<Result<T, SessionError>>,
    reply: oneshot::Sender<Result<T, SessionError>>,
}

impl<T, F> Work for Task<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> rusqlite::Result<Result<T, SessionError>> + Send,
{
    fn run(&mut self, db: &Connection) -> rusqlite::Result<()> {
        if let Some(work) = self.work.take() {
            self.done = Some(work(db)?);
        }
        Ok(())
    }

    fn answer(self: Box<Self>, recorded: Result<(), JobError>) {
        let Self { done, reply, .. } = *self;
        let answer = match recorded {
            Ok(()) => done.unwrap_or(Err(SessionError::Job(JobError::Closed))),
            Err(trouble) => Err(SessionError::Job(trouble)),
        };
        // Whoever asked may have gone: the work is done all the same.
        let _ = reply.send(answer);
    }
}

impl Engine {
    pub(super) fn start(path: &Path) -> Result<Self, JobError> {
        let (works, inbox) = mpsc::channel(ROOM);
        let file = path.to_owned();
        Builder::new()
            .name("sessions-writer".to_owned())
            .spawn(move || write_all(&file, inbox))
            .map_err(|e| trouble::no_writer(path, e.to_string()))?;
        Ok(Self {
            path: path.to_owned(),
            process: std::process::id(),
            works,
            readers: Readers::new(path),
        })
    }

    /// Whether it is the parent's, on the other side of a fork.
    pub(super) fn is_inherited(&self) -> bool {
        self.process != std::process::id()
    }

    /// Does something in the next transaction, and waits until it is on the disk. A refusal
    /// must come before the work's first change.
    pub(super) async fn write<T, F>(&self, work: F) -> Result<T, SessionError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<Result<T, SessionError>> + Send + 'static,
    {
        let gone = || trouble::no_writer(&self.path, "the thread that writes has ended");
        let (reply, answer) = oneshot::channel();
        let task = Box::new(Task {
            work: Some(work),
            done: None,
            reply,
        });
        self.works.send(task).await.map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone().into()))
    }

    pub(super) async fn read<T, F>(&self, work: F) -> Result<T, SessionError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let read = self.readers.read(work).await;
        read.map_err(|unread| {
            SessionError::Job(match unread {
                Unread::Sqlite(problem) => trouble::of(&self.path, &problem),
                Unread::Ended(problem) => trouble::no_writer(&self.path, problem),
            })
        })
    }
}

/// Works until nobody can bring any more.
fn write_all(path: &Path, mut inbox: mpsc::Receiver<Box<dyn Work>>) {
    let mut held = None;
    while let Some(first) = inbox.blocking_recv() {
        let mut works = vec![first];
        while works.len() < GROUP
            && let Ok(next) = inbox.try_recv()
        {
            works.push(next);
        }
        let recorded = record(path, &mut held, &mut works);
        for work in works {
            work.answer(recorded.clone());
        }
    }
}

fn record(
    path: &Path,
    held: &mut Option<(Connection, Turns)>,
    works: &mut [Box<dyn Work>],
) -> Result<(), JobError> {
    let (connection, mut turns) = match held.take() {
        Some(held) => held,
        None => (schema::open(path)?, Turns::new()),
    };
    let run_all = |db: &Transaction<'_>| works.iter_mut().try_for_each(|work| work.run(db));
    turns
        .transact(&connection, run_all)
        .map_err(|problem| trouble::of(path, &problem))?;
    // Behind a failure the file is opened anew.
    *held = Some((connection, turns));
    Ok(())
}
