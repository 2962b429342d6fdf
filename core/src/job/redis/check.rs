//! Whether a server can hold jobs, asked once when connecting.

use std::time::Duration;

use redis::{Value, cmd};

use super::address::Kind;
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

/// Refuses servers that would lose jobs.
async fn check(link: &Link) -> Result<(), JobError> {
    let told = link.ask(&cmd("INFO")).await?;
    let cluster = matches!(link.address().kind, Kind::Cluster(_));
    let mut infos = Vec::new();
    each_info(told, &mut infos);
    infos
        .iter()
        .try_for_each(|info| fits(info, cluster, &link.address().shown))
}

fn fits(info: &str, cluster: bool, backend: &str) -> Result<(), JobError> {
    let refused = |problem: String, remedy: &str| {
        Err(JobError::Unsuitable {
            backend: backend.to_owned(),
            problem,
            remedy: remedy.to_owned(),
        })
    };
    let version = field(info, "redis_version").unwrap_or("0");
    let mut numbers = version.split('.').map(|part| part.parse().unwrap_or(0));
    let found: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if found < OLDEST {
        return refused(
            format!("it is version {version}"),
            "use Redis 6.2 or later, or Valkey",
        );
    }
    // A cluster has them, and knows which they are.
    if field(info, "role") == Some("slave") && !cluster {
        return refused(
            "it is a read-only replica".to_owned(),
            "give the master's address, or `redis-sentinel://`",
        );
    }
    let policy = field(info, "maxmemory_policy").unwrap_or("noeviction");
    if policy != "noeviction" {
        let bounded = field(info, "maxmemory").is_some_and(|bytes| bytes != "0");
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

/// What each server tells: a cluster answers for all its nodes.
fn each_info(value: Value, infos: &mut Vec<String>) {
    match value {
        Value::BulkString(bytes) => infos.push(String::from_utf8_lossy(&bytes).into_owned()),
        Value::VerbatimString { text, .. } => infos.push(text),
        Value::Map(pairs) => pairs
            .into_iter()
            .for_each(|(_, value)| each_info(value, infos)),
        Value::Array(values) => values.into_iter().for_each(|value| each_info(value, infos)),
        _ => {}
    }
}

fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.map(str::trim)
}
