//! Says that a worker is there, and what it has.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::crew::Crew;
use crate::job::Presence;

const EVERY: Duration = Duration::from_secs(10);
/// The most jobs that are named.
const NAMED: usize = 1_000;

/// Says so until it has gone, and then that.
pub(super) async fn announce(crew: Arc<Crew>, queues: Vec<String>, gone: CancellationToken) {
    let began = crew.clock.now();
    let mut presence = Presence {
        worker: crew.id.to_string(),
        instance: crew.instance.to_string(),
        host: host(),
        pid: std::process::id(),
        queues,
        running: Vec::new(),
        rss: 0,
        started_at: began,
        seen_at: began,
    };
    loop {
        presence.running = crew.ledger.jobs(NAMED);
        presence.rss = rss().unwrap_or(0);
        presence.seen_at = crew.clock.now();
        if let Err(error) = crew.jobs.announce(&presence).await {
            tracing::debug!(%error, "the worker is not announced");
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = gone.cancelled() => break,
        }
    }
    if let Err(error) = crew.jobs.leave(&presence).await {
        tracing::debug!(%error, "nobody is told that the worker has gone");
    }
}

/// An id that no other worker has.
pub(super) fn new_id() -> String {
    let mut host = host();
    host.retain(|c| !c.is_control());
    host.truncate(host.floor_char_boundary(100));
    let chance = fastrand::u32(..);
    format!("{host}-{}-{chance:08x}", std::process::id())
}

/// What no other run of a worker has, whatever its id.
pub(super) fn new_instance() -> String {
    uuid::Uuid::now_v7().simple().to_string()
}

fn host() -> String {
    let name = rustix::system::uname();
    let name = name.nodename().to_string_lossy();
    match &*name {
        "" => "unknown".to_owned(),
        name => name.to_owned(),
    }
}

/// The process's resident memory, where the system tells: the second number of statm, in pages.
fn rss() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
    let page = u64::try_from(rustix::param::page_size()).ok()?;
    Some(pages.saturating_mul(page))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_knows_its_host_and_its_memory() {
        assert!(!host().is_empty());
        assert_ne!(new_id(), new_id());
        assert!(rss().is_none_or(|bytes| bytes > 100_000));
    }
}
