//! Whether a server can hold jobs, asked once when connecting.

use std::time::Duration;

use redis::{Value, cmd};

use super::link::Link;
use crate::job::JobError;

/// The oldest version whose commands the scripts use.
const OLDEST: (u32, u32) = (6, 2);

/// How often a server that is not there is asked for when connecting.
const ATTEMPTS: u32 = 5;

/// Refuses a server that cannot be used. One that is not there is asked for five times
/// within some three seconds.
pub(crate) async fn connected(link: &Link) -> Result<(), JobError> {
    let mut rest = Duration::from_millis(100);
    for _ in 1..ATTEMPTS {
        match check(link).await {
            Err(JobError::Unavailable { .. }) => tokio::time::sleep(rest).await,
            checked => return checked,
        }
        rest *= 2;
    }
    check(link).await
}

/// Refuses a server that would lose jobs.
async fn check(link: &Link) -> Result<(), JobError> {
    let info = info(link).await?;
    let backend = link.address().shown.clone();
    let refused = |problem: String, remedy: &str| {
        Err(JobError::Unsuitable {
            backend: backend.clone(),
            problem,
            remedy: remedy.to_owned(),
        })
    };
    let version = field(&info, "redis_version").unwrap_or("0");
    let mut numbers = version.split('.').map(|part| part.parse().unwrap_or(0));
    let found: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if found < OLDEST {
        return refused(
            format!("it is version {version}"),
            "use Redis 6.2 or later, or Valkey",
        );
    }
    if field(&info, "role") == Some("slave") {
        return refused(
            "it is a read-only replica".to_owned(),
            "give the master's address, or `redis-sentinel://`",
        );
    }
    let policy = field(&info, "maxmemory_policy").unwrap_or("noeviction");
    if policy != "noeviction" {
        let bounded = field(&info, "maxmemory").is_some_and(|bytes| bytes != "0");
        if bounded {
            let problem =
                format!("its `maxmemory-policy` is `{policy}`: full, it would throw jobs away");
            return refused(
                problem,
                "set `maxmemory-policy noeviction`, or use another server for jobs",
            );
        }
        tracing::warn!(%backend, policy, "with a `maxmemory` this server would throw jobs away: set `maxmemory-policy noeviction`");
    }
    Ok(())
}

async fn info(link: &Link) -> Result<String, JobError> {
    let mut text = String::new();
    for section in ["server", "replication", "memory"] {
        let mut ask = cmd("INFO");
        ask.arg(section);
        match link.ask(&ask).await? {
            Value::BulkString(bytes) => text.push_str(&String::from_utf8_lossy(&bytes)),
            Value::VerbatimString { text: more, .. } => text.push_str(&more),
            // A cluster answers for each node.
            other => text.push_str(&flatten(&other)),
        }
    }
    Ok(text)
}

fn flatten(value: &Value) -> String {
    match value {
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::VerbatimString { text, .. } => text.clone(),
        Value::Map(pairs) => pairs.iter().map(|(_, value)| flatten(value)).collect(),
        Value::Array(values) => values.iter().map(flatten).collect(),
        _ => String::new(),
    }
}

fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.map(str::trim)
}
