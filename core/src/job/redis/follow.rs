//! What the server tells, through one connection a process, for all who follow here:
//! all events, or requests to cancel alone, which cost next to nothing.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::StreamExt;
use parking_lot::Mutex;
use redis::Value;
use redis::aio::PubSubSink;
use serde::Deserialize;
use tokio::sync::{broadcast, oneshot};

use super::Shared;
use super::address::Address;
use super::link::{ANSWER_TIMEOUT, follower, timeout, trouble};
use crate::clock::EpochMillis;
use crate::job::feed::Feed;
use crate::job::{JobError, JobEvent, JobId, What};

const REST: Duration = Duration::from_millis(200);
/// Behind such a silence it is looked whether anybody still follows, and whether the server
/// is still there: one that is gone without a word says nothing either.
const SILENCE: Duration = Duration::from_secs(10);

pub(super) struct Follower {
    feed: Feed,
    following: Mutex<bool>,
}

impl Follower {
    pub(super) fn of_events() -> Self {
        Self::of(Feed::of_events())
    }

    pub(super) fn of_cancels() -> Self {
        Self::of(Feed::of_cancels())
    }

    fn of(feed: Feed) -> Self {
        let following = Mutex::new(false);
        Self { feed, following }
    }
}

/// What is followed.
#[derive(Clone, Copy)]
pub(super) enum Followed {
    Events,
    Cancels,
}

impl Followed {
    fn of(self, shared: &Shared) -> &Follower {
        match self {
            Self::Events => &shared.events,
            Self::Cancels => &shared.cancels,
        }
    }

    async fn open(self, address: &Address) -> redis::RedisResult<redis::aio::PubSub> {
        let mut opened = follower(address).await?;
        let subscribed = tokio::time::timeout(ANSWER_TIMEOUT, self.subscribe(address, &mut opened));
        subscribed.await.unwrap_or_else(|_| Err(timeout()))?;
        Ok(opened)
    }

    async fn subscribe(
        self,
        address: &Address,
        opened: &mut redis::aio::PubSub,
    ) -> redis::RedisResult<()> {
        match self {
            Self::Events => {
                let events = format!("{}:*:events", address.prefix);
                opened.psubscribe(events).await
            }
            Self::Cancels => opened.subscribe(address.global("cancel")).await,
        }
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
    followed: Followed,
) -> Result<broadcast::Receiver<JobEvent>, JobError> {
    let receiver = followed.of(shared).feed.subscribe();
    let begin = !std::mem::replace(&mut *followed.of(shared).following.lock(), true);
    if begin {
        let (ready, begun) = oneshot::channel();
        tokio::spawn(follow(Arc::downgrade(shared), followed, ready));
        begun.await.unwrap_or(Err(JobError::Closed))?;
    }
    Ok(receiver)
}

async fn follow(
    shared: Weak<Shared>,
    followed: Followed,
    ready: oneshot::Sender<Result<(), JobError>>,
) {
    let mut ready = Some(ready);
    while let Some(alive) = shared.upgrade() {
        let address = Arc::clone(alive.link.address());
        let closed = alive.closed.clone();
        drop(alive);
        match followed.open(&address).await {
            Ok(opened) => {
                match ready.take() {
                    Some(ready) => drop(ready.send(Ok(()))),
                    None => tell(&shared, followed, JobEvent::gap()),
                }
                let (mut pings, mut messages) = opened.split();
                loop {
                    let message = tokio::select! {
                        message = messages.next() => message,
                        () = closed.cancelled() => return,
                        () = tokio::time::sleep(SILENCE) => {
                            if idle(&shared, followed) {
                                return;
                            }
                            if answers(&mut pings).await {
                                continue;
                            }
                            None
                        }
                    };
                    let Some(message) = message else { break };
                    for event in followed.read(&address, &message) {
                        tell(&shared, followed, event);
                    }
                }
            }
            Err(error) => {
                if let Some(ready) = ready.take() {
                    if let Some(alive) = shared.upgrade() {
                        *followed.of(&alive).following.lock() = false;
                    }
                    let _ = ready.send(Err(trouble(&address, &error)));
                    return;
                }
            }
        }
        if idle(&shared, followed) {
            return;
        }
        tokio::time::sleep(REST).await;
    }
}

/// Whether the server still answers over the connection.
async fn answers(pings: &mut PubSubSink) -> bool {
    let pong = tokio::time::timeout(SILENCE, pings.ping::<Value>()).await;
    matches!(pong, Ok(Ok(_)))
}

fn tell(shared: &Weak<Shared>, followed: Followed, event: JobEvent) {
    if let Some(alive) = shared.upgrade() {
        followed.of(&alive).feed.send(event);
    }
}

/// Whether nobody follows here any more; then the next one begins anew.
fn idle(shared: &Weak<Shared>, followed: Followed) -> bool {
    let Some(alive) = shared.upgrade() else {
        return true;
    };
    let follower = followed.of(&alive);
    let mut following = follower.following.lock();
    let idle = alive.closed.is_cancelled() || !follower.feed.is_followed();
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
