//! Tickets: what a job is called in its session, and its place among the session's jobs.
//!
//! An id is unique within a queue, and only until its job is forgotten; a ticket is made once
//! and never again. It is taken when the job is asked for. From then on the session is kept
//! from clean-up, and the job comes behind those whose tickets were there before: a limit of
//! one job a group alone lets a later one overtake an earlier one that rests before another
//! attempt. In the usual case that costs nothing but the write that is made anyway: who is
//! over has given its ticket back.

use std::time::Duration;

use serde::Deserialize;

use crate::clock::{Clock, EpochMillis, SystemClock, millis};
use crate::job::{Job, JobError, JobFilter, JobId, JobManager, JobState, PAGE_LIMIT};

/// How long a session is kept for a job that may begin and does not.
pub(super) const KEPT: Duration = Duration::from_secs(7 * 24 * 3_600);
/// The longest id of a job of a conversation, in bytes: its ticket is a name too.
const ID_LIMIT: usize = 150;
/// Between a job's id and what is added to it.
const MARK: char = '~';
/// The shortest and longest rest of a job that comes behind another.
const RESTS: (u64, u64) = (100, 30_000);
/// The rest behind a job that could run now, or does.
const REST: u64 = 1_000;

/// A new ticket for a job.
pub(super) fn new(id: &JobId) -> Result<JobId, JobError> {
    if id.as_str().len() > ID_LIMIT {
        let problem = "that of a conversation's job has at most 150 bytes";
        return Err(JobError::invalid("id", problem));
    }
    JobId::from_text(format!("{id}{MARK}{}", JobId::new()))
}

/// The job of a ticket.
fn job_of(ticket: &JobId) -> Option<JobId> {
    let (id, _) = ticket.as_str().rsplit_once(MARK)?;
    JobId::from_text(id).ok()
}

/// Whether a ticket was made long ago: the job of a younger one may be just coming.
pub(super) fn is_old(ticket: &JobId) -> bool {
    const LONG: u64 = 3_600;
    let made = ticket.as_str().rsplit_once(MARK).map(|(_, made)| made);
    let made = made.and_then(|made| uuid::Uuid::parse_str(made).ok());
    let made = made.and_then(|made| made.get_timestamp());
    made.is_some_and(|made| made.to_unix().0 + LONG < SystemClock.now() / 1_000)
}

/// The jobs of a session's tickets, as far as there are any.
pub(super) async fn jobs(
    jobs: &dyn JobManager,
    session: &str,
    tickets: &[JobId],
) -> Result<Vec<Option<Job>>, JobError> {
    let ids: Vec<JobId> = tickets.iter().filter_map(job_of).collect();
    let mut found = jobs.get(&ids).await?.into_iter();
    let mut of_tickets = Vec::with_capacity(tickets.len());
    for ticket in tickets {
        let job = match job_of(ticket) {
            Some(_) => found.next().flatten(),
            None => None,
        };
        of_tickets.push(match job {
            // The id stands in another queue too, or is a later job's by now.
            Some(job) if !has(&job, ticket) => search(jobs, session, ticket).await?,
            job => job,
        });
    }
    Ok(of_tickets)
}

async fn search(
    jobs: &dyn JobManager,
    session: &str,
    ticket: &JobId,
) -> Result<Option<Job>, JobError> {
    let mut filter = JobFilter {
        session: Some(session.to_owned()),
        limit: Some(PAGE_LIMIT),
        ..JobFilter::default()
    };
    loop {
        let page = jobs.list(&filter).await?;
        if let Some(job) = page.jobs.into_iter().find(|job| has(job, ticket)) {
            return Ok(Some(job));
        }
        match page.next {
            None => return Ok(None),
            next => filter.after = next,
        }
    }
}

fn has(job: &Job, ticket: &JobId) -> bool {
    #[derive(Deserialize)]
    struct Named {
        ticket: JobId,
    }
    let named = job.spec.payload.read::<Named>();
    named.is_ok_and(|named| named.ticket == *ticket)
}

/// How long a job waits at least that comes behind this one; `None` for not at all.
pub(super) fn holds_up(job: &Job) -> Option<Duration> {
    let (status, now) = (&job.status, SystemClock.now());
    let left = status.run_at.saturating_sub(now);
    let rest = match status.state {
        state if state.is_finished() => return None,
        // It was asked for at a later time: until then it is as if it were not there.
        JobState::Delayed if status.epoch == 0 && left > 0 => return None,
        JobState::Delayed => left.clamp(RESTS.0, RESTS.1),
        _ => REST,
    };
    Some(Duration::from_millis(rest))
}

/// How long a session is kept for a job that may begin then.
pub(super) fn kept(due: Option<EpochMillis>, now: EpochMillis) -> u64 {
    let until = due.map_or(0, |due| due.saturating_sub(now));
    until.saturating_add(millis(KEPT))
}
