//! What the server tells, through one connection a process, for all who follow here:
//! all events, or requests to cancel alone, which cost next to nothing.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::StreamExt;
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::sync::{broadcast, oneshot};

use super::Shared;
use super::address::Address;
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

/// What is followed.
#[derive(Clone, Copy)]
pub(super) enum Feed {
    Events,
    Cancels,
}

impl Feed {
    fn of(self, shared: &Shared) -> &Follower {
        match self {
            Self::Events => &shared.events,
            Self::Cancels => &shared.cancels,
        }
    }

    async fn open(self, address: &Address) -> redis::RedisResult<redis::aio::PubSub> {
        let mut opened = follower(address).await?;
        match self {
            Self::Events => {
                opened
                    .psubscribe(format!("{}:*:events", address.prefix))
                    .await?
            }
            Self::Cancels => opened.subscribe(address.global("cancel")).await?,
        }
        Ok(opened)
    }

    fn read(self, address: &Address, message: &redis::Msg) -> Vec<JobEvent> {
        let bytes = message.get_payload_bytes();
        match self {
            Self::Cancels => serde_json::from_slice(bytes).into_iter().collect(),
            Self::Events => {
                let Some(queue) = queue_of(message.get_channel_name(), &address.prefix) else {
                    return Vec::new();
                };
                let told: Vec<Told> = serde_json::from_slice(bytes).unwrap_or_default();
                let event = |Told { at, id, what }| JobEvent {
                    at,
                    queue: queue.into(),
                    id,
                    what,
                };
                told.into_iter().map(event).collect()
            }
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
    feed: Feed,
) -> Result<broadcast::Receiver<JobEvent>, JobError> {
    let receiver = feed.of(shared).sender.subscribe();
    let begin = !std::mem::replace(&mut *feed.of(shared).following.lock(), true);
    if begin {
        let (ready, begun) = oneshot::channel();
        tokio::spawn(follow(Arc::downgrade(shared), feed, ready));
        begun.await.unwrap_or(Err(JobError::Closed))?;
    }
    Ok(receiver)
}

async fn follow(shared: Weak<Shared>, feed: Feed, ready: oneshot::Sender<Result<(), JobError>>) {
    let mut ready = Some(ready);
    while let Some(alive) = shared.upgrade() {
        let address = Arc::clone(alive.link.address());
        let sender = feed.of(&alive).sender.clone();
        let closed = alive.closed.clone();
        drop(alive);
        match feed.open(&address).await {
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
                            if idle(&shared, feed) {
                                return;
                            }
                            continue;
                        }
                    };
                    let Some(message) = message else { break };
                    for event in feed.read(&address, &message) {
                        let _ = sender.send(event);
                    }
                }
            }
            Err(error) => {
                if let Some(ready) = ready.take() {
                    if let Some(alive) = shared.upgrade() {
                        *feed.of(&alive).following.lock() = false;
                    }
                    let _ = ready.send(Err(trouble(&address, &error)));
                    return;
                }
            }
        }
        if idle(&shared, feed) {
            return;
        }
        tokio::time::sleep(REST).await;
    }
}

/// Whether nobody follows here any more; then the next one begins anew.
fn idle(shared: &Weak<Shared>, feed: Feed) -> bool {
    let Some(alive) = shared.upgrade() else {
        return true;
    };
    let follower = feed.of(&alive);
    let mut following = follower.following.lock();
    let idle = alive.closed.is_cancelled() || follower.sender.receiver_count() == 0;
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
