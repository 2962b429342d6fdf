//! Handlers whose work is shown while it lasts.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::screen::Told;
use crate::job::Payload;
use crate::job::worker::{Context, Handler, HandlerError};

/// A handler, and who is told when it begins and is over.
pub(super) struct Shown {
    pub(super) handler: Arc<dyn Handler>,
    pub(super) told: mpsc::UnboundedSender<Told>,
}

#[async_trait]
impl Handler for Shown {
    async fn run(&self, job: Context) -> Result<Payload, HandlerError> {
        let _running = Running::of(&job, &self.told);
        self.handler.run(job).await
    }
}

/// Tells that an attempt runs, and no more, also when it is ended.
struct Running {
    queue: String,
    told: mpsc::UnboundedSender<Told>,
}

impl Running {
    fn of(job: &Context, told: &mpsc::UnboundedSender<Told>) -> Self {
        let (queue, told) = (job.spec().queue.to_string(), told.clone());
        // Who shows it may be gone already.
        let _ = told.send(Told::Began(queue.clone()));
        Self { queue, told }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let queue = std::mem::take(&mut self.queue);
        let _ = self.told.send(Told::Over(queue));
    }
}
