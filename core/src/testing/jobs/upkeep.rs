//! What goes on beside the jobs, and what must hold whatever happens.

use super::*;
use crate::job::{JobFilter, Presence, Schedule};

pub(super) async fn twenty_thousand_jobs_due_at_once_are_all_served(store: Store) {
    for _ in 0..20 {
        let batch = (0..1_000).map(|_| job().after(ms(100)).with(|job| job.result_ttl_ms = 50));
        store.one.enqueue(batch.collect()).await.unwrap();
    }
    store.pass(ms(100));
    let mut served = 0;
    let mut empty = 0;
    while empty < 2 {
        let claimed = store.claim(1_000).await;
        empty = if claimed.is_empty() { empty + 1 } else { 0 };
        served += claimed.len();
        let settle = claimed.iter().map(|one| settlement(&one.lease, done()));
        store.exchange(settle.collect(), 0).await;
    }
    assert_eq!(served, 20_000);
    // And as many results run out at once.
    store.pass(ms(51));
    while store.one.sweep().await.unwrap() > 0 {}
    assert_eq!(store.counts().await.completed, 0);
}

pub(super) async fn a_schedule_is_kept_and_its_tick_makes_one_job(store: Store) {
    let hourly = Schedule::new(
        "hourly",
        "0 * * * *",
        job().with(|job| job.kind = Some("report".into())),
    );
    store.one.put_schedule(hourly).await.unwrap();
    let bad = Schedule::new("bad", "61 * * * *", job());
    assert!(matches!(
        store.one.put_schedule(bad).await,
        Err(JobError::Invalid { field: "cron", .. })
    ));
    let kept = store.another.schedules().await.unwrap();
    assert_eq!(kept.len(), 1);
    let first = kept[0].next_at;
    assert!(
        first > START && first <= START + 3_600_000 && first % 3_600_000 == 0,
        "{first}"
    );
    // A service that starts again behind a tick says it anew: the tick is still to come.
    store.pass(ms(2 * 3_600_000));
    let again = |cron| {
        Schedule::new(
            "hourly",
            cron,
            job().with(|job| job.kind = Some("report".into())),
        )
    };
    store
        .another
        .put_schedule(again("0 * * * *"))
        .await
        .unwrap();
    assert_eq!(store.one.schedules().await.unwrap(), kept);
    store.one.put_schedule(again("30 * * * *")).await.unwrap();
    let other = store.another.schedules().await.unwrap();
    assert!(other[0].next_at > START + 2 * 3_600_000, "{other:?}");
    store.one.put_schedule(kept[0].clone()).await.unwrap();
    // Two leaders fire the same tick.
    let (next, spec) = kept[0].clone().fire(first).unwrap();
    let (_, twice) = kept[0].clone().fire(first + 5).unwrap();
    assert_eq!(next.next_at, first + 3_600_000);
    let one = store.one.enqueue_one(spec.unwrap()).await.unwrap();
    let two = store.another.enqueue_one(twice.unwrap()).await.unwrap();
    assert!(matches!(one, Enqueued::Added(_)) && matches!(two, Enqueued::Duplicate(_)));
    assert!(next.clone().fire(first + 10).unwrap().1.is_none());
    let mut advanced = store.one.advance_schedule(&kept[0], next.clone());
    assert!(advanced.await.unwrap());
    assert_eq!(
        store.another.schedules().await.unwrap(),
        std::slice::from_ref(&next)
    );
    // A tick that was late moves nothing back, and what was deleted stays so.
    advanced = store.another.advance_schedule(&kept[0], next.clone());
    assert!(!advanced.await.unwrap());
    assert!(store.another.delete_schedule("hourly").await.unwrap());
    assert!(!store.one.delete_schedule("hourly").await.unwrap());
    advanced = store.one.advance_schedule(&next, next.clone());
    assert!(!advanced.await.unwrap());
    assert!(store.one.schedules().await.unwrap().is_empty());
}

pub(super) async fn a_role_has_one_holder(store: Store) {
    let term = ms(1_000);
    assert!(store.one.lead("sweeper", "a", term).await.unwrap());
    assert!(!store.another.lead("sweeper", "b", term).await.unwrap());
    assert!(store.another.lead("scheduler", "b", term).await.unwrap());
    store.pass(ms(900));
    assert!(store.one.lead("sweeper", "a", term).await.unwrap());
    store.pass(ms(900));
    assert!(!store.another.lead("sweeper", "b", term).await.unwrap());
    store.pass(ms(101));
    assert!(store.another.lead("sweeper", "b", term).await.unwrap());
    assert!(!store.one.lead("sweeper", "a", term).await.unwrap());
}

pub(super) async fn workers_are_there_while_they_say_so(store: Store) {
    let presence = |worker: &str| Presence {
        worker: worker.to_owned(),
        instance: "1".to_owned(),
        host: "host".to_owned(),
        pid: 7,
        queues: vec!["a:1".to_owned()],
        running: vec!["j".to_owned()],
        rss: 9,
        started_at: START,
        seen_at: 0,
    };
    store.one.announce(&presence("w2")).await.unwrap();
    store.another.announce(&presence("w1")).await.unwrap();
    let there = store.one.workers().await.unwrap();
    let named: Vec<&str> = there.iter().map(|worker| worker.worker.as_str()).collect();
    assert_eq!(named, ["w1", "w2"]);
    assert_eq!(
        there[0],
        Presence {
            seen_at: START,
            ..presence("w1")
        }
    );
    store.pass(ms(20_000));
    store.one.announce(&presence("w1")).await.unwrap();
    store.pass(ms(20_000));
    let there = store.another.workers().await.unwrap();
    assert_eq!(there.len(), 1);
    assert_eq!(
        (there[0].worker.as_str(), there[0].seen_at),
        ("w1", START + 20_000)
    );
}

pub(super) async fn workers_of_one_id_are_both_there_until_each_leaves(store: Store) {
    let presence = |instance: &str| Presence {
        worker: "w".to_owned(),
        instance: instance.to_owned(),
        host: format!("host-{instance}"),
        pid: 1,
        queues: Vec::new(),
        running: Vec::new(),
        rss: 0,
        started_at: START,
        seen_at: START,
    };
    store.one.announce(&presence("a")).await.unwrap();
    store.another.announce(&presence("b")).await.unwrap();
    let there = store.one.workers().await.unwrap();
    assert_eq!(there, [presence("a"), presence("b")]);
    store.one.leave(&presence("a")).await.unwrap();
    assert_eq!(store.another.workers().await.unwrap(), [presence("b")]);
    // Again, and of one that never was.
    store.one.leave(&presence("a")).await.unwrap();
    store.another.leave(&presence("b")).await.unwrap();
    assert!(store.one.workers().await.unwrap().is_empty());
}

pub(super) async fn whatever_happens_accepted_is_finished_and_live(store: Store) {
    let seed = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| fastrand::u64(..));
    println!("SEED={seed}");
    let mut chance = fastrand::Rng::with_seed(seed);
    let mut accepted = 0;
    let mut held: Vec<Claimed> = Vec::new();
    let limits = crate::job::QueueLimits {
        group_concurrency: Some(2),
        ..Default::default()
    };
    store.one.set_limits(QUEUE, limits).await.unwrap();
    for _ in 0..600 {
        match chance.u32(0..14) {
            0..=3 => {
                let count = chance.usize(1..5);
                let batch = (0..count).map(|_| {
                    job().with(|job| {
                        job.priority = chance.i16(-2..3);
                        job.delay_ms = chance.bool().then(|| chance.u64(0..200));
                        job.group = chance
                            .bool()
                            .then(|| format!("g{}", chance.u8(0..3)).into());
                        job.max_stalls = 1;
                    })
                });
                store.one.enqueue(batch.collect()).await.unwrap();
                accepted += count;
            }
            4..=5 => held.extend(store.claim(chance.usize(1..6)).await),
            6..=8 if !held.is_empty() => {
                let one = held.swap_remove(chance.usize(0..held.len()));
                let outcome = [
                    done(),
                    failed(),
                    retried(50),
                    Outcome::Snooze { after: ms(30) },
                    Outcome::Release,
                ];
                let outcome = outcome[chance.usize(0..outcome.len())].clone();
                // Stale ones are refused, and that is all.
                let _ = store.settle(&one, outcome).await;
            }
            9 => store.pass(ms(chance.u64(0..100))),
            10 if chance.u8(0..8) == 0 => store.pass(LEASE + ms(1)),
            11 => {
                let filter = JobFilter {
                    limit: Some(3),
                    ..JobFilter::default()
                };
                let some = store.another.list(&filter).await.unwrap().jobs;
                let some: Vec<JobId> = some.into_iter().map(|job| job.id).collect();
                match chance.u8(0..4) {
                    0 => {
                        let deleted = store.one.delete(&some).await.unwrap();
                        accepted -= deleted.into_iter().filter(|was| *was).count();
                    }
                    1 => drop(store.one.revive(&some).await.unwrap()),
                    _ => drop(store.another.cancel(&some).await.unwrap()),
                }
            }
            12 if chance.u8(0..8) == 0 => {
                accepted -= store
                    .another
                    .purge(QUEUE, &JobState::ALL, ms(chance.u64(0..500)))
                    .await
                    .unwrap();
            }
            _ => {}
        }
        let counts = store.counts().await;
        let live = counts.waiting + counts.delayed + counts.running;
        let finished = counts.completed + counts.failed + counts.cancelled;
        assert_eq!(live + finished, accepted as u64, "{counts:?}");
    }
    // Nothing is left aside: all that lives can still be done.
    store.pass(LEASE * 2);
    loop {
        store.pass(ms(1_000));
        while store.one.sweep().await.unwrap() > 0 {}
        let claimed = store.claim(9).await;
        let settle = claimed.iter().map(|one| settlement(&one.lease, done()));
        store.exchange(settle.collect(), 0).await;
        let counts = store.counts().await;
        let live = counts.waiting + counts.delayed + counts.running;
        if claimed.is_empty() {
            assert_eq!(live, 0, "{counts:?}");
            break;
        }
    }
    let mut listed = 0;
    let mut after = None;
    loop {
        let filter = JobFilter {
            limit: Some(1_000),
            after,
            ..JobFilter::default()
        };
        let page = store.one.list(&filter).await.unwrap();
        listed += page.jobs.len();
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(listed, accepted);
}
