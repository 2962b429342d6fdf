//! Fires schedules, in the one worker that holds the role.

use std::sync::Arc;
use std::time::Duration;

use super::control::{Control, Mode};
use super::crew::Crew;
use crate::clock::millis;
use crate::job::{Enqueued, JobError, Schedule};

const ROLE: &str = "schedules";
/// How long the role is held without a sign of life.
const TERM: Duration = Duration::from_secs(15);
/// How often others ask for it.
const CANDIDACY: Duration = Duration::from_secs(5);
/// The longest sleep of the holder: a schedule that was just put is seen by then.
const LOOK: Duration = Duration::from_secs(10);
/// What the role is held for to give it up.
const INSTANT: Duration = Duration::from_millis(1);

pub(super) async fn fire(crew: Arc<Crew>, control: Control) {
    let stopped = control.stopped(Mode::Drain);
    tokio::pin!(stopped);
    loop {
        let rest = match round(&crew).await {
            Ok(Some(next)) => next,
            Ok(None) => CANDIDACY.mul_f64(0.75 + fastrand::f64() / 2.0),
            Err(error) => {
                tracing::warn!(%error, "schedules are looked at again in a while");
                CANDIDACY
            }
        };
        tokio::select! {
            () = tokio::time::sleep(rest) => {}
            () = &mut stopped => break,
        }
    }
    let holds = crew.jobs.lead(ROLE, &crew.instance, INSTANT).await;
    tracing::debug!(?holds, "the role of firing schedules is free");
}

/// Fires what is due. Tells how long there is nothing to do, or that another has the role.
pub(super) async fn round(crew: &Crew) -> Result<Option<Duration>, JobError> {
    if !crew.jobs.lead(ROLE, &crew.instance, TERM).await? {
        return Ok(None);
    }
    let mut rest = LOOK;
    for schedule in crew.jobs.schedules().await? {
        let now = crew.jobs.now().await?;
        let name = schedule.name.clone();
        let due = schedule.next_at <= now;
        match if due {
            fire_one(crew, schedule, now).await
        } else {
            Ok(schedule.next_at)
        } {
            Ok(next) => rest = rest.min(Duration::from_millis(next.saturating_sub(now).max(1))),
            Err(error @ JobError::Invalid { .. }) => {
                tracing::warn!(%error, schedule = name, "it cannot be fired");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Some(rest))
}

/// First the job, then the next tick: dying in between fires the tick again, and the
/// id, made from the tick, makes it the same job.
async fn fire_one(crew: &Crew, schedule: Schedule, now: u64) -> Result<u64, JobError> {
    let (next, job) = schedule.clone().fire(now)?;
    if let Some(job) = job
        && let Enqueued::Refused(error) = enqueue(crew, job).await?
    {
        tracing::warn!(%error, schedule = next.name, "its job was refused");
        if matches!(error, JobError::QueueFull { .. }) {
            // The tick stands until there is room.
            return Ok(now.saturating_add(millis(LOOK)));
        }
    }
    let at = next.next_at;
    if !crew.jobs.advance_schedule(&schedule, next).await? {
        tracing::debug!(schedule = schedule.name, "it was changed while it fired");
    }
    Ok(at)
}

async fn enqueue(crew: &Crew, job: crate::job::JobSpec) -> Result<Enqueued, JobError> {
    let taken = crew.jobs.enqueue(vec![job]).await?.pop();
    taken.ok_or(JobError::Closed)
}
