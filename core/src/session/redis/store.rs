//! A session's head as it is stored: read, decided by, and stored if nobody came between.

use std::sync::Arc;

use redis::{Value, cmd};

use super::RedisSessions;
use super::answers::{bodies, bodies_of, bytes, parse};
use super::script::{Call, owner_prefix};
use crate::job::JobError;
use crate::session::query::unknown;
use crate::session::rules::{Effect, Head, Tail};
use crate::session::{Entry, SessionError, SessionKey, Verb, Write};

/// How often a write is decided anew because another came first.
pub(super) const TRIES: u32 = 1_000;

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
        let turn: Vec<&[u8]> = turn.iter().map(bytes).collect();
        Ok(Some(Tail::of(place, &turn, head.session.summary)))
    }

    /// Decides by the head that was seen last, and has a call store what that came to; by the
    /// present one should the session have gone on. Gives the head behind it and the call's
    /// answer, or none where there was nothing to store.
    pub(super) async fn decide(
        &self,
        key: &SessionKey,
        write: Write,
        call: impl Fn(&Head, &Head, &Effect) -> Result<Call, SessionError> + Sync,
    ) -> Result<(Arc<Head>, Option<i64>), SessionError> {
        let now = self.shared.clock.now();
        let known = self.shared.heads.get(key);
        // A remembered head may be old: what it refuses, the present one may not.
        let mut fresh = known.is_none();
        let mut seen = match known {
            Some(head) => head,
            None => self.head(key).await?,
        };
        for _ in 0..TRIES {
            let tail = match write.verb {
                Verb::Pop => self.tail(key, &seen).await?,
                _ => None,
            };
            let mut head = Head::clone(&seen);
            match head.apply(write.clone(), tail, now) {
                Ok(effect) if effect.repeated && fresh => return Ok((Arc::new(head), None)),
                Ok(effect) if effect.repeated => {}
                Ok(effect) => match self.run(call(&seen, &head, &effect)?).await? {
                    Value::Int(answer) => {
                        let head = Arc::new(head);
                        if answer >= 0 {
                            self.shared.heads.insert(key.clone(), Arc::clone(&head));
                        }
                        return Ok((head, Some(answer)));
                    }
                    Value::Nil => {
                        self.shared.heads.invalidate(key);
                        return Err(unknown(key));
                    }
                    present => {
                        (seen, fresh) = (Arc::new(parse(&present)?), true);
                        continue;
                    }
                },
                Err(refusal) if fresh => return Err(refusal),
                Err(_) => {}
            }
            (seen, fresh) = (self.head(key).await?, true);
        }
        Err(SessionError::Job(JobError::Unavailable {
            backend: self.shared.link.address().shown.clone(),
            problem: format!("others wrote to session `{}` all the time", key.id()),
            remedy: "try again".to_owned(),
        }))
    }
}
