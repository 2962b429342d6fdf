//! One turn: what is sent, the answer as it comes, and the session behind it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use async_stream::try_stream;
use futures_util::{Stream, StreamExt, stream};
use serde::Serialize;
use serde_json::{Map, Value};

use super::prepared::{Prepared, taken};
use super::{ConversationError, Host};
use crate::error::Error;
use crate::provider::{Chunk, Usage};
use crate::session::{EntryKind, Guard, Session, SessionKey};
use crate::wrapper::Attempt;

/// What is asked of a session's model.
#[derive(Default)]
pub(super) struct Ask {
    /// The prompt, or
    pub(super) prompt: String,
    /// the template it is made of, with
    pub(super) template: Option<&'static str>,
    /// these fields.
    pub(super) fields: Map<String, Value>,
    /// About how many words are wanted.
    pub(super) words: Option<u32>,
    /// What the turn is for.
    pub(super) kind: EntryKind,
    /// Whether the session must have been trained.
    pub(super) trained: bool,
}

/// What a turn came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reply {
    /// What the model said.
    pub text: String,
    /// The model that answered, as the endpoint names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What it cost, as the endpoint counts it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Why the answer ended, as the endpoint says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
    /// Whether it was cut at a limit of tokens: it lacks its end.
    pub truncated: bool,
    /// Each attempt of the call.
    pub trail: Vec<Attempt>,
    /// Whether the turn had been taken before by the same job, so that no call was made.
    pub repeated: bool,
    /// The session behind it.
    pub session: Session,
}

/// A piece of a turn.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Piece {
    /// More text.
    Text {
        /// Never empty.
        text: String,
    },
    /// The turn is in the session: always the last piece, and only of a whole turn.
    Done {
        /// All of it.
        #[serde(flatten)]
        reply: Box<Reply>,
    },
}

/// A turn as it goes on. Nothing happens until it is polled; dropped before its end, it
/// leaves the session as it was.
pub struct TurnStream {
    pieces: Pin<Box<dyn Stream<Item = Result<Piece, Error>> + Send>>,
    writing: Arc<AtomicBool>,
}

impl TurnStream {
    /// Goes on to its end.
    ///
    /// # Errors
    /// What ended it early.
    pub async fn into_reply(mut self) -> Result<Reply, Error> {
        while let Some(piece) = self.next().await {
            if let Piece::Done { reply } = piece? {
                return Ok(*reply);
            }
        }
        Err(Error::Closed)
    }

    /// Whether the answer is whole, and being written: it may be in the session already.
    pub(super) fn is_writing(&self) -> bool {
        self.writing.load(Ordering::Acquire)
    }

    pub(super) fn failed(error: Error) -> Self {
        Self {
            pieces: Box::pin(stream::iter([Err(error)])),
            writing: Arc::default(),
        }
    }

    pub(super) fn refused(error: ConversationError) -> Self {
        Self::failed(error.into())
    }
}

impl Stream for TurnStream {
    type Item = Result<Piece, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.pieces.as_mut().poll_next(context)
    }
}

impl std::fmt::Debug for TurnStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TurnStream").finish_non_exhaustive()
    }
}

/// Takes a turn in a session.
pub(super) fn take(host: Arc<Host>, key: SessionKey, guard: Guard, ask: Ask) -> TurnStream {
    let writing = Arc::new(AtomicBool::new(false));
    let begins_writing = Arc::clone(&writing);
    let pieces = try_stream! {
        let _turn = host.turns.wait(&key).await?;
        if let Some(reply) = taken(&host, &key, &guard).await? {
            yield Piece::Text { text: reply.text.clone() };
            yield Piece::Done { reply: Box::new(reply) };
            return;
        }
        let mut prepared = Prepared::new(&host, &key, guard, &ask).await?;
        prepared.sum_up(&host, &key).await?;
        let request = prepared.request()?;
        let mut answer = prepared.wrapper.stream(request);
        let mut text = String::new();
        let (mut model, mut usage, mut finish_reason) = (None, None, None);
        while let Some(chunk) = answer.next().await {
            match chunk? {
                Chunk::Text { text: more } => {
                    text.push_str(&more);
                    yield Piece::Text { text: more };
                }
                Chunk::ToolCall { .. } => {}
                Chunk::Done { model: by, usage: cost, finish_reason: why } => {
                    (model, usage, finish_reason) = (by, cost, why);
                }
            }
        }
        if text.trim().is_empty() {
            Err(ConversationError::NoAnswer { finish_reason: finish_reason.clone() })?;
        }
        let trail = answer.trail();
        let truncated = finish_reason.as_deref().is_some_and(is_cut);
        let turn = prepared.turn(&text, usage, truncated, &trail);
        begins_writing.store(true, Ordering::Release);
        let written = prepared.write(&host, &key, turn).await?;
        yield Piece::Done {
            reply: Box::new(Reply {
                text,
                model,
                usage,
                finish_reason,
                truncated,
                trail,
                repeated: written.repeated,
                session: written.session,
            }),
        };
    };
    TurnStream {
        pieces: Box::pin(pieces),
        writing,
    }
}

/// Whether an answer that ended so lacks its end.
fn is_cut(finish_reason: &str) -> bool {
    matches!(
        finish_reason,
        "max_tokens" | "length" | "model_context_window_exceeded"
    )
}
