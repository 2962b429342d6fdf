//! What workers do, whatever keeps their jobs: in memory, in a file, at a server.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use credential_rotation::connect;
use credential_rotation::job::worker::{Context, HandlerError, Worker, WorkerBuilder};
use credential_rotation::job::{
    Failure, JobId, JobState, Payload, QueueLimits, Rate, RetryPolicy, SharedJobs,
};
use tokio::sync::{Semaphore, mpsc};

use crate::{SOON, job, servers, start, stopped};

/// A place for jobs, seen by two as two processes see it.
struct Place {
    name: &'static str,
    url: String,
    one: SharedJobs,
    another: SharedJobs,
    _folder: Option<tempfile::TempDir>,
    _server: Option<servers::Redis>,
}

async fn shared() -> Vec<Place> {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("jobs.db").display());
    let mut places = vec![Place {
        name: "sqlite",
        one: connect::jobs(&url).await.unwrap(),
        another: connect::jobs(&url).await.unwrap(),
        url,
        _folder: Some(folder),
        _server: None,
    }];
    if servers::redis_is_there() {
        let redis = servers::Redis::start(&[]);
        places.push(Place {
            name: "redis",
            one: connect::jobs(&redis.url()).await.unwrap(),
            another: connect::jobs(&redis.url()).await.unwrap(),
            url: redis.url(),
            _folder: None,
            _server: Some(redis),
        });
    }
    places
}

async fn everywhere() -> Vec<Place> {
    let memory = connect::jobs("memory:").await.unwrap();
    let mut places = shared().await;
    places.push(Place {
        name: "memory",
        url: "memory:".to_owned(),
        another: Arc::clone(&memory),
        one: memory,
        _folder: None,
        _server: None,
    });
    places
}

impl Place {
    fn worker(&self) -> WorkerBuilder {
        Worker::builder(Arc::clone(&self.one)).lane("q", 2)
    }
}

fn id(text: &str) -> JobId {
    JobId::from_text(text).unwrap()
}

async fn heard(sign: &Semaphore) {
    let heard = tokio::time::timeout(SOON, sign.acquire()).await;
    heard.unwrap().unwrap().forget();
}

async fn by_kind(job: Context) -> Result<Payload, HandlerError> {
    let first = job.attempt() == 1;
    match job.kind() {
        "retries" if first => Err(Failure::new("Mine", "not yet").into()),
        "never" => Err(HandlerError::Unrecoverable(Failure::new("Mine", "never"))),
        "panics" => panic!("oh"),
        "gives up" => Err(HandlerError::Cancelled),
        "hangs" => std::future::pending().await,
        _ => Ok(job.payload().clone()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_end_leads_where_it_should() {
    use JobState::{Cancelled, Completed, Failed};
    let rows = [
        ("answers", Completed, 1, ""),
        ("retries", Completed, 2, ""),
        ("never", Failed, 1, "Mine"),
        ("panics", Failed, 2, "panic"),
        ("gives up", Cancelled, 1, ""),
        ("hangs", Failed, 2, "timeout"),
    ];
    for place in everywhere().await {
        let running = start(place.worker().default_handler(by_kind).build().unwrap());
        for (kind, ..) in rows {
            let spec = job(kind).with(|job| {
                job.kind = Some(kind.into());
                job.payload = Payload::of(&"ciao").unwrap();
                job.max_attempts = 2;
                job.timeout_ms = (kind == "hangs").then_some(20);
                job.retry = RetryPolicy::Fixed {
                    delay_ms: 1,
                    jitter: 0.0,
                };
            });
            place.another.enqueue_one(spec).await.unwrap();
        }
        for (kind, state, attempts, error) in rows {
            let at = format!("{kind} over {}", place.name);
            let status = place.another.wait(&id(kind), SOON).await.unwrap().status;
            assert_eq!((status.state, status.attempt), (state, attempts), "{at}");
            if state == Failed {
                assert_eq!(status.error.unwrap().kind, error, "{at}");
            } else if state == Completed {
                assert_eq!(&**status.result.unwrap().as_bytes(), br#""ciao""#, "{at}");
            }
        }
        let report = stopped(running).await;
        let ends = (report.completed, report.failed, report.cancelled);
        assert_eq!((ends, report.retried), ((2, 3, 1), 3), "{}", place.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_stopped_gives_back_what_does_not_end_and_leaves() {
    for place in everywhere().await {
        let begun = Arc::new(Semaphore::new(0));
        let begins = Arc::clone(&begun);
        let worker = place.worker().grace(Duration::from_millis(1));
        let worker = worker.default_handler(move |_: Context| {
            begins.add_permits(1);
            std::future::pending::<Result<Payload, HandlerError>>()
        });
        let running = start(worker.build().unwrap());
        place.another.enqueue_one(job("a")).await.unwrap();
        heard(&begun).await;
        let report = stopped(running).await;
        // A claim that was under way may take it once more, and gives it back too.
        assert!((1..=2).contains(&report.released), "{}", place.name);
        assert_eq!(report.recorded(), report.released, "{}", place.name);
        let status = place.another.find(&id("a")).await.unwrap().status;
        assert_eq!((status.state, status.attempt), (JobState::Waiting, 0));
        assert!(
            place.another.workers().await.unwrap().is_empty(),
            "{}",
            place.name
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_outcome_of_a_lost_lease_is_dropped() {
    for place in everywhere().await {
        let begun = Arc::new(Semaphore::new(0));
        let begins = Arc::clone(&begun);
        let worker = place.worker().lease(Duration::from_millis(1_500));
        let worker = worker.default_handler(move |job: Context| {
            begins.add_permits(1);
            async move {
                job.cancelled().cancelled().await;
                Ok(Payload::NULL)
            }
        });
        let running = start(worker.build().unwrap());
        place.another.enqueue_one(job("a")).await.unwrap();
        heard(&begun).await;
        place.another.set_paused("q", true).await.unwrap();
        place.another.delete(&[id("a")]).await.unwrap();
        // A new one of the same id, of which the old attempt must not become the end.
        place.another.enqueue_one(job("a")).await.unwrap();
        let lost = async {
            let shown = || credential_rotation::job::metrics::render(&*place.one);
            let line = "jobs_running{queue=\"q\"} 0";
            while !shown().await.unwrap().contains(line) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(SOON, lost).await.unwrap();
        let report = stopped(running).await;
        assert_eq!((report.lost, report.recorded()), (1, 0), "{}", place.name);
        let state = place.another.find(&id("a")).await.unwrap().status.state;
        assert_eq!(state, JobState::Waiting, "{}", place.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_waits_for_its_rate_stops_at_once() {
    for place in everywhere().await {
        let rate = Rate {
            jobs: 1,
            per_ms: 60 * 60 * 1_000,
            burst: None,
        };
        let limits = QueueLimits {
            rate: Some(rate),
            ..QueueLimits::default()
        };
        place.one.set_limits("q", limits).await.unwrap();
        place.one.enqueue(vec![job("a"), job("b")]).await.unwrap();
        let running = start(place.worker().default_handler(by_kind).build().unwrap());
        place.another.wait(&id("a"), SOON).await.unwrap();
        // By then it waits, over Redis with a claim that stands at the server.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let asked = Instant::now();
        assert_eq!(stopped(running).await.completed, 1, "{}", place.name);
        let took = asked.elapsed();
        assert!(took < Duration::from_secs(1), "{}: {took:?}", place.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delayed_job_of_another_process_starts_on_time_at_an_idle_worker() {
    for place in everywhere().await {
        let (began, mut begins) = mpsc::unbounded_channel();
        let handler = move |job: Context| {
            began.send(job.id().to_string()).unwrap();
            std::future::ready(Ok(Payload::NULL))
        };
        let running = start(place.worker().default_handler(handler).build().unwrap());
        place.another.enqueue_one(job("first")).await.unwrap();
        assert_eq!(begins.recv().await.unwrap(), "first");
        // It waits for work now; the later one is there before the sooner one.
        let later = job("later").after(Duration::from_secs(5));
        place.another.enqueue_one(later).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        let asked = Instant::now();
        let sooner = job("sooner").after(Duration::from_millis(50));
        place.another.enqueue_one(sooner).await.unwrap();
        let next = tokio::time::timeout(SOON, begins.recv()).await.unwrap();
        let took = asked.elapsed();
        assert_eq!(next.unwrap(), "sooner", "{}", place.name);
        let on_time = Duration::from_millis(50)..Duration::from_secs(2);
        assert!(on_time.contains(&took), "{}: {took:?}", place.name);
        stopped(running).await;
    }
}

/// Takes what the other worker lets go, in a thread of its own.
fn rival(url: String) -> std::thread::JoinHandle<u64> {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let id = id("long");
            // Connections of its own: those of the other runtime are blocked with it.
            let jobs = connect::jobs(&url).await.unwrap();
            let worker = Worker::builder(Arc::clone(&jobs)).lane("q", 1);
            let running = start(worker.default_handler(by_kind).build().unwrap());
            jobs.wait(&id, SOON).await.unwrap();
            stopped(running).await.recorded()
        })
    })
}

#[tokio::test]
async fn a_handler_that_blocks_its_runtime_for_four_leases_keeps_its_job() {
    /// So long that a busy machine keeps it.
    const LEASE: Duration = Duration::from_millis(1_500);
    for place in shared().await {
        let url = place.url.clone();
        let rivals = Arc::new(Mutex::new(None));
        let kept = Arc::clone(&rivals);
        let worker = place.worker().lease(LEASE);
        let worker = worker.default_handler(move |_: Context| {
            let rival = rival(url.clone());
            // The only thread of this runtime.
            std::thread::sleep(LEASE * 4);
            *kept.lock().unwrap() = Some(rival);
            std::future::ready(Ok(Payload::NULL))
        });
        let running = start(worker.build().unwrap());
        place.one.enqueue_one(job("long")).await.unwrap();
        let status = place.one.wait(&id("long"), SOON).await.unwrap().status;
        assert_eq!(
            (status.state, status.epoch),
            (JobState::Completed, 1),
            "{}",
            place.name
        );
        assert_eq!((status.stalls, status.attempt), (0, 1), "{}", place.name);
        assert_eq!(stopped(running).await.completed, 1);
        let rival = rivals.lock().unwrap().take().unwrap();
        assert_eq!(rival.join().unwrap(), 0, "{}", place.name);
    }
}
