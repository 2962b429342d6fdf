//! Progress and logs: in order, not too often, and before the end.

use std::sync::atomic::{AtomicU32, Ordering};

use super::between::{Between, Fate, Verb};
use super::*;

#[tokio::test]
async fn the_last_news_are_recorded_before_the_end_and_many_are_few_reports() {
    let jobs = memory();
    put(&jobs, "q", 1).await;
    let reports = Arc::new(AtomicU32::new(0));
    let between = {
        let reports = Arc::clone(&reports);
        Between::over(SharedJobs::clone(&jobs), move |verb| {
            reports.fetch_add(u32::from(verb == Verb::Report), Ordering::SeqCst);
            Fate::Good
        })
    };
    let worker = Worker::builder(between)
        .lane("q", 1)
        .default_handler(async |job: Context| {
            for nth in 0..500_u16 {
                job.progress(f32::from(nth) / 5.0, format!("step {nth}"));
                job.log(format!("line {nth}"));
                tokio::task::yield_now().await;
            }
            job.progress(f32::NAN, "over");
            Ok(Payload::NULL)
        });
    let worker = start(worker);
    let status = ended(&jobs, &id("q-0")).await.status;
    let progress = status.progress.unwrap();
    assert_eq!((progress.percent, &*progress.message), (0.0, "over"));
    let log = jobs.log(&id("q-0")).await.unwrap();
    let lines: Vec<String> = log.into_iter().map(|line| line.text).collect();
    let expected: Vec<String> = (0..500).map(|nth| format!("line {nth}")).collect();
    assert_eq!(lines, expected);
    // One at once, one each 100 ms, one at the end.
    assert!(reports.load(Ordering::SeqCst) < 50, "{reports:?}");
    worker.stop().await;
}

#[tokio::test]
async fn news_that_cannot_be_recorded_do_not_keep_a_job_from_its_end() {
    let jobs = memory();
    put(&jobs, "q", 1).await;
    let between = Between::over(SharedJobs::clone(&jobs), |verb| match verb {
        Verb::Report => Fate::Refused,
        _ => Fate::Good,
    });
    let worker = Worker::builder(between)
        .lane("q", 1)
        .default_handler(async |job: Context| {
            job.log("x".repeat(1_000_000));
            Ok(Payload::NULL)
        });
    let worker = start(worker);
    ended(&jobs, &id("q-0")).await;
    assert_eq!(worker.stop().await.completed, 1);
}
