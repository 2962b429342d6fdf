//! Conversations: turns as they come, and jobs that take them; documents as text.

use std::sync::Arc;

use bytes::Bytes;
use credential_rotation::conversation::{self, Piece, TurnStream as Turn, jobs, wire};
use credential_rotation::job::JobState;
use credential_rotation::session::SessionKey;
use credential_rotation::{Error, document};
use futures_util::{FutureExt, StreamExt};
use napi::bindgen_prelude::Buffer;
use napi_derive::napi;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::desk::{Desk, Reply};
use crate::errors::{Thrown, thrown};
use crate::jobs::JobManager;
use crate::runtime;
use crate::sessions::SessionManager;
use crate::wrapper::Wrapper;

/// Bytes that a document may have.
#[napi]
pub(crate) fn max_document_bytes() -> u32 {
    document::MAX_BYTES
}

/// One batch has at most so many pieces: text goes on while it is being read.
const MOST_PIECES: usize = 64;

/// Sessions and those who answer in them.
#[napi]
pub struct Conversations(conversation::Conversations);

#[napi]
impl Conversations {
    /// Over sessions, answered through a wrapper; options as JSON.
    #[napi(factory)]
    pub fn over(
        sessions: &SessionManager,
        wrapper: &Wrapper,
        options: String,
    ) -> Result<Self, Thrown> {
        let made = wire::conversations(sessions.here()?, wrapper.core(), Vec::new(), &options);
        made.map(Self).map_err(|error| thrown(&error))
    }

    /// The same with a wrapper that sessions may name as their provider.
    #[napi]
    pub fn with_wrapper(&self, name: String, wrapper: &Wrapper) -> Self {
        Self(self.0.clone().with_wrapper(&name, wrapper.core()))
    }

    /// Takes a turn. Nothing happens before the first piece is asked for.
    #[napi]
    pub fn say(&self, wish: String) -> TurnStream {
        let turn = wire::say(&self.0, &wish);
        TurnStream(Arc::new(Mutex::new(Some(turn))))
    }

    /// Asks for a job; its id comes under `number`.
    #[napi]
    pub fn submit(
        &self,
        desk: &Desk,
        number: u32,
        jobs: &JobManager,
        order: String,
        file: Option<Buffer>,
    ) -> napi::Result<()> {
        let (conversations, jobs) = (self.0.clone(), jobs.connected());
        let file = file.map(|body| Bytes::copy_from_slice(&body));
        desk.shared().submit(number, async move {
            let id = wire::submit(&conversations, &*jobs?, &order, file).await?;
            Ok(json!(id).to_string())
        })
    }
}

impl Conversations {
    pub(crate) fn core(&self) -> conversation::Conversations {
        self.0.clone()
    }
}

/// A job's state in the words that people are shown.
#[napi]
pub(crate) fn stage(kind: String, state: String) -> Option<&'static str> {
    let state: JobState = serde_json::from_value(json!(state)).ok()?;
    Some(jobs::stage(&kind, state))
}

/// What a session is called among jobs.
#[napi]
pub(crate) fn session_name(owner: String, id: String) -> Result<String, Thrown> {
    let key = SessionKey::new(&owner, &id).map_err(|error| thrown(&error.into()))?;
    Ok(jobs::session_name(&key))
}

/// Reads a document by options as JSON; it comes as JSON under `number`.
#[napi]
pub(crate) fn read_document(
    desk: &Desk,
    number: u32,
    body: Buffer,
    options: String,
) -> napi::Result<()> {
    // One byte too many tells as much as all of them.
    let most = body.len().min(document::MAX_BYTES as usize + 1);
    let body = Bytes::copy_from_slice(&body[..most]);
    desk.shared().submit(number, async move {
        let read = move || document::wire::read_json(&body, &options);
        let read = tokio::task::spawn_blocking(read).await;
        Ok(read.map_err(|_| Error::Closed)??)
    })
}

/// A turn as it goes on. Dropping it leaves the session as it was.
#[napi]
pub struct TurnStream(Arc<Mutex<Option<Turn>>>);

#[napi]
impl TurnStream {
    /// The next pieces under `number`: `{pieces, error?, done}`.
    #[napi]
    pub fn next(&self, desk: &Desk, number: u32) -> napi::Result<()> {
        let turn = Arc::clone(&self.0);
        desk.shared().submit(number, async move {
            let mut turn = turn.lock().await;
            let Some(open) = turn.as_mut() else {
                return Ok(json!({ "pieces": [], "done": true }).to_string());
            };
            let (reply, ended) = advance(open).await;
            if ended {
                *turn = None;
            }
            reply
        })
    }

    /// Stops the turn. A read in flight is to be cancelled first.
    #[napi]
    pub fn close(&self) -> napi::Result<()> {
        let turn = Arc::clone(&self.0);
        runtime::spawn(async move {
            turn.lock().await.take();
        })?;
        Ok(())
    }
}

impl Drop for TurnStream {
    fn drop(&mut self) {
        runtime::drop_inside(Arc::clone(&self.0));
    }
}

async fn advance(turn: &mut Turn) -> (Reply, bool) {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut end = None;
    let mut piece = turn.next().await;
    loop {
        match piece {
            Some(Ok(piece)) => {
                if matches!(piece, Piece::Done { .. }) {
                    end = Some(Value::Null);
                }
                pieces.push(piece);
            }
            Some(Err(error)) => end = Some(error.to_json()),
            None => end = Some(Value::Null),
        }
        if end.is_some() || pieces.len() == MOST_PIECES {
            break;
        }
        match turn.next().now_or_never() {
            Some(further) => piece = further,
            None => break,
        }
    }
    let mut reply = json!({ "pieces": pieces, "done": end.is_some() });
    let ended = end.is_some();
    if let Some(error) = end.filter(|error| !error.is_null()) {
        reply["error"] = error;
    }
    (Ok(reply.to_string()), ended)
}
