//! Who goes first.

use super::*;

pub(super) async fn equal_priorities_are_served_as_they_came(store: Store) {
    store.add_named(&["z", "a", "m", "b"]).await;
    assert_eq!(ids(&store.claim(2).await), ["z", "a"]);
    store.add_named(&["0"]).await;
    assert_eq!(ids(&store.claim(9).await), ["m", "b", "0"]);
}

pub(super) async fn a_higher_priority_goes_first(store: Store) {
    for (name, priority) in [
        ("low", -5),
        ("usual", 0),
        ("high", 500),
        ("usual 2", 0),
        ("lowest", -500),
    ] {
        store
            .add(job().with_id(id(name)).with(|job| job.priority = priority))
            .await;
    }
    let claimed = store.claim(9).await;
    assert_eq!(ids(&claimed), ["high", "usual", "usual 2", "low", "lowest"]);
}

pub(super) async fn a_delayed_job_never_runs_early_and_a_short_delay_behind_a_long_one_is_on_time(
    store: Store,
) {
    store.add(job().with_id(id("long")).after(ms(10_000))).await;
    store.add(job().with_id(id("short")).after(ms(1_000))).await;
    store.add(job().with_id(id("none")).after(ms(0))).await;
    store
        .add(
            job()
                .with_id(id("past"))
                .with(|job| job.run_at = Some(START - 1)),
        )
        .await;
    assert_eq!(store.state(&id("short")).await, JobState::Delayed);
    let exchanged = store.exchange(Vec::new(), 9).await;
    assert_eq!(ids(&exchanged.claimed), ["none", "past"]);
    assert_eq!(exchanged.again_in, Some(ms(1_000)));
    store.pass(ms(999));
    assert!(store.claim(9).await.is_empty());
    store.pass(ms(1));
    assert_eq!(ids(&store.claim(9).await), ["short"]);
    store.pass(ms(8_999));
    assert!(store.claim(9).await.is_empty());
    store.pass(ms(1));
    assert_eq!(ids(&store.claim(9).await), ["long"]);
}

pub(super) async fn delayed_jobs_of_one_millisecond_are_served_as_they_came(store: Store) {
    let names: Vec<String> = (0..50).map(|n| format!("{}", (n * 37) % 50)).collect();
    for name in &names {
        store.add(job().with_id(id(name)).after(ms(500))).await;
    }
    store.add(job().with_id(id("first")).after(ms(499))).await;
    store.pass(ms(500));
    let claimed = store.claim(99).await;
    let expected: Vec<&str> = std::iter::once("first")
        .chain(names.iter().map(String::as_str))
        .collect();
    assert_eq!(ids(&claimed), expected);
}

pub(super) async fn groups_take_turns(store: Store) {
    let grouped = |name: String, group: &str| {
        job()
            .with_id(id(&name))
            .with(|job| job.group = Some(group.into()))
    };
    let many = (0..100).map(|n| grouped(format!("a{n}"), "a"));
    store.one.enqueue(many.collect()).await.unwrap();
    assert_eq!(ids(&store.claim(3).await), ["a0", "a1", "a2"]);
    // A group that comes later does not wait behind the hundred.
    let few = (0..3).map(|n| grouped(format!("b{n}"), "b"));
    store.one.enqueue(few.collect()).await.unwrap();
    let claimed = store.claim(8).await;
    let of_b = ids(&claimed)
        .iter()
        .filter(|id| id.starts_with('b'))
        .count();
    assert_eq!(of_b, 3, "{:?}", ids(&claimed));
    let within: Vec<&str> = ids(&claimed)
        .into_iter()
        .filter(|id| id.starts_with('b'))
        .collect();
    assert_eq!(within, ["b0", "b1", "b2"]);
}

pub(super) async fn ten_thousand_groups_are_served(store: Store) {
    let one = |n: usize| job().with(|job| job.group = Some(format!("group {n}").into()));
    for first in (0..10_000).step_by(1_000) {
        store
            .one
            .enqueue((first..first + 1_000).map(one).collect())
            .await
            .unwrap();
    }
    store.add(one(5).with_id(id("second of 5"))).await;
    let limits = crate::job::QueueLimits {
        group_concurrency: Some(1),
        ..Default::default()
    };
    store.one.set_limits(QUEUE, limits).await.unwrap();
    let mut served = 0;
    loop {
        let claimed = store.claim(1_000).await;
        if claimed.is_empty() {
            break;
        }
        served += claimed.len();
        let settle = claimed.iter().map(|one| settlement(&one.lease, done()));
        store.exchange(settle.collect(), 0).await;
    }
    assert_eq!(served, 10_001);
}

pub(super) async fn priorities_stand_in_one_line(store: Store) {
    let low = |name: &str| job().with_id(id(name)).with(|job| job.priority = -1);
    let high = |name: &str| job().with_id(id(name)).with(|job| job.priority = 1);
    store.add(low("l1")).await;
    store.add_named(&["a", "b", "c"]).await;
    store.add(low("l2")).await;
    assert_eq!(ids(&store.claim(2).await), ["a", "b"]);
    store.add(high("h1")).await;
    store.add_named(&["d"]).await;
    assert_eq!(ids(&store.claim(3).await), ["h1", "c", "d"]);
    store.add_named(&["e"]).await;
    assert_eq!(ids(&store.claim(9).await), ["e", "l1", "l2"]);
    assert!(store.claim(9).await.is_empty());
    assert_eq!(store.counts().await.waiting, 0);
}

pub(super) async fn what_left_the_line_is_not_met_in_it_again(store: Store) {
    // Gone, and back with a priority.
    store.add_named(&["a", "b", "c"]).await;
    store.one.delete(&[id("b")]).await.unwrap();
    store
        .add(job().with_id(id("b")).with(|job| job.priority = 5))
        .await;
    assert_eq!(store.counts().await.waiting, 3);
    let claimed = store.claim(9).await;
    assert_eq!(ids(&claimed), ["b", "a", "c"]);
    store.settle(&claimed[0], Outcome::Release).await.unwrap();
    assert_eq!(store.counts().await.waiting, 1);
    assert_eq!(ids(&store.claim(9).await), ["b"]);
    // Called off, and called back.
    store.add_named(&["d", "e"]).await;
    store.one.cancel(&[id("d")]).await.unwrap();
    assert_eq!(store.counts().await.waiting, 1);
    store.one.revive(&[id("d")]).await.unwrap()[0]
        .as_ref()
        .unwrap();
    assert_eq!(store.counts().await.waiting, 2);
    assert_eq!(ids(&store.claim(9).await), ["e", "d"]);
    // Gone and back, again and again.
    for _ in 0..3 {
        store.add_named(&["f"]).await;
        store.one.delete(&[id("f")]).await.unwrap();
    }
    store.add_named(&["f", "g"]).await;
    assert_eq!(store.counts().await.waiting, 2);
    let claimed = store.claim(9).await;
    let mut both = ids(&claimed);
    both.sort_unstable();
    assert_eq!(both, ["f", "g"]);
    assert!(store.claim(9).await.is_empty());
    assert_eq!(store.counts().await.waiting, 0);
}

pub(super) async fn thousands_that_leave_the_line_do_not_stay_in_it(store: Store) {
    store.add_named(&["first"]).await;
    let names: Vec<JobId> = (0..3_000).map(|n| id(&format!("n{n}"))).collect();
    for some in names.chunks(1_000) {
        let batch = some.iter().map(|id| job().with_id(id.clone()));
        store.one.enqueue(batch.collect()).await.unwrap();
        store.one.delete(some).await.unwrap();
    }
    store.add_named(&["last"]).await;
    while store.one.sweep().await.unwrap() > 0 {}
    assert_eq!(store.counts().await.waiting, 2);
    assert_eq!(ids(&store.claim(9).await), ["first", "last"]);
    assert_eq!(store.counts().await.waiting, 0);
}
