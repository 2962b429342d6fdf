//! What the script is told and what it answers, as values. Pure.

use redis::Value;

use super::script::Call;
use crate::job::redis::decode::{Parts, garbled};
use crate::session::rules::{Added, Head};
use crate::session::{Entry, SessionError};

pub(super) fn add(call: Call, messages: &[Added]) -> Call {
    messages
        .iter()
        .fold(call, |call, message| call.with(&*message.body))
}

pub(super) fn text(head: &Head) -> Result<String, SessionError> {
    serde_json::to_string(head).map_err(|e| SessionError::invalid("session", e.to_string()))
}

/// The head that is stored, and the one that it was decided by.
pub(super) fn stored(call: Call, before: &Head, head: &Head) -> Result<Call, SessionError> {
    let call = call.number(before.revision).number(head.revision);
    Ok(call.with(text(head)?).number(head.session.active_at))
}

pub(super) fn parse<T: serde::de::DeserializeOwned>(value: &Value) -> Result<T, SessionError> {
    let Value::BulkString(text) = value else {
        return Err(garbled().into());
    };
    serde_json::from_slice(text).map_err(|_| garbled().into())
}

pub(super) fn bytes(value: &Value) -> &[u8] {
    match value {
        Value::BulkString(text) => text,
        _ => &[],
    }
}

pub(super) fn heads(value: Value) -> Result<Vec<Head>, SessionError> {
    Parts::of(value)?.map(|head| parse(&head)).collect()
}

/// How many sessions there are, and the heads of some that are idle.
pub(super) fn idle(value: Value) -> Result<(i64, Vec<Head>), SessionError> {
    let mut parts = Parts::of(value)?;
    match parts.next()? {
        Value::Int(all) => Ok((all, heads(parts.next()?)?)),
        _ => Err(garbled().into()),
    }
}

/// A head and messages, if the session is there.
pub(super) fn transcript(value: Value) -> Result<Option<(Head, Vec<Entry>)>, SessionError> {
    if value == Value::Nil {
        return Ok(None);
    }
    let mut parts = Parts::of(value)?;
    let head = parse(&parts.next()?)?;
    let bodies = Parts::of(parts.next()?)?;
    let entries = bodies.map(|body| parse(&body)).collect::<Result<_, _>>()?;
    Ok(Some((head, entries)))
}

pub(super) fn bodies(value: Value) -> Result<Option<Vec<Value>>, SessionError> {
    if value == Value::Nil {
        return Ok(None);
    }
    bodies_of(value).map(Some)
}

pub(super) fn bodies_of(value: Value) -> Result<Vec<Value>, SessionError> {
    let mut parts = Parts::of(value)?;
    parts.next()?;
    Ok(Parts::of(parts.next()?)?.collect())
}
