//! A response body that is acted out step by step: bytes, pauses, stalls, resets.

use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

use super::ledger::Serving;
use super::socket::ResetSwitch;

/// One thing that a body does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Act {
    /// Sends bytes.
    Send(Bytes),
    /// Lets what was sent reach the socket before going on.
    Flush,
    /// Sends nothing for a while.
    Wait(Duration),
    /// Sends nothing any more, until the client goes away.
    Stall,
    /// Resets the connection.
    Reset,
    /// Closes the connection without an end of the body.
    Close,
}

/// The acts of a body, made while it is sent.
pub(super) type Acts = Box<dyn Iterator<Item = Act> + Send>;

/// What is to be sent.
pub(super) enum Content {
    /// All at once, with a length.
    Whole(Bytes),
    /// Act by act, chunked.
    Acts(Acts),
}

impl Content {
    /// The same bytes, at most `size` in each write.
    pub(super) fn split(self, size: Option<NonZeroUsize>) -> Self {
        let Some(size) = size.map(NonZeroUsize::get) else {
            return self;
        };
        Self::Acts(Box::new(
            self.into_acts().flat_map(move |act| in_writes(act, size)),
        ))
    }

    pub(super) fn into_acts(self) -> Acts {
        match self {
            Self::Whole(bytes) => Box::new(std::iter::once(Act::Send(bytes))),
            Self::Acts(acts) => acts,
        }
    }
}

/// The body that hyper sends.
pub(super) struct ScriptedBody {
    content: Content,
    pause: Option<Pin<Box<Sleep>>>,
    stalled: bool,
    reset: ResetSwitch,
    serving: Serving,
}

impl ScriptedBody {
    pub(super) fn new(content: Content, reset: ResetSwitch, serving: Serving) -> Self {
        Self {
            content,
            pause: None,
            stalled: false,
            reset,
            serving,
        }
    }
}

impl fmt::Debug for ScriptedBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedBody")
            .field("stalled", &self.stalled)
            .finish_non_exhaustive()
    }
}

impl Body for ScriptedBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let body = &mut *self;
        loop {
            if body.stalled {
                return Poll::Pending;
            }
            if let Some(pause) = &mut body.pause {
                ready!(pause.as_mut().poll(cx));
                body.pause = None;
            }
            let act = match &mut body.content {
                Content::Whole(bytes) if bytes.is_empty() => None,
                Content::Whole(bytes) => {
                    body.serving.finish();
                    Some(Act::Send(std::mem::take(bytes)))
                }
                Content::Acts(acts) => acts.next(),
            };
            match act {
                Some(Act::Send(bytes)) if bytes.is_empty() => {}
                Some(Act::Send(bytes)) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Some(Act::Flush) => {
                    // hyper flushes what it holds whenever a body has nothing ready.
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Some(Act::Wait(time)) => body.pause = Some(Box::pin(tokio::time::sleep(time))),
                Some(Act::Stall) => body.stalled = true,
                Some(Act::Reset) => {
                    body.serving.finish();
                    body.reset.arm();
                    return Poll::Ready(Some(Err(broken_off())));
                }
                Some(Act::Close) => {
                    body.serving.finish();
                    return Poll::Ready(Some(Err(broken_off())));
                }
                None => {
                    body.serving.finish();
                    return Poll::Ready(None);
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.content, Content::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Acts(_) => SizeHint::default(),
        }
    }
}

/// The end of a connection that the script wants.
pub(super) fn broken_off() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "as the script says")
}

fn in_writes(act: Act, size: usize) -> Acts {
    let Act::Send(mut bytes) = act else {
        return Box::new(std::iter::once(act));
    };
    let mut flush = false;
    Box::new(std::iter::from_fn(move || {
        if std::mem::take(&mut flush) {
            return Some(Act::Flush);
        }
        if bytes.is_empty() {
            return None;
        }
        flush = true;
        Some(Act::Send(bytes.split_to(size.min(bytes.len()))))
    }))
}
