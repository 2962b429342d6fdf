//! Runs a handler: at once if it is known to be quick, else in a task of its own.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll, Waker};
use std::time::Instant;

use futures_util::FutureExt;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tracing::Instrument;

use super::attempt::Attempt;
use super::handler::Chosen;
use super::pace::Pace;
use super::verdict::{End, panic_words};
use super::{Context, Handler};

/// A handler at work. Panics are its end, not its worker's.
pub(super) type Work = Pin<Box<dyn Future<Output = End> + Send>>;

/// An attempt's task has ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) place: usize,
    pub(super) end: End,
}

pub(super) fn work(handler: Arc<dyn Handler>, attempt: &Arc<Attempt>) -> Work {
    let context = Context::new(Arc::clone(attempt));
    let span = span(&context);
    let answer = async move { handler.run(context).await };
    let work = async move {
        match AssertUnwindSafe(answer).catch_unwind().await {
            Ok(answer) => End::Answered(answer),
            Err(panic) => End::Panicked(panic_words(&*panic)),
        }
    };
    // Who listens to nothing pays for nothing.
    if span.is_disabled() {
        return Box::pin(work);
    }
    let mut traced = Traced {
        attempt: Arc::clone(attempt),
        span: span.clone(),
        ended: None,
    };
    let traced = async move {
        let end = work.await;
        traced.end(&end);
        end
    };
    Box::pin(traced.instrument(span))
}

/// Tells those who trace what came of an attempt, also when it is dropped.
struct Traced {
    attempt: Arc<Attempt>,
    span: tracing::Span,
    ended: Option<&'static str>,
}

impl Traced {
    fn end(&mut self, end: &End) {
        self.ended = Some(end.name());
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        let lost = self.attempt.is_lost().then_some("lost");
        let outcome = lost.or(self.ended).or(self.attempt.given_up());
        self.span.record("outcome", outcome.unwrap_or("dropped"));
    }
}

/// An attempt as those who trace see it; what its handler traces lies within.
fn span(job: &Context) -> tracing::Span {
    tracing::info_span!(
        "job",
        queue = %job.spec().queue,
        id = %job.id(),
        kind = %job.kind(),
        attempt = job.attempt(),
        session = job.session(),
        outcome = tracing::field::Empty,
    )
}

/// What became of the start of an attempt.
pub(super) enum Started {
    /// It has ended at once.
    Ended(End),
    /// It goes on, in a task that is still to be made.
    Goes(Work),
}

/// Begins an attempt. If its handler is quick it may be over with it: from `begun` until
/// then it was this one that held up its lane.
pub(super) fn start(chosen: &Chosen, attempt: &Arc<Attempt>, begun: &mut Instant) -> Started {
    let mut work = work(Arc::clone(&chosen.handler), attempt);
    if !chosen.pace.is_quick() {
        return Started::Goes(work);
    }
    // Nobody is woken: the task it may get polls it anew.
    let polled = work
        .as_mut()
        .poll(&mut task::Context::from_waker(Waker::noop()));
    let now = Instant::now();
    chosen
        .pace
        .learn(now.duration_since(std::mem::replace(begun, now)));
    match polled {
        Poll::Ready(end) => Started::Ended(end),
        Poll::Pending => Started::Goes(work),
    }
}

/// Gives an attempt its task.
pub(super) fn spawn(
    work: Work,
    place: usize,
    pace: Arc<Pace>,
    lane: mpsc::UnboundedSender<Ended>,
) -> AbortHandle {
    let mut task = Task {
        work: Some(work),
        place,
        lane,
        pace: Some(pace),
    };
    let run = std::future::poll_fn(move |cx| task.poll(cx));
    tokio::spawn(run).abort_handle()
}

/// Tells the lane of its end, also when it is aborted.
struct Task {
    /// None once it has ended.
    work: Option<Work>,
    place: usize,
    lane: mpsc::UnboundedSender<Ended>,
    pace: Option<Arc<Pace>>,
}

impl Task {
    fn poll(&mut self, cx: &mut task::Context<'_>) -> Poll<()> {
        let Some(work) = &mut self.work else {
            return Poll::Ready(());
        };
        let polled = match self.pace.take() {
            None => work.as_mut().poll(cx),
            Some(pace) => {
                let begun = Instant::now();
                let polled = work.as_mut().poll(cx);
                pace.learn(begun.elapsed());
                polled
            }
        };
        polled.map(|end| self.tell(end))
    }

    // Its slot is free once nothing of it is left.
    fn tell(&mut self, end: End) {
        self.work = None;
        let _ = self.lane.send(Ended {
            place: self.place,
            end,
        });
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if self.work.is_some() {
            self.tell(End::Dropped);
        }
    }
}
