//! From a step and a request to an answer: pure, no sockets and no waiting.

use std::borrow::Cow;
use std::iter::{once, repeat_n};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::body::{Act, Acts, Content};
use super::catalogue::ScriptedFault;
use super::dialect::{Asked, Dialect, ErrorAnswer, Reply};
use super::scenario::{RetryAfter, Step};
use crate::provider::Usage;

/// The filler's piece; a stream of any length repeats one allocation.
const FILLER: &str = "All work and no play makes the endpoint a dull peer, and so on. ";
const FILLER_PIECE: usize = 4096;
/// Filler in an answer that is not streamed, which has to fit into memory.
const WHOLE_FILLER: u64 = 64 << 20;

pub(super) const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const PAGE: &str = "<!DOCTYPE html><html><head><title>Welcome</title></head><body>Please log in to the network.</body></html>";

/// All that one request is answered with.
pub(super) struct Answer {
    /// What happens before the head is sent.
    pub(super) before: Vec<Act>,
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) headers: Vec<(Cow<'static, str>, String)>,
    pub(super) content: Content,
}

/// Who asked, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Visit<'a> {
    pub(super) key: &'a str,
    pub(super) hit: u64,
    pub(super) now: SystemTime,
}

/// Answers `asked` as `step` says.
pub(super) fn answer(
    dialect: &'static dyn Dialect,
    asked: &Asked,
    step: &Arc<Step>,
    visit: Visit<'_>,
) -> Answer {
    use ScriptedFault::{ErrorEvent, ErrorInOk, Html, MalformedJson};
    let fault = step.meant();
    let error = |fault| error_answer(dialect, step, fault, visit.key);
    let (status, content_type, content) = match fault {
        Some(ErrorInOk) => (
            200,
            JSON,
            Content::Whole(dialect.error(&carried(step, error))),
        ),
        Some(ErrorEvent) if !asked.stream => (
            200,
            JSON,
            Content::Whole(dialect.error(&carried(step, error))),
        ),
        Some(ErrorEvent) => {
            let event = dialect.error_event(&carried(step, error));
            let reply = reply(asked, step, visit);
            (200, EVENTS, stream(dialect, reply, step, Some(event)))
        }
        Some(Html) => (
            200,
            HTML,
            Content::Whole(Bytes::from_static(PAGE.as_bytes())),
        ),
        Some(MalformedJson) if !asked.stream => {
            let garbage = Bytes::from_static(br#"{"id": "1", "choices": [{"message": oops"#);
            (200, JSON, Content::Whole(garbage))
        }
        Some(MalformedJson) => {
            let garbage = Bytes::from_static(b"data: {\"choices\": [{\"delta\": oops\n\n");
            let reply = reply(asked, step, visit);
            (200, EVENTS, stream(dialect, reply, step, Some(garbage)))
        }
        _ => match fault.and_then(error) {
            Some(error) => (error.status, JSON, Content::Whole(dialect.error(&error))),
            None if asked.stream => {
                let reply = reply(asked, step, visit);
                (200, EVENTS, stream(dialect, reply, step, None))
            }
            None => {
                let body = dialect.whole(&reply(asked, step, visit));
                (200, JSON, whole(body, step))
            }
        },
    };
    Answer {
        before: before(step),
        status: step.status.unwrap_or(status),
        content_type,
        headers: headers(dialect, step, visit.now),
        content: content.split(step.split),
    }
}

/// What happens before the head.
pub(super) fn before(step: &Step) -> Vec<Act> {
    let mut acts = Vec::new();
    if step.delay_ms > 0 {
        acts.push(Act::Wait(Duration::from_millis(step.delay_ms)));
    }
    if step.after.is_none() {
        acts.extend(break_off(step).filter(|act| *act != Act::Flush));
    }
    acts
}

/// An error answer in the words of the step.
pub(super) fn error_answer(
    dialect: &dyn Dialect,
    step: &Step,
    fault: ScriptedFault,
    key: &str,
) -> Option<ErrorAnswer> {
    let mut error = dialect.describe(fault)?;
    if let Some(message) = &step.message {
        error.message.clone_from(message);
    }
    if let Some(code) = &step.code {
        error.code = code.clone().into();
    }
    if step.echo_key {
        error.message = format!("{} The key was: {key}", error.message);
    }
    Some(error)
}

fn carried(step: &Step, error: impl Fn(ScriptedFault) -> Option<ErrorAnswer>) -> ErrorAnswer {
    step.error
        .and_then(&error)
        .or_else(|| error(ScriptedFault::Overloaded))
        .unwrap_or_else(|| ErrorAnswer {
            status: 500,
            kind: "server_error".into(),
            code: "server_error".into(),
            message: String::new(),
        })
}

/// Headers that the step wants.
pub(super) fn headers(
    dialect: &dyn Dialect,
    step: &Step,
    now: SystemTime,
) -> Vec<(Cow<'static, str>, String)> {
    use ScriptedFault::{RateLimited, RateQuota};
    let mut headers: Vec<(Cow<'static, str>, String)> = Vec::new();
    if matches!(step.meant(), Some(RateLimited | RateQuota)) {
        let seconds = match step.retry_after {
            Some(RetryAfter::Seconds(seconds)) => u64::try_from(seconds).unwrap_or(0),
            _ => 60,
        };
        let limits = dialect.limit_headers(seconds);
        headers.extend(limits.into_iter().map(|(name, value)| (name.into(), value)));
    }
    match &step.retry_after {
        Some(RetryAfter::Seconds(seconds)) => {
            headers.push(("retry-after".into(), seconds.to_string()));
        }
        Some(RetryAfter::Text(text)) => headers.push(("retry-after".into(), text.clone())),
        None => {}
    }
    if let Some(seconds) = step.retry_after_date {
        let away = Duration::from_secs(seconds.unsigned_abs());
        let date = if seconds < 0 {
            now.checked_sub(away)
        } else {
            now.checked_add(away)
        };
        let date = httpdate::fmt_http_date(date.filter(in_http_range).unwrap_or(now));
        headers.push(("retry-after".into(), date));
    }
    if let Some(millis) = step.retry_after_ms {
        headers.push(("retry-after-ms".into(), millis.to_string()));
    }
    let more = step.headers.iter();
    headers.extend(more.map(|(name, value)| (name.clone().into(), value.clone())));
    headers
}

/// `httpdate` writes years 1970 to 9999 only.
fn in_http_range(date: &SystemTime) -> bool {
    date.duration_since(UNIX_EPOCH)
        .is_ok_and(|since| since.as_secs() < 253_402_300_800)
}

fn reply(asked: &Asked, step: &Step, visit: Visit<'_>) -> Reply {
    let text = match (&step.text, &step.pieces) {
        _ if step.fault == Some(ScriptedFault::Empty) => String::new(),
        _ if step.bytes.is_some() => {
            let size = step.bytes.unwrap_or(0).min(WHOLE_FILLER);
            if asked.stream {
                String::new()
            } else {
                filler(size)
            }
        }
        (_, Some(pieces)) => pieces.concat(),
        (Some(text), None) => fill_in(text, asked, visit.hit),
        (None, None) if !step.tool_calls.is_empty() => String::new(),
        (None, None) => format!("echo: {}", asked.prompt),
    };
    let length = step.bytes.unwrap_or(text.len() as u64);
    Reply {
        hit: visit.hit,
        created: visit
            .now
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs()),
        model: asked.model.clone(),
        usage: step.usage.unwrap_or(Usage {
            input_tokens: (asked.prompt.len() as u64).div_ceil(4),
            output_tokens: length.div_ceil(4),
            cached_tokens: 0,
        }),
        include_usage: asked.include_usage,
        finish_reason: step.finish_reason.clone(),
        tool_calls: step.tool_calls.clone(),
        has_text: !text.is_empty() || (asked.stream && step.bytes.is_some_and(|size| size > 0)),
        text,
    }
}

fn fill_in(template: &str, asked: &Asked, hit: u64) -> String {
    // The prompt comes last: what it says is not a template.
    template
        .replace("{hit}", &hit.to_string())
        .replace("{model}", &asked.model)
        .replace("{prompt}", &asked.prompt)
}

fn filler(size: u64) -> String {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let mut text = FILLER.repeat(size.div_ceil(FILLER.len()));
    text.truncate(size);
    text
}

/// A whole body, or the part of it that comes before the fault.
pub(super) fn whole(body: Bytes, step: &Step) -> Content {
    let cut = match (step.after, step.meant()) {
        (Some(0), _) => 0,
        (Some(_), _) | (None, Some(ScriptedFault::Truncated)) => body.len() / 2,
        (None, _) => return Content::Whole(body),
    };
    let rest = body.slice(cut..);
    let rest = goes_on(step).then_some(Act::Send(rest));
    let first = once(Act::Send(body.slice(..cut)));
    Content::Acts(Box::new(first.chain(break_off(step)).chain(rest)))
}

/// A stream: opening, pieces, fault, and the rest if the fault lets it through.
fn stream(
    dialect: &'static dyn Dialect,
    reply: Reply,
    step: &Arc<Step>,
    instead: Option<Bytes>,
) -> Content {
    let truncated = step.meant() == Some(ScriptedFault::Truncated);
    let nothing_before = instead.is_some() && step.after.is_none();
    let opening = if nothing_before {
        Vec::new()
    } else {
        dialect.opening(&reply)
    };
    let opening = opening.into_iter().map(Act::Send);
    let first = match step.after {
        Some(after) => after,
        None if instead.is_some() => 0,
        None => usize::MAX,
    };
    let head = opening.chain(pieces(dialect, &reply, step).take_pieces(first, step));
    if let Some(instead) = instead {
        return Content::Acts(Box::new(head.chain(once(Act::Send(instead)))));
    }
    let fault = step.after.is_some().then(|| break_off(step));
    let head = head.chain(fault.into_iter().flatten());
    if truncated || !goes_on(step) {
        return Content::Acts(Box::new(head));
    }
    let rest = pieces(dialect, &reply, step).skip_pieces(first, step);
    let ending = dialect.ending(&reply).into_iter().map(Act::Send);
    Content::Acts(Box::new(head.chain(rest).chain(ending)))
}

/// How the fault breaks a body off.
fn break_off(step: &Step) -> impl Iterator<Item = Act> + Send + use<> {
    let act = match step.meant() {
        Some(ScriptedFault::Stall) => Some(match step.for_ms {
            Some(time) => Act::Wait(Duration::from_millis(time)),
            None => Act::Stall,
        }),
        Some(ScriptedFault::Reset) => Some(Act::Reset),
        Some(ScriptedFault::Close) => Some(Act::Close),
        _ => None,
    };
    act.into_iter().flat_map(|act| [Act::Flush, act])
}

/// Whether the answer goes on once the fault has had its turn. A fault before
/// the head that ends the connection never gets here.
fn goes_on(step: &Step) -> bool {
    match step.meant() {
        Some(ScriptedFault::Stall) => step.after.is_none() || step.for_ms.is_some(),
        Some(ScriptedFault::Reset | ScriptedFault::Close) => step.after.is_none(),
        Some(ScriptedFault::Truncated) => false,
        _ => true,
    }
}

/// The events of the text. Made anew for each use: they may not fit into memory.
struct Pieces(Box<dyn Iterator<Item = Bytes> + Send>);

impl Pieces {
    fn take_pieces(self, count: usize, step: &Step) -> Acts {
        paced(Box::new(self.0.take(count)), step.piece_ms)
    }

    fn skip_pieces(self, count: usize, step: &Step) -> Acts {
        paced(Box::new(self.0.skip(count)), step.piece_ms)
    }
}

fn paced(events: Box<dyn Iterator<Item = Bytes> + Send>, piece_ms: u64) -> Acts {
    let pause = (piece_ms > 0).then(|| Act::Wait(Duration::from_millis(piece_ms)));
    Box::new(events.flat_map(move |event| once(Act::Send(event)).chain(pause.clone())))
}

fn pieces(dialect: &'static dyn Dialect, reply: &Reply, step: &Step) -> Pieces {
    if step.fault == Some(ScriptedFault::Empty) {
        return Pieces(Box::new(std::iter::empty()));
    }
    if let Some(size) = step.bytes {
        let full = dialect.piece(reply, &filler(FILLER_PIECE as u64));
        let rest = size % FILLER_PIECE as u64;
        let rest = (rest > 0).then(|| dialect.piece(reply, &filler(rest)));
        let count = usize::try_from(size / FILLER_PIECE as u64).unwrap_or(usize::MAX);
        return Pieces(Box::new(repeat_n(full, count).chain(rest)));
    }
    let texts: Vec<Bytes> = match &step.pieces {
        Some(pieces) => (pieces.iter())
            .map(|text| dialect.piece(reply, text))
            .collect(),
        None => (reply.text.split_inclusive(' '))
            .map(|text| dialect.piece(reply, text))
            .collect(),
    };
    Pieces(Box::new(texts.into_iter()))
}
