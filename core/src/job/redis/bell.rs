//! Waiting for work without asking again and again: one blocking pop a queue and process,
//! and only while somebody waits.
//!
//! The pop moves whatever it takes, a bell or a job pushed by anyone, to the queue's
//! inbox: a reply that is lost is no lost job. A bell that nobody here waits for any
//! more is rung again for others.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use redis::{Cmd, Value, cmd};
use tokio::sync::oneshot;

use super::Shared;
use super::address::Address;
use super::link::{Link, trouble};
use crate::job::JobError;

/// How long one pop waits at the server; less than the answer's timeout.
pub(super) const ROUND: Duration = Duration::from_secs(8);
/// The rest after an error.
const REST: Duration = Duration::from_millis(200);

#[derive(Default)]
pub(super) struct Bells {
    queues: Mutex<HashMap<Arc<str>, Arc<Bell>>>,
}

struct Bell {
    queue: Arc<str>,
    /// A blocked pop would hold up whatever else is sent over its connection.
    link: Link,
    waiters: Mutex<Waiters>,
}

#[derive(Default)]
struct Waiters {
    line: VecDeque<oneshot::Sender<Result<(), JobError>>>,
    /// The process in which somebody listens: a fork has the flag, but not the task.
    listening: Option<u32>,
}

/// Waits until the queue's bell rings, at most so long.
pub(super) async fn wait(
    shared: &Arc<Shared>,
    queue: &str,
    at_most: Duration,
) -> Result<(), JobError> {
    let bell = shared.bells.of(shared, queue);
    let rung = bell.wait(shared);
    tokio::select! {
        rung = rung => rung.unwrap_or(Ok(())),
        () = tokio::time::sleep(at_most) => Ok(()),
        () = shared.closed.cancelled() => Err(JobError::Closed),
    }
}

impl Bells {
    fn of(&self, shared: &Shared, queue: &str) -> Arc<Bell> {
        let mut queues = self.queues.lock();
        if let Some(bell) = queues.get(queue) {
            return Arc::clone(bell);
        }
        let queue = Arc::<str>::from(queue);
        let bell = Arc::new(Bell {
            queue: Arc::clone(&queue),
            link: Link::new(Arc::clone(shared.link.address())),
            waiters: Mutex::default(),
        });
        queues.insert(queue, Arc::clone(&bell));
        bell
    }
}

impl Bell {
    fn wait(self: &Arc<Self>, shared: &Arc<Shared>) -> oneshot::Receiver<Result<(), JobError>> {
        let (ring, rung) = oneshot::channel();
        let here = std::process::id();
        let mut waiters = self.waiters.lock();
        waiters.line.push_back(ring);
        if waiters.listening.replace(here) != Some(here) {
            tokio::spawn(listen(Arc::downgrade(shared), Arc::clone(self)));
        }
        rung
    }

    /// Wakes one who waits, if there is one.
    fn ring(&self) -> bool {
        let mut waiters = self.waiters.lock();
        while let Some(waiter) = waiters.line.pop_front() {
            if waiter.send(Ok(())).is_ok() {
                return true;
            }
        }
        false
    }

    /// Tells all who wait that nothing can be heard.
    fn tell(&self, error: &JobError) {
        let waiters = std::mem::take(&mut self.waiters.lock().line);
        for waiter in waiters {
            let _ = waiter.send(Err(error.clone()));
        }
    }

    /// Whether nobody waits any more; then the next one who does listens anew.
    fn is_done(&self) -> bool {
        let mut waiters = self.waiters.lock();
        waiters.line.retain(|waiter| !waiter.is_closed());
        let done = waiters.line.is_empty();
        if done {
            waiters.listening = None;
        }
        done
    }
}

/// Waits at the server for a bell, or for whatever else is pushed.
pub(super) fn pop(address: &Address, queue: &str, at_most: Duration) -> Cmd {
    let mut pop = cmd("BLMOVE");
    pop.arg(address.list(queue))
        .arg(format!("{}inbox", address.queue_prefix(queue)))
        .arg("RIGHT")
        .arg("LEFT")
        // None at all would be for ever.
        .arg(at_most.as_secs_f64().max(0.001));
    pop
}

/// Listens as long as somebody waits.
async fn listen(shared: Weak<Shared>, bell: Arc<Bell>) {
    let pop = pop(bell.link.address(), &bell.queue, ROUND);
    loop {
        match bell.link.send(&pop).await {
            Ok(Value::Nil) => {}
            Ok(_) if bell.ring() => {}
            Ok(_) => {
                let mut ring = cmd("LPUSH");
                ring.arg(bell.link.address().list(&bell.queue)).arg("");
                let _ = bell.link.send(&ring).await;
            }
            Err(error) => {
                bell.tell(&trouble(bell.link.address(), &error));
                tokio::time::sleep(REST).await;
            }
        }
        let closed = |shared: Arc<Shared>| shared.closed.is_cancelled();
        if shared.upgrade().is_none_or(closed) || bell.is_done() {
            return;
        }
    }
}
