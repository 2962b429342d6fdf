//! Calling jobs off.

use super::*;
use crate::job::Renewal;

pub(super) async fn a_waiting_job_is_cancelled_at_once(store: Store) {
    store.add_named(&["waiting"]).await;
    store.add(job().with_id(id("delayed")).after(ms(50))).await;
    let states = store
        .another
        .cancel(&[id("waiting"), id("delayed"), id("never")])
        .await
        .unwrap();
    assert_eq!(
        states,
        [Some(JobState::Cancelled), Some(JobState::Cancelled), None]
    );
    store.pass(ms(50));
    assert!(store.claim(9).await.is_empty());
    assert_eq!(
        store.job(&id("waiting")).await.status.finished_at,
        Some(START)
    );
    assert_eq!(store.counts().await.cancelled, 2);
    // One that is not kept is told to be called off all the same.
    let unkept = job().with_id(id("unkept"));
    store.add(unkept.with(|job| job.result_ttl_ms = 0)).await;
    let states = store.another.cancel(&[id("unkept")]).await.unwrap();
    assert_eq!(states, [Some(JobState::Cancelled)]);
}

pub(super) async fn a_running_job_is_told_and_its_retry_gives_way(store: Store) {
    store.add_named(&["a", "b", "c", "d", "e"]).await;
    let claimed = store.claim(5).await;
    let all: Vec<JobId> = claimed.iter().map(|one| one.lease.id.clone()).collect();
    let states = store.another.cancel(&all).await.unwrap();
    assert_eq!(states, [Some(JobState::Running); 5]);
    assert!(store.job(&id("a")).await.status.cancel_requested);
    let leases: Vec<_> = claimed.iter().map(|one| one.lease.clone()).collect();
    assert_eq!(
        store.one.renew(&leases, LEASE).await.unwrap(),
        [Renewal::CancelRequested; 5]
    );
    let outcomes = [
        retried(1),
        failed(),
        Outcome::Snooze { after: ms(1) },
        Outcome::Release,
        Outcome::Cancel,
    ];
    for (one, outcome) in claimed.iter().zip(outcomes) {
        assert_eq!(
            store.settle(one, outcome.clone()).await,
            Ok(JobState::Cancelled),
            "{outcome:?}"
        );
    }
    store.pass(ms(10));
    assert!(store.claim(9).await.is_empty());
    assert_eq!(
        store.job(&id("b")).await.status.error.unwrap().message,
        "it did not work"
    );
}

pub(super) async fn success_wins_over_a_request_to_cancel(store: Store) {
    store.add_named(&["a"]).await;
    let claimed = store.claim_one().await;
    store.one.cancel(&[id("a")]).await.unwrap();
    assert_eq!(
        store.settle(&claimed, done()).await,
        Ok(JobState::Completed)
    );
}

pub(super) async fn a_stalled_job_that_was_to_be_cancelled_is(store: Store) {
    store.add_named(&["a"]).await;
    store.claim_one().await;
    store.one.cancel(&[id("a")]).await.unwrap();
    store.pass(LEASE + ms(1));
    assert!(store.claim(9).await.is_empty());
    assert_eq!(store.state(&id("a")).await, JobState::Cancelled);
}

pub(super) async fn a_finished_job_is_not_cancelled(store: Store) {
    store.add_named(&["a", "b"]).await;
    let claimed = store.claim(2).await;
    store.settle(&claimed[0], done()).await.unwrap();
    store.settle(&claimed[1], failed()).await.unwrap();
    let before = store.job(&id("a")).await;
    let states = store.another.cancel(&[id("a"), id("b")]).await.unwrap();
    assert_eq!(states, [Some(JobState::Completed), Some(JobState::Failed)]);
    assert_eq!(store.job(&id("a")).await, before);
}
