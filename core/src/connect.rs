//! One URL, the backend behind it.

use std::sync::Arc;

use crate::job::memory::MemoryJobs;
use crate::job::redis::RedisJobs;
use crate::job::sqlite::SqliteJobs;
use crate::job::{JobError, SharedJobs};
use crate::session::memory::MemorySessions;
use crate::session::redis::RedisSessions;
use crate::session::sqlite::SqliteSessions;
use crate::session::{SessionError, SharedSessions};

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
    match scheme(url)? {
        Scheme::Memory => Ok(Arc::new(MemoryJobs::new())),
        Scheme::Sqlite => {
            let path = path(url)?;
            let opened = tokio::task::spawn_blocking(|| SqliteJobs::open(path));
            Ok(Arc::new(opened.await.unwrap_or(Err(JobError::Closed))?))
        }
        Scheme::Redis => Ok(Arc::new(RedisJobs::connect(url).await?)),
    }
}

/// Opens the sessions at a URL of the same forms. In SQLite they have a file of their own.
///
/// # Errors
/// As [`jobs`].
pub async fn sessions(url: &str) -> Result<SharedSessions, SessionError> {
    match scheme(url)? {
        Scheme::Memory => Ok(Arc::new(MemorySessions::new())),
        Scheme::Sqlite => {
            let path = path(url)?;
            let opened = tokio::task::spawn_blocking(|| SqliteSessions::open(path));
            let opened = opened.await.map_err(|_| JobError::Closed)?;
            Ok(Arc::new(opened?))
        }
        Scheme::Redis => Ok(Arc::new(RedisSessions::connect(url).await?)),
    }
}

enum Scheme {
    Memory,
    Sqlite,
    Redis,
}

fn scheme(url: &str) -> Result<Scheme, JobError> {
    match url.split(':').next().unwrap_or_default() {
        "memory" => Ok(Scheme::Memory),
        "sqlite" => Ok(Scheme::Sqlite),
        "redis" | "rediss" | "redis-cluster" | "rediss-cluster" | "redis-sentinel"
        | "rediss-sentinel" => Ok(Scheme::Redis),
        _ => Err(JobError::invalid(
            "url",
            "it has no known scheme: use `memory:`, `sqlite:PATH`, `redis://`, `rediss://`, `redis-cluster://` or `redis-sentinel://`",
        )),
    }
}

fn path(url: &str) -> Result<String, JobError> {
    let path = url.strip_prefix("sqlite:").unwrap_or_default();
    let path = path.strip_prefix("//").unwrap_or(path).to_owned();
    if path.is_empty() {
        let problem = "it names no file: use `sqlite:PATH`";
        return Err(JobError::invalid("url", problem));
    }
    Ok(path)
}
