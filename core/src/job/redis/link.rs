//! A connection that is made when it is needed and made anew when it broke.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionInfo, ErrorKind, RedisError, RedisResult,
    ServerErrorKind, Value,
};
use tokio::sync::Mutex;

use super::address::{self, Address, Kind};
use crate::job::{JobError, metrics};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How much longer a connection took than it may, where this side was held up.
const HELD_UP: Duration = Duration::from_millis(500);
/// How often it is tried then.
const TRIES: u32 = 3;
/// The longest wait for an answer: behind it a socket counts as hung.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// One connection, shared by those who use it at once.
pub(crate) struct Link {
    address: Arc<Address>,
    // Held while connecting, so that many who find it broken make one.
    held: Mutex<Option<Held>>,
    /// How many connections were made, and how many of them broke.
    made: AtomicU64,
}

#[derive(Clone)]
struct Held {
    connection: Connection,
    /// A connection must not be used on the other side of a fork.
    process: u32,
    /// Which of those that were made.
    number: u64,
}

#[derive(Clone)]
enum Connection {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Link {
    pub(crate) fn new(address: Arc<Address>) -> Self {
        Self {
            address,
            held: Mutex::new(None),
            made: AtomicU64::new(0),
        }
    }

    /// Another number with each connection, and once it broke: behind the next may be another
    /// server.
    pub(super) fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    pub(crate) fn address(&self) -> &Arc<Address> {
        &self.address
    }

    /// Sends one command. After a broken connection the next call makes a new one.
    pub(crate) async fn send(&self, command: &Cmd) -> RedisResult<Value> {
        let mut held = self.connection().await?;
        metrics::sent_to_redis();
        let answer = match &mut held.connection {
            Connection::Single(single) => single.req_packed_command(command).await,
            Connection::Cluster(cluster) => cluster.req_packed_command(command).await,
        };
        let answer = answer.and_then(Value::extract_error);
        if answer.as_ref().is_err_and(is_broken) {
            let broken = held.number;
            let mut held = self.held.lock().await;
            // Another may have made a new one since.
            if held.as_ref().is_some_and(|held| held.number == broken) {
                *held = None;
                self.made.fetch_add(1, Ordering::Relaxed);
            }
        }
        answer
    }

    /// The same, with the error as jobs have it.
    pub(crate) async fn ask(&self, command: &Cmd) -> Result<Value, JobError> {
        self.send(command)
            .await
            .map_err(|error| trouble(&self.address, &error))
    }

    async fn connection(&self) -> RedisResult<Held> {
        let mut held = self.held.lock().await;
        let process = std::process::id();
        if let Some(held) = held.as_ref().filter(|held| held.process == process) {
            return Ok(held.clone());
        }
        let connection = connect(&self.address).await?;
        let fresh = Held {
            connection,
            process,
            number: self.made.fetch_add(1, Ordering::Relaxed) + 1,
        };
        if let Some(inherited) = held.replace(fresh.clone()) {
            // Closing it here would end the parent's.
            std::mem::forget(inherited);
        }
        Ok(fresh)
    }
}

/// A connection to one server that is the caller's alone, or none to a cluster.
pub(super) async fn apart(address: &Address) -> RedisResult<Option<MultiplexedConnection>> {
    match &address.kind {
        Kind::Single(info) => single(info.clone()).await.map(Some),
        Kind::Sentinel { .. } => single(master(address).await?).await.map(Some),
        Kind::Cluster(_) => Ok(None),
    }
}

/// A server to follow events at: any node of a cluster tells those of all.
pub(super) async fn follower(address: &Address) -> RedisResult<redis::aio::PubSub> {
    let infos = match &address.kind {
        Kind::Single(info) => vec![info.clone()],
        Kind::Cluster(infos) => infos.clone(),
        Kind::Sentinel { .. } => vec![master(address).await?],
    };
    let mut last = None;
    for info in infos {
        let client = Client::open(info)?;
        let open = || async {
            let opened = tokio::time::timeout(CONNECT_TIMEOUT, client.get_async_pubsub()).await;
            opened.unwrap_or_else(|_| Err(timeout()))
        };
        match unless_held_up(CONNECT_TIMEOUT, open).await {
            Ok(follower) => return Ok(follower),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(timeout))
}

async fn connect(address: &Address) -> RedisResult<Connection> {
    match &address.kind {
        Kind::Single(info) => single(info.clone()).await.map(Connection::Single),
        Kind::Sentinel { .. } => single(master(address).await?).await.map(Connection::Single),
        Kind::Cluster(infos) => {
            let client = ClusterClient::builder(infos.clone())
                .connection_timeout(CONNECT_TIMEOUT)
                .response_timeout(ANSWER_TIMEOUT)
                .overall_response_timeout(Some(ANSWER_TIMEOUT))
                // While a slot is moved its queues are asked for again and again.
                .min_retry_wait(20)
                .max_retry_wait(500)
                .build()?;
            let connected = unless_held_up(CONNECT_TIMEOUT, || client.get_async_connection());
            connected.await.map(Connection::Cluster)
        }
    }
}

async fn single(info: ConnectionInfo) -> RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(ANSWER_TIMEOUT));
    let client = Client::open(info)?;
    let connect = || client.get_multiplexed_async_connection_with_config(&config);
    unless_held_up(CONNECT_TIMEOUT, connect).await
}

/// Connects, in no more than the limit. Where it is noticed long behind its time that it is over,
/// that says nothing of the server: this side was held up, as by a handler that blocks its
/// runtime. Then it is tried again.
async fn unless_held_up<T, F>(limit: Duration, connect: impl Fn() -> F) -> RedisResult<T>
where
    F: Future<Output = RedisResult<T>>,
{
    let mut tries = 1;
    loop {
        let began = Instant::now();
        let connected = connect().await;
        let is_over = connected.as_ref().is_err_and(RedisError::is_timeout);
        if !is_over || began.elapsed() < limit + HELD_UP || tries == TRIES {
            return connected;
        }
        tries += 1;
    }
}

/// Asks the sentinels, one after the other, for the master.
async fn master(address: &Address) -> RedisResult<ConnectionInfo> {
    let Kind::Sentinel {
        sentinels,
        master,
        login,
    } = &address.kind
    else {
        return Err(timeout());
    };
    let mut last = None;
    for sentinel in sentinels {
        let asked = async {
            let mut connection = single(sentinel.clone()).await?;
            redis::cmd("SENTINEL")
                .arg("get-master-addr-by-name")
                .arg(master)
                .query_async::<Option<(String, u16)>>(&mut connection)
                .await
        };
        match asked.await {
            Ok(Some((host, port))) => return Ok(address::at(sentinel, &host, port, login)),
            Ok(None) => {
                let words = "the sentinels know no master of that name";
                last = Some((ErrorKind::MasterNameNotFoundBySentinel, words).into());
            }
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(timeout))
}

pub(super) fn timeout() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}

/// Whether a new connection may do better: this one is gone, hung, or leads to a server
/// that is the master no more.
pub(super) fn is_broken(error: &RedisError) -> bool {
    let down = error.kind() == ErrorKind::Server(ServerErrorKind::MasterDown);
    down || is_demoted(error)
        || error.is_io_error()
        || error.is_timeout()
        || error.is_connection_dropped()
}

/// Whether the server is the master no more. Older ones say it inside the script's error.
fn is_demoted(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
        || error.to_string().contains("READONLY You can't write")
}

/// Whether the server is out of memory. Older ones say it inside the script's error.
pub(super) fn is_full(error: &RedisError) -> bool {
    error.code() == Some("OOM") || error.to_string().contains("OOM command not allowed")
}

/// Whether the server has to be sent the script whole.
pub(super) fn is_unknown_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

/// What an error of the server's means to who uses jobs.
pub(crate) fn trouble(address: &Address, error: &RedisError) -> JobError {
    let backend = address.shown.clone();
    let words = error.to_string();
    let code = error.code().unwrap_or_default();
    let refused = matches!(code, "NOAUTH" | "WRONGPASS" | "NOPERM")
        || error.kind() == ErrorKind::AuthenticationFailed
        // A cluster's error is about all its nodes, with what the last of them said.
        || ["AuthenticationFailed", "NOAUTH", "WRONGPASS"]
            .iter()
            .any(|word| words.contains(word));
    if refused {
        let remedy = match &address.kind {
            Kind::Sentinel { .. } => {
                "give both in the URL: `redis-sentinel://user:password@host/master`, and the sentinels' own, if they have one, as `?sentinel_password=`"
            }
            _ => "give both in the URL: `redis://user:password@host`",
        };
        return JobError::Unsuitable {
            backend,
            problem: "it refuses the user or password".to_owned(),
            remedy: remedy.to_owned(),
        };
    }
    let remedy = match error.kind() {
        _ if is_demoted(error) => {
            "this is a replica: give the master's address, or `redis-sentinel://`"
        }
        ErrorKind::Server(ServerErrorKind::TryAgain) => {
            "the cluster moves this queue to another node: try again in a while"
        }
        ErrorKind::Server(ServerErrorKind::CrossSlot | ServerErrorKind::Moved) => {
            "this is a cluster: use `redis-cluster://`"
        }
        _ if is_full(error) => {
            "it is out of memory: raise `maxmemory`, purge finished jobs, or shorten `result_ttl_ms`"
        }
        _ if code == "MISCONF" || words.contains("MISCONF Redis") => {
            "it cannot write its snapshot: look at its disk and log"
        }
        _ if error.is_io_error() || error.is_timeout() => {
            "check that it runs and that this host may reach it"
        }
        _ => "look at the server's log",
    };
    JobError::Unavailable {
        backend,
        problem: words,
        remedy: remedy.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn who_was_held_up_while_connecting_connects_again_a_few_times() {
        const LIMIT: Duration = Duration::from_millis(10);
        // How many times in a row it is held up, whether it connects, and after how many tries.
        for (times, connects, tries) in [(0, true, 1), (2, true, 3), (9, false, TRIES)] {
            let tried = Cell::new(0);
            let connected = unless_held_up(LIMIT, || async {
                tried.set(tried.get() + 1);
                if tried.get() > times {
                    return Ok(());
                }
                std::thread::sleep(LIMIT + HELD_UP);
                Err(timeout())
            });
            assert_eq!((connected.await.is_ok(), tried.get()), (connects, tries));
        }
        // In time it is the server that does not answer.
        let tried = Cell::new(0);
        let refused = unless_held_up(LIMIT, || async {
            tried.set(tried.get() + 1);
            Err::<(), _>(timeout())
        });
        assert_eq!((refused.await.is_err(), tried.get()), (true, 1));
    }
}
