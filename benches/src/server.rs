//! What a bare Redis does on this machine: how busy it was, and how soon it hands over.

use std::time::{Duration, Instant};

use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;

use crate::queue::Failure;

const LIST: &str = "credential-rotation-benches:bare";

/// A Redis server beside the one under test: the same, over connections of its own.
pub struct Server {
    client: redis::Client,
    connection: MultiplexedConnection,
}

impl Server {
    /// The server behind a URL; nothing for one that is no Redis.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub async fn of(url: &str) -> Result<Option<Self>, Failure> {
        if !url.starts_with("redis:") {
            return Ok(None);
        }
        let client = redis::Client::open(url)?;
        let connection = client.get_multiplexed_async_connection().await?;
        Ok(Some(Self { client, connection }))
    }

    /// The processor's time that its main thread has had.
    ///
    /// # Errors
    /// When it does not tell.
    pub async fn busy(&mut self) -> Result<Duration, Failure> {
        let told: String = redis::cmd("INFO")
            .arg("cpu")
            .query_async(&mut self.connection)
            .await?;
        let seconds: f64 = told
            .lines()
            .filter_map(|line| line.split_once(':'))
            .filter(|(name, _)| name.ends_with("_main_thread"))
            .filter_map(|(_, value)| value.trim().parse::<f64>().ok())
            .sum();
        Ok(Duration::from_secs_f64(seconds))
    }

    /// From a push until a pop that waits has it, so often, with such a pause between.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn handovers(
        mut self,
        count: usize,
        pause: Duration,
    ) -> Result<Vec<Duration>, Failure> {
        // No answer is late that has to be waited for.
        let unhurried = redis::AsyncConnectionConfig::new().set_response_timeout(None);
        let mut waits = self
            .client
            .get_multiplexed_async_connection_with_config(&unhurried)
            .await?;
        let popping = tokio::spawn(async move {
            let mut times = Vec::with_capacity(count);
            for _ in 0..count {
                let _: (String, String) = waits.brpop(LIST, 0.0).await?;
                times.push(Instant::now());
            }
            Ok::<_, redis::RedisError>(times)
        });
        let pushing = tokio::spawn(async move {
            let mut times = Vec::with_capacity(count);
            let mut ticks = tokio::time::interval(pause);
            for _ in 0..count {
                ticks.tick().await;
                times.push(Instant::now());
                let _: u64 = self.connection.lpush(LIST, "job").await?;
            }
            Ok::<_, redis::RedisError>(times)
        });
        let (pushed, popped) = (pushing.await??, popping.await??);
        let mut spans: Vec<Duration> = pushed
            .iter()
            .zip(popped)
            .map(|(pushed, popped)| popped.duration_since(*pushed))
            .collect();
        spans.sort_unstable();
        Ok(spans)
    }
}
