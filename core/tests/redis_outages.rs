//! Networks that go silent, servers that change their places: jobs and followers outlast them.
#![allow(clippy::unwrap_used, clippy::panic)]

mod servers;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use credential_rotation::connect;
use credential_rotation::job::worker::{Context, HandlerError, Worker};
use credential_rotation::job::{
    Claim, JobError, JobId, JobSpec, JobState, Payload, Presence, SharedJobs, What,
};
use futures_util::StreamExt;
use parking_lot::Mutex;
use servers::fleet::{Cluster, Watched};
use servers::proxy::Proxy;
use servers::{Redis, free_port};
use tokio::task::JoinHandle;

const QUEUE: &str = "work";
/// Ten seconds until an answer counts as lost, twice, and a rest.
const HEALED: Duration = Duration::from_secs(40);

type Runs = Arc<Mutex<BTreeMap<String, u32>>>;

/// A worker that counts how often each job ran.
fn worker(jobs: &SharedJobs, concurrency: usize) -> (Runs, JoinHandle<()>) {
    let runs = Runs::default();
    let counted = Arc::clone(&runs);
    let handler = move |job: Context| {
        *counted.lock().entry(job.id().to_string()).or_default() += 1;
        async { Ok::<_, HandlerError>(Payload::NULL) }
    };
    let built = Worker::builder(Arc::clone(jobs))
        .lane(QUEUE, concurrency)
        .handler(QUEUE, handler)
        .build();
    let run = built.unwrap().run(std::future::pending());
    (runs, tokio::spawn(async move { drop(run.await) }))
}

fn job(name: &str) -> JobSpec {
    JobSpec::new(QUEUE, Payload::NULL).with_id(JobId::from_text(name).unwrap())
}

fn claim(max: usize) -> Claim {
    Claim {
        worker: "w".into(),
        max,
        lease: Duration::from_secs(30),
    }
}

async fn until(what: &str, at_most: Duration, holds: impl Fn() -> bool) {
    let patience = Instant::now() + at_most;
    while !holds() {
        assert!(Instant::now() < patience, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Adds a job, however often it takes: a second try finds it there.
async fn add(jobs: &SharedJobs, name: &str) {
    let patience = Instant::now() + HEALED;
    while let Err(error) = jobs.enqueue_one(job(name)).await {
        assert!(matches!(error, JobError::Unavailable { .. }), "{error}");
        assert!(Instant::now() < patience, "{error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_swallows_everything_is_noticed_by_all_who_wait() {
    if !servers::redis_is_there() {
        return;
    }
    let redis = Redis::start(&[]);
    let proxy = Proxy::before(redis.port).await;
    let near = connect::jobs(&redis.url()).await.unwrap();
    let far = connect::jobs(&format!("redis://127.0.0.1:{}", proxy.port))
        .await
        .unwrap();
    let follows = connect::jobs(&format!("redis://127.0.0.1:{}", proxy.port))
        .await
        .unwrap();
    let (runs, working) = worker(&far, 2);
    let mut events = follows.events().await.unwrap();
    add(&near, "before").await;
    until("it works", HEALED, || runs.lock().len() == 1).await;
    let delayed = JobSpec {
        delay_ms: Some(60_000),
        ..job("waited-for")
    };
    near.enqueue_one(delayed).await.unwrap();
    let waited = JobId::from_text("waited-for").unwrap();
    let waits = tokio::spawn({
        let (follows, waited) = (Arc::clone(&follows), waited.clone());
        async move {
            loop {
                match follows.wait(&waited, Duration::from_secs(60)).await {
                    Err(JobError::Unavailable { .. }) => {}
                    answer => return answer,
                }
            }
        }
    });
    redis.blocked(1).await;
    proxy.black_hole();
    // Told while nobody can hear it.
    near.cancel(&[waited]).await.unwrap();
    proxy.heal();
    add(&near, "after").await;
    until("the worker hears again", HEALED, || {
        runs.lock().contains_key("after")
    })
    .await;
    let ended = tokio::time::timeout(HEALED, waits)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(ended.status.state, JobState::Cancelled);
    let gap = async { while events.next().await.unwrap().what != What::Gap {} };
    tokio::time::timeout(HEALED, gap).await.unwrap();
    working.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_a_cluster_moves_to_another_node_loses_and_doubles_nothing() {
    if !servers::redis_is_there() {
        return;
    }
    let cluster = Arc::new(Cluster::start());
    let jobs = connect::jobs(&cluster.url()).await.unwrap();
    for n in 0..200 {
        add(&jobs, &format!("before-{n}")).await;
    }
    let (runs, working) = worker(&jobs, 2);
    let producer = tokio::spawn({
        let jobs = Arc::clone(&jobs);
        async move {
            for n in 0..300 {
                add(&jobs, &format!("while-{n}")).await;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    });
    let moves = Arc::clone(&cluster);
    tokio::task::spawn_blocking(move || {
        let (slot, from) = moves.slot_of(QUEUE);
        moves.move_slot(&slot, from, (from + 1) % 3, Duration::from_millis(50));
    })
    .await
    .unwrap();
    producer.await.unwrap();
    until("all run", HEALED, || runs.lock().len() == 500).await;
    until("all end", HEALED, || {
        let left = |node: &Redis| node.cli(&["ZCARD", &format!("cr:{{{QUEUE}}}:completed")]);
        cluster.nodes.iter().any(|node| left(node) == "500")
    })
    .await;
    // One node has all of it.
    let keys = cluster
        .nodes
        .iter()
        .filter(|node| !node.cli(&["KEYS", "cr:{work}:*"]).is_empty());
    assert_eq!(keys.count(), 1);
    working.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_goes_on_through_failovers_with_the_old_master_alive_and_dead() {
    if !servers::redis_is_there() {
        return;
    }
    let mut watched = Watched::start();
    let jobs = connect::jobs(&watched.url()).await.unwrap();
    let (runs, working) = worker(&jobs, 2);
    add(&jobs, "first").await;
    until("it works", HEALED, || runs.lock().contains_key("first")).await;
    watched.fail_over();
    add(&jobs, "second").await;
    until("after a failover", HEALED, || {
        runs.lock().contains_key("second")
    })
    .await;
    let patience = Instant::now() + HEALED;
    // The old master must have become a replica, or there is nobody to fail over to.
    while !watched
        .master
        .cli(&["INFO", "replication"])
        .contains("master_link_status:up")
    {
        assert!(Instant::now() < patience, "the old master does not follow");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    watched.replica.cli(&["WAIT", "1", "2000"]);
    watched.replica.kill();
    add(&jobs, "third").await;
    until("after a crash", HEALED, || {
        runs.lock().contains_key("third")
    })
    .await;
    // The queue is known to the new master whatever it had heard.
    let known = jobs.counts().await.unwrap();
    assert_eq!(known.len(), 1);
    working.abort();
}

#[tokio::test]
async fn a_master_that_is_one_no_more_is_said_to_be_and_used_again_once_it_is() {
    if !servers::redis_is_there() {
        return;
    }
    let (redis, other) = (Redis::start(&[]), Redis::start(&[]));
    let jobs = connect::jobs(&redis.url()).await.unwrap();
    jobs.enqueue_one(job("a")).await.unwrap();
    redis.cli(&["REPLICAOF", "127.0.0.1", &other.port.to_string()]);
    let refused = jobs.enqueue_one(job("b")).await.unwrap_err();
    assert_eq!(refused.code(), "backend_unavailable");
    assert!(
        refused.to_string().contains("this is a replica"),
        "{refused}"
    );
    redis.cli(&["REPLICAOF", "NO", "ONE"]);
    jobs.enqueue_one(job("b")).await.unwrap();
}

#[tokio::test]
async fn a_server_that_starts_late_is_waited_for() {
    if !servers::redis_is_there() {
        return;
    }
    let port = free_port();
    let url = format!("redis://127.0.0.1:{port}");
    let (connected, redis) = tokio::join!(connect::jobs(&url), async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        tokio::task::spawn_blocking(move || Redis::start_at(port))
            .await
            .unwrap()
    });
    connected.unwrap().enqueue_one(job("a")).await.unwrap();
    drop(redis);
}

#[tokio::test]
async fn a_list_of_queues_that_a_server_forgot_is_written_anew() {
    if !servers::redis_is_there() {
        return;
    }
    let redis = Redis::start(&[]);
    let jobs = connect::jobs(&redis.url()).await.unwrap();
    jobs.enqueue_one(job("a")).await.unwrap();
    redis.cli(&["DEL", "cr:queues"]);
    assert!(jobs.counts().await.unwrap().is_empty());
    // By each new connection, as after a failover …
    redis.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
    while jobs.enqueue_one(job("b")).await.is_err() {}
    jobs.claim(QUEUE, claim(1)).await.unwrap();
    assert_eq!(jobs.counts().await.unwrap().len(), 1);
    // … and by each worker that says that it is there.
    redis.cli(&["DEL", "cr:queues"]);
    let presence = Presence {
        worker: "w".to_owned(),
        instance: "1".to_owned(),
        host: String::new(),
        pid: 1,
        queues: vec!["mail,work:2".to_owned()],
        running: Vec::new(),
        rss: 0,
        started_at: 0,
        seen_at: 0,
    };
    jobs.announce(&presence).await.unwrap();
    assert_eq!(jobs.counts().await.unwrap().len(), 2);
}

#[tokio::test]
async fn wrong_passwords_are_said_to_be_wrong_by_clusters_and_sentinels() {
    if !servers::redis_is_there() {
        return;
    }
    let secret = "sk-secret-right";
    let node = Redis::start(&["--cluster-enabled", "yes", "--requirepass", secret]);
    let url = format!("redis-cluster://:sk-secret-wrong@127.0.0.1:{}", node.port);
    let refused = connect::jobs(&url).await.unwrap_err();
    assert!(matches!(refused, JobError::Unsuitable { .. }), "{refused}");
    assert!(!refused.to_string().contains("sk-secret"), "{refused}");
    let master = Redis::start(&[]);
    let sentinel = Redis::sentinel(&format!(
        "requirepass {secret}\nsentinel monitor jobs 127.0.0.1 {} 1\n",
        master.port
    ));
    let url = format!("redis-sentinel://127.0.0.1:{}/jobs", sentinel.port);
    let refused = connect::jobs(&url).await.unwrap_err();
    assert!(matches!(refused, JobError::Unsuitable { .. }), "{refused}");
    assert!(
        refused.to_string().contains("sentinel_password"),
        "{refused}"
    );
    let jobs = connect::jobs(&format!("{url}?sentinel_password={secret}"))
        .await
        .unwrap();
    assert!(!format!("{jobs:?} {}", jobs.backend()).contains(secret));
    jobs.enqueue_one(job("a")).await.unwrap();
}

#[tokio::test]
async fn each_node_of_a_cluster_must_be_one_that_keeps_jobs() {
    if !servers::redis_is_there() {
        return;
    }
    let cluster = Cluster::start();
    connect::jobs(&cluster.url()).await.unwrap();
    for node in &cluster.nodes {
        node.cli(&["CONFIG", "SET", "maxmemory", "100mb"]);
        node.cli(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
        let refused = connect::jobs(&cluster.url()).await.unwrap_err();
        assert!(refused.to_string().contains("noeviction"), "{refused}");
        node.cli(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    }
}

#[tokio::test]
async fn one_job_wakes_one_of_those_who_wait() {
    if !servers::redis_is_there() {
        return;
    }
    let redis = Redis::start(&[]);
    let one = connect::jobs(&redis.url()).await.unwrap();
    let another = connect::jobs(&redis.url()).await.unwrap();
    let woken = Arc::new(Mutex::new(0));
    let waiters: Vec<JoinHandle<()>> = (0..10)
        .map(|n| {
            let jobs = Arc::clone(if n % 2 == 0 { &one } else { &another });
            let woken = Arc::clone(&woken);
            tokio::spawn(async move {
                jobs.wait_for_work(QUEUE, Duration::from_secs(60))
                    .await
                    .unwrap();
                *woken.lock() += 1;
            })
        })
        .collect();
    redis.blocked(2).await;
    one.enqueue_one(job("a")).await.unwrap();
    until("one is woken", HEALED, || *woken.lock() > 0).await;
    // Its bell is gone and nobody rings again but who claims, and leaves some.
    redis.blocked(2).await;
    assert_eq!(*woken.lock(), 1);
    waiters.iter().for_each(JoinHandle::abort);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_anyone_pushes_reaches_clusters_and_masters_under_sentinels() {
    if !servers::redis_is_there() {
        return;
    }
    let cluster = Cluster::start();
    let watched = Watched::start();
    let places = [
        (cluster.url(), &cluster.nodes[0]),
        (watched.url(), &watched.master),
    ];
    for (url, node) in places {
        let jobs = connect::jobs(&url).await.unwrap();
        node.cli(&["-c", "LPUSH", QUEUE, r#"{"id":"left"}"#]);
        node.cli(&["-c", "RPUSH", QUEUE, r#"{"id":"right"}"#]);
        let claimed = jobs.claim(QUEUE, claim(9)).await.unwrap();
        let ids: Vec<&str> = claimed.iter().map(|one| one.lease.id.as_str()).collect();
        assert_eq!(ids, ["right", "left"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_who_push_a_thousand_each_have_eight_thousand_jobs_run() {
    if !servers::redis_is_there() {
        return;
    }
    let redis = Arc::new(Redis::start(&[]));
    let jobs = connect::jobs(&redis.url()).await.unwrap();
    let (runs, working) = worker(&jobs, 64);
    let producers: Vec<JoinHandle<()>> = (0..8)
        .map(|by| {
            let redis = Arc::clone(&redis);
            tokio::task::spawn_blocking(move || {
                for some in 0..10 {
                    let texts: Vec<String> = (0..100)
                        .map(|n| format!("{{\"id\":\"{by}-{some}-{n}\"}}"))
                        .collect();
                    let mut push = vec!["LPUSH", QUEUE];
                    push.extend(texts.iter().map(String::as_str));
                    redis.cli(&push);
                }
            })
        })
        .collect();
    for producer in producers {
        producer.await.unwrap();
    }
    until("all run", HEALED, || runs.lock().len() == 8_000).await;
    assert!(runs.lock().values().all(|times| *times == 1));
    working.abort();
}
