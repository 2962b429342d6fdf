//! A streamed answer: fails over before its first piece, never after it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::{Stream, StreamExt, stream};
use parking_lot::Mutex;

use super::ask::Ask;
use super::cache::ResponseCache;
use super::outcome::Attempt;
use super::rotation::Rotation;
use super::{Inner, timed_out};
use crate::error::Error;
use crate::provider::{Chunk, ChunkStream, Fault, FaultReason, Request, Response, whole};

/// How much of the text handed on an error repeats, and an answer to be cached may have.
const KEPT: usize = 1024 * 1024;

/// An answer as it comes. The last piece of a whole one is [`Chunk::Done`]; after
/// an error there is nothing more.
pub struct Answer {
    pieces: Pin<Box<dyn Stream<Item = Result<Chunk, Error>> + Send>>,
    trail: Arc<Mutex<Vec<Attempt>>>,
}

impl Answer {
    /// Each attempt so far.
    #[must_use]
    pub fn trail(&self) -> Vec<Attempt> {
        self.trail.lock().clone()
    }

    /// Reads it to its end.
    ///
    /// # Errors
    /// What ended it early.
    pub async fn into_response(mut self) -> Result<Response, Error> {
        let mut response = Response::default();
        while let Some(piece) = self.next().await {
            gather(&mut response, piece?);
        }
        Ok(response)
    }
}

impl Stream for Answer {
    type Item = Result<Chunk, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.pieces.as_mut().poll_next(context)
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer").finish_non_exhaustive()
    }
}

pub(super) fn refused(error: Error) -> Answer {
    Answer {
        pieces: Box::pin(stream::iter([Err(error)])),
        trail: Arc::default(),
    }
}

pub(super) fn open(wrapper: Arc<Inner>, request: Request) -> Answer {
    let trail = Arc::<Mutex<Vec<Attempt>>>::default();
    let key = wrapper
        .cache
        .is_some()
        .then(|| ResponseCache::key(&request))
        .flatten();
    let start = State::Start(Box::new(Start {
        wrapper,
        request,
        key,
        trail: Arc::clone(&trail),
    }));
    Answer {
        pieces: Box::pin(stream::unfold(start, State::advance)),
        trail,
    }
}

enum State {
    Start(Box<Start>),
    Kept(ChunkStream),
    Live(Box<Live>),
    Ended,
}

struct Start {
    wrapper: Arc<Inner>,
    request: Request,
    key: Option<[u8; 32]>,
    trail: Arc<Mutex<Vec<Attempt>>>,
}

struct Live {
    start: Start,
    rotation: Rotation,
    chunks: ChunkStream,
    /// What was handed on, the text up to KEPT.
    so_far: Response,
    overflowed: bool,
}

type Step = Option<(Result<Chunk, Error>, State)>;

impl State {
    async fn advance(self) -> Step {
        match self {
            Self::Start(start) => start.begin().await,
            Self::Kept(mut chunks) => {
                let chunk = chunks.next().await?.ok()?;
                Some((Ok(chunk), Self::Kept(chunks)))
            }
            Self::Live(live) => live.advance().await,
            Self::Ended => None,
        }
    }
}

impl Start {
    async fn begin(mut self: Box<Self>) -> Step {
        if let (Some(cache), Some(key)) = (&self.wrapper.cache, &self.key)
            && let Some(kept) = cache.get(key).await
        {
            return Box::pin(State::Kept(whole(Response::clone(&kept))).advance()).await;
        }
        let mut rotation = Rotation::new(Arc::clone(&self.wrapper), Ask::of(&self.request));
        loop {
            let turn = match rotation.next().await {
                Ok(turn) => turn,
                Err(error) => return self.fail(&rotation, error),
            };
            self.request.model.clone_from(&turn.model);
            let Some(target) = self.wrapper.targets.get(turn.target) else {
                return self.fail(&rotation, Error::Closed);
            };
            let first = async {
                let mut chunks = target
                    .provider
                    .stream(&self.request, &turn.credential, turn.patience)
                    .await?;
                let first = chunks.next().await.unwrap_or_else(|| Err(cut_short()))?;
                Ok::<_, Fault>((first, chunks))
            };
            let fault = match tokio::time::timeout(turn.patience.attempt, first).await {
                Ok(Ok((first, chunks))) => {
                    let live = Live {
                        start: *self,
                        rotation,
                        chunks,
                        so_far: Response::default(),
                        overflowed: false,
                    };
                    return Box::new(live).hand_on(first).await;
                }
                Ok(Err(fault)) => fault,
                Err(_) => timed_out(turn.patience),
            };
            rotation.fail(fault, None).await;
            *self.trail.lock() = rotation.trail().to_vec();
        }
    }

    fn fail(&self, rotation: &Rotation, error: Error) -> Step {
        *self.trail.lock() = rotation.trail().to_vec();
        Some((Err(error), State::Ended))
    }
}

impl Live {
    async fn advance(mut self: Box<Self>) -> Step {
        match self.chunks.next().await {
            Some(Ok(chunk)) => self.hand_on(chunk).await,
            Some(Err(fault)) => self.interrupt(fault).await,
            None => self.interrupt(cut_short()).await,
        }
    }

    async fn hand_on(mut self: Box<Self>, chunk: Chunk) -> Step {
        if self.so_far.text.len() < KEPT {
            gather(&mut self.so_far, chunk.clone());
        } else if matches!(chunk, Chunk::Text { .. }) {
            self.overflowed = true;
        }
        let Chunk::Done { usage, .. } = &chunk else {
            return Some((Ok(chunk), State::Live(self)));
        };
        self.rotation
            .succeed(usage.map(|usage| usage.total()))
            .await;
        *self.start.trail.lock() = self.rotation.trail().to_vec();
        if let (Some(cache), Some(key), false) =
            (&self.start.wrapper.cache, self.start.key, self.overflowed)
        {
            cache
                .insert(key, Arc::new(std::mem::take(&mut self.so_far)))
                .await;
        }
        Some((Ok(chunk), State::Ended))
    }

    async fn interrupt(mut self: Box<Self>, fault: Fault) -> Step {
        self.rotation
            .fail(fault.clone(), Some(&self.so_far.text))
            .await;
        let error = match self.rotation.next().await {
            Err(error) => error,
            Ok(_) => Error::StreamInterrupted {
                partial: String::new(),
                fault,
            },
        };
        self.start.fail(&self.rotation, error)
    }
}

fn gather(response: &mut Response, chunk: Chunk) {
    match chunk {
        Chunk::Text { text } => response.text.push_str(&text),
        Chunk::ToolCall { delta } => response.tool_calls.push(delta),
        Chunk::Done {
            model,
            usage,
            finish_reason,
        } => {
            response.model = model;
            response.usage = usage;
            response.finish_reason = finish_reason;
        }
    }
}

fn cut_short() -> Fault {
    Fault::new(FaultReason::Truncated, "the stream ended before its end")
}
