//! The handler of training and generation: an attempt at a turn, told of as it goes.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use serde_json::{Value, json};

use super::jobs::{GENERATION, Lesson, TRAINING, Task};
use super::material::{self, Source};
use super::{Brief, Conversation, Conversations, Piece, Reply, TurnStream};
use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::job::worker::{Context, Handler, HandlerError};
use crate::job::{Failure, JobError, Payload};
use crate::session::{Guard, SessionError, SessionKey, Verb, Write};

/// A session whose worker died is kept from clean-up for so long beyond the attempt's time.
const GRACE_MS: u64 = 3_600_000;
/// The shortest and longest rest when no credential can be used.
const RESTS: (u64, u64) = (1_000, 600_000);

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
            let _ = sessions.drop_file(&key, Guard::default(), file).await;
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
    Guard::fenced(lease.id.clone(), lease.epoch)
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
