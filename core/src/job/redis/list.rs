//! Looking at jobs.

use std::fmt;
use std::sync::Arc;

use redis::Value;

use super::decode::{self, Parts};
use super::scripts::{Args, COUNTS, LOG, READ};
use super::{RedisJobs, STEP, text};
use crate::job::{Job, JobError, JobFilter, JobId, JobPage, JobState, LogLine, QueueCounts};

/// Jobs that a list looks at in one call at most.
const LOOKED_AT: usize = 10_000;

impl RedisJobs {
    pub(super) async fn look_up(&self, ids: &[JobId]) -> Result<Vec<Option<Job>>, JobError> {
        let mut jobs = vec![None; ids.len()];
        for queue in self.queues().await? {
            let open: Vec<usize> = (0..ids.len()).filter(|n| jobs[*n].is_none()).collect();
            let mut rest = &open[..];
            while !rest.is_empty() {
                let some = &rest[..rest.len().min(STEP)];
                let args = some.iter().fold(Args::default().with("ids"), |args, n| {
                    args.with(ids[*n].as_str())
                });
                let found = self.read(&queue, &args).await?.jobs;
                // Large ones are fewer than asked for.
                rest = &rest[found.len().clamp(1, some.len())..];
                for (n, job) in some.iter().zip(found) {
                    jobs[*n] = job;
                }
            }
        }
        Ok(jobs)
    }

    pub(super) async fn read_log(&self, id: &JobId) -> Result<Vec<LogLine>, JobError> {
        for queue in self.queues().await? {
            let args = Args::default().with(id.as_str());
            if let Value::Array(lines) = self.run(&LOG, &queue, &args).await? {
                let line = |value| {
                    let text = text(value)?;
                    let (at, text) = text.split_once('|')?;
                    Some(LogLine {
                        at: at.parse().ok()?,
                        text: text.to_owned(),
                    })
                };
                return Ok(lines.into_iter().filter_map(line).collect());
            }
        }
        Err(JobError::UnknownJob { id: id.clone() })
    }

    pub(super) async fn list_jobs(&self, filter: &JobFilter) -> Result<JobPage, JobError> {
        let mark = filter.after.as_deref().map(Mark::parse).transpose()?;
        let page = filter.page();
        let mut shown = JobPage::default();
        let mut looked_at = 0;
        let mut begin = mark;
        for queue in self.queues().await? {
            if filter
                .queue
                .as_deref()
                .is_some_and(|asked| asked != &*queue)
                || begin.as_ref().is_some_and(|mark| *queue < *mark.queue)
            {
                continue;
            }
            let sets = SETS.iter().enumerate();
            for (set, (name, state)) in sets {
                if filter.state.is_some_and(|asked| asked != *state) {
                    continue;
                }
                let here = begin.as_ref().filter(|mark| *mark.queue == *queue);
                if here.is_some_and(|mark| set < mark.set) {
                    continue;
                }
                let mut place = here
                    .filter(|mark| mark.set == set)
                    .map_or_else(Place::default, |mark| mark.place.clone());
                // One more than the page has room for tells whether there is another page.
                let mut step = (page + 1 - shown.jobs.len()).min(STEP);
                loop {
                    let args = Args::default()
                        .with(*name)
                        .with(place.score.as_str())
                        .with(place.member.as_str())
                        .with(step as u64);
                    let mut looked = self.read(&queue, &args).await?;
                    for job in looked.jobs {
                        if shown.jobs.len() == page || looked_at == LOOKED_AT {
                            let queue = queue.to_string();
                            shown.next = Some(Mark { queue, set, place }.to_string());
                            return Ok(shown);
                        }
                        place.score = looked.places.lossy()?;
                        place.member = looked.places.lossy()?;
                        looked_at += 1;
                        shown.jobs.extend(job.filter(|job| filter.fits(job)));
                    }
                    if !looked.more {
                        break;
                    }
                    step = (step * 2).min(STEP);
                }
            }
            begin = begin.filter(|mark| *mark.queue > *queue);
        }
        Ok(shown)
    }

    pub(super) async fn count(&self) -> Result<Vec<QueueCounts>, JobError> {
        let mut all = Vec::new();
        for queue in self.queues().await? {
            let mut parts = Parts::of(self.run(&COUNTS, &queue, &Args::default()).await?)?;
            all.push(QueueCounts {
                queue: queue.to_string(),
                waiting: parts.number()?,
                delayed: parts.number()?,
                running: parts.number()?,
                completed: parts.number()?,
                failed: parts.number()?,
                cancelled: parts.number()?,
                bytes: parts.number()?,
                oldest_ms: u64::try_from(parts.signed()?).ok(),
                paused: parts.number()? == 1,
            });
        }
        Ok(all)
    }

    async fn read(&self, queue: &Arc<str>, args: &Args) -> Result<Looked, JobError> {
        let mut parts = Parts::of(self.run(&READ, queue, args).await?)?;
        let readable = |value| match decode::job(queue, value) {
            Ok(job) => job,
            Err(error) => {
                tracing::warn!(%error, %queue, "a job that cannot be read is not shown");
                None
            }
        };
        Ok(Looked {
            jobs: Parts::of(parts.next()?)?.map(readable).collect(),
            places: Parts::of(parts.next()?)?,
            more: parts.signed()? == 1,
        })
    }
}

/// Jobs that were looked at: those that are there.
struct Looked {
    jobs: Vec<Option<Job>>,
    /// For each of a list its score and its member.
    places: Parts,
    more: bool,
}

/// Where the jobs of each state are, in the order of a list.
const SETS: [(&str, JobState); 8] = [
    ("line", JobState::Waiting),
    ("ready", JobState::Waiting),
    ("parked", JobState::Waiting),
    ("delayed", JobState::Delayed),
    ("lease", JobState::Running),
    ("completed", JobState::Completed),
    ("failed", JobState::Failed),
    ("cancelled", JobState::Cancelled),
];

/// Where a page begins.
struct Mark {
    queue: String,
    set: usize,
    place: Place,
}

/// Behind which of a set's members, or at its beginning. One that has left the set since
/// still says where to go on.
#[derive(Clone, Default)]
struct Place {
    score: String,
    member: String,
}

impl Mark {
    fn parse(text: &str) -> Result<Self, JobError> {
        let parsed = || {
            let mut parts = text.splitn(4, '|');
            let (set, score) = (parts.next()?.parse().ok()?, parts.next()?);
            let known = score.is_empty() || score.parse::<f64>().is_ok();
            let length = parts.next()?.parse().ok()?;
            let (queue, member) = parts.next()?.split_at_checked(length)?;
            known.then(|| Self {
                queue: queue.to_owned(),
                set,
                place: Place {
                    score: score.to_owned(),
                    member: member.to_owned(),
                },
            })
        };
        parsed().ok_or_else(|| JobError::invalid("after", "it is not the `next` of a page"))
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { score, member } = &self.place;
        let (set, queue) = (self.set, &self.queue);
        write!(f, "{set}|{score}|{}|{queue}{member}", queue.len())
    }
}
