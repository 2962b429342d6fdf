//! Sessions in Redis 6.2 or later, or Valkey: for many processes on many hosts.
//!
//! The rules run here, by the head that was seen last; a script stores what they came to if
//! the session has not gone on since, and else gives the present head to decide by again.
//! An owner's sessions share a slot, so that a cluster serves them too.

mod answers;
mod owners;
mod script;
mod store;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use redis::{Value, cmd};

use self::answers::{add, stored, text, transcript};
use self::owners::SIDE_BY_SIDE;
use self::script::owner_prefix;
use self::store::TRIES;
use super::manager::{FILE_LIMIT, check_file};
use super::query::{unknown, unknown_file};
use super::rules::{Effect, Head};
use super::{
    Guard, NewSession, Range, Session, SessionError, SessionFilter, SessionKey, SessionManager,
    SessionPage, Transcript, Write, Written,
};
use crate::clock::{Clock, SystemClock, millis};
use crate::job::redis::address::Address;
use crate::job::redis::check::connected;
use crate::job::redis::decode::garbled;
use crate::job::redis::link::Link;

/// The bytes of heads that a process remembers, so that a write takes one round trip.
const HEADS: u64 = 32 << 20;

/// Sessions in Redis. Clones share the connection.
#[derive(Clone)]
pub struct RedisSessions {
    shared: Arc<Shared>,
}

struct Shared {
    link: Link,
    heads: moka::sync::Cache<SessionKey, Arc<Head>>,
    clock: Arc<dyn Clock>,
}

impl RedisSessions {
    /// Connects, and looks whether the server can hold sessions, as jobs do.
    ///
    /// # Errors
    /// When the URL is none, or the server cannot be reached or used.
    pub async fn connect(url: &str) -> Result<Self, SessionError> {
        Self::connect_with(url, Arc::new(SystemClock)).await
    }

    /// The same with a clock of the caller's.
    ///
    /// # Errors
    /// As [`RedisSessions::connect`].
    pub async fn connect_with(url: &str, clock: Arc<dyn Clock>) -> Result<Self, SessionError> {
        let link = Link::new(Arc::new(Address::parse(url)?));
        connected(&link).await?;
        let weight =
            |_: &SessionKey, head: &Arc<Head>| head.weight().try_into().unwrap_or(u32::MAX);
        let heads = moka::sync::Cache::builder();
        let heads = heads.max_capacity(HEADS).weigher(weight).build();
        Ok(Self {
            shared: Arc::new(Shared { link, heads, clock }),
        })
    }
}

impl fmt::Debug for RedisSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisSessions")
            .field("backend", &self.backend())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl SessionManager for RedisSessions {
    fn backend(&self) -> String {
        self.shared.link.address().shown.clone()
    }

    async fn create(&self, new: NewSession) -> Result<Session, SessionError> {
        let (head, added) = Head::create(new, self.shared.clock.now())?;
        let key = head.session.key.clone();
        self.enter(key.owner()).await?;
        let call = self
            .call(key.owner(), "create")
            .with(key.id())
            .number(head.revision)
            .with(text(&head)?)
            .number(head.session.active_at);
        match self.run(add(call, &added)).await? {
            Value::Int(owned @ 1..) => {
                if owned == 1 {
                    // Who saw the owner without any may have let it go since.
                    self.enter(key.owner()).await?;
                }
                let session = head.session.clone();
                self.shared.heads.insert(key, Arc::new(head));
                Ok(session)
            }
            _ => Err(SessionError::SessionTaken {
                id: key.id().to_owned(),
            }),
        }
    }

    async fn get(&self, key: &SessionKey) -> Result<Session, SessionError> {
        Ok(self.head(key).await?.session.clone())
    }

    async fn write(&self, key: &SessionKey, write: Write) -> Result<Written, SessionError> {
        let commit = |before: &Head, head: &Head, effect: &Effect| {
            let call = self.call(key.owner(), "commit").with(key.id());
            let call = stored(call, before, head)?;
            let call = match effect.keep {
                Some(keep) => call.number(keep),
                None => call.with("-1"),
            };
            Ok(add(call, &effect.add))
        };
        let (head, answer) = self.decide(key, write, commit).await?;
        Ok(Written {
            session: head.session.clone(),
            repeated: answer.is_none(),
        })
    }

    async fn read(&self, key: &SessionKey, range: Range) -> Result<Transcript, SessionError> {
        let call = || self.call(key.owner(), "read").with(key.id());
        for _ in 0..TRIES {
            let asked = match range {
                Range::Last(0) | Range::Window(0) => call().with("places"),
                Range::Last(most) | Range::Window(most) => {
                    let most = most.min(super::READ_LIMIT);
                    call().with("run").with(format!("-{most}")).with("-1")
                }
                Range::From { limit: 0, .. } => call().with("places"),
                Range::From { place, limit } => {
                    let last = place.saturating_add(limit.min(super::READ_LIMIT)) - 1;
                    // Beyond what a list can hold there is nothing.
                    let bound = |place: u64| place.min(u64::from(u32::MAX));
                    call().with("run").number(bound(place)).number(bound(last))
                }
                Range::Since(version) => call().with("since").number(version),
            };
            let Some((head, mut entries)) = transcript(self.run(asked).await?)? else {
                return Err(unknown(key));
            };
            if let Range::Since(version) = range
                && head.session.removed_at > version
            {
                let all = call().with("run").with("0").with("-1");
                let Some((head, entries)) = transcript(self.run(all).await?)? else {
                    return Err(unknown(key));
                };
                return Ok(Transcript::new(head, entries, range));
            }
            let places = range.places(&head.session);
            if !places.single.is_empty() && matches!(range, Range::Window(_)) {
                let single = places.single.iter();
                let asked = single.fold(call().with("places"), |call, place| call.number(*place));
                match transcript(self.run(asked).await?)? {
                    Some((same, mut first)) if same.revision == head.revision => {
                        first.append(&mut entries);
                        entries = first;
                    }
                    // It went on in between: what was read does not belong together.
                    Some(_) => continue,
                    None => return Err(unknown(key)),
                }
            }
            return Ok(Transcript::new(head, entries, range));
        }
        Err(SessionError::Job(garbled()))
    }

    async fn find_turn(&self, key: &SessionKey, name: &str) -> Result<Transcript, SessionError> {
        let mut seen = self.head(key).await?;
        for _ in 0..TRIES {
            let Some(places) = seen.turn(name) else {
                return Ok(Transcript::of_turn(Head::clone(&seen), Vec::new()));
            };
            let call = self.call(key.owner(), "read").with(key.id()).with("run");
            let call = call.number(places.from).number(places.to - 1);
            let Some((head, entries)) = transcript(self.run(call).await?)? else {
                return Err(unknown(key));
            };
            if head.turn(name) == Some(places) {
                return Ok(Transcript::of_turn(head, entries));
            }
            // It went on in between, and the turn with it.
            seen = Arc::new(head);
        }
        Err(SessionError::Job(garbled()))
    }

    async fn list(&self, filter: &SessionFilter) -> Result<SessionPage, SessionError> {
        let mark = filter.mark()?;
        if let Some(owner) = &filter.owner {
            return Ok(filter.page(self.list_of(owner, filter, mark).await?));
        }
        let mut owners = self.owners().await?;
        owners.retain(|owner| mark.as_ref().is_none_or(|mark| **owner >= *mark.owner));
        let mut lists = stream::iter(owners)
            .map(|owner| {
                let mark = mark.clone().filter(|mark| *mark.owner == *owner);
                async move { self.list_of(&owner, filter, mark).await }
            })
            .buffered(SIDE_BY_SIDE);
        let mut found = Vec::new();
        while found.len() <= filter.room()
            && let Some(more) = lists.next().await
        {
            found.append(&mut more?);
        }
        drop(lists);
        Ok(filter.page(found))
    }

    async fn count(&self, owner: Option<&str>) -> Result<u64, SessionError> {
        if let Some(owner) = owner {
            return self.count_of(owner).await;
        }
        stream::iter(self.owners().await?)
            .map(|owner| async move { self.count_of(&owner).await })
            .buffer_unordered(SIDE_BY_SIDE)
            .try_fold(0, |all, count| async move { Ok(all + count) })
            .await
    }

    async fn delete(&self, key: &SessionKey, guard: Guard) -> Result<(), SessionError> {
        let call = || self.call(key.owner(), "delete").with(key.id());
        let left = if guard == Guard::default() {
            match self.run(call().with("")).await? {
                Value::Int(left) => Some(left),
                _ => return Err(unknown(key)),
            }
        } else {
            let delete = |before: &Head, _: &Head, _: &Effect| Ok(call().number(before.revision));
            self.decide(key, Write::touch(guard), delete).await?.1
        };
        self.shared.heads.invalidate(key);
        match left {
            Some(0) => self.leave(key.owner()).await,
            _ => Ok(()),
        }
    }

    async fn clean_up(&self, idle: Duration) -> Result<usize, SessionError> {
        let now = self.shared.clock.now();
        let since = now.saturating_sub(millis(idle));
        stream::iter(self.owners().await?)
            .map(|owner| async move { self.clean_up_of(&owner, since, now).await })
            .buffer_unordered(SIDE_BY_SIDE)
            .try_fold(0, |all, removed| async move { Ok(all + removed) })
            .await
    }

    async fn put_file(
        &self,
        key: &SessionKey,
        guard: Guard,
        name: &str,
        body: Bytes,
    ) -> Result<(), SessionError> {
        check_file(name, &body, 0)?;
        // By an old head the body would be sent in vain.
        self.shared.heads.invalidate(key);
        let put = |before: &Head, head: &Head, _: &Effect| {
            let call = self.call(key.owner(), "put").with(key.id());
            let call = stored(call, before, head)?.with(name).number(FILE_LIMIT);
            Ok(call.with(&body))
        };
        match self.decide(key, Write::touch(guard), put).await? {
            (_, Some(others @ ..0)) => check_file(name, &body, others.unsigned_abs()),
            _ => Ok(()),
        }
    }

    async fn file(&self, key: &SessionKey, name: &str) -> Result<Bytes, SessionError> {
        let prefix = owner_prefix(&self.shared.link, key.owner());
        let mut ask = cmd("HGET");
        ask.arg(format!("{prefix}f:{}", key.id())).arg(name);
        match self.shared.link.ask(&ask).await? {
            Value::BulkString(body) => Ok(body.into()),
            _ => Err(unknown_file(key, name)),
        }
    }

    async fn files(&self, key: &SessionKey) -> Result<Vec<String>, SessionError> {
        let call = self.call(key.owner(), "files").with(key.id());
        let Value::Array(names) = self.run(call).await? else {
            return Err(unknown(key));
        };
        let text = |name| match name {
            Value::BulkString(name) => String::from_utf8(name).ok(),
            _ => None,
        };
        let mut names: Vec<String> = names.into_iter().filter_map(text).collect();
        names.sort_unstable();
        Ok(names)
    }

    async fn drop_file(
        &self,
        key: &SessionKey,
        guard: Guard,
        name: &str,
    ) -> Result<bool, SessionError> {
        let dropped = |before: &Head, head: &Head, _: &Effect| {
            let call = self.call(key.owner(), "drop").with(key.id());
            Ok(stored(call, before, head)?.with(name))
        };
        let (_, dropped) = self.decide(key, Write::touch(guard), dropped).await?;
        Ok(dropped == Some(1))
    }
}
