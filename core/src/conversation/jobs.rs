//! Training and generation as jobs: how they are asked for, and the handler that does them.
//!
//! Jobs of one session are of one group, of which one runs at a time: that keeps a session's
//! turns in order across processes.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::material::{self, Source};
use super::{Brief, Conversation, Conversations, Material, Piece, Reply, TurnStream};
use crate::clock::{Clock, SystemClock, millis};
use crate::error::Error;
use crate::job::worker::{Context, Handler, HandlerError};
use crate::job::{Failure, JobError, JobId, JobManager, JobSpec, JobState, Payload, QueueLimits};
use crate::session::{Fence, Guard, SessionError, SessionKey, Verb, Write};

/// The queue of both kinds, unless another is named.
pub const QUEUE: &str = "conversations";
/// The kind of jobs that train a session.
pub const TRAINING: &str = "training";
/// The kind of jobs that write a text in one.
pub const GENERATION: &str = "generation";

/// How long an attempt may take unless the job says otherwise.
const TIMEOUT: Duration = Duration::from_secs(30 * 60);
/// A session whose worker died is kept from clean-up for so long beyond the attempt's time.
const GRACE_MS: u64 = 3_600_000;
/// The shortest and longest rest when no credential can be used.
const RESTS: (u64, u64) = (1_000, 600_000);

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
struct Task<T> {
    owner: String,
    session: String,
    #[serde(flatten)]
    what: T,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Lesson {
    source: Source,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_pages: Option<u32>,
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
                self.sessions().put_file(key, id.as_str(), body).await?;
                file = Some(id.clone());
                Source::File {
                    file: id.to_string(),
                    name,
                }
            }
        };
        let lesson = Lesson { source, max_pages };
        let submitted = submit(jobs, key, TRAINING, lesson, job.with_id(id)).await;
        if let (Err(_), Some(file)) = (&submitted, file) {
            // Best effort: it goes with its session otherwise.
            let _ = self.sessions().drop_file(key, file.as_str()).await;
        }
        submitted
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

/// Does training and generation.
#[async_trait]
impl Handler for Conversations {
    async fn run(&self, job: Context) -> Result<Payload, HandlerError> {
        let done = match job.kind() {
            TRAINING => self.train(&job).await,
            GENERATION => self.generate(&job).await,
            kind => {
                let problem = format!("`{kind}` is neither `{TRAINING}` nor `{GENERATION}`");
                return Err(HandlerError::Unrecoverable(Failure::new(
                    "unknown_kind",
                    problem,
                )));
            }
        };
        done.map_err(|error| verdict(&error))
    }
}

impl Conversations {
    async fn train(&self, job: &Context) -> Result<Payload, Error> {
        let task: Task<Lesson> = job.payload().read()?;
        let conversation = self.begin(job, &task.owner, &task.session).await?;
        let key = conversation.key().clone();
        let sessions = self.sessions();
        let trained = async {
            let (learned, pages) =
                material::read(sessions, &key, &task.what.source, task.what.max_pages, job).await?;
            job.progress(30.0, "waiting for the model");
            let reply = follow(job, conversation.train_stream(&learned), None).await?;
            result(&reply, json!({ "title": learned.title, "pages": pages }))
        };
        let trained = trained.await;
        let last = job.attempt() >= job.spec().max_attempts;
        let over = trained
            .as_ref()
            .map_or_else(|e| last || is_final(e), |_| true);
        if let Source::File { file, .. } = &task.what.source
            && over
        {
            // Best effort: it goes with its session otherwise.
            let _ = sessions.drop_file(&key, file).await;
        }
        self.end(job, &key).await;
        if trained.is_ok() {
            job.progress(100.0, "trained");
        }
        trained
    }

    async fn generate(&self, job: &Context) -> Result<Payload, Error> {
        let task: Task<Brief> = job.payload().read()?;
        let conversation = self.begin(job, &task.owner, &task.session).await?;
        job.progress(0.0, "waiting for the model");
        let stream = conversation.generate_stream(&task.what);
        let written = match follow(job, stream, Some(task.what.words)).await {
            Ok(reply) => result(&reply, json!({ "topic": task.what.topic })),
            Err(error) => Err(error),
        };
        self.end(job, conversation.key()).await;
        if written.is_ok() {
            job.progress(100.0, "written");
        }
        written
    }

    /// The session, with a note that this attempt works on it.
    async fn begin(&self, job: &Context, owner: &str, id: &str) -> Result<Conversation, Error> {
        let key = SessionKey::new(owner, id)?;
        let now = SystemClock.now();
        let left = job.deadline().map_or(0, |at| at.saturating_sub(now));
        let write = Write {
            guard: guard(job),
            verb: Verb::Attach {
                for_ms: left.saturating_add(GRACE_MS),
            },
        };
        self.sessions().write(&key, write).await?;
        let fence = guard(job).fence;
        let conversation = self.open(key);
        Ok(match fence {
            Some(fence) => conversation.fenced(fence),
            None => conversation,
        })
    }

    /// Takes the note back. Should that fail, it ends by its time.
    async fn end(&self, job: &Context, key: &SessionKey) {
        let write = Write {
            guard: guard(job),
            verb: Verb::Detach,
        };
        if let Err(error) = self.sessions().write(key, write).await {
            tracing::debug!(session = %key, %error, "the job could not be detached");
        }
    }
}

fn guard(job: &Context) -> Guard {
    let lease = job.lease();
    Guard {
        version: None,
        fence: Some(Fence {
            job: lease.id.clone(),
            epoch: lease.epoch,
        }),
    }
}

/// Follows a turn to its end, saying how far it is; stops when the attempt is called off.
async fn follow(job: &Context, mut turn: TurnStream, words: Option<u32>) -> Result<Reply, Error> {
    let cancelled = job.cancelled();
    let (mut written, mut in_word) = (0_u32, false);
    loop {
        let piece = tokio::select! {
            piece = turn.next() => piece,
            () = cancelled.cancelled() => return Err(Error::Closed),
        };
        match piece {
            Some(Ok(Piece::Text { text })) => {
                for c in text.chars() {
                    let inside = !c.is_whitespace();
                    written += u32::from(inside && !in_word);
                    in_word = inside;
                }
                let share = words.map_or(0.5, |words| f64::from(written) / f64::from(words));
                // The end comes with the result.
                let percent = 35.0 + 60.0 * share.min(1.0);
                #[allow(clippy::cast_possible_truncation)]
                job.progress(percent as f32, format!("{written} words written"));
            }
            Some(Ok(Piece::Done { reply })) => return Ok(*reply),
            Some(Err(error)) => return Err(error),
            None => return Err(Error::Closed),
        }
    }
}

fn result(reply: &Reply, about: Value) -> Result<Payload, Error> {
    let mut value = json!({
        "session": reply.session.key.id(),
        "text": reply.text,
        "words": reply.text.split_whitespace().count(),
        "model": reply.model,
        "usage": reply.usage,
        "attempts": reply.trail.len(),
        "version": reply.session.version,
    });
    if let (Value::Object(value), Value::Object(about)) = (&mut value, about) {
        value.extend(about);
    }
    Ok(Payload::of(&value)?)
}

/// Whether another attempt would come to the same.
fn is_final(error: &Error) -> bool {
    match error {
        Error::Session(SessionError::StaleVersion { .. }) => false,
        Error::Session(SessionError::Job(error)) | Error::Job(error) => !matches!(
            error,
            JobError::Unavailable { .. } | JobError::Unsuitable { .. }
        ),
        Error::Conversation(super::ConversationError::NoAnswer { .. }) => false,
        Error::Session(_) | Error::Conversation(_) => true,
        Error::EmptyPrompt
        | Error::PromptTooLarge { .. }
        | Error::UnknownProvider { .. }
        | Error::InvalidConfig { .. }
        | Error::InvalidUrl { .. }
        | Error::RequestRejected { .. } => true,
        Error::Document(_) => true,
        _ => false,
    }
}

/// What is to follow an attempt that failed so.
fn verdict(error: &Error) -> HandlerError {
    if let Error::AllCooling {
        earliest: Some(at), ..
    } = error
    {
        // No call was made: it costs no attempt.
        let rest = at.saturating_sub(SystemClock.now());
        return HandlerError::Snooze(Duration::from_millis(rest.clamp(RESTS.0, RESTS.1)));
    }
    let failure = Failure::new(error.code(), error.to_string());
    if is_final(error) {
        HandlerError::Unrecoverable(failure)
    } else {
        HandlerError::Failed(failure)
    }
}

/// The handler for both kinds, to be given to a worker.
#[must_use]
pub fn handler(conversations: &Conversations) -> Arc<dyn Handler> {
    Arc::new(conversations.clone())
}
