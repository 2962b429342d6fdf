//! Work on queues under the one lock, and what is told of it: bells and events.

use std::sync::Arc;

use tokio::sync::Notify;

use super::MemoryJobs;
use super::line::Line;
use super::news::News;
use crate::job::JobId;

impl MemoryJobs {
    pub(super) fn news(&self) -> News {
        let followed = self.shared.events.is_followed();
        News::at(&*self.shared.clock, followed)
    }

    pub(super) fn bell(&self, queue: &str) -> Arc<Notify> {
        let mut bells = self.shared.bells.lock();
        if let Some(bell) = bells.get(queue) {
            return Arc::clone(bell);
        }
        Arc::clone(bells.entry(queue.into()).or_default())
    }

    /// Does something with one queue, and tells of it.
    pub(super) fn on_line<T>(
        &self,
        queue: &str,
        work: impl FnOnce(&mut Line, &mut News) -> T,
    ) -> T {
        let mut news = self.news();
        let done = {
            let mut book = self.shared.book.lock();
            let done = work(book.line(queue), &mut news);
            self.publish(&mut news);
            done
        };
        if news.rung {
            self.bell(queue).notify_one();
        }
        done
    }

    /// Tells of what was done, under its lock: so it is told in the order in which it was done.
    pub(super) fn publish(&self, news: &mut News) {
        for event in news.events.drain(..) {
            self.shared.events.send(event);
        }
    }

    /// Does something with the first queue that has the job.
    pub(super) fn on_job<T>(
        &self,
        id: &JobId,
        work: impl Fn(&mut Line, &mut News) -> Option<T>,
    ) -> Option<T> {
        let mut news = self.news();
        let (queue, done) = {
            let mut book = self.shared.book.lock();
            let mut lines = book.lines.values_mut();
            let line = lines.find(|line| line.entry(id).is_some())?;
            let done = work(line, &mut news);
            self.publish(&mut news);
            (Arc::clone(&line.name), done)
        };
        if news.rung {
            self.bell(&queue).notify_one();
        }
        done
    }
}
