//! Looking at jobs.

use super::*;
use crate::job::{JobFilter, Progress, Report};

pub(super) async fn jobs_are_listed_by_filter_and_page(store: Store) {
    for n in 0..25 {
        let spec = job().with_id(id(&format!("job {n}"))).with(|job| {
            job.kind = Some(if n % 2 == 0 { "even" } else { "odd" }.into());
            job.session = (n < 4).then(|| "s".into());
            job.group = (n == 7).then(|| "g".into());
            job.tags = if n > 20 {
                vec!["late".into(), "x".into()]
            } else {
                Vec::new()
            };
        });
        store.add(spec).await;
    }
    store
        .add(JobSpec::new("other", Payload::NULL).with_id(id("elsewhere")))
        .await;
    let claimed = store.claim(2).await;
    store.settle(&claimed[0], done()).await.unwrap();
    let ours = |change: fn(&mut JobFilter)| {
        let mut filter = JobFilter {
            queue: Some(QUEUE.to_owned()),
            ..JobFilter::default()
        };
        change(&mut filter);
        filter
    };
    let rows: [(JobFilter, usize); 9] = [
        (JobFilter::default(), 26),
        (ours(|_| ()), 25),
        (ours(|filter| filter.state = Some(JobState::Completed)), 1),
        (ours(|filter| filter.state = Some(JobState::Running)), 1),
        (ours(|filter| filter.state = Some(JobState::Waiting)), 23),
        (ours(|filter| filter.kind = Some("odd".to_owned())), 12),
        (ours(|filter| filter.session = Some("s".to_owned())), 4),
        (ours(|filter| filter.group = Some("g".to_owned())), 1),
        (ours(|filter| filter.tag = Some("late".to_owned())), 4),
    ];
    for (filter, count) in rows {
        let page = store.another.list(&filter).await.unwrap();
        assert_eq!(page.jobs.len(), count, "{filter:?}");
        assert_eq!(page.next, None);
        assert!(page.jobs.iter().all(|job| filter.fits(job)));
        // The same in small pages: each job once.
        let mut seen = std::collections::BTreeSet::new();
        let mut after = None;
        loop {
            let small = JobFilter {
                limit: Some(4),
                after,
                ..filter.clone()
            };
            let page = store.one.list(&small).await.unwrap();
            assert!(page.jobs.len() <= 4);
            assert!(
                page.jobs.iter().all(|job| seen.insert(job.id.clone())),
                "{filter:?}"
            );
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen.len(), count, "{filter:?}");
    }
    let nonsense = JobFilter {
        after: Some("nonsense".to_owned()),
        ..JobFilter::default()
    };
    assert!(matches!(
        store.one.list(&nonsense).await,
        Err(JobError::Invalid { field: "after", .. })
    ));
}

pub(super) async fn counts_add_up(store: Store) {
    store.add_named(&["a", "b", "c", "d", "e"]).await;
    store.add(job().after(ms(1_000))).await;
    store.pass(ms(7));
    let claimed = store.claim(3).await;
    store.settle(&claimed[0], done()).await.unwrap();
    store.settle(&claimed[1], failed()).await.unwrap();
    store.one.cancel(&[id("d")]).await.unwrap();
    let counts = store.counts().await;
    let expected = QueueCounts {
        queue: QUEUE.to_owned(),
        waiting: 1,
        delayed: 1,
        running: 1,
        completed: 1,
        failed: 1,
        cancelled: 1,
        bytes: 12,
        oldest_ms: Some(7),
        paused: false,
    };
    assert_eq!(counts, expected);
}

pub(super) async fn progress_and_log_are_kept_in_order(store: Store) {
    store.add_named(&["a"]).await;
    let claimed = store.claim_one().await;
    for n in 0..1_005_u32 {
        let lease = claimed.lease.clone();
        let progress = (n % 100 == 4).then(|| Progress {
            percent: n as f32 / 20.0,
            message: format!("é {n}"),
        });
        let log = vec![format!("line {n}")];
        store
            .one
            .report(vec![Report {
                lease,
                progress,
                log,
            }])
            .await
            .unwrap()
            .remove(0)
            .unwrap();
    }
    let progress = store.job(&id("a")).await.status.progress.unwrap();
    assert_eq!(
        (progress.percent, progress.message.as_str()),
        (50.2, "é 1004")
    );
    let log = store.another.log(&id("a")).await.unwrap();
    assert_eq!(log.len(), 1_000);
    assert_eq!(
        (log[0].text.as_str(), log[999].text.as_str()),
        ("line 5", "line 1004")
    );
    assert_eq!(log[0].at, START);
    // Another attempt begins anew, its log goes on.
    store.settle(&claimed, retried(0)).await.unwrap();
    store.claim_one().await;
    assert_eq!(store.job(&id("a")).await.status.progress, None);
    assert_eq!(store.one.log(&id("a")).await.unwrap().len(), 1_000);
}

pub(super) async fn news_that_cannot_be_kept_are_refused(store: Store) {
    store.add_named(&["a", "b"]).await;
    let claimed = store.claim(2).await;
    let news = |nth: usize, percent: f32, log: &[&str]| Report {
        lease: claimed[nth].lease.clone(),
        progress: Some(Progress {
            percent,
            message: "on".to_owned(),
        }),
        log: log.iter().map(|line| (*line).to_owned()).collect(),
    };
    let long = "x".repeat(16 * 1024 + 1);
    let reports = vec![
        news(0, f32::NAN, &[]),
        news(0, f32::INFINITY, &["lost with it"]),
        news(1, 50.0, &[]),
        news(0, 1.0, &[&long]),
    ];
    let answers = store.one.report(reports).await.unwrap();
    for (nth, expected) in [(0, "progress"), (1, "progress"), (3, "log")] {
        let refused =
            matches!(&answers[nth], Err(JobError::Invalid { field, .. }) if *field == expected);
        assert!(refused, "{:?}", answers[nth]);
    }
    assert_eq!(answers[2], Ok(()));
    assert_eq!(store.job(&id("a")).await.status.progress, None);
    assert_eq!(store.another.log(&id("a")).await.unwrap(), []);
    let listed = store.another.list(&JobFilter::default()).await.unwrap();
    assert_eq!(listed.jobs.len(), 2);
    let settle = claimed.iter().map(|one| settlement(&one.lease, done()));
    let settled = store.exchange(settle.collect(), 0).await.settled;
    assert_eq!(settled, [Ok(JobState::Completed), Ok(JobState::Completed)]);
}

pub(super) async fn what_is_unknown_is_said_to_be(store: Store) {
    let never = id("never");
    assert_eq!(
        store.one.get(std::slice::from_ref(&never)).await.unwrap(),
        [None]
    );
    let unknown = Err(JobError::UnknownJob { id: never.clone() });
    assert_eq!(store.one.find(&never).await.map(drop), unknown);
    assert_eq!(store.one.log(&never).await.map(drop), unknown);
    let unknown_queue = Err(JobError::UnknownQueue {
        queue: "never".to_owned(),
    });
    let purged = store.one.purge("never", &[JobState::Failed], ms(0)).await;
    assert_eq!(purged, unknown_queue);
    assert_eq!(store.one.counts().await.unwrap(), []);
    assert_eq!(
        store.one.limits("never").await.unwrap(),
        crate::job::QueueLimits::default()
    );
    let lease = Lease {
        queue: QUEUE.into(),
        id: never,
        epoch: 1,
    };
    let settled = store
        .one
        .settle(Settlement {
            lease,
            outcome: done(),
        })
        .await;
    assert!(is_stale(settled));
    assert!(!store.one.backend().is_empty());
}
