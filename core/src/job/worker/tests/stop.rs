//! Stopping: what runs may end, and what does not is given back.

use super::*;
use crate::job::JobState;

#[tokio::test]
async fn a_worker_that_stops_ends_what_runs_and_takes_no_more() {
    let jobs = memory();
    put(&jobs, "q", 3).await;
    let gate = Gate::new();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let worker = Worker::builder(SharedJobs::clone(&jobs))
        .lane("q", 2)
        .default_handler(gate.handler())
        .build()
        .unwrap();
    let handle = worker.handle();
    let shutdown = async { drop(stopped.await) };
    let task = tokio::spawn(worker.run(shutdown));
    gate.wait_for(2).await;
    stop.send(()).unwrap();
    handle.0.stopped(super::super::Mode::Drain).await;
    gate.open(3);
    let report = task.await.unwrap().unwrap();
    assert_eq!((report.completed, report.recorded()), (2, 2), "{report:?}");
    let status = jobs.find(&id("q-2")).await.unwrap().status;
    assert_eq!((status.state, status.epoch), (JobState::Waiting, 0));
}

#[tokio::test]
async fn past_the_grace_jobs_are_given_back_at_no_cost() {
    let jobs = memory();
    put(&jobs, "q", 2).await;
    let gate = Gate::new();
    let worker = Worker::builder(SharedJobs::clone(&jobs))
        .lane("q", 2)
        .grace(Duration::from_millis(1))
        .default_handler(gate.handler());
    let worker = start(worker);
    gate.wait_for(2).await;
    let report = worker.stop().await;
    assert_eq!((report.released, report.recorded()), (2, 2), "{report:?}");
    for nth in 0..2 {
        let status = jobs.find(&id(&format!("q-{nth}"))).await.unwrap().status;
        assert_eq!((status.state, status.attempt), (JobState::Waiting, 0));
    }
}

#[tokio::test]
async fn stopping_now_does_not_wait_and_tells_the_handlers() {
    let jobs = memory();
    put(&jobs, "q", 1).await;
    let gate = Gate::new();
    let told = Arc::new(Semaphore::new(0));
    let handler = {
        let (gate, told) = (gate.clone(), Arc::clone(&told));
        move |job: Context| {
            let (gate, told) = (gate.clone(), Arc::clone(&told));
            // What a handler left behind hears of it too.
            tokio::spawn(async move {
                job.cancelled().cancelled().await;
                told.add_permits(1);
            });
            async move {
                gate.pass().await;
                Ok(Payload::NULL)
            }
        }
    };
    let worker = Worker::builder(SharedJobs::clone(&jobs))
        .lane("q", 1)
        .default_handler(handler);
    let worker = start(worker);
    gate.wait_for(1).await;
    worker.handle.stop();
    worker.handle.stop_now();
    // No stop takes another back.
    worker.handle.stop();
    assert_eq!(worker.report().await.released, 1);
    heard(&told).await;
}

#[tokio::test]
async fn a_worker_whose_manager_is_closed_ends() {
    let jobs = memory();
    let worker = Worker::builder(SharedJobs::clone(&jobs))
        .lane("q", 1)
        .default_handler(nothing);
    let worker = start(worker);
    jobs.close().await;
    let ended = tokio::time::timeout(LONG, worker.task).await.unwrap();
    assert_eq!(ended.unwrap(), Err(JobError::Closed));
}
