//! Handlers whose work is shown while it lasts.

use std::sync::Arc;

use async_trait::async_trait;

use super::output::Output;
use super::screen::Told;
use crate::job::Payload;
use crate::job::worker::{Context, Handler, HandlerError};

/// A handler, and what is told when it begins and is over.
pub(super) struct Shown {
    pub(super) handler: Arc<dyn Handler>,
    pub(super) output: Output,
}

#[async_trait]
impl Handler for Shown {
    async fn run(&self, job: Context) -> Result<Payload, HandlerError> {
        let _running = Running::of(&job, &self.output);
        self.handler.run(job).await
    }
}

/// Tells that an attempt runs, and no more, also when it is ended.
struct Running {
    queue: String,
    output: Output,
}

impl Running {
    fn of(job: &Context, output: &Output) -> Self {
        let (queue, output) = (job.spec().queue.to_string(), output.clone());
        output.tell(Told::Began(queue.clone()));
        Self { queue, output }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let queue = std::mem::take(&mut self.queue);
        self.output.tell(Told::Over(queue));
    }
}
