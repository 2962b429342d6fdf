//! What followers and waiters are told.

use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::job::{EventStream, Progress, Report, What};

/// Real time that a sign may take from one process to another.
const SOON: Duration = Duration::from_secs(10);

async fn next(events: &mut EventStream) -> (Option<JobId>, What) {
    let event = tokio::time::timeout(SOON, events.next()).await;
    let event = event.unwrap_or_else(|_| panic!("no event came"));
    let event = event.unwrap_or_else(|| panic!("the events ended"));
    assert_eq!(&*event.queue, QUEUE);
    (event.id, event.what)
}

/// Follows from now on. A cluster's nodes tell each other behind time, so what was before
/// this check may still come: it ends with a job made for that.
async fn followed(store: &Store) -> EventStream {
    let mut events = store.another.events().await.unwrap();
    let mark = id("mark");
    store.add(job().with_id(mark.clone()).after(LEASE)).await;
    store.one.delete(std::slice::from_ref(&mark)).await.unwrap();
    while next(&mut events).await != (Some(mark.clone()), What::Deleted) {}
    while next(&mut events).await != (None, What::Drained) {}
    events
}

pub(super) async fn a_jobs_life_is_told_in_order_to_the_other_process(store: Store) {
    let mut events = followed(&store).await;
    store.add(job().with_id(id("a")).after(ms(5))).await;
    store.pass(ms(5));
    let claimed = store.claim_one().await;
    for percent in [10.0, 20.0] {
        let progress = Some(Progress {
            percent,
            message: "on".to_owned(),
        });
        let log = vec![format!("at {percent}")];
        let lease = claimed.lease.clone();
        store
            .one
            .report(vec![Report {
                lease,
                progress,
                log,
            }])
            .await
            .unwrap();
    }
    store.settle(&claimed, retried(0)).await.unwrap();
    let claimed = store.claim_one().await;
    store.one.cancel(&[id("a")]).await.unwrap();
    store.settle(&claimed, done()).await.unwrap();
    store.one.delete(&[id("a")]).await.unwrap();
    let at = |percent| Progress {
        percent,
        message: "on".to_owned(),
    };
    let log = |text: &str| What::Log {
        text: text.to_owned(),
    };
    let expected = [
        What::Delayed,
        What::Waiting,
        What::Running,
        What::Progress(at(10.0)),
        log("at 10"),
        What::Progress(at(20.0)),
        log("at 20"),
        What::Delayed,
        What::Waiting,
        What::Running,
        What::CancelRequested,
        What::Completed,
    ];
    for what in expected {
        assert_eq!(next(&mut events).await, (Some(id("a")), what));
    }
    assert_eq!(next(&mut events).await, (None, What::Drained));
    assert_eq!(next(&mut events).await, (Some(id("a")), What::Deleted));
}

pub(super) async fn a_queue_is_drained_once(store: Store) {
    let mut events = followed(&store).await;
    store.add_named(&["a", "b", "c"]).await;
    let claimed = store.claim(3).await;
    let settle = claimed.iter().map(|one| settlement(&one.lease, done()));
    store.exchange(settle.collect(), 9).await;
    store.exchange(Vec::new(), 9).await;
    store.add_named(&["last"]).await;
    let mut drained = 0;
    loop {
        match next(&mut events).await {
            (None, What::Drained) => drained += 1,
            (Some(which), What::Waiting) if which == id("last") => break,
            _ => {}
        }
    }
    assert_eq!(drained, 1);
}

pub(super) async fn a_waiter_is_woken_by_the_other_process(store: Store) {
    let waiting = store.another.wait_for_work(QUEUE, SOON * 6);
    let (woken, ()) = tokio::join!(tokio::time::timeout(SOON, waiting), async {
        tokio::task::yield_now().await;
        store.add_named(&["a"]).await;
    });
    assert!(matches!(woken, Ok(Ok(()))), "{woken:?}");
    assert_eq!(store.another.claim(QUEUE, claim(1)).await.unwrap().len(), 1);
    let started = std::time::Instant::now();
    store.one.wait_for_work(QUEUE, ms(20)).await.unwrap();
    assert!(started.elapsed() < SOON);
}

pub(super) async fn a_claim_that_waits_has_the_job_that_comes(store: Store) {
    let (jobs, on) = (&store.another, CancellationToken::new());
    for name in ["a", "b"] {
        let waiting = jobs.wait_and_claim(QUEUE, claim(2), SOON * 6, &on);
        let (claimed, ()) = tokio::join!(tokio::time::timeout(SOON, waiting), async {
            tokio::task::yield_now().await;
            store.add_named(&[name]).await;
        });
        let claimed = claimed.unwrap().unwrap().claimed;
        // A waiter may be woken for what is gone by then.
        let claimed = match claimed.is_empty() {
            true => store.claim(2).await,
            false => claimed,
        };
        assert_eq!(ids(&claimed), [name]);
        assert_eq!(
            store.settle(&claimed[0], done()).await,
            Ok(JobState::Completed)
        );
    }
    // What is there already is had at once, and nothing in time.
    store.add_named(&["c"]).await;
    let claimed = jobs.wait_and_claim(QUEUE, claim(1), SOON * 6, &on);
    let claimed = tokio::time::timeout(SOON, claimed).await.unwrap().unwrap();
    assert_eq!(ids(&claimed.claimed), ["c"]);
    let none = jobs.wait_and_claim(QUEUE, claim(1), ms(20), &on);
    let none = tokio::time::timeout(SOON, none).await.unwrap().unwrap();
    assert!(none.claimed.is_empty());
}

pub(super) async fn a_claim_that_waits_is_called_off_at_once(store: Store) {
    for _ in 0..5 {
        let off = CancellationToken::new();
        let waiting = store.one.wait_and_claim(QUEUE, claim(1), SOON * 6, &off);
        let (claimed, ()) = tokio::join!(tokio::time::timeout(SOON, waiting), async {
            tokio::task::yield_now().await;
            off.cancel();
        });
        assert!(claimed.unwrap().unwrap().claimed.is_empty());
    }
    // It took nothing that comes later.
    store.add_named(&["a"]).await;
    assert_eq!(ids(&store.claim(1).await), ["a"]);
}

pub(super) async fn a_wait_ends_with_the_job_or_in_time(store: Store) {
    store.add_named(&["a"]).await;
    let claimed = store.claim_one().await;
    let awaited = id("a");
    let (job, settled) = tokio::join!(store.another.wait(&awaited, SOON), async {
        tokio::task::yield_now().await;
        store.settle(&claimed, done()).await
    });
    assert_eq!(settled, Ok(JobState::Completed));
    assert_eq!(job.unwrap().status.state, JobState::Completed);
    // One that has ended needs no wait.
    store
        .one
        .wait(&id("a"), Duration::from_secs(1))
        .await
        .unwrap();
    store.add_named(&["b"]).await;
    let late = store.one.wait(&id("b"), ms(20)).await;
    assert_eq!(
        late,
        Err(JobError::WaitTimeout {
            id: id("b"),
            waited_ms: 20
        })
    );
    let unknown = store.one.wait(&id("never"), ms(20)).await;
    assert_eq!(unknown, Err(JobError::UnknownJob { id: id("never") }));
}

pub(super) async fn a_request_to_cancel_is_told_as_it_comes(store: Store) {
    store.add_named(&["a", "b"]).await;
    store.claim(1).await;
    let mut requests = store.one.cancel_requests().await.unwrap();
    // That of a waiting job is nobody's business.
    store.another.cancel(&[id("b"), id("a")]).await.unwrap();
    assert_eq!(
        next(&mut requests).await,
        (Some(id("a")), What::CancelRequested)
    );
}
