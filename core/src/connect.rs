//! One URL, the backend behind it.

use std::sync::Arc;

use crate::job::memory::MemoryJobs;
use crate::job::redis::RedisJobs;
use crate::job::sqlite::SqliteJobs;
use crate::job::{JobError, SharedJobs};

/// Opens the jobs at a URL.
///
/// | URL | where the jobs are |
/// |---|---|
/// | `memory:` | in this process, gone with it |
/// | `sqlite:PATH` | in a file, for the processes of one host |
/// | `redis://…`, `rediss://…` | in Redis 6.2 or later, or Valkey |
/// | `redis-cluster://a:1,b:2` | in a cluster |
/// | `redis-sentinel://a:1,b:2/MASTER` | at the master that the sentinels name |
///
/// # Errors
/// [`JobError::Invalid`] for a URL of none of these forms, [`JobError::Unavailable`] and
/// [`JobError::Unsuitable`].
pub async fn jobs(url: &str) -> Result<SharedJobs, JobError> {
    let scheme = url.split(':').next().unwrap_or_default();
    match scheme {
        "memory" => Ok(Arc::new(MemoryJobs::new())),
        "sqlite" => Ok(Arc::new(in_file(url).await?)),
        "redis" | "rediss" | "redis-cluster" | "rediss-cluster" | "redis-sentinel"
        | "rediss-sentinel" => Ok(Arc::new(RedisJobs::connect(url).await?)),
        _ => Err(JobError::invalid(
            "url",
            "it has no known scheme: use `memory:`, `sqlite:PATH`, `redis://`, `rediss://`, `redis-cluster://` or `redis-sentinel://`",
        )),
    }
}

async fn in_file(url: &str) -> Result<SqliteJobs, JobError> {
    let path = url.strip_prefix("sqlite:").unwrap_or_default();
    let path = path.strip_prefix("//").unwrap_or(path).to_owned();
    if path.is_empty() {
        return Err(JobError::invalid(
            "url",
            "it names no file: use `sqlite:PATH`",
        ));
    }
    let opened = tokio::task::spawn_blocking(|| SqliteJobs::open(path));
    opened.await.unwrap_or(Err(JobError::Closed))
}
