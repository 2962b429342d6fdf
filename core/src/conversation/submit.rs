//! How a job of a conversation is taken in: its ticket, its upload, then itself. One that is
//! refused, or there already, leaves nothing behind.

use bytes::Bytes;

use super::jobs::{Lesson, QUEUE, TIMEOUT, Task, What, session_name};
use super::material::Source;
use super::{Conversations, ticket};
use crate::clock::{Clock, SystemClock, millis};
use crate::error::Error;
use crate::job::{Enqueued, JobError, JobId, JobManager, JobSpec, JobState, Payload};
use crate::session::{FILE_LIMIT, Guard, Session, SessionError, SessionKey, Verb, Write};

/// What the names of files that jobs are to read begin with.
const UPLOAD: &str = "upload:";

impl Conversations {
    pub(super) async fn submit(
        &self,
        jobs: &dyn JobManager,
        key: &SessionKey,
        mut what: What,
        body: Option<Bytes>,
        mut job: JobSpec,
    ) -> Result<JobId, Error> {
        if job.queue.is_empty() {
            job.queue = QUEUE.into();
        }
        let (id, name) = (job.id.take().unwrap_or_default(), session_name(key));
        let ticket = ticket::new(&id)?;
        Self::prepare(jobs, &job.queue).await?;
        let session = self.take_ticket(jobs, key, &ticket, &job).await?;
        let guard = Guard::fenced(ticket.clone(), 0).of(session.incarnation);
        let kept = upload(&ticket);
        if let What::Training(Lesson {
            source: Source::File { file, .. },
            ..
        }) = &mut what
        {
            kept.clone_into(file);
        }
        let others = session.jobs.into_iter().map(|job| job.id);
        let task = Task {
            session: key.clone(),
            incarnation: session.incarnation,
            behind: others.filter(|other| *other != ticket).collect(),
            ticket,
            what,
        };
        job.kind = Some(task.what.kind().into());
        job.session = Some(name.clone().into());
        job.group = Some(name.into());
        job.timeout_ms = job.timeout_ms.or(Some(millis(TIMEOUT)));
        let has_file = body.is_some();
        let taken = async {
            if let Some(body) = body {
                self.keep(jobs, key, &guard, &kept, body).await?;
            }
            job.payload = Payload::of(&task)?;
            Ok::<_, Error>(jobs.enqueue_one(job.with_id(id)).await?)
        };
        let taken = taken.await;
        let unsure = matches!(&taken, Err(Error::Job(JobError::Unavailable { .. })));
        if !unsure && !matches!(&taken, Ok(Enqueued::Added(_))) {
            // There is no such job. Best effort: what stays goes in time.
            if has_file {
                let _ = self.sessions().drop_file(key, guard.clone(), &kept).await;
            }
            let verb = Verb::Detach;
            let _ = self.sessions().write(key, Write { guard, verb }).await;
        }
        Ok(taken?.id()?)
    }

    /// Puts a job's ticket into its session, behind those that are there. Jobs that ended
    /// without giving theirs back make room.
    async fn take_ticket(
        &self,
        jobs: &dyn JobManager,
        key: &SessionKey,
        ticket: &JobId,
        job: &JobSpec,
    ) -> Result<Session, Error> {
        let now = SystemClock.now();
        let write = Write {
            guard: Guard::fenced(ticket.clone(), 0),
            verb: Verb::Attach {
                for_ms: ticket::kept(job.due(now), now),
            },
        };
        match self.sessions().write(key, write.clone()).await {
            Err(SessionError::TooLarge {
                what: "number of jobs",
                ..
            }) => {}
            written => return Ok(written?.session),
        }
        let attached = self.sessions().get(key).await?.jobs;
        let tickets: Vec<JobId> = attached.iter().map(|job| job.id.clone()).collect();
        let found = ticket::jobs(jobs, &session_name(key), &tickets).await?;
        for (attached, job) in attached.into_iter().zip(found) {
            if is_over(&attached.id, job.as_ref().map(|job| job.status.state)) {
                self.give_back(key, attached.id, attached.epoch).await?;
            }
        }
        Ok(self.sessions().write(key, write).await?.session)
    }

    /// Takes the ticket of a job that is over out of its session, unless it is tried again.
    pub(super) async fn give_back(
        &self,
        key: &SessionKey,
        ticket: JobId,
        epoch: u64,
    ) -> Result<(), SessionError> {
        let (guard, verb) = (Guard::fenced(ticket, epoch), Verb::Detach);
        match self.sessions().write(key, Write { guard, verb }).await {
            Ok(_) | Err(SessionError::Job(JobError::StaleAttempt { .. })) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Keeps an upload until its job is done. Jobs that ended otherwise leave theirs, for
    /// whoever tries them again: these go when there is no more room.
    async fn keep(
        &self,
        jobs: &dyn JobManager,
        key: &SessionKey,
        guard: &Guard,
        name: &str,
        body: Bytes,
    ) -> Result<(), Error> {
        let sessions = self.sessions();
        let put = sessions.put_file(key, guard.clone(), name, body.clone());
        match put.await {
            Err(SessionError::TooLarge { limit, .. }) if limit == FILE_LIMIT => {}
            put => return Ok(put?),
        }
        let names = sessions.files(key).await?;
        let of_job = |name: &String| JobId::from_text(name.strip_prefix(UPLOAD)?).ok();
        let tickets: Vec<JobId> = names.iter().filter_map(of_job).collect();
        let found = ticket::jobs(jobs, &session_name(key), &tickets).await?;
        for (ticket, job) in tickets.iter().zip(found) {
            if is_over(ticket, job.map(|job| job.status.state)) {
                sessions
                    .drop_file(key, Guard::default(), &upload(ticket))
                    .await?;
            }
        }
        Ok(sessions.put_file(key, guard.clone(), name, body).await?)
    }
}

/// The name of the file that a ticket's job is to read.
fn upload(ticket: &JobId) -> String {
    format!("{UPLOAD}{ticket}")
}

/// Whether a ticket's job needs it no more; one without a trace may be just coming.
fn is_over(ticket: &JobId, state: Option<JobState>) -> bool {
    state.map_or_else(|| ticket::is_old(ticket), JobState::is_finished)
}
