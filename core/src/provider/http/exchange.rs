//! One request and its answer: bounds, deadlines, and the faults of the way.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use reqwest::header::{CONTENT_TYPE, HeaderMap};

use super::super::{Fault, FaultReason};
use super::classify::{ErrorFacts, classify};
use crate::clock::{Clock, SystemClock};
use crate::credential::Secret;

/// Bytes of an error body that are read: more than any that says something.
const ERROR_BODY: usize = 64 << 10;
/// A status is known already; a body that does not come must not hide it.
const ERROR_BODY_WAIT: Duration = Duration::from_secs(2);

/// The attempt, ended at its deadline.
// No `async fn`: that would hold the work twice, and it is large and moved into a box.
pub(crate) fn within<T>(
    attempt: Duration,
    work: impl Future<Output = Result<T, Fault>>,
) -> impl Future<Output = Result<T, Fault>> {
    tokio::time::timeout(attempt, work).map(move |done| {
        done.unwrap_or_else(|_| {
            Err(Fault::new(
                FaultReason::Timeout,
                format!("no answer within {} ms", attempt.as_millis()),
            ))
        })
    })
}

/// A request that got no answer.
pub(super) fn unsent(error: reqwest::Error) -> Fault {
    // Failing to connect in time says where the trouble is; it is no slow answer.
    let reason = if error.is_timeout() && !error.is_connect() {
        FaultReason::Timeout
    } else {
        FaultReason::Connect
    };
    Fault::new(reason, chain(error))
}

/// An answer that broke off.
pub(super) fn cut_off(error: reqwest::Error) -> Fault {
    Fault::new(
        FaultReason::Truncated,
        format!("the answer broke off: {}", chain(error)),
    )
}

/// An answer whose status is no success.
pub(super) async fn refusal(mut response: reqwest::Response, secret: &Secret) -> Fault {
    let status = response.status().as_u16();
    let headers = telling(response.headers());
    let mut body = Vec::new();
    let read = async {
        while let Ok(Some(piece)) = response.chunk().await {
            let room = ERROR_BODY - body.len();
            body.extend_from_slice(&piece[..piece.len().min(room)]);
            if body.len() == ERROR_BODY {
                break;
            }
        }
    };
    // Late or broken: what has come so far is what there is.
    let _ = tokio::time::timeout(ERROR_BODY_WAIT, read).await;
    let facts = ErrorFacts {
        status: Some(status),
        headers,
        body: (!body.is_empty()).then(|| String::from_utf8_lossy(&body).into_owned()),
        ..ErrorFacts::default()
    }
    .without(secret);
    classify(&facts, SystemClock.now())
        .unwrap_or_else(|| Fault::new(FaultReason::MalformedResponse, format!("HTTP {status}")))
        .with_status(status)
        .without(secret)
}

/// An error object inside a success.
pub(crate) fn fault_inside(text: &str, secret: &Secret) -> Fault {
    let facts = ErrorFacts {
        body: Some(text.to_owned()),
        ..ErrorFacts::default()
    }
    .without(secret);
    classify(&facts, SystemClock.now())
        .unwrap_or_else(|| {
            let fault = Fault::new(
                FaultReason::ServerError,
                "the endpoint reported an error inside its answer",
            );
            fault.with_body(facts.body.unwrap_or_default())
        })
        .without(secret)
}

/// An answer in no format that we know.
pub(crate) fn malformed(problem: &str, body: &[u8], secret: &Secret) -> Fault {
    let text = String::from_utf8_lossy(body);
    let page = text.trim_start().starts_with('<');
    let hint = if page {
        ": a web page came in its place; check the base URL"
    } else {
        ""
    };
    let facts = ErrorFacts {
        body: Some(text.into_owned()),
        ..ErrorFacts::default()
    }
    .without(secret);
    Fault::new(FaultReason::MalformedResponse, format!("{problem}{hint}"))
        .with_body(facts.body.unwrap_or_default())
        .without(secret)
}

/// The whole body, up to a limit. One piece, the usual case, is not copied.
pub(super) async fn whole_body(
    mut response: reqwest::Response,
    limit: usize,
) -> Result<Bytes, Fault> {
    let too_large = || {
        Fault::new(
            FaultReason::MalformedResponse,
            format!("the answer is over the limit of {limit} bytes"),
        )
    };
    let declared = response.content_length().unwrap_or(0);
    if declared > limit as u64 {
        return Err(too_large());
    }
    let first = response.chunk().await.map_err(cut_off)?.unwrap_or_default();
    let Some(second) = response.chunk().await.map_err(cut_off)? else {
        return if first.len() > limit {
            Err(too_large())
        } else {
            Ok(first)
        };
    };
    let mut all = BytesMut::with_capacity(usize::try_from(declared).unwrap_or(0));
    all.extend_from_slice(&first);
    let mut next = Some(second);
    while let Some(piece) = next {
        if all.len().saturating_add(piece.len()) > limit {
            return Err(too_large());
        }
        all.extend_from_slice(&piece);
        next = response.chunk().await.map_err(cut_off)?;
    }
    Ok(all.freeze())
}

/// Whether a streamed answer was given as a stream. Endpoints that forget the header
/// are believed; those that say JSON or HTML answered in one piece.
pub(crate) fn is_event_stream(response: &reqwest::Response) -> bool {
    let kind = response.headers().get(CONTENT_TYPE);
    !kind
        .and_then(|kind| kind.to_str().ok())
        .map(str::to_ascii_lowercase)
        .is_some_and(|kind| kind.contains("json") || kind.contains("html"))
}

fn telling(headers: &HeaderMap) -> BTreeMap<String, String> {
    let tells = |name: &str| {
        name.starts_with("retry-after")
            || name.starts_with("x-ratelimit-")
            || name.starts_with("anthropic-ratelimit-")
    };
    headers
        .iter()
        .filter(|(name, _)| tells(name.as_str()))
        .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
        .collect()
}

/// An error and its causes in one line, without the URL: it may hold a key.
fn chain(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let words = inner.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = inner.source();
    }
    text
}
