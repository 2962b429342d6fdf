//! What happens to jobs, as it is told to those who follow.

use std::pin::Pin;

use futures_util::Stream;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio_util::sync::CancellationToken;

use super::{JobId, Progress};
use crate::clock::{Clock, EpochMillis, SystemClock};

/// Events as they come. It ends when the manager is closed.
pub type EventStream = Pin<Box<dyn Stream<Item = JobEvent> + Send>>;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobEvent {
    /// When, in epoch milliseconds.
    pub at: EpochMillis,
    /// In which queue.
    pub queue: Box<str>,
    /// To which job; none if to the queue.
    pub id: Option<JobId>,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What can happen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// It may be claimed.
    Waiting,
    /// Its time is to come.
    Delayed,
    /// A worker has it.
    Running,
    /// It is so far.
    Progress(Progress),
    /// It said something.
    Log {
        /// What.
        text: String,
    },
    /// It is done.
    Completed,
    /// It was given up.
    Failed,
    /// It was called off.
    Cancelled,
    /// It is to be called off.
    CancelRequested,
    /// Its lease ran out; it waits again.
    Stalled,
    /// It was deleted.
    Deleted,
    /// The queue has no more jobs that wait or run.
    Drained,
    /// Events were lost to a follower that was too slow, or to a lost connection: look again.
    Gap,
}

impl What {
    /// Whether the job has ended with it.
    #[must_use]
    pub fn is_end(&self) -> bool {
        matches!(
            self,
            Self::Completed | Self::Failed | Self::Cancelled | Self::Deleted
        )
    }
}

/// A channel's events as a stream: it ends when closed, and says when it lost some.
pub(super) fn followed(
    receiver: broadcast::Receiver<JobEvent>,
    closed: CancellationToken,
) -> EventStream {
    let state = (receiver, closed);
    Box::pin(futures_util::stream::unfold(
        state,
        |(mut receiver, closed)| async move {
            let received = tokio::select! {
                received = receiver.recv() => received,
                () = closed.cancelled() => return None,
            };
            let event = match received {
                Ok(event) => event,
                Err(RecvError::Lagged(_)) => JobEvent::gap(),
                Err(RecvError::Closed) => return None,
            };
            Some((event, (receiver, closed)))
        },
    ))
}

impl JobEvent {
    /// Events were lost.
    pub(super) fn gap() -> Self {
        Self {
            at: SystemClock.now(),
            queue: "".into(),
            id: None,
            what: What::Gap,
        }
    }
}
