//! Sessions in this process, gone with it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;

use super::manager::check_file;
use super::query::{Places, unknown};
use super::rules::{Head, Tail};
use super::{
    Entry, Guard, NewSession, Range, Session, SessionError, SessionFilter, SessionKey,
    SessionManager, SessionPage, Transcript, Write, Written,
};
use crate::clock::{Clock, SystemClock, millis};

/// The bytes of sessions, messages and files that are held by default: 1 GiB.
pub const BYTES: u64 = 1 << 30;

/// Sessions in memory. Clones share them.
#[derive(Debug, Clone)]
pub struct MemorySessions {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    clock: Arc<dyn Clock>,
    limit: u64,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    owners: BTreeMap<Box<str>, BTreeMap<Box<str>, Kept>>,
    bytes: u64,
}

/// Messages are kept as JSON: many sessions lie idle, and that is their smallest form.
#[derive(Debug)]
struct Kept {
    head: Box<Head>,
    /// The bytes that count for the head.
    weight: u64,
    entries: Vec<Box<str>>,
    files: BTreeMap<Box<str>, Bytes>,
}

impl MemorySessions {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Arc::new(SystemClock), BYTES)
    }

    /// With a clock and a limit of bytes of the caller's.
    #[must_use]
    pub fn with(clock: Arc<dyn Clock>, limit: u64) -> Self {
        Self {
            shared: Arc::new(Shared {
                clock,
                limit,
                held: Mutex::default(),
            }),
        }
    }

    /// A session's head behind a touch, to be kept along with what it goes with.
    fn touched(
        &self,
        held: &Held,
        key: &SessionKey,
        guard: Guard,
    ) -> Result<Box<Head>, SessionError> {
        let mut head = held.find(key)?.head.clone();
        head.apply(Write::touch(guard), None, self.shared.clock.now())?;
        Ok(head)
    }

    /// The bytes that are held when so many come and so many go. Refuses what would grow over
    /// the limit, before anything is changed.
    fn room(&self, held: &Held, more: u64, less: u64) -> Result<u64, SessionError> {
        let size = held.bytes.saturating_add(more).saturating_sub(less);
        if size <= self.shared.limit || more <= less {
            return Ok(size);
        }
        Err(SessionError::TooLarge {
            what: "memory of all sessions",
            size,
            limit: self.shared.limit,
            remedy: "delete or clean up sessions, or keep them in SQLite or Redis",
        })
    }
}

impl Default for MemorySessions {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl SessionManager for MemorySessions {
    fn backend(&self) -> String {
        "memory:".to_owned()
    }

    async fn create(&self, new: NewSession) -> Result<Session, SessionError> {
        let (head, added) = Head::create(new, self.shared.clock.now())?;
        let session = head.session.clone();
        let mut held = self.shared.held.lock();
        let weight = head.weight();
        let size = self.room(&held, session.bytes + weight, 0)?;
        let owner = held.owners.entry(session.key.owner().into()).or_default();
        if owner.contains_key(session.key.id()) {
            return Err(SessionError::SessionTaken {
                id: session.key.id().to_owned(),
            });
        }
        let kept = Kept {
            head: Box::new(head),
            weight,
            entries: added.into_iter().map(|added| added.body).collect(),
            files: BTreeMap::new(),
        };
        owner.insert(session.key.id().into(), kept);
        held.bytes = size;
        Ok(session)
    }

    async fn get(&self, key: &SessionKey) -> Result<Session, SessionError> {
        let held = self.shared.held.lock();
        Ok(held.find(key)?.head.session.clone())
    }

    async fn write(&self, key: &SessionKey, write: Write) -> Result<Written, SessionError> {
        let now = self.shared.clock.now();
        let mut held = self.shared.held.lock();
        let kept = held.find(key)?;
        // A refused write leaves the head as it was.
        let mut head = kept.head.clone();
        let effect = head.apply(write, kept.tail(), now)?;
        let all = kept.entries.len();
        let keep = effect.keep.and_then(|keep| usize::try_from(keep).ok());
        let keep = keep.map_or(all, |keep| keep.min(all));
        let gone: usize = kept.entries[keep..].iter().map(|body| body.len()).sum();
        let added: usize = effect.add.iter().map(|added| added.body.len()).sum();
        let weight = head.weight();
        let size = self.room(&held, added as u64 + weight, gone as u64 + kept.weight)?;
        let session = head.session.clone();
        let kept = held.find_mut(key)?;
        kept.entries.truncate(keep);
        kept.entries
            .extend(effect.add.into_iter().map(|added| added.body));
        (kept.head, kept.weight) = (head, weight);
        held.bytes = size;
        Ok(Written {
            session,
            repeated: effect.repeated,
        })
    }

    async fn read(&self, key: &SessionKey, range: Range) -> Result<Transcript, SessionError> {
        let (head, bodies) = {
            let held = self.shared.held.lock();
            let kept = held.find(key)?;
            let places = range.places(&kept.head.session);
            (kept.head.clone(), kept.bodies(places))
        };
        Ok(Transcript::new(*head, entries(&bodies), range))
    }

    async fn find_turn(&self, key: &SessionKey, name: &str) -> Result<Transcript, SessionError> {
        let (head, bodies) = {
            let held = self.shared.held.lock();
            let kept = held.find(key)?;
            let bodies = kept.head.turn(name).map(|places| kept.bodies(places));
            (kept.head.clone(), bodies.unwrap_or_default())
        };
        Ok(Transcript::of_turn(*head, entries(&bodies)))
    }

    async fn list(&self, filter: &SessionFilter) -> Result<SessionPage, SessionError> {
        let mark = filter.mark()?;
        let room = filter.room() + 1;
        let held = self.shared.held.lock();
        let mut found: Vec<Session> = Vec::new();
        for (owner, sessions) in &held.owners {
            let asked = filter.owner.as_ref().is_none_or(|asked| **asked == **owner);
            let behind = mark.as_ref().is_none_or(|mark| owner >= &mark.owner);
            if !asked || !behind || found.len() >= room {
                continue;
            }
            let mark = mark.as_ref().filter(|mark| mark.owner == *owner);
            let mut order: Vec<&Session> = sessions
                .values()
                .map(|kept| &kept.head.session)
                .filter(|session| filter.wants(session))
                .filter(|session| {
                    mark.is_none_or(|mark| mark.precedes(session.active_at, session.key.id()))
                })
                .collect();
            order.sort_unstable_by_key(|session| {
                std::cmp::Reverse((session.active_at, session.key.id()))
            });
            let left = room - found.len();
            found.extend(order.into_iter().take(left).cloned());
        }
        drop(held);
        Ok(filter.page(found))
    }

    async fn count(&self, owner: Option<&str>) -> Result<u64, SessionError> {
        let held = self.shared.held.lock();
        let count: usize = match owner {
            Some(owner) => held.owners.get(owner).map_or(0, BTreeMap::len),
            None => held.owners.values().map(BTreeMap::len).sum(),
        };
        Ok(count as u64)
    }

    async fn delete(&self, key: &SessionKey, guard: Guard) -> Result<(), SessionError> {
        let mut held = self.shared.held.lock();
        self.touched(&held, key, guard)?;
        held.remove(key)
    }

    async fn clean_up(&self, idle: Duration) -> Result<usize, SessionError> {
        let now = self.shared.clock.now();
        let since = now.saturating_sub(millis(idle));
        let mut held = self.shared.held.lock();
        let idle: Vec<SessionKey> = held
            .owners
            .values()
            .flat_map(BTreeMap::values)
            .filter(|kept| kept.head.is_idle(since, now))
            .map(|kept| kept.head.session.key.clone())
            .collect();
        for key in &idle {
            held.remove(key)?;
        }
        Ok(idle.len())
    }

    async fn put_file(
        &self,
        key: &SessionKey,
        guard: Guard,
        name: &str,
        body: Bytes,
    ) -> Result<(), SessionError> {
        let mut held = self.shared.held.lock();
        let head = self.touched(&held, key, guard)?;
        let kept = held.find(key)?;
        let others = kept.files.keys().filter(|has| ***has != *name).count();
        check_file(name, &body, others as u64)?;
        let before = kept.files.get(name).map_or(0, |body| file(name, body));
        let weight = head.weight();
        let more = file(name, &body) + weight;
        let size = self.room(&held, more, before + kept.weight)?;
        let kept = held.find_mut(key)?;
        kept.files.insert(name.into(), body);
        (kept.head, kept.weight) = (head, weight);
        held.bytes = size;
        Ok(())
    }

    async fn file(&self, key: &SessionKey, name: &str) -> Result<Bytes, SessionError> {
        let held = self.shared.held.lock();
        let kept = held.find(key).ok();
        let body = kept.and_then(|kept| kept.files.get(name).cloned());
        body.ok_or_else(|| super::query::unknown_file(key, name))
    }

    async fn files(&self, key: &SessionKey) -> Result<Vec<String>, SessionError> {
        let held = self.shared.held.lock();
        let mut names: Vec<String> = held
            .find(key)?
            .files
            .keys()
            .map(|n| n.to_string())
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    async fn drop_file(
        &self,
        key: &SessionKey,
        guard: Guard,
        name: &str,
    ) -> Result<bool, SessionError> {
        let mut held = self.shared.held.lock();
        let head = self.touched(&held, key, guard)?;
        let kept = held.find(key)?;
        let before = kept.files.get(name).map_or(0, |body| file(name, body));
        let weight = head.weight();
        let size = self.room(&held, weight, before + kept.weight)?;
        let kept = held.find_mut(key)?;
        let dropped = kept.files.remove(name);
        (kept.head, kept.weight) = (head, weight);
        held.bytes = size;
        Ok(dropped.is_some())
    }
}

impl Kept {
    fn bodies(&self, places: Places) -> Vec<Box<str>> {
        let at = |place: u64| self.entries.get(usize::try_from(place).ok()?).cloned();
        let wanted = places.single.into_iter().chain(places.from..places.to);
        wanted.filter_map(at).collect()
    }

    fn tail(&self) -> Option<Tail> {
        let place = read(self.entries.last()?)?.turn;
        let turn = self.entries.get(usize::try_from(place).ok()?..)?;
        let bodies: Vec<&[u8]> = turn.iter().map(|body| body.as_bytes()).collect();
        Some(Tail::of(place, &bodies, self.head.session.summary))
    }
}

impl Held {
    fn find(&self, key: &SessionKey) -> Result<&Kept, SessionError> {
        let owner = self.owners.get(key.owner());
        owner
            .and_then(|owner| owner.get(key.id()))
            .ok_or_else(|| unknown(key))
    }

    fn find_mut(&mut self, key: &SessionKey) -> Result<&mut Kept, SessionError> {
        let owner = self.owners.get_mut(key.owner());
        owner
            .and_then(|owner| owner.get_mut(key.id()))
            .ok_or_else(|| unknown(key))
    }

    fn remove(&mut self, key: &SessionKey) -> Result<(), SessionError> {
        let owner = self.owners.get_mut(key.owner());
        let kept = owner.and_then(|owner| owner.remove(key.id()));
        let kept = kept.ok_or_else(|| unknown(key))?;
        let files: u64 = kept.files.iter().map(|(name, body)| file(name, body)).sum();
        let size = kept.head.session.bytes + files + kept.weight;
        self.bytes = self.bytes.saturating_sub(size);
        if self.owners.get(key.owner()).is_some_and(BTreeMap::is_empty) {
            self.owners.remove(key.owner());
        }
        Ok(())
    }
}

/// The bytes that count for a file.
fn file(name: &str, body: &Bytes) -> u64 {
    /// Its place among others.
    const PLACE: usize = 64;
    (name.len() + body.len() + PLACE) as u64
}

fn entries(bodies: &[Box<str>]) -> Vec<Entry> {
    bodies.iter().filter_map(|body| read(body)).collect()
}

/// What was written here can be read.
fn read(body: &str) -> Option<Entry> {
    serde_json::from_str(body).ok()
}

#[cfg(test)]
mod tests;
