//! What happens to jobs, in batches: all that is there goes over in one string.

use std::sync::Arc;

use credential_rotation::job::{EventStream, JobError, JobEvent, SharedJobs};
use futures_util::{FutureExt, StreamExt};
use napi_derive::napi;
use serde_json::json;
use tokio::sync::Mutex;

use crate::desk::Desk;
use crate::runtime;

/// The most events of a batch.
const MOST_EVENTS: usize = 1_000;

/// What happens to jobs, as it comes.
#[napi]
pub struct JobEvents(Arc<Mutex<Following>>);

enum Following {
    Not(SharedJobs),
    Open(EventStream),
    Closed,
}

#[napi]
impl JobEvents {
    /// Resolves once events are followed.
    #[napi]
    pub fn open(&self, desk: &Desk, number: u32) -> napi::Result<()> {
        let following = Arc::clone(&self.0);
        desk.shared().submit_job(number, async move {
            following.lock().await.open().await?;
            Ok("null".to_owned())
        })
    }

    /// The next events, `{events, done}`, under `number`.
    #[napi]
    pub fn next(&self, desk: &Desk, number: u32) -> napi::Result<()> {
        let following = Arc::clone(&self.0);
        desk.shared().submit_job(number, async move {
            let mut following = following.lock().await;
            let batch = match following.open().await? {
                Some(stream) => batch(stream).await,
                None => Vec::new(),
            };
            let done = batch.is_empty();
            Ok(json!({ "events": batch, "done": done }).to_string())
        })
    }

    /// Follows no more.
    #[napi]
    pub fn close(&self) {
        let following = Arc::clone(&self.0);
        let _ = runtime::spawn(async move {
            *following.lock().await = Following::Closed;
        });
    }
}

impl JobEvents {
    /// Of these jobs. It begins at once.
    pub(crate) fn of(jobs: SharedJobs) -> Self {
        let following = Arc::new(Mutex::new(Following::Not(jobs)));
        let opened = Arc::clone(&following);
        let _ = runtime::spawn(async move {
            // If it fails, it fails again for who asks for the first event.
            let _ = opened.lock().await.open().await;
        });
        Self(following)
    }
}

impl Drop for JobEvents {
    fn drop(&mut self) {
        self.close();
    }
}

impl Following {
    async fn open(&mut self) -> Result<Option<&mut EventStream>, JobError> {
        if let Self::Not(jobs) = self {
            *self = Self::Open(jobs.events().await?);
        }
        Ok(match self {
            Self::Open(stream) => Some(stream),
            Self::Not(_) | Self::Closed => None,
        })
    }
}

/// The events that are there, at least one; none at the end.
async fn batch(stream: &mut EventStream) -> Vec<JobEvent> {
    let mut batch = Vec::new();
    let mut next = stream.next().await;
    while let Some(event) = next {
        batch.push(event);
        if batch.len() == MOST_EVENTS {
            break;
        }
        // The end is told again, when it is asked for.
        next = stream.next().now_or_never().flatten();
    }
    batch
}
