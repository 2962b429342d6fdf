//! Who has sessions, and the verbs that go over all of an owner's.
//!
//! The set of owners lies in another slot than their sessions, so that no script can change
//! both. An owner is entered before a session is made, and again behind the first one; who lets
//! an owner go looks again whether it has none. Whichever comes last, an owner with sessions
//! is in the set.

use redis::{Value, cmd};

use super::RedisSessions;
use super::answers::{heads, idle};
use super::script::owner_prefix;
use crate::clock::EpochMillis;
use crate::job::JobError;
use crate::job::redis::decode::{Parts, garbled};
use crate::session::query::Mark;
use crate::session::{Session, SessionError, SessionFilter};

/// Owners that are asked about at once.
pub(super) const SIDE_BY_SIDE: usize = 16;
/// Sessions that one script looks at.
const STEP: usize = 500;

impl RedisSessions {
    pub(super) async fn enter(&self, owner: &str) -> Result<(), SessionError> {
        let mut enter = cmd("SADD");
        self.shared
            .link
            .ask(enter.arg(self.set()).arg(owner))
            .await?;
        Ok(())
    }

    /// Lets an owner go who was seen without sessions.
    pub(super) async fn leave(&self, owner: &str) -> Result<(), SessionError> {
        let mut leave = cmd("SREM");
        self.shared
            .link
            .ask(leave.arg(self.set()).arg(owner))
            .await?;
        match self.count_of(owner).await? {
            0 => Ok(()),
            _ => self.enter(owner).await,
        }
    }

    fn set(&self) -> String {
        self.shared.link.address().global("session-owners")
    }

    pub(super) async fn owners(&self) -> Result<Vec<String>, SessionError> {
        let mut ask = cmd("SMEMBERS");
        let listed = Parts::of(self.shared.link.ask(ask.arg(self.set())).await?)?;
        let mut owners: Vec<String> = listed
            .map(|value| redis::from_redis_value(value).map_err(|_| garbled()))
            .collect::<Result<_, JobError>>()?;
        owners.sort_unstable();
        Ok(owners)
    }

    pub(super) async fn count_of(&self, owner: &str) -> Result<u64, SessionError> {
        let mut ask = cmd("ZCARD");
        ask.arg(format!("{}active", owner_prefix(&self.shared.link, owner)));
        match self.shared.link.ask(&ask).await? {
            Value::Int(sessions) => Ok(u64::try_from(sessions).unwrap_or(0)),
            _ => Err(garbled().into()),
        }
    }

    /// An owner's sessions of a page, and one more if there are more.
    pub(super) async fn list_of(
        &self,
        owner: &str,
        filter: &SessionFilter,
        mark: Option<Mark>,
    ) -> Result<Vec<Session>, SessionError> {
        let room = filter.room();
        // Of those with a tag there may be few among many.
        let step = match &filter.tag {
            None => STEP.min(room + 1),
            Some(_) => STEP,
        };
        let (mut place, mut found) = (mark.clone(), Vec::new());
        loop {
            let call = self.call(owner, "list");
            let call = match &place {
                Some(mark) => call.number(mark.active_at).with(&*mark.id),
                None => call.with("").with(""),
            };
            let heads = heads(self.run(call.number(step as u64)).await?)?;
            let Some(last) = heads.last().map(|head| Mark::of(&head.session)) else {
                return Ok(found);
            };
            for head in heads {
                let session = head.session;
                // Where the last one seen has been used since, the script begins before it.
                let mut marks = mark.iter().chain(&place);
                let behind = marks.all(|mark| mark.precedes(session.active_at, session.key.id()));
                if behind && filter.wants(&session) {
                    found.push(session);
                }
                if found.len() > room {
                    return Ok(found);
                }
            }
            place = Some(last);
        }
    }

    /// Removes an owner's sessions that were not used since then, and tells how many.
    pub(super) async fn clean_up_of(
        &self,
        owner: &str,
        since: EpochMillis,
        now: EpochMillis,
    ) -> Result<usize, SessionError> {
        let (mut kept, mut removed) = (0, 0);
        loop {
            let call = self.call(owner, "idle").number(since).number(kept);
            let (mut left, found) = idle(self.run(call.number(STEP as u64)).await?)?;
            let last = found.len() < STEP;
            for head in found {
                let key = &head.session.key;
                let call = self.call(owner, "delete").with(key.id());
                let gone = match head.is_idle(since, now) {
                    true => self.run(call.number(head.revision)).await?,
                    false => Value::Nil,
                };
                if let Value::Int(others) = gone {
                    self.shared.heads.invalidate(key);
                    (left, removed) = (others, removed + 1);
                } else {
                    kept += 1;
                }
            }
            if last {
                if left == 0 {
                    self.leave(owner).await?;
                }
                return Ok(removed);
            }
        }
    }
}
