//! Training and generation as jobs: how they are asked for.
//!
//! Jobs of one session are of one group, of which one runs at a time, and none before those
//! that were asked for earlier: that keeps a session's turns in order across processes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::material::{self, Source};
use super::{Brief, Conversations, Material};
use crate::error::Error;
use crate::job::worker::Handler;
use crate::job::{JobError, JobId, JobManager, JobSpec, JobState, QueueLimits};
use crate::session::{Guard, SessionKey};

/// The queue of both kinds, unless another is named.
pub const QUEUE: &str = "conversations";
/// The kind of jobs that train a session.
pub const TRAINING: &str = "training";
/// The kind of jobs that write a text in one.
pub const GENERATION: &str = "generation";

/// How long an attempt may take unless the job says otherwise.
pub(super) const TIMEOUT: Duration = Duration::from_secs(30 * 60);

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
pub(super) struct Task {
    pub(super) session: SessionKey,
    /// The session's incarnation: what is made anew under its name is another.
    pub(super) incarnation: u64,
    pub(super) ticket: JobId,
    /// The tickets that it comes behind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) behind: Vec<JobId>,
    pub(super) what: What,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum What {
    Training(Lesson),
    Generation(Brief),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Lesson {
    pub(super) source: Source,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) max_pages: Option<u32>,
}

impl Task {
    /// The conditions of what an attempt of its job writes.
    pub(super) fn guard(&self, epoch: u64) -> Guard {
        Guard::fenced(self.ticket.clone(), epoch).of(self.incarnation)
    }
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
    /// [`UnknownSession`](crate::session::SessionError), a file over the limit, too many unfinished jobs of
    /// the session, or when a backend cannot be used.
    pub async fn submit_training(
        &self,
        jobs: &dyn JobManager,
        key: &SessionKey,
        document: Document,
        max_pages: Option<u32>,
        job: JobSpec,
    ) -> Result<JobId, Error> {
        let (source, body) = match document {
            Document::Text(material) => (Source::Text(material), None),
            Document::File(name, body) => {
                material::check(&name, &body)?;
                let file = String::new();
                (Source::File { file, name }, Some(body))
            }
        };
        let what = What::Training(Lesson { source, max_pages });
        self.submit(jobs, key, what, body, job).await
    }

    /// Asks for a text to be written.
    ///
    /// # Errors
    /// [`UnknownSession`](crate::session::SessionError), too many unfinished jobs of the session, or when a
    /// backend cannot be used.
    pub async fn submit_generation(
        &self,
        jobs: &dyn JobManager,
        key: &SessionKey,
        brief: &Brief,
        job: JobSpec,
    ) -> Result<JobId, Error> {
        let what = What::Generation(brief.clone());
        self.submit(jobs, key, what, None, job).await
    }
}

impl What {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Training(_) => TRAINING,
            Self::Generation(_) => GENERATION,
        }
    }
}

/// What a session is called among jobs, as their `session` and their `group`:
/// `OWNER/ID`, with `%2F` and `%25` for slashes and percent signs in the owner; long names
/// are told apart by their digest.
#[must_use]
pub fn session_name(key: &SessionKey) -> String {
    use sha2::{Digest, Sha256};
    let owner = key.owner().replace('%', "%25").replace('/', "%2F");
    let whole = format!("{owner}/{}", key.id());
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
