//! A streamed answer: pieces in batches of what is there already.

use std::sync::Arc;

use credential_rotation::provider::Chunk;
use credential_rotation::wrapper::Answer;
use futures_util::{FutureExt, StreamExt};
use napi_derive::napi;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::desk::{Desk, Reply};
use crate::runtime;

/// One batch has at most so many pieces: text goes on while it is being read.
const MOST_PIECES: usize = 64;

/// An answer as it comes. Dropping it stops the work upstream.
#[napi]
pub struct AnswerStream(Arc<Mutex<Option<Reading>>>);

struct Reading {
    answer: Answer,
    attempts_told: Option<usize>,
}

#[napi]
impl AnswerStream {
    /// The next pieces under `number`: `{chunks, trail?, error?, done}`.
    #[napi]
    pub fn next(&self, desk: &Desk, number: u32) -> napi::Result<()> {
        let reading = Arc::clone(&self.0);
        desk.shared().submit(number, async move {
            let mut reading = reading.lock().await;
            let (reply, ended) = match reading.as_mut() {
                Some(open) => open.advance().await,
                None => (Ok(json!({ "chunks": [], "done": true }).to_string()), false),
            };
            if ended {
                *reading = None;
            }
            reply
        })
    }

    /// Stops the work upstream. A read in flight is to be cancelled first.
    #[napi]
    pub fn close(&self) -> napi::Result<()> {
        let reading = Arc::clone(&self.0);
        runtime::spawn(async move {
            reading.lock().await.take();
        })?;
        Ok(())
    }
}

impl AnswerStream {
    pub(crate) fn new(answer: Answer) -> Self {
        let reading = Reading {
            answer,
            attempts_told: None,
        };
        Self(Arc::new(Mutex::new(Some(reading))))
    }
}

impl Drop for AnswerStream {
    fn drop(&mut self) {
        runtime::drop_inside(Arc::clone(&self.0));
    }
}

impl Reading {
    async fn advance(&mut self) -> (Reply, bool) {
        let mut chunks: Vec<Chunk> = Vec::new();
        let mut end = None;
        let mut piece = self.answer.next().await;
        loop {
            match piece {
                Some(Ok(chunk)) => {
                    let last = matches!(chunk, Chunk::Done { .. });
                    chunks.push(chunk);
                    if last {
                        end = Some(Value::Null);
                        break;
                    }
                }
                Some(Err(error)) => {
                    end = Some(error.to_json());
                    break;
                }
                None => {
                    end = Some(Value::Null);
                    break;
                }
            }
            if chunks.len() == MOST_PIECES {
                break;
            }
            match self.answer.next().now_or_never() {
                Some(further) => piece = further,
                None => break,
            }
        }
        let mut reply = json!({ "chunks": chunks, "done": end.is_some() });
        let trail = self.answer.trail();
        if end.is_some() || self.attempts_told != Some(trail.len()) {
            self.attempts_told = Some(trail.len());
            reply["trail"] = json!(trail);
        }
        let ended = end.is_some();
        if let Some(error) = end.filter(|error| !error.is_null()) {
            reply["error"] = error;
        }
        (Ok(reply.to_string()), ended)
    }
}
