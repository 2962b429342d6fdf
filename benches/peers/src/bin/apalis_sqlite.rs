//! Jobs a second through apalis-sqlite, each commit written through as ours are.
//! Usage: `apalis_sqlite sqlite:PATH [JOBS [unlocked]]`.

use std::str::FromStr;
use std::time::{Duration, Instant};

use apalis::prelude::{
    BoxDynError, Data, ParallelizeExt, TaskSink, WorkerBuilder, WorkerBuilderExt, WorkerContext,
};
use apalis_sqlite::{Config, SqliteConnectOptions, SqlitePool, SqliteStorage};
use credential_rotation_bench_peers::{
    Countdown, Failure, PORTION, SLOTS, Words, batches, failed, told,
};
use sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let words = Words::read()?;
    let jobs = words.jobs;
    let options = SqliteConnectOptions::from_str(&words.url)?
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let pool = SqlitePool::connect_with(options).await?;
    // Its own `setup` would turn writing through off.
    SqliteStorage::migrations().run(&pool).await?;
    // In its favour it records no end of a job, which it does with results only, and then so
    // slowly that little else is measured: it looks at all that its worker ever did.
    let config = Config::default()
        .queue("bench")
        .batch_size(SLOTS)
        .persist_results(false)
        .lock_tasks(words.locks);
    let (mut taking_in, mut running) = (Duration::ZERO, Duration::ZERO);
    for portion in 0..jobs / PORTION {
        let mut storage = SqliteStorage::<String>::new(&pool).with_config(config.clone());
        let began = Instant::now();
        for batch in batches(PORTION) {
            storage.push_bulk(batch).await.map_err(failed)?;
        }
        taking_in += began.elapsed();

        let countdown = Countdown::of(PORTION);
        let began = Instant::now();
        WorkerBuilder::new(format!("bench-{portion}"))
            .backend(storage)
            .data(countdown.clone())
            .concurrency(SLOTS)
            .parallelize(tokio::spawn)
            .build(handle)
            .run()
            .await?;
        running += countdown.ended()? - began;
    }
    told(&words.name("apalis-sqlite", "bulk add"), jobs, taking_in);
    told(&words.name("apalis-sqlite", "drain"), jobs, running);
    Ok(())
}

async fn handle(
    _: String,
    left: Data<Countdown>,
    worker: WorkerContext,
) -> Result<(), BoxDynError> {
    if left.one() {
        worker.stop()?;
    }
    Ok(())
}
