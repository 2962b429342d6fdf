//! A claim that stands at the server: sent right behind a blocking pop of the queue's
//! bell, it runs there as soon as the pop ends, without a way back and forth in between.
//!
//! It needs a connection to itself. A claim that is called off is let go by
//! `CLIENT UNBLOCK` and heard out, so that what it takes is not left to its lease.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{RedisResult, Value, cmd, pipe};
use tokio_util::sync::CancellationToken;

use super::RedisJobs;
use super::attempts::exchange_args;
use super::bell::{ROUND, pop};
use super::link::{self, trouble};
use super::scripts::EXCHANGE;
use crate::job::manager::wait_then_claim;
use crate::job::{Claim, Exchange, Exchanged, JobError, metrics};

/// The time between two tries to let a claim go: the first may come before its pop.
const AGAIN: Duration = Duration::from_millis(20);

/// The connections of claims that may stand anew.
#[derive(Default)]
pub(super) struct StandingClaims {
    idle: Mutex<Vec<Stand>>,
    /// The server does not let this user use `CLIENT ID` or `CLIENT UNBLOCK`.
    refused: AtomicBool,
}

struct Stand {
    connection: MultiplexedConnection,
    /// What the server calls the connection.
    id: i64,
    /// A connection must not be used on the other side of a fork.
    process: u32,
}

impl RedisJobs {
    pub(super) async fn stand_and_claim(
        &self,
        queue: &str,
        claim: Claim,
        at_most: Duration,
        called_off: &CancellationToken,
    ) -> Result<Exchanged, JobError> {
        self.enter(&queue.into()).await?;
        let Some(mut stand) = self.stand().await? else {
            return wait_then_claim(self, queue, claim, at_most, called_off).await;
        };
        let exchange = Exchange {
            queue: queue.into(),
            settle: Vec::new(),
            claim: claim.clone(),
        };
        let (args, queue) = exchange_args(exchange)?;
        let address = self.shared.link.address();
        let mut trip = pipe();
        trip.add_command(pop(address, &queue, at_most.min(ROUND)));
        trip.add_command(EXCHANGE.command(&self.shared.head(&queue), &args));
        let answers = {
            let sent = stand.connection.req_packed_commands(&trip, 0, 2);
            tokio::select! {
                answers = self.hear_out(sent, stand.id, called_off) => answers,
                () = self.shared.closed.cancelled() => return Err(JobError::Closed),
            }
        };
        let answers = answers.map_err(|error| trouble(address, &error))?;
        let [popped, claimed] =
            <[Value; 2]>::try_from(answers).map_err(|_| super::decode::garbled())?;
        match claimed.extract_error() {
            Ok(claimed) => {
                let exchanged = self.exchanged(&queue, Vec::new(), claimed).await?;
                // With an error at once the next one would be in haste.
                if let (Err(error), true) = (popped.extract_error(), exchanged.claimed.is_empty()) {
                    return Err(trouble(address, &error));
                }
                self.shared.standing.idle.lock().push(stand);
                Ok(exchanged)
            }
            Err(error) if link::is_unknown_script(&error) => {
                self.shared.standing.idle.lock().push(stand);
                let exchange = Exchange {
                    queue,
                    settle: Vec::new(),
                    claim,
                };
                self.settle_and_claim(exchange).await
            }
            Err(error) => Err(trouble(address, &error)),
        }
    }

    /// Awaits the answers, in haste once the claim is called off.
    async fn hear_out(
        &self,
        answers: impl Future<Output = RedisResult<Vec<Value>>>,
        id: i64,
        called_off: &CancellationToken,
    ) -> RedisResult<Vec<Value>> {
        metrics::sent_to_redis();
        tokio::pin!(answers);
        tokio::select! {
            answers = &mut answers => return answers,
            () = called_off.cancelled() => {}
        }
        loop {
            // Without an answer the claim ends with its pop.
            let _ = self.shared.link.send(&unblock(id)).await;
            tokio::select! {
                answers = &mut answers => return answers,
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
    }

    /// A connection to stand at, or none where it must be done otherwise.
    async fn stand(&self) -> Result<Option<Stand>, JobError> {
        // A claim that stands would have the time of a clock by hand from before.
        if self.shared.clock.is_some() || self.shared.standing.refused.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let process = std::process::id();
        while let Some(stand) = self.shared.standing.take() {
            if stand.process == process {
                return Ok(Some(stand));
            }
            // Closing it here would end the parent's.
            std::mem::forget(stand);
        }
        let address = self.shared.link.address();
        let opened = link::apart(address).await;
        let Some(mut connection) = opened.map_err(|error| trouble(address, &error))? else {
            return Ok(None);
        };
        let id = connection.req_packed_command(cmd("CLIENT").arg("ID")).await;
        let asked = match id.and_then(Value::extract_error) {
            Ok(Value::Int(id)) => self.shared.link.send(&unblock(id)).await.map(|_| id),
            Ok(_) => return Err(super::decode::garbled()),
            Err(error) => Err(error),
        };
        match asked {
            Ok(id) => {
                return Ok(Some(Stand {
                    connection,
                    id,
                    process,
                }));
            }
            // What cannot be heard is no refusal: the next claim may stand.
            Err(error) if link::is_broken(&error) => return Ok(None),
            Err(_) => {}
        }
        self.shared.standing.refused.store(true, Ordering::Relaxed);
        tracing::debug!("CLIENT ID or CLIENT UNBLOCK is refused: a claim takes another round trip");
        Ok(None)
    }
}

impl StandingClaims {
    fn take(&self) -> Option<Stand> {
        self.idle.lock().pop()
    }
}

fn unblock(id: i64) -> redis::Cmd {
    let mut unblock = cmd("CLIENT");
    unblock.arg("UNBLOCK").arg(id);
    unblock
}
