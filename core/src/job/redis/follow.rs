//! Events from the server, through one connection a process, for all who follow here.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::StreamExt;
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::sync::{broadcast, oneshot};

use super::Shared;
use super::link::{follower, trouble};
use crate::clock::EpochMillis;
use crate::job::{JobError, JobEvent, JobId, What};

/// Events that a slow follower may be behind before it is told of a gap.
const ROOM: usize = 16_384;
const REST: Duration = Duration::from_millis(200);

pub(super) struct Follower {
    sender: broadcast::Sender<JobEvent>,
    following: Mutex<bool>,
}

impl Default for Follower {
    fn default() -> Self {
        Self {
            sender: broadcast::channel(ROOM).0,
            following: Mutex::new(false),
        }
    }
}

/// An event as the scripts tell it.
#[derive(Deserialize)]
struct Told {
    at: EpochMillis,
    id: Option<JobId>,
    #[serde(flatten)]
    what: What,
}

/// Follows from now on: what happens behind this call is told.
pub(super) async fn subscribe(
    shared: &Arc<Shared>,
) -> Result<broadcast::Receiver<JobEvent>, JobError> {
    let receiver = shared.follower.sender.subscribe();
    let begin = !std::mem::replace(&mut *shared.follower.following.lock(), true);
    if begin {
        let (ready, begun) = oneshot::channel();
        tokio::spawn(follow(Arc::downgrade(shared), ready));
        begun.await.unwrap_or(Err(JobError::Closed))?;
    }
    Ok(receiver)
}

async fn follow(shared: Weak<Shared>, ready: oneshot::Sender<Result<(), JobError>>) {
    let mut ready = Some(ready);
    while let Some(alive) = shared.upgrade() {
        let address = Arc::clone(alive.link.address());
        let sender = alive.follower.sender.clone();
        let closed = alive.closed.clone();
        drop(alive);
        let pattern = format!("{}:*:events", address.prefix);
        let opened = async {
            let mut opened = follower(&address).await?;
            opened.psubscribe(&pattern).await?;
            redis::RedisResult::Ok(opened)
        };
        match opened.await {
            Ok(opened) => {
                match ready.take() {
                    Some(ready) => drop(ready.send(Ok(()))),
                    None => drop(sender.send(JobEvent::gap())),
                }
                let mut messages = opened.into_on_message();
                loop {
                    let message = tokio::select! {
                        message = messages.next() => message,
                        () = closed.cancelled() => return,
                        () = tokio::time::sleep(Duration::from_secs(5)) => {
                            if idle(&shared) {
                                return;
                            }
                            continue;
                        }
                    };
                    let Some(message) = message else { break };
                    let Some(queue) = queue_of(message.get_channel_name(), &address.prefix) else {
                        continue;
                    };
                    let told: Vec<Told> =
                        serde_json::from_slice(message.get_payload_bytes()).unwrap_or_default();
                    for Told { at, id, what } in told {
                        let queue = queue.into();
                        let _ = sender.send(JobEvent {
                            at,
                            queue,
                            id,
                            what,
                        });
                    }
                }
            }
            Err(error) => {
                if let Some(ready) = ready.take() {
                    if let Some(alive) = shared.upgrade() {
                        *alive.follower.following.lock() = false;
                    }
                    let _ = ready.send(Err(trouble(&address, &error)));
                    return;
                }
            }
        }
        if idle(&shared) {
            return;
        }
        tokio::time::sleep(REST).await;
    }
}

/// Whether nobody follows here any more; then the next one begins anew.
fn idle(shared: &Weak<Shared>) -> bool {
    let Some(alive) = shared.upgrade() else {
        return true;
    };
    let mut following = alive.follower.following.lock();
    let idle = alive.closed.is_cancelled() || alive.follower.sender.receiver_count() == 0;
    if idle {
        *following = false;
    }
    idle
}

fn queue_of<'a>(channel: &'a str, prefix: &str) -> Option<&'a str> {
    channel
        .strip_prefix(prefix)?
        .strip_prefix(":{")?
        .strip_suffix("}:events")
}
