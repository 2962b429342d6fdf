//! How many run at once, and in which order.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::*;

#[tokio::test]
async fn all_jobs_of_all_sorts_of_handlers_are_done_and_recorded() {
    let jobs = memory();
    let mut ids = put(&jobs, "quick", 5_000).await;
    ids.extend(put(&jobs, "slow", 200).await);
    ids.extend(put(&jobs, "blocks", 50).await);
    let worker = Worker::builder(SharedJobs::clone(&jobs))
        .lane("quick", 100)
        .lane_of(&["slow", "blocks"], 7)
        .handler("quick", nothing)
        .handler("slow", async |_: Context| {
            tokio::task::yield_now().await;
            Ok(Payload::NULL)
        })
        .handler("blocks", super::super::blocking(|_| Ok(Payload::NULL)));
    let worker = start(worker);
    for id in &ids {
        assert_eq!(ended(&jobs, id).await.status.attempt, 1);
    }
    let report = worker.stop().await;
    assert_eq!(report.completed, 5_250, "{report:?}");
    assert_eq!(report.recorded(), 5_250);
}

#[tokio::test]
async fn a_lane_has_never_more_jobs_than_slots_and_the_number_can_be_changed() {
    let jobs = memory();
    put(&jobs, "a", 20).await;
    put(&jobs, "b", 20).await;
    let gate = Gate::new();
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let handler = {
        let (gate, now, most) = (gate.clone(), Arc::clone(&now), Arc::clone(&most));
        move |_: Context| {
            let (gate, now, most) = (gate.clone(), Arc::clone(&now), Arc::clone(&most));
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                gate.pass().await;
                now.fetch_sub(1, Ordering::SeqCst);
                Ok(Payload::NULL)
            }
        }
    };
    let worker = Worker::builder(SharedJobs::clone(&jobs))
        .lane_of(&["a", "b"], 3)
        .default_handler(handler);
    let worker = start(worker);
    gate.wait_for(3).await;
    gate.open(6);
    gate.wait_for(6).await;
    assert_eq!(most.load(Ordering::SeqCst), 3);
    worker.handle.set_concurrency("a,b", 5).unwrap();
    gate.wait_for(2).await;
    assert_eq!(now.load(Ordering::SeqCst), 5);
    // Fewer: those that run go on, and four of them make no room.
    worker.handle.set_concurrency("a,b", 1).unwrap();
    gate.open(4);
    while now.load(Ordering::SeqCst) > 1 {
        tokio::task::yield_now().await;
    }
    most.store(0, Ordering::SeqCst);
    gate.open(100);
    for nth in 0..20 {
        ended(&jobs, &id(&format!("b-{nth}"))).await;
    }
    assert_eq!(most.load(Ordering::SeqCst), 1);
    assert!(worker.handle.set_concurrency("c", 1).is_err());
    assert!(worker.handle.set_concurrency("a,b", 0).is_err());
    assert_eq!(worker.stop().await.completed, 40);
}

#[tokio::test]
async fn the_first_queue_of_a_lane_goes_first() {
    let jobs = memory();
    put(&jobs, "webhooks", 3).await;
    let gate = Gate::new();
    let order = Arc::new(Mutex::new(Vec::new()));
    let handler = {
        let (gate, order) = (gate.clone(), Arc::clone(&order));
        move |job: Context| {
            order.lock().push(job.id().to_string());
            let gate = gate.clone();
            async move {
                gate.pass().await;
                Ok(Payload::NULL)
            }
        }
    };
    let worker = Worker::builder(SharedJobs::clone(&jobs))
        .lane_of(&["payments", "webhooks"], 1)
        .default_handler(handler);
    let worker = start(worker);
    gate.wait_for(1).await;
    put(&jobs, "payments", 2).await;
    gate.open(10);
    ended(&jobs, &id("webhooks-2")).await;
    worker.stop().await;
    let expected = [
        "webhooks-0",
        "payments-0",
        "payments-1",
        "webhooks-1",
        "webhooks-2",
    ];
    assert_eq!(*order.lock(), expected);
}

#[tokio::test]
async fn an_idle_worker_is_woken_by_a_job_of_any_of_its_queues() {
    let jobs = memory();
    let gate = Gate::new();
    let worker = Worker::builder(SharedJobs::clone(&jobs))
        .lane_of(&["a", "b", "c"], 2)
        .default_handler(gate.handler());
    let worker = start(worker);
    gate.open(100);
    for queue in ["c", "a", "b"] {
        let began = std::time::Instant::now();
        put(&jobs, queue, 1).await;
        gate.wait_for(1).await;
        // Unwoken it would look again after five seconds.
        assert!(began.elapsed() < Duration::from_secs(4));
    }
    worker.stop().await;
}

#[tokio::test]
async fn a_delayed_job_is_done_when_its_time_comes() {
    let jobs = memory();
    let worker = Worker::builder(SharedJobs::clone(&jobs))
        .lane("a", 1)
        .default_handler(nothing);
    let worker = start(worker);
    let job = job("a", "later").after(Duration::from_millis(30));
    jobs.enqueue_one(job).await.unwrap();
    let status = ended(&jobs, &id("later")).await.status;
    assert!(status.started_at.unwrap() >= status.created_at + 30);
    assert!(status.started_at.unwrap() < status.created_at + 4_000);
    worker.stop().await;
}

#[test]
fn what_is_wrong_with_a_worker_is_told_when_it_is_built() {
    let builder = || Worker::builder(memory()).default_handler(nothing);
    let rows = [
        (builder(), "lane"),
        (builder().lane("a b", 1), "queue"),
        (builder().lane("a", 0), "concurrency"),
        (builder().lane("a", 1).lane_of(&["b", "a"], 1), "lane"),
        (builder().lane("a", 1).id(""), "id"),
        (
            builder().lane("a", 1).lease(Duration::from_millis(1)),
            "lease",
        ),
        (Worker::builder(memory()).lane("a", 1), "handlers"),
    ];
    for (builder, wrong) in rows {
        match builder.build() {
            Err(JobError::Invalid { field, .. }) => assert_eq!(field, wrong),
            other => panic!("{wrong}: {other:?}"),
        }
    }
}
