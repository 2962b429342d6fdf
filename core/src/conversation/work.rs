//! The handler of training and generation: an attempt at a turn, told of as it goes.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use serde_json::{Value, json};

use super::jobs::{GENERATION, Lesson, TRAINING, Task, What, session_name};
use super::material::{self, Source};
use super::verdict::{is_final, is_useless, verdict};
use super::{Brief, Conversation, Conversations, Piece, Reply, TurnStream, ticket};
use crate::clock::{Clock, SystemClock, millis};
use crate::error::Error;
use crate::job::worker::{Context, Handler, HandlerError};
use crate::job::{Failure, JobId, Payload};
use crate::session::{Session, Verb, Write};

/// What an attempt begins with.
enum Begun {
    /// Its turn.
    Turn(Conversation),
    /// A rest: others were asked for before it.
    Rest(Duration),
}

/// Does training and generation.
#[async_trait]
impl Handler for Conversations {
    async fn run(&self, job: Context) -> Result<Payload, HandlerError> {
        if ![TRAINING, GENERATION].contains(&job.kind()) {
            let kind = job.kind();
            let problem = format!("`{kind}` is neither `{TRAINING}` nor `{GENERATION}`");
            let failure = Failure::new("unknown_kind", problem);
            return Err(HandlerError::Unrecoverable(failure));
        }
        let task: Task = job.payload().read().map_err(|e| verdict(&e.into()))?;
        let turn = match self.begin(&job, &task).await {
            Ok(Begun::Turn(turn)) => turn,
            Ok(Begun::Rest(rest)) => return Err(HandlerError::Snooze(rest)),
            Err(error) => return Err(verdict(&error)),
        };
        let done = match &task.what {
            What::Training(lesson) => self.train(&job, &turn, lesson).await,
            What::Generation(brief) => generate(&job, &turn, brief).await,
        };
        self.end(&job, &task, &done).await;
        done.map_err(|error| verdict(&error))
    }
}

impl Conversations {
    async fn train(
        &self,
        job: &Context,
        turn: &Conversation,
        lesson: &Lesson,
    ) -> Result<Payload, Error> {
        // Before the document is read: it goes once its turn is in the session.
        let (reply, title, pages) = if let Some(reply) = turn.taken().await? {
            (reply, lesson.source.name().to_owned(), None)
        } else {
            let (source, max_pages) = (&lesson.source, lesson.max_pages);
            let read = material::read(self.sessions(), turn.key(), source, max_pages, job);
            let (learned, pages) = read.await?;
            job.progress(30.0, "waiting for the model");
            let reply = follow(job, turn.train_stream(&learned), None).await?;
            (reply, learned.title, pages)
        };
        job.progress(100.0, "trained");
        result(&reply, json!({ "title": title, "pages": pages }))
    }

    /// The session, with a note that this attempt works on it, once it is the job's turn.
    async fn begin(&self, job: &Context, task: &Task) -> Result<Begun, Error> {
        let left = job
            .deadline()
            .map_or(0, |at| at.saturating_sub(SystemClock.now()));
        let guard = task.guard(job.lease().epoch);
        let write = Write {
            guard: guard.clone(),
            verb: Verb::Attach {
                for_ms: left.saturating_add(millis(ticket::KEPT)),
            },
        };
        let session = self.sessions().write(&task.session, write).await?.session;
        if let Some(rest) = self.comes_behind(job, task, &session).await? {
            return Ok(Begun::Rest(rest));
        }
        let mut turn = self.open(task.session.clone());
        turn.guard = guard;
        Ok(Begun::Turn(turn))
    }

    /// How long it rests at least for jobs that were asked for before it.
    async fn comes_behind(
        &self,
        job: &Context,
        task: &Task,
        session: &Session,
    ) -> Result<Option<Duration>, Error> {
        let attached = session.jobs.iter();
        let (tickets, epochs): (Vec<JobId>, Vec<u64>) = attached
            .filter(|attached| task.behind.contains(&attached.id))
            .map(|attached| (attached.id.clone(), attached.epoch))
            .unzip();
        if tickets.is_empty() {
            return Ok(None);
        }
        let key = &task.session;
        let found = ticket::jobs(&**job.jobs(), &session_name(key), &tickets).await?;
        let mut rest = None;
        for ((ticket, epoch), before) in tickets.into_iter().zip(epochs).zip(found) {
            match before {
                Some(before) if before.status.state.is_finished() => {
                    self.give_back(key, ticket, epoch).await?;
                }
                Some(before) if before.spec.queue == job.lease().queue => {
                    rest = rest.max(ticket::holds_up(&before));
                }
                // Queues know no order among each other; without a trace it is gone, or
                // asked for just now.
                _ => {}
            }
        }
        Ok(rest)
    }

    /// Gives the ticket back if the job is over, and drops what it alone could use. Should
    /// that fail, both end by their time. A late attempt is refused: it drops nothing.
    async fn end(&self, job: &Context, task: &Task, done: &Result<Payload, Error>) {
        let last = job.attempt() >= job.spec().max_attempts;
        let fails = |error| !job.is_cancelled() && (is_final(error) || last && !rests(error));
        let over = match done {
            Ok(_) => true,
            Err(error) => job.is_called_off() || fails(error),
        };
        if !over {
            return;
        }
        let (key, guard) = (&task.session, task.guard(job.lease().epoch));
        // What another attempt could read stays: the job may be tried again by hand.
        let used = done.as_ref().map_or_else(is_useless, |_| true);
        if let What::Training(Lesson {
            source: Source::File { file, .. },
            ..
        }) = &task.what
            && used
            && let Err(error) = self.sessions().drop_file(key, guard.clone(), file).await
        {
            tracing::debug!(session = %key, %error, "the upload could not be dropped");
        }
        let verb = Verb::Detach;
        if let Err(error) = self.sessions().write(key, Write { guard, verb }).await {
            tracing::debug!(session = %key, %error, "the job could not be detached");
        }
    }
}

fn rests(error: &Error) -> bool {
    matches!(verdict(error), HandlerError::Snooze(_))
}

async fn generate(job: &Context, turn: &Conversation, brief: &Brief) -> Result<Payload, Error> {
    job.progress(0.0, "waiting for the model");
    let reply = follow(job, turn.generate_stream(brief), Some(brief.words)).await?;
    job.progress(100.0, "written");
    result(&reply, json!({ "topic": brief.topic }))
}

/// Follows a turn to its end, saying how far it is; stops when the attempt is called off,
/// unless the turn is being written: then it is in the session, and the job is done.
async fn follow(job: &Context, mut turn: TurnStream, words: Option<u32>) -> Result<Reply, Error> {
    let cancelled = job.cancelled();
    let mut written = Written::default();
    loop {
        let piece = tokio::select! {
            biased;
            piece = turn.next() => piece,
            () = cancelled.cancelled() => match turn.is_writing() {
                true => turn.next().await,
                false => return Err(Error::Closed),
            },
        };
        match piece {
            Some(Ok(Piece::Text { text })) => {
                written.add(&text);
                let share = words.map_or(0.5, |words| f64::from(written.words) / f64::from(words));
                // The end comes with the result.
                let percent = 35.0 + 60.0 * share.min(1.0);
                #[allow(clippy::cast_possible_truncation)]
                job.progress(percent as f32, written.told());
            }
            Some(Ok(Piece::Done { reply })) => return Ok(*reply),
            Some(Err(error)) => return Err(error),
            None => return Err(Error::Closed),
        }
    }
}

/// How much of an answer has come.
#[derive(Default)]
struct Written {
    words: u32,
    bytes: u64,
    in_word: bool,
}

impl Written {
    fn add(&mut self, text: &str) {
        self.bytes += text.len() as u64;
        for c in text.chars() {
            let inside = !c.is_whitespace();
            self.words += u32::from(inside && !self.in_word);
            self.in_word = inside;
        }
    }

    /// Endpoints count tokens at the end: until then they are estimated.
    fn told(&self) -> String {
        let tokens = self.bytes.div_ceil(4);
        format!("{} words written (about {tokens} tokens)", self.words)
    }
}

fn result(reply: &Reply, about: Value) -> Result<Payload, Error> {
    let mut value = json!({
        "session": reply.session.key.id(),
        "text": reply.text,
        "words": reply.text.split_whitespace().count(),
        "model": reply.model,
        "usage": reply.usage,
        "finish_reason": reply.finish_reason,
        "truncated": reply.truncated,
        "attempts": reply.trail.len(),
        "version": reply.session.version,
    });
    if let (Value::Object(value), Value::Object(about)) = (&mut value, about) {
        value.extend(about);
    }
    Ok(Payload::of(&value)?)
}
