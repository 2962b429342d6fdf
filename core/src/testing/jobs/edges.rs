//! Where one rule meets another.

use futures_util::StreamExt;

use super::*;
use crate::job::{JobFilter, QueueLimits, What};

/// Real time that a sign may take from one process to another.
const SOON: Duration = Duration::from_secs(10);

async fn limit(store: &Store, change: impl FnOnce(&mut QueueLimits)) {
    let mut limits = QueueLimits::default();
    change(&mut limits);
    store.one.set_limits(QUEUE, limits).await.unwrap();
}

pub(super) async fn a_job_that_is_added_again_stands_behind_what_came_in_between(store: Store) {
    store.add_named(&["first", "again"]).await;
    for between in ["a", "b"] {
        store.one.delete(&[id("again")]).await.unwrap();
        store.add_named(&[between, "again"]).await;
    }
    assert_eq!(store.counts().await.waiting, 4);
    assert_eq!(ids(&store.claim(9).await), ["first", "a", "b", "again"]);
    assert!(store.claim(9).await.is_empty());
}

pub(super) async fn a_result_over_the_limit_fails_its_job_though_nothing_is_kept(store: Store) {
    limit(&store, |limits| limits.max_payload = 10).await;
    let a = store.add(job().with(|job| job.result_ttl_ms = 0)).await;
    let claimed = store.claim_one().await;
    let result = Payload::from_json("\"longer than ten\"").unwrap();
    let settled = store.settle(&claimed, Outcome::Complete { result }).await;
    assert_eq!(settled, Ok(JobState::Failed));
    let error = store.job(&a).await.status.error.unwrap();
    assert_eq!(error.kind, "result_too_large");
}

pub(super) async fn completed_and_cancelled_jobs_are_kept_by_number_together(store: Store) {
    limit(&store, |limits| limits.keep_finished = 3).await;
    let mut names = Vec::new();
    for n in 0..6 {
        let name = id(&format!("j{n}"));
        store.add(job().with_id(name.clone())).await;
        if n % 2 == 0 {
            let claimed = store.claim_one().await;
            store.settle(&claimed, done()).await.unwrap();
        } else {
            store.one.cancel(std::slice::from_ref(&name)).await.unwrap();
        }
        names.push(name);
        store.pass(ms(1));
    }
    while store.one.sweep().await.unwrap() > 0 {}
    let counts = store.counts().await;
    assert_eq!((counts.completed, counts.cancelled), (1, 2));
    let kept = store.one.list(&JobFilter::default()).await.unwrap().jobs;
    let mut kept: Vec<&JobId> = kept.iter().map(|job| &job.id).collect();
    kept.sort_unstable();
    assert_eq!(kept, names[3..].iter().collect::<Vec<_>>());
}

pub(super) async fn a_queue_is_said_to_be_drained_once(store: Store) {
    let mut events = store.another.events().await.unwrap();
    let first = store.add(job().with(|job| job.result_ttl_ms = 1_000)).await;
    let claimed = store.claim_one().await;
    store.settle(&claimed, done()).await.unwrap();
    // What goes later is of no work.
    store.pass(Duration::from_secs(2));
    while store.one.sweep().await.unwrap() > 0 {}
    let last = store.add(job().after(LEASE)).await;
    let mut drained = 0;
    loop {
        let event = tokio::time::timeout(SOON, events.next()).await;
        let event = event.unwrap_or_else(|_| panic!("no event came")).unwrap();
        // What a cluster's nodes passed on late is of what was there before.
        if event.id.as_ref() == Some(&first) && event.what == What::Waiting {
            drained = 0;
        }
        drained += u32::from(event.what == What::Drained);
        if event.id.as_ref() == Some(&last) {
            break;
        }
    }
    assert_eq!(drained, 1);
}

pub(super) async fn a_running_job_that_is_deleted_makes_room_for_the_next(store: Store) {
    limit(&store, |limits| limits.concurrency = Some(1)).await;
    store.add_named(&["a", "b"]).await;
    assert_eq!(ids(&store.claim(9).await), ["a"]);
    let wait = |at_most| store.one.wait_for_work(QUEUE, at_most);
    // Bells from before are heard first.
    let silence = ms(200);
    loop {
        let began = std::time::Instant::now();
        wait(silence).await.unwrap();
        if began.elapsed() >= silence {
            break;
        }
    }
    let began = std::time::Instant::now();
    let gone = [id("a")];
    let (woken, deleted) = tokio::join!(wait(2 * SOON), store.another.delete(&gone));
    woken.unwrap();
    assert_eq!(deleted, Ok(vec![true]));
    assert!(began.elapsed() < SOON, "nobody was told");
    assert_eq!(ids(&store.claim(9).await), ["b"]);
}
