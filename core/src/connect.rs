//! One URL, the backend behind it.

use std::sync::Arc;

use crate::job::memory::MemoryJobs;
use crate::job::redis::RedisJobs;
use crate::job::{JobError, SharedJobs};

/// Opens the jobs at a URL.
///
/// | URL | where the jobs are |
/// |---|---|
/// | `memory:` | in this process, gone with it |
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
        "redis" | "rediss" | "redis-cluster" | "rediss-cluster" | "redis-sentinel"
        | "rediss-sentinel" => Ok(Arc::new(RedisJobs::connect(url).await?)),
        _ => Err(JobError::invalid(
            "url",
            "it has no known scheme: use `memory:`, `sqlite:PATH`, `redis://`, `rediss://`, `redis-cluster://` or `redis-sentinel://`",
        )),
    }
}
