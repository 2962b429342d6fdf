//! What those who trace see of attempts.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use super::*;

/// Writes down the fields of spans.
#[derive(Clone, Default)]
struct Notes {
    last: Arc<AtomicU64>,
    fields: Arc<Mutex<Vec<String>>>,
}

impl Visit for Notes {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let note = format!("{}={value:?}", field.name());
        self.fields.lock().push(note);
    }
}

impl Subscriber for Notes {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && metadata.name() == "job"
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        span.record(&mut self.clone());
        Id::from_u64(self.last.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut self.clone());
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn an_attempt_that_is_given_up_says_why() {
    let notes = Notes::default();
    let seen = notes.clone();
    let _listening = tracing::subscriber::set_default(notes);
    let jobs = memory();
    let begun = Arc::new(Semaphore::new(0));
    let begins = Arc::clone(&begun);
    let hangs = move |_: Context| {
        begins.add_permits(1);
        std::future::pending::<Result<Payload, HandlerError>>()
    };
    let worker = Worker::builder(SharedJobs::clone(&jobs))
        .lane("q", 1)
        .lease(Duration::from_millis(1_500))
        .default_handler(hangs);
    let worker = start(worker);
    let late = job("q", "late").with(|job| {
        (job.max_attempts, job.timeout_ms) = (1, Some(5));
    });
    jobs.enqueue_one(late).await.unwrap();
    heard(&begun).await;
    ended(&jobs, &id("late")).await;
    put(&jobs, "q", 1).await;
    heard(&begun).await;
    worker.handle.stop_now();
    worker.report().await;
    let outcomes = || {
        let fields = seen.fields.lock();
        let outcomes = fields.iter().filter(|field| field.starts_with("outcome="));
        outcomes.cloned().collect::<Vec<_>>()
    };
    while outcomes().len() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        outcomes(),
        ["outcome=\"timed_out\"", "outcome=\"released\""]
    );
}

#[tokio::test]
async fn an_attempt_is_a_span() {
    let notes = Notes::default();
    let seen = notes.clone();
    let _listening = tracing::subscriber::set_default(notes);
    let jobs = memory();
    put(&jobs, "q", 1).await;
    let handler = |_: Context| async { Ok::<_, HandlerError>(Payload::NULL) };
    let worker = start(
        Worker::builder(Arc::clone(&jobs))
            .lane("q", 1)
            .handler("q", handler),
    );
    ended(&jobs, &id("q-0")).await;
    worker.stop().await;
    let fields = seen.fields.lock().clone();
    for wanted in [
        "queue=q",
        "id=q-0",
        "kind=q",
        "attempt=1",
        "outcome=\"completed\"",
    ] {
        assert!(
            fields.iter().any(|field| field == wanted),
            "{wanted}: {fields:?}"
        );
    }
}
