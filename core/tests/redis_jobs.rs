//! What only Redis does: pushes by anyone, restarts, clusters, sentinels, refusals.
#![allow(clippy::unwrap_used, clippy::panic)]

mod servers;

use std::time::Duration;

use credential_rotation::connect;
use credential_rotation::job::redis::RedisJobs;
use credential_rotation::job::worker::{Context, Worker};
use credential_rotation::job::{
    Claim, Claimed, Enqueued, JobError, JobFilter, JobId, JobManager, JobSpec, JobState, Outcome,
    Payload, Settlement,
};
use servers::Redis;

const QUEUE: &str = "text_processing";

fn claim(max: usize) -> Claim {
    Claim {
        worker: "w".into(),
        max,
        lease: Duration::from_secs(30),
    }
}

async fn take(jobs: &RedisJobs) -> Vec<Claimed> {
    jobs.claim(QUEUE, claim(100)).await.unwrap()
}

fn id(text: &str) -> JobId {
    JobId::from_text(text).unwrap()
}

#[tokio::test]
async fn what_anyone_pushes_is_a_job_byte_for_byte() {
    if !servers::redis_is_there() {
        return;
    }
    let redis = Redis::start(&[]);
    let jobs = RedisJobs::connect(&redis.url()).await.unwrap();
    let pushed = [
        r#"{"id":"t1","text":"Ciao — 日本 😀","template":"email","userId":"u"}"#,
        r#"{"text":"no id", "n": 9007199254740993123}"#,
        r#"{"id": 42}"#,
        r#"[1,2,3]"#,
        r#""just text""#,
    ];
    for text in pushed {
        redis.cli(&["LPUSH", QUEUE, text]);
    }
    let claimed = take(&jobs).await;
    let payloads: Vec<_> = claimed
        .iter()
        .map(|one| one.spec.payload.as_bytes().to_vec())
        .collect();
    assert_eq!(payloads, pushed.map(|text| text.as_bytes().to_vec()));
    assert_eq!(claimed[0].lease.id, id("t1"));
    assert_eq!(claimed[0].spec.kind(), QUEUE);
    assert_eq!(claimed[2].lease.id, id("42"));
    // The same push again is the same job; other content under its id is kept apart.
    redis.cli(&["RPUSH", QUEUE, pushed[0], r#"{"id":"t1","text":"other"}"#]);
    assert!(take(&jobs).await.is_empty());
    let failed = JobFilter {
        state: Some(JobState::Failed),
        ..JobFilter::default()
    };
    let apart = jobs.list(&failed).await.unwrap().jobs;
    assert_eq!(apart.len(), 1);
    assert_eq!(apart[0].status.error.as_ref().unwrap().kind, "duplicate_id");
    assert_eq!(
        apart[0].spec.payload.as_bytes(),
        r#"{"id":"t1","text":"other"}"#
    );
}

#[tokio::test]
async fn what_is_pushed_and_is_no_json_is_kept_with_its_reason() {
    if !servers::redis_is_there() {
        return;
    }
    let redis = Redis::start(&[]);
    let jobs = RedisJobs::connect(&redis.url()).await.unwrap();
    // The last two are let through by the server's lenient decoder.
    let bad = [
        "{\"id\":\"half",
        "not json",
        "{'a':1}",
        "nan",
        "{\"a\":0x10}",
    ];
    for text in bad {
        redis.cli(&["LPUSH", QUEUE, text]);
    }
    assert!(take(&jobs).await.is_empty());
    let failed = JobFilter {
        state: Some(JobState::Failed),
        ..JobFilter::default()
    };
    let kept = jobs.list(&failed).await.unwrap().jobs;
    let mut payloads: Vec<_> = kept
        .iter()
        .map(|job| String::from_utf8(job.spec.payload.as_bytes().to_vec()).unwrap())
        .collect();
    payloads.sort();
    let mut expected = bad.map(str::to_owned);
    expected.sort();
    assert_eq!(payloads, expected);
    for job in &kept {
        assert_eq!(job.status.error.as_ref().unwrap().kind, "bad_payload");
        // It can be shown all the same.
        serde_json::to_string(job).unwrap();
    }
}

#[tokio::test]
async fn a_push_wakes_a_waiter_at_once() {
    if !servers::redis_is_there() {
        return;
    }
    let redis = Redis::start(&[]);
    let jobs = RedisJobs::connect(&redis.url()).await.unwrap();
    for round in 0..3 {
        let started = std::time::Instant::now();
        let (woken, ()) = tokio::join!(jobs.wait_for_work(QUEUE, Duration::from_secs(60)), async {
            redis.blocked(1).await;
            redis.cli(&["LPUSH", QUEUE, "{}"]);
        });
        woken.unwrap();
        assert!(
            started.elapsed() < Duration::from_secs(3),
            "round {round}: {:?}",
            started.elapsed()
        );
        assert_eq!(take(&jobs).await.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_worker_asks_next_to_nothing() {
    if !servers::redis_is_there() {
        return;
    }
    let redis = Redis::start(&[]);
    let jobs = connect::jobs(&redis.url()).await.unwrap();
    let worker = Worker::builder(jobs)
        .lane(QUEUE, 4)
        .handler(QUEUE, |_: Context| async { Ok(Payload::NULL) });
    let worker = worker.build().unwrap();
    let working = tokio::spawn(worker.run(std::future::pending()));
    redis.blocked(1).await;
    let seconds = 10;
    let sent = redis.monitored(Duration::from_secs(seconds)).await;
    working.abort();
    // What a script does itself is not sent. Some of it is due only now and then.
    assert!(sent.len() as u64 <= seconds + 5, "{sent:#?}");
    assert!(sent.iter().any(|line| line.contains("BLMOVE")), "{sent:#?}");
}

#[tokio::test]
async fn a_restart_that_forgets_the_scripts_and_breaks_connections_is_survived() {
    if !servers::redis_is_there() {
        return;
    }
    let mut redis = Redis::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let jobs = RedisJobs::connect(&redis.url()).await.unwrap();
    jobs.enqueue_one(JobSpec::new(QUEUE, Payload::NULL).with_id(id("kept")))
        .await
        .unwrap();
    redis.cli(&["SCRIPT", "FLUSH"]);
    jobs.counts().await.unwrap();
    let mut events = jobs.events().await.unwrap();
    redis.restart();
    // One call may find the broken connection; the next makes another.
    let claimed = match jobs.claim(QUEUE, claim(9)).await {
        Ok(claimed) => claimed,
        Err(JobError::Unavailable { .. }) => take(&jobs).await,
        Err(other) => panic!("{other}"),
    };
    assert_eq!(claimed[0].lease.id, id("kept"));
    let began = std::time::Instant::now();
    let (woken, ()) = tokio::join!(jobs.wait_for_work(QUEUE, Duration::from_secs(60)), async {
        redis.blocked(1).await;
        redis.cli(&["LPUSH", QUEUE, "1"]);
    });
    woken.unwrap();
    assert!(began.elapsed() < Duration::from_secs(30));
    // Followers are told that they may have missed something, and follow on.
    let gap = tokio::time::timeout(
        Duration::from_secs(10),
        futures_util::StreamExt::next(&mut events),
    )
    .await;
    assert!(gap.unwrap().is_some());
}

#[tokio::test]
async fn servers_that_would_lose_jobs_or_refuse_are_told_apart() {
    if !servers::redis_is_there() {
        return;
    }
    let port = servers::free_port();
    let started = std::time::Instant::now();
    let down = RedisJobs::connect(&format!("redis://:hidden@127.0.0.1:{port}"))
        .await
        .unwrap_err();
    assert!(matches!(&down, JobError::Unavailable { .. }), "{down}");
    assert!(!down.to_string().contains("hidden") && started.elapsed() < Duration::from_secs(10));

    let locked = Redis::start(&["--requirepass", "sk-secret-right"]);
    for url in [
        locked.url(),
        format!("redis://:sk-secret-wrong@127.0.0.1:{}", locked.port),
    ] {
        let refused = RedisJobs::connect(&url).await.unwrap_err();
        assert!(matches!(&refused, JobError::Unsuitable { .. }), "{refused}");
        assert!(!refused.to_string().contains("sk-secret"), "{refused}");
    }
    let right = format!("redis://:sk-secret-right@127.0.0.1:{}", locked.port);
    let jobs = RedisJobs::connect(&right).await.unwrap();
    assert!(!format!("{jobs:?} {}", jobs.backend()).contains("sk-secret"));

    let evicting = Redis::start(&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]);
    let refused = RedisJobs::connect(&evicting.url()).await.unwrap_err();
    assert!(refused.to_string().contains("noeviction"), "{refused}");

    let master = Redis::start(&[]);
    let replica = Redis::start(&["--replicaof", "127.0.0.1", &master.port.to_string()]);
    let refused = RedisJobs::connect(&replica.url()).await.unwrap_err();
    assert!(refused.to_string().contains("replica"), "{refused}");

    let full = Redis::start(&["--maxmemory", "3mb", "--maxmemory-policy", "noeviction"]);
    let jobs = RedisJobs::connect(&full.url()).await.unwrap();
    let large = Payload::from_json(format!("\"{}\"", "x".repeat(400_000))).unwrap();
    let mut accepted = 0;
    let error = loop {
        match jobs.enqueue_one(JobSpec::new(QUEUE, large.clone())).await {
            Ok(_) => accepted += 1,
            Err(error) => break error,
        }
        assert!(accepted < 100);
    };
    assert!(error.to_string().contains("out of memory"), "{error}");
    full.cli(&["CONFIG", "SET", "maxmemory", "100mb"]);
    assert_eq!(take(&jobs).await.len(), accepted);
}

#[tokio::test]
async fn enqueues_at_once_share_trips() {
    if !servers::redis_is_there() {
        return;
    }
    let redis = Redis::start(&[]);
    let jobs = RedisJobs::connect(&redis.url()).await.unwrap();
    let adds = (0..500).map(|n| {
        jobs.enqueue_one(JobSpec::new(QUEUE, Payload::NULL).with_id(id(&format!("j{n}"))))
    });
    let added = futures_util::future::join_all(adds).await;
    assert!(
        added
            .into_iter()
            .all(|answer| matches!(answer, Ok(Enqueued::Added(_))))
    );
    let sent = redis.cli(&["INFO", "commandstats"]);
    let line = sent
        .lines()
        .find(|line| line.starts_with("cmdstat_evalsha:"))
        .unwrap();
    let calls: u64 = line
        .split("calls=")
        .nth(1)
        .unwrap()
        .split(',')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert!(calls < 50, "{calls}");
    let claimed = take(&jobs).await;
    let order: Vec<_> = claimed.iter().map(|one| one.lease.id.to_string()).collect();
    assert_eq!(order, (0..100).map(|n| format!("j{n}")).collect::<Vec<_>>());
    let outcome = Outcome::Complete {
        result: Payload::NULL,
    };
    let lease = claimed[0].lease.clone();
    assert_eq!(
        jobs.settle(Settlement { lease, outcome }).await,
        Ok(JobState::Completed)
    );
}

#[tokio::test]
async fn what_left_the_line_is_swept_out_of_it() {
    if !servers::redis_is_there() {
        return;
    }
    let redis = Redis::start(&[]);
    let jobs = RedisJobs::connect(&redis.url()).await.unwrap();
    let named = |name: &str| JobSpec::new(QUEUE, Payload::NULL).with_id(id(name));
    jobs.enqueue_one(named("first")).await.unwrap();
    for batch in 0..5 {
        let names: Vec<JobId> = (0..500).map(|n| id(&format!("{batch}-{n}"))).collect();
        let adds = names.iter().map(|name| named(name.as_str()));
        jobs.enqueue(adds.collect()).await.unwrap();
        jobs.cancel(&names).await.unwrap();
    }
    jobs.enqueue_one(named("last")).await.unwrap();
    let line = format!("cr:{{{QUEUE}}}:line");
    assert_eq!(redis.cli(&["LLEN", &line]), "2502");
    while jobs.sweep().await.unwrap() > 0 {}
    // Some may stay: what is few costs little.
    let length: usize = redis.cli(&["LLEN", &line]).parse().unwrap();
    assert!(length <= 1_002, "{length}");
    assert_eq!(jobs.counts().await.unwrap()[0].waiting, 2);
    let claimed = take(&jobs).await;
    let order: Vec<_> = claimed.iter().map(|one| one.lease.id.as_str()).collect();
    assert_eq!(order, ["first", "last"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failover_the_new_master_is_found() {
    if !servers::redis_is_there() {
        return;
    }
    let mut watched = servers::fleet::Watched::start();
    let jobs = RedisJobs::connect(&watched.url()).await.unwrap();
    jobs.enqueue_one(JobSpec::new(QUEUE, Payload::NULL).with_id(id("before")))
        .await
        .unwrap();
    // What the replica has not got yet is lost with a master: that is Redis' promise.
    watched.master.cli(&["WAIT", "1", "1000"]);
    watched.master.kill();
    let patience = std::time::Instant::now() + Duration::from_secs(30);
    let claimed = loop {
        match jobs.claim(QUEUE, claim(9)).await {
            Ok(claimed) => break claimed,
            Err(JobError::Unavailable { .. }) => {
                tokio::time::sleep(Duration::from_millis(100)).await
            }
            Err(other) => panic!("{other}"),
        }
        assert!(std::time::Instant::now() < patience);
    };
    assert_eq!(claimed[0].lease.id, id("before"));
}

#[test]
fn a_server_with_tls_and_a_password_is_reached_by_its_url() {
    if !servers::redis_is_there() {
        return;
    }
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = (
        folder.path().join("cert.pem"),
        folder.path().join("key.pem"),
    );
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
    let port = servers::free_port().to_string();
    let options = [
        "--tls-port",
        &port,
        "--tls-cert-file",
        cert,
        "--tls-key-file",
        key,
        "--tls-auth-clients",
        "no",
        "--requirepass",
        "sk-secret-tls",
    ];
    let Some(_redis) = Redis::try_start(&options) else {
        eprintln!("skipped: this redis-server was built without TLS");
        return;
    };
    servers::await_port(port.parse().unwrap());
    let ask = |url: &str| {
        std::process::Command::new(env!("CARGO_BIN_EXE_credential-rotation"))
            .args(["jobs", "add", "q", "{}", "--url", url])
            .env("SSL_CERT_FILE", cert)
            .output()
            .unwrap()
    };
    let added = ask(&format!("rediss://:sk-secret-tls@localhost:{port}"));
    assert!(added.status.success(), "{added:?}");
    // Not by a plain connection, and not under another name.
    let plain = ask(&format!("redis://:sk-secret-tls@localhost:{port}"));
    assert_eq!(plain.status.code(), Some(5));
    let other = ask(&format!("rediss://:sk-secret-tls@127.0.0.1:{port}"));
    assert_eq!(other.status.code(), Some(5));
}
