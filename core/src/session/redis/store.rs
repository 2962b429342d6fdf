//! A session's head as it is stored: read, decided by, and stored if nobody came between.

use std::sync::Arc;

use redis::{Value, cmd};

use super::RedisSessions;
use super::answers::{add, bodies, bodies_of, heads, length, parse, text};
use super::script::{Call, owner_prefix};
use crate::job::JobError;
use crate::job::redis::decode::{Parts, garbled};
use crate::session::query::{Mark, unknown};
use crate::session::rules::{Effect, Head, Tail};
use crate::session::{Entry, Session, SessionError, SessionFilter, SessionKey};

/// Sessions that one script looks at.
pub(super) const STEP: u64 = 500;

impl RedisSessions {
    pub(super) fn call(&self, owner: &str, verb: &str) -> Call {
        Call::new(&self.shared.link, owner, verb)
    }

    pub(super) async fn run(&self, call: Call) -> Result<Value, SessionError> {
        Ok(call.run(&self.shared.link).await?)
    }

    pub(super) async fn head(&self, key: &SessionKey) -> Result<Arc<Head>, SessionError> {
        let prefix = owner_prefix(&self.shared.link, key.owner());
        let mut ask = cmd("HGET");
        ask.arg(format!("{prefix}s:{}", key.id())).arg("head");
        match self.shared.link.ask(&ask).await? {
            Value::Nil => {
                self.shared.heads.invalidate(key);
                Err(unknown(key))
            }
            found => Ok(Arc::new(parse(&found)?)),
        }
    }

    /// The last turn, for writes that remove it.
    pub(super) async fn tail(
        &self,
        key: &SessionKey,
        head: &Head,
    ) -> Result<Option<Tail>, SessionError> {
        let Some(last) = head.session.messages.checked_sub(1) else {
            return Ok(None);
        };
        let run = |from: u64| {
            let call = self.call(key.owner(), "read").with(key.id()).with("run");
            call.number(from).with("-1")
        };
        let Some(bodies) = bodies(self.run(run(last)).await?)? else {
            return Ok(None);
        };
        let Some(last) = bodies.last() else {
            return Ok(None);
        };
        let place = parse::<Entry>(last)?.turn;
        let turn = bodies_of(self.run(run(place)).await?)?;
        let bytes = turn.iter().map(|body| length(body) as u64).sum();
        Ok(Some(Tail { place, bytes }))
    }

    /// Stores what was decided. Gives the present head if the session went on.
    pub(super) async fn commit(
        &self,
        key: &SessionKey,
        before: u64,
        head: &Head,
        effect: &Effect,
    ) -> Result<Option<Arc<Head>>, SessionError> {
        let mut call = self
            .call(key.owner(), "commit")
            .with(key.id())
            .number(before)
            .number(head.revision)
            .with(text(head)?)
            .number(head.session.active_at);
        call = match effect.keep {
            Some(keep) => call.number(keep),
            None => call.with("-1"),
        };
        let call = add(call, &effect.add);
        match self.run(call).await? {
            Value::Int(_) => Ok(None),
            Value::Nil => {
                self.shared.heads.invalidate(key);
                Err(unknown(key))
            }
            present => Ok(Some(Arc::new(parse(&present)?))),
        }
    }

    pub(super) async fn owners(&self) -> Result<Vec<String>, SessionError> {
        let mut ask = cmd("SMEMBERS");
        ask.arg(self.shared.link.address().global("session-owners"));
        let listed = Parts::of(self.shared.link.ask(&ask).await?)?;
        let mut owners: Vec<String> = listed
            .map(|value| redis::from_redis_value(value).map_err(|_| garbled()))
            .collect::<Result<_, JobError>>()?;
        owners.sort_unstable();
        Ok(owners)
    }

    /// Adds an owner's sessions to a page until it is full.
    pub(super) async fn list_of(
        &self,
        owner: &str,
        filter: &SessionFilter,
        mark: Option<Mark>,
        found: &mut Vec<Session>,
    ) -> Result<(), SessionError> {
        let mut place = mark;
        loop {
            let call = match &place {
                Some(mark) => self
                    .call(owner, "list")
                    .number(mark.active_at)
                    .with(&*mark.id),
                None => self.call(owner, "list").with("").with(""),
            };
            let heads: Vec<Head> = heads(self.run(call.number(STEP)).await?)?;
            let Some(last) = heads.last().map(|head| Mark::of(&head.session)) else {
                return Ok(());
            };
            for head in heads {
                let session = head.session;
                let behind = place
                    .as_ref()
                    .is_none_or(|mark| mark.precedes(session.active_at, session.key.id()));
                if behind && filter.wants(&session) {
                    found.push(session);
                }
                if found.len() > filter.room() {
                    return Ok(());
                }
            }
            place = Some(last);
        }
    }
}
