//! What the simulated endpoint remembers: scripts' progress, counts, requests seen.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use serde_json::Value;

use super::catalogue::ScriptedFault;
use super::scenario::{Scenario, Script, Step, UnknownKey};
use crate::clock::{Clock, EpochMillis, SystemClock};
use crate::credential::Secret;

/// Keys told apart; the rest are counted as one.
const KEYS: usize = 65_536;
/// Requests kept.
const REQUESTS: usize = 4_096;
/// Bytes of bodies kept.
const BODIES: usize = 32 << 20;

/// A request that the endpoint has seen.
#[derive(Debug, Clone, PartialEq)]
pub struct SeenRequest {
    /// The key it came with; empty without one.
    pub key: Secret,
    /// Its path.
    pub path: String,
    /// Its body; a string if it is not JSON.
    pub body: Value,
    /// When it had arrived.
    pub at: EpochMillis,
}

/// The memory of one endpoint.
pub(super) struct Ledger {
    keys: RwLock<HashMap<Box<str>, Arc<KeyRecord>>>,
    default: Script,
    unknown: UnknownKey,
    record: bool,
    seen: Mutex<Seen>,
    hits: AtomicU64,
    in_flight: AtomicUsize,
    connections: AtomicUsize,
}

/// What is known of one key.
pub(super) struct KeyRecord {
    hits: AtomicU64,
    closed_early: AtomicU64,
    progress: Mutex<Progress>,
}

/// A script and how far it has come.
pub(super) struct Progress {
    steps: Vec<Arc<Step>>,
    at: usize,
    served: u64,
}

/// A request being served. Dropped before [`Serving::finish`], its client has
/// gone away.
pub(super) struct Serving {
    ledger: Arc<Ledger>,
    key: Option<Arc<KeyRecord>>,
    finished: bool,
}

/// An open connection.
pub(super) struct Connected(Arc<Ledger>);

#[derive(Default)]
struct Seen {
    requests: VecDeque<(Arc<str>, String, Bytes, EpochMillis)>,
    bytes: usize,
}

impl Ledger {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let listed = scenario.keys.iter();
        let keys = listed.map(|(key, script)| (key.as_str().into(), KeyRecord::new(script)));
        Self {
            keys: RwLock::new(keys.collect()),
            default: scenario.default.clone(),
            unknown: scenario.unknown,
            record: scenario.record,
            seen: Mutex::default(),
            hits: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
        }
    }

    /// The record of a key, made on first sight.
    pub(super) fn key(&self, key: &str) -> Arc<KeyRecord> {
        if let Some(record) = self.known(key) {
            return record;
        }
        let refused = key.is_empty() || self.unknown == UnknownKey::Refused;
        let mut keys = self.keys.write();
        let name = if keys.len() < KEYS { key } else { "" };
        let record = keys.entry(name.into()).or_insert_with(|| {
            if refused {
                KeyRecord::new(&ScriptedFault::Unauthorized.into())
            } else {
                KeyRecord::new(&self.default)
            }
        });
        Arc::clone(record)
    }

    /// Makes a key known that follows the default script.
    pub(super) fn admit(&self, key: &str) {
        let mut keys = self.keys.write();
        if keys.len() < KEYS {
            keys.entry(key.into())
                .or_insert_with(|| KeyRecord::new(&self.default));
        }
    }

    /// Gives a key another script, from its start.
    pub(super) fn script(&self, key: &str, script: &Script) {
        let record = Arc::clone(
            self.keys
                .write()
                .entry(key.into())
                .or_insert_with(|| KeyRecord::new(script)),
        );
        *record.progress.lock() = Progress::new(script);
    }

    /// Starts to serve a request, for a key or for none.
    pub(super) fn attend(self: &Arc<Self>, key: Option<Arc<KeyRecord>>) -> Serving {
        if key.is_some() {
            self.hits.fetch_add(1, Ordering::Relaxed);
        }
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        Serving {
            ledger: Arc::clone(self),
            key,
            finished: false,
        }
    }

    pub(super) fn connect(self: &Arc<Self>) -> Connected {
        self.connections.fetch_add(1, Ordering::AcqRel);
        Connected(Arc::clone(self))
    }

    pub(super) fn record(&self, key: &str, path: &str, body: &[u8]) {
        if !self.record {
            return;
        }
        let at = SystemClock.now();
        let body = Bytes::copy_from_slice(body);
        let mut seen = self.seen.lock();
        seen.bytes += body.len();
        seen.requests
            .push_back((key.into(), path.to_owned(), body, at));
        while seen.requests.len() > REQUESTS || seen.bytes > BODIES {
            let Some((_, _, body, _)) = seen.requests.pop_front() else {
                break;
            };
            seen.bytes -= body.len();
        }
    }

    pub(super) fn requests(&self) -> Vec<SeenRequest> {
        let seen: Vec<_> = self.seen.lock().requests.iter().cloned().collect();
        let read = |(key, path, body, at): (Arc<str>, String, Bytes, EpochMillis)| SeenRequest {
            key: Secret::from(&*key),
            path,
            body: serde_json::from_slice(&body)
                .unwrap_or_else(|_| String::from_utf8_lossy(&body).into()),
            at,
        };
        seen.into_iter().map(read).collect()
    }

    pub(super) fn hits(&self, key: &str) -> u64 {
        self.known(key)
            .map_or(0, |key| key.hits.load(Ordering::Acquire))
    }

    pub(super) fn closed_early(&self, key: &str) -> u64 {
        self.known(key)
            .map_or(0, |key| key.closed_early.load(Ordering::Acquire))
    }

    pub(super) fn hits_total(&self) -> u64 {
        self.hits.load(Ordering::Acquire)
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Acquire)
    }

    pub(super) fn open_connections(&self) -> usize {
        self.connections.load(Ordering::Acquire)
    }

    fn known(&self, key: &str) -> Option<Arc<KeyRecord>> {
        self.keys.read().get(key).cloned()
    }
}

impl KeyRecord {
    fn new(script: &Script) -> Arc<Self> {
        Arc::new(Self {
            hits: AtomicU64::new(0),
            closed_early: AtomicU64::new(0),
            progress: Mutex::new(Progress::new(script)),
        })
    }

    /// Counts a request and gives its number, from 1.
    pub(super) fn hit(&self) -> u64 {
        self.hits.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// The step that serves the next request, and one request less for it.
    pub(super) fn next_step(&self) -> Arc<Step> {
        self.progress.lock().next()
    }

    /// The step that would serve the next request.
    pub(super) fn current_step(&self) -> Arc<Step> {
        self.progress.lock().current()
    }
}

impl Progress {
    pub(super) fn new(script: &Script) -> Self {
        let last = script.0.len().saturating_sub(1);
        let steps = script.0.iter().enumerate().map(|(index, step)| {
            let mut step = step.clone();
            // Spelled out, so that counting needs no special case.
            step.times
                .get_or_insert(if index == last { u64::MAX } else { 1 });
            Arc::new(step)
        });
        Self {
            steps: steps.collect(),
            at: 0,
            served: 0,
        }
    }

    pub(super) fn next(&mut self) -> Arc<Step> {
        let step = self.current();
        self.served = self.served.saturating_add(1);
        step
    }

    fn current(&mut self) -> Arc<Step> {
        while let Some(step) = self.steps.get(self.at) {
            if self.served < step.times.unwrap_or(u64::MAX) {
                return Arc::clone(step);
            }
            self.at += 1;
            self.served = 0;
        }
        Arc::default()
    }
}

impl Serving {
    /// All that was to be sent has been handed over.
    pub(super) fn finish(&mut self) {
        self.finished = true;
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if !self.finished
            && let Some(key) = &self.key
        {
            key.closed_early.fetch_add(1, Ordering::AcqRel);
        }
        self.ledger.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(script: impl Into<Script>, requests: usize) -> Vec<String> {
        let mut progress = Progress::new(&script.into());
        (0..requests)
            .map(|_| progress.next().text.clone().unwrap_or_default())
            .collect()
    }

    #[test]
    fn the_last_step_repeats_unless_it_says_how_often() {
        let (a, b) = (Step::text("a"), Step::text("b"));
        let cases: [(Script, [&str; 4]); 5] = [
            ([].into(), ["", "", "", ""]),
            (a.clone().into(), ["a", "a", "a", "a"]),
            ([a.clone(), b.clone()].into(), ["a", "b", "b", "b"]),
            (
                [a.clone().times(2), b.clone().times(1)].into(),
                ["a", "a", "b", ""],
            ),
            ([a.times(0), b].into(), ["b", "b", "b", "b"]),
        ];
        for (script, expected) in cases {
            assert_eq!(texts(script, 4), expected);
        }
    }
}
