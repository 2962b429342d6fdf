//! A streamed answer as it comes: bytes to events to chunks, and what breaks it.
//!
//! A [`Reader`] knows the wire format; silence, bounds and endings are told here.

use std::collections::VecDeque;
use std::time::Duration;

use super::super::{Chunk, ChunkStream, Fault, FaultReason, Patience};
use super::HttpLimits;
use super::exchange::cut_off;
use super::sse::{Event, EventParser, NotEvents};
use crate::credential::Secret;

/// Reads one provider's events.
pub(crate) trait Reader: Send + 'static {
    /// Takes one event and adds the chunks it makes.
    fn read(&mut self, event: Event, chunks: &mut VecDeque<Chunk>) -> Result<Progress, Fault>;

    /// The last chunk, or why the answer is not whole.
    fn end(&mut self) -> Result<Chunk, Fault>;
}

/// How far an answer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The model has not begun: greetings, pings.
    Waiting,
    /// The model writes, be it thoughts that are not passed on.
    Begun,
    /// The endpoint says that this was all.
    Finished,
}

/// An answer that is being read. Dropping it closes the connection.
pub(crate) struct Live<R> {
    /// `None` once it is over.
    response: Option<reqwest::Response>,
    parser: EventParser,
    events: VecDeque<Event>,
    chunks: VecDeque<Chunk>,
    begun: bool,
    reader: R,
    idle: Duration,
    secret: Secret,
}

impl<R: Reader> Live<R> {
    pub(crate) fn new(
        response: reqwest::Response,
        reader: R,
        limits: HttpLimits,
        patience: Patience,
        secret: Secret,
    ) -> Self {
        Self {
            response: Some(response),
            parser: EventParser::new(limits.event),
            events: VecDeque::new(),
            chunks: VecDeque::new(),
            begun: false,
            reader,
            idle: patience.idle,
            secret,
        }
    }

    /// Waits until the model begins, as long as the caller likes.
    pub(crate) async fn begin(&mut self) -> Result<(), Fault> {
        while !self.begun && self.chunks.is_empty() && self.response.is_some() {
            self.step(None).await?;
        }
        Ok(())
    }

    /// Waits for the first chunk, so that a fault before it can still go elsewhere,
    /// and gives the answer as a stream.
    pub(crate) async fn into_stream(mut self) -> Result<ChunkStream, Fault>
    where
        R: Reader,
    {
        while self.chunks.is_empty() && self.response.is_some() {
            self.step(Some(self.idle)).await?;
        }
        let state = Box::new(self);
        Ok(Box::pin(futures_util::stream::unfold(
            state,
            |mut live| async move { live.next().await.map(|item| (item, live)) },
        )))
    }

    async fn next(&mut self) -> Option<Result<Chunk, Fault>> {
        loop {
            if let Some(chunk) = self.chunks.pop_front() {
                return Some(Ok(chunk));
            }
            self.response.as_ref()?;
            if let Err(fault) = self.step(Some(self.idle)).await {
                return Some(Err(fault));
            }
        }
    }

    /// Reads one event, or more bytes. After a fault it is over.
    async fn step(&mut self, idle: Option<Duration>) -> Result<(), Fault> {
        let done = self.advance(idle).await;
        match done {
            Ok(false) => Ok(()),
            Ok(true) => {
                self.response = None;
                let last = self
                    .reader
                    .end()
                    .map_err(|fault| fault.without(&self.secret))?;
                self.chunks.push_back(last);
                Ok(())
            }
            Err(fault) => {
                self.response = None;
                // What the faulty event gave before it failed is not handed on after the fault.
                self.chunks.clear();
                Err(fault.without(&self.secret))
            }
        }
    }

    async fn advance(&mut self, idle: Option<Duration>) -> Result<bool, Fault> {
        if let Some(event) = self.events.pop_front() {
            let progress = self.reader.read(event, &mut self.chunks)?;
            self.begun |= progress != Progress::Waiting;
            return Ok(progress == Progress::Finished);
        }
        let Some(response) = &mut self.response else {
            return Ok(true);
        };
        let read = match idle {
            None => response.chunk().await,
            Some(idle) => match tokio::time::timeout(idle, response.chunk()).await {
                Ok(read) => read,
                Err(_) => return Err(stalled(idle)),
            },
        };
        match read.map_err(cut_off)? {
            None => Ok(true),
            Some(bytes) => {
                let fed = self.parser.feed(&bytes, &mut self.events);
                fed.map_err(not_events)?;
                Ok(false)
            }
        }
    }
}

fn stalled(idle: Duration) -> Fault {
    Fault::new(
        FaultReason::Stalled,
        format!("the stream sent nothing for {} ms", idle.as_millis()),
    )
}

fn not_events(problem: NotEvents) -> Fault {
    Fault::new(
        FaultReason::MalformedResponse,
        match problem {
            NotEvents::TooLarge => "an event of the stream is over the limit",
            NotEvents::NotText => "the stream is not UTF-8",
        },
    )
}
