//! Jobs a second through apalis-redis. Usage: `apalis_redis URL [JOBS [unlocked]]`.

use std::time::{Duration, Instant};

use apalis::prelude::{
    BoxDynError, Data, ParallelizeExt, TaskSink, WorkerBuilder, WorkerBuilderExt, WorkerContext,
};
use apalis_redis::{Config, RedisStorage};
use credential_rotation_bench_peers::{
    Countdown, Failure, PORTION, SLOTS, Words, batches, failed, told,
};

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let words = Words::read()?;
    let jobs = words.jobs;
    let connection = apalis_redis::connect(words.url.as_str()).await?;
    // Events are what ours does not publish here either. Results are how it records that a
    // job is done: without, all would run again.
    let config = Config::default()
        .queue("bench")
        .batch_size(SLOTS)
        .lock_tasks(words.locks)
        .emit_events(false);
    let (mut taking_in, mut running) = (Duration::ZERO, Duration::ZERO);
    for portion in 0..jobs / PORTION {
        let mut storage =
            RedisStorage::<String>::new(connection.clone()).with_config(config.clone());
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
    told(&words.name("apalis-redis", "bulk add"), jobs, taking_in);
    told(&words.name("apalis-redis", "drain"), jobs, running);
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
