//! Jobs enqueued one by one are sent together: while one batch is under way, the next
//! one gathers behind it. No timer: with nobody else a job is sent at once.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::Shared;
use super::decode::Parts;
use super::encode::Packed;
use super::scripts::{Args, ENQUEUE};
use crate::job::{Enqueued, JobError, JobId};

/// Trips under way at once, in the order of their jobs.
const TRIPS: usize = 2;
/// What one round trip carries at most.
const JOBS: usize = 500;
/// What is worth a second trip beside the one under way.
const WORTH: usize = 125;
const BYTES: usize = 4 << 20;

#[derive(Default)]
pub(super) struct Gatherer {
    queues: Mutex<HashMap<Arc<str>, Queue>>,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<Waiting>,
    under_way: bool,
}

struct Waiting {
    packed: Packed,
    answer: oneshot::Sender<Result<Enqueued, JobError>>,
}

/// A job's answer, to be awaited.
pub(super) type Answer = oneshot::Receiver<Result<Enqueued, JobError>>;

/// Hands jobs of one queue over and gives what to await.
pub(super) fn hand_over(
    shared: &Arc<Shared>,
    queue: &Arc<str>,
    packed: Vec<Packed>,
) -> Vec<Answer> {
    let mut answers = Vec::with_capacity(packed.len());
    let begin = {
        let mut queues = shared.gatherer.queues.lock();
        let gathering = queues.entry(Arc::clone(queue)).or_default();
        for packed in packed {
            let (answer, receiver) = oneshot::channel();
            gathering.waiting.push(Waiting { packed, answer });
            answers.push(receiver);
        }
        !std::mem::replace(&mut gathering.under_way, true)
    };
    if begin {
        let (shared, queue) = (Arc::clone(shared), Arc::clone(queue));
        tokio::spawn(async move { send_all(&shared, &queue).await });
    }
    answers
}

async fn send_all(shared: &Arc<Shared>, queue: &Arc<str>) {
    let mut under_way = FuturesOrdered::new();
    loop {
        // A second trip only with many: fewer jobs rather gather.
        while under_way.len() < TRIPS {
            let least = if under_way.is_empty() { 1 } else { WORTH };
            let Some(batch) = shared.gatherer.next_batch(queue, least) else {
                break;
            };
            under_way.push_back(send(shared, queue, batch));
        }
        if under_way.next().await.is_none() && shared.gatherer.is_done(queue) {
            return;
        }
    }
}

impl Gatherer {
    fn next_batch(&self, queue: &Arc<str>, least: usize) -> Option<Vec<Waiting>> {
        let mut queues = self.queues.lock();
        let gathering = queues.get_mut(queue)?;
        (gathering.waiting.len() >= least).then(|| gathering.next_batch())
    }

    /// Whether nothing waits; then the next job begins anew.
    fn is_done(&self, queue: &Arc<str>) -> bool {
        let mut queues = self.queues.lock();
        let done = queues
            .get(queue)
            .is_none_or(|gathering| gathering.waiting.is_empty());
        if done {
            queues.remove(queue);
        }
        done
    }
}

async fn send(shared: &Arc<Shared>, queue: &Arc<str>, batch: Vec<Waiting>) {
    let mut args = Args::default();
    let mut waiting = Vec::with_capacity(batch.len());
    for Waiting { packed, answer } in batch {
        waiting.push((packed.id.clone(), packed.size(), answer));
        packed.push_to(&mut args);
    }
    let sent = ENQUEUE.run(&shared.link, &shared.head(queue), &args).await;
    let answers = sent.and_then(Parts::of);
    match answers {
        Ok(parts) if parts.is_empty() => {
            for (id, _, answer) in waiting {
                let _ = answer.send(Ok(Enqueued::Added(id)));
            }
        }
        Ok(mut parts) => {
            for (id, size, answer) in waiting {
                let read = parts.text().and_then(|text| read(queue, id, size, &text));
                let _ = answer.send(read);
            }
        }
        Err(error) => {
            for (_, _, answer) in waiting {
                let _ = answer.send(Err(error.clone()));
            }
        }
    }
}

fn read(queue: &str, id: JobId, bytes: usize, text: &str) -> Result<Enqueued, JobError> {
    let Some((word, rest)) = text.split_once(':') else {
        return Ok(Enqueued::Added(id));
    };
    let limit = rest.parse().unwrap_or(u64::MAX);
    Ok(match word {
        "duplicate" => Enqueued::Duplicate(JobId::from_text(rest)?),
        "large" => Enqueued::Refused(JobError::TooLarge {
            what: "payload",
            bytes,
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
        }),
        _ => Enqueued::Refused(JobError::QueueFull {
            queue: queue.to_owned(),
            limit,
        }),
    })
}

impl Queue {
    fn next_batch(&mut self) -> Vec<Waiting> {
        let mut bytes = 0;
        let fits = |waiting: &&Waiting| {
            bytes += waiting.packed.bytes();
            bytes <= BYTES
        };
        let count = self.waiting.iter().take(JOBS).take_while(fits).count();
        let count = count.max(1).min(self.waiting.len());
        self.waiting.drain(..count).collect()
    }
}
