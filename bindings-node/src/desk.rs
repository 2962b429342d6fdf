//! The desk: where JavaScript leaves work under a number and gets the results.
//!
//! All results that are there when the JavaScript thread looks go over in one
//! call and one string, which costs less than a threadsafe function per promise.
//! What the results mean is known by those who hand work in and by `lib/desk.ts`.

use std::collections::HashMap;
use std::fmt::Write;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use credential_rotation::Error;
use credential_rotation::job::JobError;
use futures_util::FutureExt;
use napi::Env;
use napi::bindgen_prelude::Function;
use napi_derive::napi;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio_util::task::TaskTracker;

use crate::outbox::Outbox;
use crate::runtime;

/// How long an exit waits for work to be ended.
const LAST_PATIENCE: Duration = Duration::from_millis(500);

/// What came of a piece of work: JSON to resolve with, or the error.
pub(crate) type Reply = Result<String, Error>;

/// What JavaScript answered to a question: JSON of its value or of its error.
pub(crate) type Answered = Result<String, String>;

/// The desk of one JavaScript environment.
#[napi]
pub struct Desk(Arc<Shared>);

/// The side of a desk that work is done on.
pub(crate) struct Shared {
    outbox: Outbox,
    work: Mutex<HashMap<u32, AbortHandle>>,
    tasks: TaskTracker,
    questions: Mutex<Questions>,
}

#[derive(Default)]
struct Questions {
    last: u32,
    open: HashMap<u32, oneshot::Sender<Answered>>,
}

#[napi]
impl Desk {
    /// `deliver` gets the results: a JSON list of `[number, succeeded, value]`.
    #[napi(constructor)]
    pub fn new(deliver: Function<'_, String, ()>) -> napi::Result<Self> {
        Ok(Self(Arc::new(Shared {
            outbox: Outbox::new(&deliver)?,
            work: Mutex::default(),
            tasks: TaskTracker::new(),
            questions: Mutex::default(),
        })))
    }

    /// Keeps the process alive: there is work whose result somebody waits for.
    #[napi]
    pub fn hold(&self, env: Env) -> napi::Result<()> {
        self.0.outbox.hold(&env)
    }

    /// Lets the process exit when it has nothing else to do.
    #[napi]
    pub fn release(&self, env: Env) -> napi::Result<()> {
        self.0.outbox.release(&env)
    }

    /// Ends a piece of work wherever it is. Its result does not come any more.
    #[napi]
    pub fn cancel(&self, number: u32) {
        if let Some(work) = self.0.work.lock().remove(&number) {
            work.abort();
        }
    }

    /// Ends all work before the process exits, and waits until connections are closed
    /// and child processes ended.
    #[napi]
    pub fn close(&self) {
        self.0.cancel_all();
        self.0.tasks.close();
        runtime::wait(self.0.tasks.wait(), LAST_PATIENCE);
    }

    /// Answers a question that a provider of the host's was asked.
    #[napi]
    pub fn answer(&self, question: u32, succeeded: bool, json: String) {
        let asker = self.0.questions.lock().open.remove(&question);
        if let Some(asker) = asker {
            // Who asked may have given up.
            let _ = asker.send(if succeeded { Ok(json) } else { Err(json) });
        }
    }
}

impl Desk {
    /// The side that work is done on.
    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.0)
    }
}

// The environment is going away, as a worker's does when it is terminated.
impl Drop for Desk {
    fn drop(&mut self) {
        self.0.cancel_all();
    }
}

impl Shared {
    fn cancel_all(&self) {
        for (_, work) in self.work.lock().drain() {
            work.abort();
        }
    }

    /// Does `work` and delivers what came of it under `number`.
    pub(crate) fn submit(
        self: &Arc<Self>,
        number: u32,
        work: impl Future<Output = Reply> + Send + 'static,
    ) -> napi::Result<()> {
        self.hand_in(
            number,
            work.map(|reply| reply.map_err(|e| e.to_json().to_string())),
        )
    }

    /// The same for work on jobs.
    pub(crate) fn submit_job(
        self: &Arc<Self>,
        number: u32,
        work: impl Future<Output = Result<String, JobError>> + Send + 'static,
    ) -> napi::Result<()> {
        self.hand_in(
            number,
            work.map(|reply| reply.map_err(|e| e.to_json().to_string())),
        )
    }

    fn hand_in(
        self: &Arc<Self>,
        number: u32,
        work: impl Future<Output = Answered> + Send + 'static,
    ) -> napi::Result<()> {
        let desk = Arc::clone(self);
        // A call is some kilobytes: boxed, it is not copied on its way to its task.
        let work = Box::pin(work);
        // Held while spawning, so that even work that is done at once finds its entry.
        let mut running = self.work.lock();
        let task = runtime::spawn(self.tasks.track_future(async move {
            let reply = AssertUnwindSafe(work).catch_unwind().await;
            if desk.work.lock().remove(&number).is_some() {
                desk.deliver(number, reply.ok());
            }
        }))?;
        running.insert(number, task);
        Ok(())
    }

    /// Opens a question; [`Desk::answer`] answers it.
    pub(crate) fn ask(&self) -> (u32, oneshot::Receiver<Answered>) {
        let (asker, answer) = oneshot::channel();
        let mut questions = self.questions.lock();
        questions.last = questions.last.wrapping_add(1);
        let question = questions.last;
        questions.open.insert(question, asker);
        (question, answer)
    }

    /// Forgets a question that nobody waits for any more. Says whether it was open.
    pub(crate) fn withdraw(&self, question: u32) -> bool {
        self.questions.lock().open.remove(&question).is_some()
    }

    fn deliver(&self, number: u32, reply: Option<Answered>) {
        let (succeeded, json) = match reply {
            Some(Ok(json)) => (true, json),
            Some(Err(error)) => (false, error),
            // Work that panicked; the panic itself is on stderr.
            None => (false, "null".to_owned()),
        };
        self.outbox.add(|lines| {
            // Writing to a string does not fail.
            let _ = write!(lines, "[{number},{succeeded},{json}]");
        });
    }
}
