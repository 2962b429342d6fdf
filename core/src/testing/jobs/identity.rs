//! Which job is which.

use super::*;

pub(super) async fn an_id_that_is_there_is_said_to_be_and_nothing_is_overwritten(store: Store) {
    let first = job()
        .with_id(id("mine"))
        .with(|job| job.payload = Payload::from_json("1").unwrap());
    let second = job()
        .with_id(id("mine"))
        .with(|job| job.payload = Payload::from_json("2").unwrap());
    store.add(first).await;
    let again = store.another.enqueue_one(second.clone()).await.unwrap();
    assert_eq!(again, Enqueued::Duplicate(id("mine")));
    let claimed = store.claim_one().await;
    assert_eq!(claimed.spec.payload.as_bytes(), "1");
    // Running and ended ones are there too, until their time is over.
    store.settle(&claimed, done()).await.unwrap();
    let again = store.another.enqueue_one(second).await.unwrap();
    assert_eq!(again, Enqueued::Duplicate(id("mine")));
    assert_eq!(store.counts().await.completed, 1);
}

pub(super) async fn of_two_who_insert_one_unique_key_at_once_one_does(store: Store) {
    let keyed = || job().with(|job| job.unique_key = Some("key".into()));
    let inserts = (0..20).map(|n| {
        let jobs = if n % 2 == 0 {
            &store.one
        } else {
            &store.another
        };
        jobs.enqueue_one(keyed())
    });
    let answers = futures_util::future::join_all(inserts).await;
    let mut added = Vec::new();
    let mut held = Vec::new();
    for answer in answers {
        match answer.unwrap() {
            Enqueued::Added(id) => added.push(id),
            Enqueued::Duplicate(id) => held.push(id),
            Enqueued::Refused(error) => panic!("{error}"),
        }
    }
    assert_eq!((added.len(), held.len()), (1, 19));
    assert!(held.iter().all(|id| *id == added[0]));
}

pub(super) async fn a_unique_key_is_free_after_every_end_but_not_while_it_is_retried(store: Store) {
    let keyed = || job().with(|job| job.unique_key = Some("key".into()));
    async fn is_held(store: &Store, job: JobSpec) -> bool {
        matches!(
            store.one.enqueue_one(job).await.unwrap(),
            Enqueued::Duplicate(_)
        )
    }
    store.add(keyed()).await;
    let claimed = store.claim_one().await;
    assert!(is_held(&store, keyed()).await);
    store.settle(&claimed, retried(5)).await.unwrap();
    assert!(is_held(&store, keyed()).await);
    store.pass(ms(5));
    let claimed = store.claim_one().await;
    assert!(is_held(&store, keyed()).await);
    store.settle(&claimed, done()).await.unwrap();

    store.add(keyed()).await;
    let claimed = store.claim_one().await;
    store.settle(&claimed, failed()).await.unwrap();

    let deleted = store.add(keyed()).await;
    store.one.delete(&[deleted]).await.unwrap();

    let cancelled = store.add(keyed()).await;
    store.one.cancel(&[cancelled]).await.unwrap();

    store.add(keyed()).await;
}

pub(super) async fn a_unique_key_can_be_held_for_a_time(store: Store) {
    let keyed = || {
        job().with(|job| {
            job.unique_key = Some("key".into());
            job.unique_for_ms = Some(1_000);
        })
    };
    let first = store.add(keyed()).await;
    let claimed = store.claim_one().await;
    store.settle(&claimed, done()).await.unwrap();
    store.pass(ms(999));
    assert_eq!(
        store.one.enqueue_one(keyed()).await.unwrap(),
        Enqueued::Duplicate(first)
    );
    store.pass(ms(1));
    store.add(keyed()).await;
    // And longer than its time while the job is there.
    store.pass(ms(5_000));
    assert!(matches!(
        store.one.enqueue_one(keyed()).await.unwrap(),
        Enqueued::Duplicate(_)
    ));
}

pub(super) async fn a_unique_key_is_free_after_ends_that_no_worker_makes(store: Store) {
    let keyed = || job().with(|job| job.unique_key = Some("key".into()));
    store.add(keyed().with(|job| job.max_stalls = 0)).await;
    store.claim_one().await;
    store.pass(LEASE + ms(1));
    while store.one.sweep().await.unwrap() > 0 {}

    let now = store.one.now().await.unwrap();
    store
        .add(keyed().with(|job| job.deadline = Some(now)))
        .await;
    store.pass(ms(1));
    while store.one.sweep().await.unwrap() > 0 {}
    assert_eq!(store.counts().await.failed, 2);

    store.add(keyed()).await;
}

pub(super) async fn a_job_is_not_tried_again_while_another_has_its_key(store: Store) {
    let keyed = |name: &str| {
        job().with_id(id(name)).with(|job| {
            job.unique_key = Some("key".into());
            job.unique_for_ms = Some(1_000);
        })
    };
    let is_held = async |by: &str| {
        let answer = store.one.enqueue_one(keyed("probe")).await.unwrap();
        assert_eq!(answer, Enqueued::Duplicate(id(by)));
    };
    store.add(keyed("first")).await;
    let claimed = store.claim_one().await;
    store.settle(&claimed, failed()).await.unwrap();
    store.pass(ms(1_000));
    store.add(keyed("second")).await;
    let refused = store.another.revive(&[id("first")]).await.unwrap();
    assert!(
        matches!(
            &refused[0],
            Err(JobError::IllegalMove { state: JobState::Failed, verb, .. })
                if verb.contains("unique_key")
        ),
        "{refused:?}"
    );
    assert_eq!(store.state(&id("first")).await, JobState::Failed);
    // Nor does it free the key of the other one.
    store.one.delete(&[id("first")]).await.unwrap();
    is_held("second").await;
    // Its own key is a job's again, with what is left of its time.
    let claimed = store.claim_one().await;
    store.settle(&claimed, done()).await.unwrap();
    store.pass(ms(500));
    store.one.revive(&[id("second")]).await.unwrap()[0]
        .clone()
        .unwrap();
    let claimed = store.claim_one().await;
    store.settle(&claimed, done()).await.unwrap();
    store.pass(ms(499));
    is_held("second").await;
    store.pass(ms(1));
    store.add(keyed("third")).await;
}

pub(super) async fn a_batch_answers_for_each_job(store: Store) {
    store.add_named(&["there"]).await;
    let batch = vec![
        job().with_id(id("now")),
        job().with_id(id("later")).after(ms(1_000)),
        job().with_id(id("there")),
        job().with_id(id("bad")).with(|job| job.priority = 501),
        job().with_id(id("now")),
        JobSpec::new("other", Payload::NULL).with_id(id("elsewhere")),
    ];
    let answers = store.one.enqueue(batch).await.unwrap();
    assert_eq!(answers[0], Enqueued::Added(id("now")));
    assert_eq!(answers[1], Enqueued::Added(id("later")));
    assert_eq!(answers[2], Enqueued::Duplicate(id("there")));
    assert!(matches!(
        &answers[3],
        Enqueued::Refused(JobError::Invalid {
            field: "priority",
            ..
        })
    ));
    assert_eq!(answers[4], Enqueued::Duplicate(id("now")));
    assert_eq!(answers[5], Enqueued::Added(id("elsewhere")));
    assert_eq!(ids(&store.claim(9).await), ["there", "now"]);
    assert_eq!(store.state(&id("later")).await, JobState::Delayed);
    assert_eq!(&*store.job(&id("elsewhere")).await.spec.queue, "other");
}

pub(super) async fn payloads_are_kept_byte_for_byte(store: Store) {
    let megabyte = format!("\"{}\"", "x".repeat(1_000_000));
    let texts = [
        "{\"z\": 1, \"a\":  9007199254740993123, \"é\": \"\\u00e9 — 日本 \\ud83d\\ude00\"}",
        "123456789012345678901234567890.5",
        " [1, 2]\n",
        &megabyte,
    ];
    for text in texts {
        let payload = Payload::from_json(text.to_owned()).unwrap();
        let spec = job().with(|job| {
            job.payload = payload.clone();
            job.kind = Some("kïnd".into());
            job.session = Some("s 1".into());
            job.tags = vec!["t,1".into(), "\"q\"".into()];
            job.timeout_ms = Some(5);
        });
        let id = store.add(spec).await;
        let claimed = store.claim_one().await;
        assert_eq!(claimed.lease.id, id);
        assert_eq!(claimed.spec.payload.as_bytes(), text);
        assert_eq!(
            (claimed.spec.kind(), claimed.spec.timeout_ms),
            ("kïnd", Some(5))
        );
        let result = payload;
        store
            .settle(&claimed, Outcome::Complete { result })
            .await
            .unwrap();
        let job = store.job(&id).await;
        assert_eq!(job.status.result.unwrap().as_bytes(), text);
        assert_eq!(job.spec.payload.as_bytes(), text);
        assert_eq!(job.spec.session.as_deref(), Some("s 1"));
        assert_eq!(job.spec.tags, ["t,1", "\"q\""].map(Box::<str>::from));
    }
}

pub(super) async fn names_that_no_queue_can_have_are_refused(store: Store) {
    for name in ["", "a{b}", "a b", "a\nb", &"x".repeat(201)] {
        let answer = store
            .one
            .enqueue_one(JobSpec::new(name, Payload::NULL))
            .await;
        assert!(
            matches!(answer, Err(JobError::Invalid { field: "queue", .. })),
            "{name}: {answer:?}"
        );
        let claimed = store.one.claim(name, claim(1)).await;
        assert!(
            matches!(claimed, Err(JobError::Invalid { field: "queue", .. })),
            "{name}"
        );
        let purged = store.one.purge(name, &JobState::ALL, ms(0)).await;
        assert!(
            matches!(purged, Err(JobError::Invalid { field: "queue", .. })),
            "{name}"
        );
        let limits = store.one.limits(name).await;
        assert!(
            matches!(limits, Err(JobError::Invalid { field: "queue", .. })),
            "{name}"
        );
        let paused = store.one.set_paused(name, true).await;
        assert!(
            matches!(paused, Err(JobError::Invalid { field: "queue", .. })),
            "{name}"
        );
    }
}
