//! Training and generation as jobs: how they are asked for.
//!
//! Jobs of one session are of one group, of which one runs at a time: that keeps a session's
//! turns in order across processes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::material::{self, Source};
use super::{Brief, Conversations, Material};
use crate::clock::{Clock, SystemClock, millis};
use crate::error::Error;
use crate::job::worker::Handler;
use crate::job::{JobError, JobId, JobManager, JobSpec, JobState, Payload, QueueLimits};
use crate::session::{FILE_LIMIT, Guard, SessionError, SessionKey};

/// The queue of both kinds, unless another is named.
pub const QUEUE: &str = "conversations";
/// The kind of jobs that train a session.
pub const TRAINING: &str = "training";
/// The kind of jobs that write a text in one.
pub const GENERATION: &str = "generation";

/// How long an attempt may take unless the job says otherwise.
const TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// What the names of files that jobs are to read begin with.
const UPLOAD: &str = "upload:";

/// A document that is to be learned from.
#[derive(Debug, Clone, PartialEq)]
pub enum Document {
    /// A file's name and content: PDF, Markdown or plain text.
    File(String, Bytes),
    /// A text.
    Text(Material),
}

/// What a job is about, as its payload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Task<T> {
    pub(super) owner: String,
    pub(super) session: String,
    #[serde(flatten)]
    pub(super) what: T,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Lesson {
    pub(super) source: Source,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) max_pages: Option<u32>,
}

impl Conversations {
    /// Sets up a queue for conversations: one job of a session runs at a time.
    ///
    /// # Errors
    /// When the jobs' backend cannot be used.
    pub async fn prepare(jobs: &dyn JobManager, queue: &str) -> Result<(), JobError> {
        let before = jobs.limits(queue).await?;
        if before.group_concurrency == Some(1) {
            return Ok(());
        }
        let limits = QueueLimits {
            group_concurrency: Some(1),
            ..before
        };
        jobs.set_limits(queue, limits).await
    }

    /// Asks for a session to be trained; `max_pages` reads no more of a file. The job's
    /// queue, id, retries and the like are `job`'s.
    ///
    /// # Errors
    /// [`SessionError::UnknownSession`], a file over the limit, or when a backend cannot be
    /// used. Then there is no job.
    pub async fn submit_training(
        &self,
        jobs: &dyn JobManager,
        key: &SessionKey,
        document: Document,
        max_pages: Option<u32>,
        job: JobSpec,
    ) -> Result<JobId, Error> {
        let id = job.id.clone().unwrap_or_default();
        let mut file = None;
        let source = match document {
            Document::Text(material) => {
                self.sessions().get(key).await?;
                Source::Text(material)
            }
            Document::File(name, body) => {
                material::check(&name, &body)?;
                let kept = upload(&id);
                self.keep(jobs, key, &kept, body).await?;
                file = Some(kept.clone());
                Source::File { file: kept, name }
            }
        };
        let lesson = Lesson { source, max_pages };
        let submitted = submit(jobs, key, TRAINING, lesson, job.with_id(id)).await;
        if let (Err(_), Some(file)) = (&submitted, file) {
            // Best effort: it goes with its session otherwise.
            let _ = self
                .sessions()
                .drop_file(key, Guard::default(), &file)
                .await;
        }
        submitted
    }

    /// Keeps an upload until its job has ended. Jobs that were called off before they began
    /// leave theirs: these go when there is no more room.
    async fn keep(
        &self,
        jobs: &dyn JobManager,
        key: &SessionKey,
        name: &str,
        body: Bytes,
    ) -> Result<(), Error> {
        let sessions = self.sessions();
        match sessions
            .put_file(key, Guard::default(), name, body.clone())
            .await
        {
            Err(SessionError::TooLarge { limit, .. }) if limit == FILE_LIMIT => {}
            put => return Ok(put?),
        }
        let names = sessions.files(key).await?;
        let of_job = |name: &String| JobId::from_text(name.strip_prefix(UPLOAD)?).ok();
        let ids: Vec<JobId> = names.iter().filter_map(of_job).collect();
        for (id, job) in ids.iter().zip(jobs.get(&ids).await?) {
            if job.map_or_else(|| is_old(id), |job| job.status.state.is_finished()) {
                sessions
                    .drop_file(key, Guard::default(), &upload(id))
                    .await?;
            }
        }
        Ok(sessions.put_file(key, Guard::default(), name, body).await?)
    }

    /// Asks for a text to be written.
    ///
    /// # Errors
    /// [`SessionError::UnknownSession`], or when a backend cannot be used.
    pub async fn submit_generation(
        &self,
        jobs: &dyn JobManager,
        key: &SessionKey,
        brief: &Brief,
        job: JobSpec,
    ) -> Result<JobId, Error> {
        self.sessions().get(key).await?;
        submit(jobs, key, GENERATION, brief.clone(), job).await
    }
}

async fn submit<T: Serialize>(
    jobs: &dyn JobManager,
    key: &SessionKey,
    kind: &str,
    what: T,
    mut job: JobSpec,
) -> Result<JobId, Error> {
    if job.queue.is_empty() {
        job.queue = QUEUE.into();
    }
    Conversations::prepare(jobs, &job.queue).await?;
    let (owner, session) = (key.owner().to_owned(), key.id().to_owned());
    job.payload = Payload::of(&Task {
        owner,
        session,
        what,
    })?;
    job.kind = Some(kind.into());
    job.session = Some(key.id().into());
    job.group = Some(group(key).into());
    job.timeout_ms = job.timeout_ms.or(Some(millis(TIMEOUT)));
    Ok(jobs.enqueue_one(job).await?.id()?)
}

/// The name of the file that a job is to read.
fn upload(id: &JobId) -> String {
    let name = format!("{UPLOAD}{id}");
    match name.len() <= crate::session::NAME_LIMIT {
        true => name,
        false => id.to_string(),
    }
}

/// Whether an id was made long ago: a younger job without a trace may be just coming.
fn is_old(id: &JobId) -> bool {
    const LONG: u64 = 3_600;
    let made = uuid::Uuid::parse_str(id.as_str()).ok();
    let made = made.and_then(|made| made.get_timestamp());
    made.is_some_and(|made| made.to_unix().0 + LONG < SystemClock.now() / 1_000)
}

/// One group for each session; long names are told apart by their end's digest.
fn group(key: &SessionKey) -> String {
    use sha2::{Digest, Sha256};
    let whole = key.to_string();
    if whole.len() <= crate::job::NAME_LIMIT {
        return whole;
    }
    format!("{:x}", Sha256::digest(&whole))
}

/// A job's state in the words that people are shown: `pending`, `training` or `generating`,
/// `completed`, `failed`, `cancelled`.
#[must_use]
pub fn stage(kind: &str, state: JobState) -> &'static str {
    match (state, kind) {
        (JobState::Running, TRAINING) => "training",
        (JobState::Running, GENERATION) => "generating",
        (JobState::Running, _) => "running",
        (JobState::Completed, _) => "completed",
        (JobState::Failed, _) => "failed",
        (JobState::Cancelled, _) => "cancelled",
        _ => "pending",
    }
}

/// The handler for both kinds, to be given to a worker.
#[must_use]
pub fn handler(conversations: &Conversations) -> Arc<dyn Handler> {
    Arc::new(conversations.clone())
}
