//! Jobs a second through apalis-redis. Usage: `apalis_redis URL [JOBS]`.

use std::time::Instant;

use apalis::prelude::{
    BoxDynError, Data, ParallelizeExt, TaskSink, WorkerBuilder, WorkerBuilderExt, WorkerContext,
};
use apalis_redis::{Config, RedisStorage};
use credential_rotation_bench_peers::{Countdown, Failure, SLOTS, batches, failed, told, words};

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let (url, jobs) = words()?;
    let connection = apalis_redis::connect(url).await?;
    // Events and results are what ours does not keep here either.
    let config = Config::default()
        .queue("bench")
        .batch_size(SLOTS)
        .emit_events(false)
        .persist_results(false);
    let mut storage = RedisStorage::<String>::new(connection).with_config(config);

    let began = Instant::now();
    for batch in batches(jobs) {
        storage.push_bulk(batch).await.map_err(failed)?;
    }
    told("jobs apalis-redis bulk add", jobs, began, Instant::now());

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
    told("jobs apalis-redis drain", jobs, began, countdown.ended()?);
    Ok(())
}

async fn handle(_: String, left: Data<Countdown>, worker: WorkerContext) -> Result<(), BoxDynError> {
    if left.one() {
        worker.stop()?;
    }
    Ok(())
}
