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
    waiting: Vec<HandedOver>,
    /// How many these are together.
    jobs: usize,
    under_way: bool,
}

/// Jobs that one caller waits for.
struct HandedOver {
    packed: Vec<Packed>,
    bytes: usize,
    answer: oneshot::Sender<Result<Vec<Enqueued>, JobError>>,
}

/// What came of jobs, in their order, to be awaited.
pub(super) type Answer = oneshot::Receiver<Result<Vec<Enqueued>, JobError>>;

/// Hands some jobs of one queue over, which are sent together.
pub(super) fn hand_over(shared: &Arc<Shared>, queue: &Arc<str>, packed: Vec<Packed>) -> Answer {
    let (answer, receiver) = oneshot::channel();
    let handed = HandedOver {
        bytes: packed.iter().map(Packed::bytes).sum(),
        packed,
        answer,
    };
    let begin = {
        let mut queues = shared.gatherer.queues.lock();
        let gathering = queues.entry(Arc::clone(queue)).or_default();
        gathering.jobs += handed.packed.len();
        gathering.waiting.push(handed);
        !std::mem::replace(&mut gathering.under_way, true)
    };
    if begin {
        let (shared, queue) = (Arc::clone(shared), Arc::clone(queue));
        tokio::spawn(async move { send_all(&shared, &queue).await });
    }
    receiver
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
    fn next_batch(&self, queue: &Arc<str>, least: usize) -> Option<Vec<HandedOver>> {
        let mut queues = self.queues.lock();
        let gathering = queues.get_mut(queue)?;
        (gathering.jobs >= least).then(|| gathering.next_batch())
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

async fn send(shared: &Arc<Shared>, queue: &Arc<str>, batch: Vec<HandedOver>) {
    let mut args = Args::default();
    let mut waiting = Vec::with_capacity(batch.len());
    for HandedOver { packed, answer, .. } in batch {
        let jobs: Vec<(JobId, usize)> = packed
            .iter()
            .map(|packed| (packed.id.clone(), packed.size()))
            .collect();
        waiting.push((jobs, answer));
        for packed in packed {
            packed.push_to(&mut args);
        }
    }
    let sent = ENQUEUE.run(&shared.link, &shared.head(queue), &args).await;
    let mut answers = sent.and_then(Parts::of);
    let all_taken = answers.as_ref().is_ok_and(Parts::is_empty);
    for (jobs, answer) in waiting {
        let came = match &mut answers {
            Ok(_) if all_taken => Ok(jobs
                .into_iter()
                .map(|(id, _)| Enqueued::Added(id))
                .collect()),
            Ok(parts) => {
                // All of them, also behind one that cannot be read: the next are another's.
                let read = jobs.into_iter().map(|(id, size)| {
                    let text = parts.text();
                    text.and_then(|text| read(queue, id, size, &text))
                });
                let read: Vec<Result<Enqueued, JobError>> = read.collect();
                read.into_iter().collect()
            }
            Err(error) => Err(error.clone()),
        };
        let _ = answer.send(came);
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
    fn next_batch(&mut self) -> Vec<HandedOver> {
        let (mut jobs, mut bytes) = (0, 0);
        let fits = |handed: &&HandedOver| {
            jobs += handed.packed.len();
            bytes += handed.bytes;
            jobs <= JOBS && bytes <= BYTES
        };
        let count = self.waiting.iter().take_while(fits).count();
        let count = count.max(1).min(self.waiting.len());
        let batch: Vec<HandedOver> = self.waiting.drain(..count).collect();
        self.jobs -= batch
            .iter()
            .map(|handed| handed.packed.len())
            .sum::<usize>();
        batch
    }
}
