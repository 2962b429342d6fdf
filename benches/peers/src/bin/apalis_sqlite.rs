//! Jobs a second through apalis-sqlite, each commit written through as ours are.
//! Usage: `apalis_sqlite sqlite:PATH [JOBS]`.

use std::str::FromStr;
use std::time::Instant;

use apalis::prelude::{
    BoxDynError, Data, ParallelizeExt, TaskSink, WorkerBuilder, WorkerBuilderExt, WorkerContext,
};
use apalis_sqlite::{Config, SqliteConnectOptions, SqlitePool, SqliteStorage};
use credential_rotation_bench_peers::{Countdown, Failure, SLOTS, batches, failed, told, words};
use sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let (url, jobs) = words()?;
    let options = SqliteConnectOptions::from_str(&url)?
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let pool = SqlitePool::connect_with(options).await?;
    // Its own `setup` would turn writing through off.
    SqliteStorage::migrations().run(&pool).await?;
    let config = Config::default()
        .queue("bench")
        .batch_size(SLOTS)
        .persist_results(false);
    let mut storage = SqliteStorage::<String>::new(&pool).with_config(config);

    let began = Instant::now();
    for batch in batches(jobs) {
        storage.push_bulk(batch).await.map_err(failed)?;
    }
    told("jobs apalis-sqlite bulk add", jobs, began, Instant::now());

    let countdown = Countdown::of(jobs);
    let began = Instant::now();
    WorkerBuilder::new("bench")
        .backend(storage)
        .data(countdown.clone())
        .concurrency(SLOTS)
        .parallelize(tokio::spawn)
        .build(handle)
        .run()
        .await?;
    told("jobs apalis-sqlite drain", jobs, began, countdown.ended()?);
    Ok(())
}

async fn handle(_: String, left: Data<Countdown>, worker: WorkerContext) -> Result<(), BoxDynError> {
    if left.one() {
        worker.stop()?;
    }
    Ok(())
}
