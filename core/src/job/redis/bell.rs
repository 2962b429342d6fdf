//! Waiting for work without asking again and again: one blocking pop a queue and process.
//!
//! The pop moves whatever it takes, a bell or a job pushed by anyone, to the queue's
//! inbox: a reply that is lost is no lost job. A bell that nobody here waits for any
//! more is rung again for others.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use redis::{Value, cmd};
use tokio::sync::Notify;

use super::Shared;
use super::link::{Link, trouble};
use crate::job::JobError;

/// How long one pop waits at the server, in seconds; less than the answer's timeout.
const ROUND: u64 = 8;
/// The rest after an error.
const REST: Duration = Duration::from_millis(200);

#[derive(Default)]
pub(super) struct Bells {
    queues: Mutex<HashMap<Arc<str>, Arc<Bell>>>,
}

#[derive(Default)]
struct Bell {
    rung: Notify,
    waiting: AtomicUsize,
    listening: Mutex<bool>,
    trouble: Mutex<Option<JobError>>,
}

/// Waits until the queue's bell rings, at most so long.
pub(super) async fn wait(
    shared: &Arc<Shared>,
    queue: &str,
    at_most: Duration,
) -> Result<(), JobError> {
    let (name, bell) = shared.bells.of(queue);
    let _counted = Counted::new(&bell);
    if !std::mem::replace(&mut *bell.listening.lock(), true) {
        tokio::spawn(listen(Arc::downgrade(shared), name, Arc::clone(&bell)));
    }
    tokio::select! {
        () = bell.rung.notified() => {}
        () = tokio::time::sleep(at_most) => {}
        () = shared.closed.cancelled() => return Err(JobError::Closed),
    }
    bell.trouble.lock().take().map_or(Ok(()), Err)
}

impl Bells {
    fn of(&self, queue: &str) -> (Arc<str>, Arc<Bell>) {
        let mut queues = self.queues.lock();
        if let Some((name, bell)) = queues.get_key_value(queue) {
            return (Arc::clone(name), Arc::clone(bell));
        }
        let (name, bell) = (Arc::<str>::from(queue), Arc::<Bell>::default());
        queues.insert(Arc::clone(&name), Arc::clone(&bell));
        (name, bell)
    }
}

struct Counted<'a>(&'a Bell);

impl<'a> Counted<'a> {
    fn new(bell: &'a Bell) -> Self {
        bell.waiting.fetch_add(1, Ordering::AcqRel);
        Self(bell)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Listens as long as somebody waits.
async fn listen(shared: Weak<Shared>, queue: Arc<str>, bell: Arc<Bell>) {
    let Some(link) = shared
        .upgrade()
        .map(|shared| Link::new(Arc::clone(shared.link.address())))
    else {
        return;
    };
    let prefix = link.address().queue_prefix(&queue);
    let pop = {
        let mut pop = cmd("BLMOVE");
        pop.arg(&*queue)
            .arg(format!("{prefix}inbox"))
            .arg("RIGHT")
            .arg("LEFT")
            .arg(ROUND);
        pop
    };
    loop {
        let popped = link.send(&pop).await;
        let waited_for = bell.waiting.load(Ordering::Acquire) > 0;
        match popped {
            Ok(Value::Nil) => {}
            Ok(_) if waited_for => bell.rung.notify_one(),
            Ok(_) => {
                let mut ring = cmd("LPUSH");
                ring.arg(&*queue).arg("");
                let _ = link.send(&ring).await;
            }
            Err(error) => {
                *bell.trouble.lock() = Some(trouble(link.address(), &error));
                bell.rung.notify_one();
                tokio::time::sleep(REST).await;
            }
        }
        let gone = shared
            .upgrade()
            .is_none_or(|shared| shared.closed.is_cancelled());
        let mut listening = bell.listening.lock();
        if gone || bell.waiting.load(Ordering::Acquire) == 0 {
            *listening = false;
            return;
        }
    }
}
