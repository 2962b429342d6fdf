//! A worker with nothing to do, until its input ends: the report looks at its memory
//! and at what it asks of Redis. Usage: `idle URL`.

use credential_rotation::connect;
use credential_rotation::job::Payload;
use credential_rotation::job::worker::{Context, Worker};
use credential_rotation_benches::queue::{Failure, SLOTS};

// One thread of tokio's for each core, as any service has.
#[tokio::main]
async fn main() -> Result<(), Failure> {
    let url = std::env::args().nth(1).ok_or("usage: idle URL")?;
    let jobs = connect::jobs(&url).await?;
    let worker = Worker::builder(jobs)
        .lane("idle", SLOTS)
        .default_handler(|_: Context| async { Ok(Payload::NULL) })
        .build()?;
    println!("{{}}");
    let told = tokio::task::spawn_blocking(|| std::io::read_to_string(std::io::stdin()));
    worker.run(async move { drop(told.await) }).await?;
    Ok(())
}
