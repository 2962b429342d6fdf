//! Who may write, and for how long.

use super::*;
use crate::job::{Progress, Renewal, Report};

pub(super) async fn a_renewed_lease_outlives_its_time(store: Store) {
    store.add_named(&["long"]).await;
    let claimed = store.claim_one().await;
    for _ in 0..10 {
        store.pass(LEASE - ms(1));
        let renewed = store
            .another
            .renew(std::slice::from_ref(&claimed.lease), LEASE)
            .await
            .unwrap();
        assert_eq!(renewed, [Renewal::Kept]);
        assert!(store.claim(9).await.is_empty());
    }
    assert_eq!(
        store.settle(&claimed, done()).await,
        Ok(JobState::Completed)
    );
    let renewed = store.one.renew(&[claimed.lease], LEASE).await.unwrap();
    assert_eq!(renewed, [Renewal::Lost]);
}

pub(super) async fn a_lapsed_lease_gives_the_job_to_another_and_refuses_the_first(store: Store) {
    store.add_named(&["job"]).await;
    let first = store.claim_one().await;
    store.pass(LEASE);
    assert!(store.claim(9).await.is_empty());
    store.pass(ms(1));
    let second = store
        .another
        .claim(QUEUE, claim(9))
        .await
        .unwrap()
        .remove(0);
    assert_eq!(second.lease.id, first.lease.id);
    assert!(second.lease.epoch > first.lease.epoch);
    assert_eq!((second.attempt, second.stalls), (1, 1));
    let before = store.job(&id("job")).await;
    for outcome in [
        done(),
        failed(),
        retried(1),
        Outcome::Snooze { after: ms(1) },
        Outcome::Release,
        Outcome::Cancel,
    ] {
        assert!(is_stale(store.settle(&first, outcome).await));
    }
    let news = Report {
        lease: first.lease.clone(),
        progress: Some(Progress {
            percent: 50.0,
            message: "stale".to_owned(),
        }),
        log: vec!["stale".to_owned()],
    };
    assert!(is_stale(
        store.one.report(vec![news]).await.unwrap().remove(0)
    ));
    assert_eq!(
        store
            .one
            .renew(std::slice::from_ref(&first.lease), LEASE)
            .await
            .unwrap(),
        [Renewal::Lost]
    );
    assert_eq!(store.job(&id("job")).await, before);
    assert!(store.one.log(&id("job")).await.unwrap().is_empty());
    assert_eq!(store.settle(&second, done()).await, Ok(JobState::Completed));
}

pub(super) async fn a_job_that_stalls_too_often_is_given_up(store: Store) {
    store
        .add(job().with_id(id("poison")).with(|job| job.max_stalls = 2))
        .await;
    for stalls in 0..3 {
        let claimed = store.claim_one().await;
        assert_eq!((claimed.attempt, claimed.stalls), (1, stalls));
        store.pass(LEASE + ms(1));
    }
    assert!(store.claim(9).await.is_empty());
    let status = store.job(&id("poison")).await.status;
    assert_eq!((status.state, status.stalls), (JobState::Failed, 3));
    assert_eq!(status.error.unwrap().kind, "stalled");
}

pub(super) async fn two_who_sweep_at_once_take_a_job_back_once(store: Store) {
    store.add_named(&["a", "b", "c"]).await;
    assert_eq!(store.claim(9).await.len(), 3);
    store.pass(LEASE + ms(1));
    let sweeps = [
        store.one.sweep(),
        store.another.sweep(),
        store.one.sweep(),
        store.another.sweep(),
    ];
    let swept = futures_util::future::join_all(sweeps).await;
    assert_eq!(swept.into_iter().map(Result::unwrap).sum::<usize>(), 3);
    let claimed = store.claim(9).await;
    assert_eq!(ids(&claimed), ["a", "b", "c"]);
    assert!(claimed.iter().all(|one| one.stalls == 1));
}

pub(super) async fn a_deleted_running_job_frees_its_slot_and_refuses_its_outcome(store: Store) {
    let limits = crate::job::QueueLimits {
        concurrency: Some(1),
        ..Default::default()
    };
    store.one.set_limits(QUEUE, limits).await.unwrap();
    store.add_named(&["a", "b"]).await;
    let a = store.claim_one().await;
    assert!(store.claim(9).await.is_empty());
    assert_eq!(
        store.another.delete(&[id("a"), id("never")]).await.unwrap(),
        [true, false]
    );
    assert_eq!(ids(&store.claim(9).await), ["b"]);
    assert!(is_stale(store.settle(&a, done()).await));
    assert_eq!(
        store.one.renew(&[a.lease], LEASE).await.unwrap(),
        [Renewal::Lost]
    );
    assert_eq!(store.one.get(&[id("a")]).await.unwrap(), [None]);
    // The id is free, and old leases do not fit the new job.
    store.add_named(&["a"]).await;
    let counts = store.counts().await;
    assert_eq!((counts.waiting, counts.running), (1, 1));
}

pub(super) async fn a_new_job_of_an_id_takes_no_outcome_of_an_old_one(store: Store) {
    let news = |claimed: &Claimed| Report {
        lease: claimed.lease.clone(),
        progress: None,
        log: vec!["still here".to_owned()],
    };
    // Deleted while it runs, after some attempts; gone when it ended; gone with its time.
    store.add_named(&["deleted", "purged"]).await;
    store
        .add(job().with_id(id("gone")).with(|job| job.result_ttl_ms = 0))
        .await;
    store
        .add(job().with_id(id("old")).with(|job| job.result_ttl_ms = 10))
        .await;
    let mut first = store.claim(4).await;
    store.settle(&first[0], retried(0)).await.unwrap();
    first[0] = store.claim_one().await;
    for claimed in &first[1..] {
        store.settle(claimed, done()).await.unwrap();
    }
    store.another.delete(&[id("deleted")]).await.unwrap();
    store.pass(ms(10));
    let states = [JobState::Completed];
    store.one.purge(QUEUE, &states, ms(0)).await.unwrap();
    while store.one.sweep().await.unwrap() > 0 {}
    store.add_named(&["deleted", "purged", "gone", "old"]).await;
    let second = store.claim(9).await;
    assert_eq!(second.len(), 4);
    for (old, new) in first.iter().zip(&second) {
        assert_eq!(old.lease.id, new.lease.id);
        assert!(new.lease.epoch > old.lease.epoch, "{:?}", new.lease);
        assert!(is_stale(store.settle(old, failed()).await));
        let reported = store.one.report(vec![news(old)]).await.unwrap().remove(0);
        assert!(is_stale(reported));
        let renewed = store.one.renew(std::slice::from_ref(&old.lease), LEASE);
        assert_eq!(renewed.await.unwrap(), [Renewal::Lost]);
        assert_eq!(store.settle(new, done()).await, Ok(JobState::Completed));
    }
}

pub(super) async fn a_deleted_running_job_makes_room_in_its_group(store: Store) {
    let limits = crate::job::QueueLimits {
        group_concurrency: Some(1),
        ..Default::default()
    };
    store.one.set_limits(QUEUE, limits).await.unwrap();
    for name in ["a", "b", "c"] {
        let grouped = job().with_id(id(name));
        store
            .add(grouped.with(|job| job.group = Some("group".into())))
            .await;
    }
    assert_eq!(ids(&store.claim(9).await), ["a"]);
    assert!(store.claim(9).await.is_empty());
    store.another.delete(&[id("a")]).await.unwrap();
    assert_eq!(ids(&store.claim(9).await), ["b"]);
    assert!(store.claim(9).await.is_empty());
}

pub(super) async fn thousands_of_leases_that_lapse_at_once_are_taken_back(store: Store) {
    const MANY: usize = 5_000;
    for _ in 0..MANY / 1_000 {
        let batch = vec![job().with(|job| job.max_stalls = 1); 1_000];
        store.one.enqueue(batch).await.unwrap();
        assert_eq!(store.claim(1_000).await.len(), 1_000);
    }
    store.pass(LEASE + ms(1));
    let mut swept = 0;
    loop {
        match store.another.sweep().await.unwrap() {
            0 => break,
            moved => swept += moved,
        }
    }
    assert_eq!(swept, MANY);
    let counts = store.counts().await;
    assert_eq!((counts.waiting, counts.running), (MANY as u64, 0));
    let mut again = 0;
    loop {
        match store.claim(1_000).await.len() {
            0 => break,
            claimed => again += claimed,
        }
    }
    assert_eq!(again, MANY);
}

pub(super) async fn a_lease_of_any_length_holds(store: Store) {
    store.add_named(&["a"]).await;
    let wish = Claim {
        worker: "checker".into(),
        max: usize::MAX,
        lease: Duration::MAX,
    };
    let claimed = store.one.claim(QUEUE, wish.clone()).await.unwrap();
    assert_eq!(ids(&claimed), ["a"]);
    store.pass(LEASE * 2);
    let again = store.another.claim(QUEUE, wish).await.unwrap();
    assert_eq!(ids(&again), [""; 0]);
    let held = [claimed[0].lease.clone()];
    let renewed = store.one.renew(&held, Duration::MAX);
    assert_eq!(renewed.await.unwrap(), [Renewal::Kept]);
    let after = Duration::MAX;
    let put_off = store.settle(&claimed[0], Outcome::Snooze { after }).await;
    assert_eq!(put_off, Ok(JobState::Delayed));
    assert!(store.claim(9).await.is_empty());
}

pub(super) async fn a_released_job_costs_nothing_and_keeps_its_place(store: Store) {
    store.add_named(&["a", "b"]).await;
    let a = store.claim_one().await;
    assert_eq!(
        store.settle(&a, Outcome::Release).await,
        Ok(JobState::Waiting)
    );
    let again = store.claim_one().await;
    assert_eq!(again.lease.id, id("a"));
    assert_eq!((again.attempt, again.stalls), (1, 0));
    assert!(again.lease.epoch > a.lease.epoch);
    assert!(is_stale(store.settle(&a, done()).await));
}

pub(super) async fn a_late_settlement_of_a_lapsed_lease_that_nobody_took_back_counts(store: Store) {
    store.add_named(&["slow"]).await;
    let claimed = store.claim_one().await;
    store.pass(LEASE + ms(1));
    assert_eq!(
        store.settle(&claimed, done()).await,
        Ok(JobState::Completed)
    );
    while store.one.sweep().await.unwrap() > 0 {}
    assert_eq!(store.state(&id("slow")).await, JobState::Completed);
}
