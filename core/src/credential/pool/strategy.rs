//! In which order credentials are tried. Pure.

use std::collections::BTreeSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};

use super::slot::{Proof, Readiness, Slot};
use crate::clock::EpochMillis;

/// How the pool chooses among the credentials that can be used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Each in turn.
    #[default]
    RoundRobin,
    /// In proportion to the credentials' weights.
    Weighted,
    /// The one with the fewest calls in flight.
    LeastBusy,
    /// The first until it is out, then the second.
    FillFirst,
    /// One conversation stays on one credential while that can be used.
    ///
    /// While it is out the conversation goes to one other, always the same, in
    /// every process; then it returns. Requests without a session go round robin.
    Sticky,
}

impl Strategy {
    /// All there are.
    pub const ALL: [Self; 5] = [
        Self::RoundRobin,
        Self::Weighted,
        Self::LeastBusy,
        Self::FillFirst,
        Self::Sticky,
    ];
}

/// What a call needs of a credential.
#[derive(Debug, Clone, Copy, Default)]
pub struct Want<'a> {
    /// The model it will ask for.
    pub model: Option<&'a str>,
    /// The conversation it belongs to.
    pub session: Option<&'a str>,
    /// The id of the credential that it would rather have, if there is such a one.
    pub credential: Option<&'a str>,
    /// The id of one that is to be asked only where no other can be.
    pub avoid: Option<&'a str>,
    /// The tokens it is expected to cost.
    pub tokens: u64,
}

/// What a pick came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pick {
    /// This slot.
    Slot(usize),
    /// All that are not out are in use; worth another look at this time.
    Busy { until: Option<EpochMillis> },
    /// All are out; the first comes back at this time.
    Out { earliest: Option<EpochMillis> },
}

/// The slots and where the turn is.
#[derive(Debug)]
pub(crate) struct Slots {
    pub(crate) all: Vec<Slot>,
    pub(crate) strategy: Strategy,
    /// How long an unproven credential is kept to one call, in milliseconds.
    pub(crate) probe: u64,
    pub(crate) turn: usize,
    /// The weighted strategy's passes in order, and the last one taken.
    pub(crate) passes: BTreeSet<(u64, usize)>,
    pub(crate) pass: u64,
    /// The process whose loans are counted.
    pub(crate) process: u32,
}

/// What a pass grows by for a weight of 1.
const STRIDE: u64 = 1 << 32;

impl Slots {
    /// Begins anew in a forked child, where nobody gives back what the parent's calls
    /// had borrowed. Says whether it did.
    pub(crate) fn forget_loans_of_parent(&mut self) -> bool {
        let here = std::process::id();
        if self.process == here {
            return false;
        }
        self.process = here;
        for slot in &mut self.all {
            slot.in_flight = 0;
            if matches!(slot.proof, Proof::Probing { .. }) {
                slot.proof = Proof::Unproven;
            }
        }
        true
    }

    pub(crate) fn pick(&mut self, want: &Want<'_>, now: EpochMillis) -> Pick {
        if let Some(index) = self.wanted(want, now) {
            return Pick::Slot(index);
        }
        let mut chosen = self.choose(want, now);
        if chosen.is_none() && want.avoid.is_some() {
            let any = Want {
                avoid: None,
                ..*want
            };
            chosen = self.choose(&any, now);
        }
        match chosen {
            Some(index) => Pick::Slot(index),
            None => self.why_not(want, now),
        }
    }

    fn choose(&mut self, want: &Want<'_>, now: EpochMillis) -> Option<usize> {
        match (self.strategy, want.session) {
            (Strategy::RoundRobin, _) | (Strategy::Sticky, None) => self.next_in_turn(want, now),
            (Strategy::FillFirst, _) => self.first_ready(want, now),
            (Strategy::LeastBusy, _) => self.least_busy(want, now),
            (Strategy::Weighted, _) => self.weighted(want, now),
            (Strategy::Sticky, Some(session)) => self.sticky(session, want, now),
        }
    }

    fn ready(&mut self, index: usize, want: &Want<'_>, now: EpochMillis) -> bool {
        let probe = self.probe;
        self.all.get_mut(index).is_some_and(|slot| {
            want.avoid != Some(slot.credential.id())
                && slot.readiness(want.model, want.tokens, now, probe) == Readiness::Ready
        })
    }

    // Whose turn it is among the others is not changed by it.
    fn wanted(&mut self, want: &Want<'_>, now: EpochMillis) -> Option<usize> {
        let id = want.credential?;
        let index = self.all.iter().position(|s| s.credential.id() == id)?;
        self.ready(index, want, now).then_some(index)
    }

    fn next_in_turn(&mut self, want: &Want<'_>, now: EpochMillis) -> Option<usize> {
        let (count, turn) = (self.all.len(), self.turn);
        let found = (0..count)
            .map(|step| (turn + step) % count)
            .find(|index| self.ready(*index, want, now))?;
        self.turn = (found + 1) % count;
        Some(found)
    }

    fn first_ready(&mut self, want: &Want<'_>, now: EpochMillis) -> Option<usize> {
        (0..self.all.len()).find(|index| self.ready(*index, want, now))
    }

    fn least_busy(&mut self, want: &Want<'_>, now: EpochMillis) -> Option<usize> {
        let count = self.all.len();
        let mut best: Option<(u32, usize)> = None;
        for step in 0..count {
            let index = (self.turn + step) % count;
            let in_flight = self.all.get(index)?.in_flight;
            if best.is_none_or(|(least, _)| in_flight < least) && self.ready(index, want, now) {
                best = Some((in_flight, index));
            }
        }
        let (_, index) = best?;
        self.turn = (index + 1) % count;
        Some(index)
    }

    // Stride scheduling: each has a pass that grows by the inverse of its weight when
    // it is taken; the smallest that is ready is next. Who was out does not catch up.
    fn weighted(&mut self, want: &Want<'_>, now: EpochMillis) -> Option<usize> {
        if self.passes.len() != self.all.len() {
            self.passes = (0..self.all.len())
                .map(|index| (self.pass, index))
                .collect();
        }
        let passes = std::mem::take(&mut self.passes);
        let chosen = passes
            .iter()
            .copied()
            .find(|(_, index)| self.ready(*index, want, now));
        self.passes = passes;
        let (pass, index) = chosen?;
        let weight = u64::from(self.all.get(index)?.credential.weight()).max(1);
        self.pass = self.pass.max(pass);
        self.passes.remove(&(pass, index));
        self.passes.insert((self.pass + STRIDE / weight, index));
        Some(index)
    }

    // Rendezvous hashing: no table to keep, and every process agrees.
    fn sticky(&mut self, session: &str, want: &Want<'_>, now: EpochMillis) -> Option<usize> {
        let session = hash(session);
        let mut best: Option<(u64, usize)> = None;
        for index in 0..self.all.len() {
            let score = mixed(session ^ self.all.get(index)?.key_hash);
            if best.is_none_or(|(most, _)| score > most) && self.ready(index, want, now) {
                best = Some((score, index));
            }
        }
        best.map(|(_, index)| index)
    }

    fn why_not(&mut self, want: &Want<'_>, now: EpochMillis) -> Pick {
        let mut busy: Option<Option<EpochMillis>> = None;
        let mut earliest: Option<EpochMillis> = None;
        for slot in &mut self.all {
            match slot.readiness(want.model, want.tokens, now, self.probe) {
                Readiness::Ready => {}
                Readiness::Busy { until } => busy = Some(sooner(busy.flatten(), until)),
                Readiness::Out { until } => earliest = sooner(earliest, until),
            }
        }
        match busy {
            Some(until) => Pick::Busy {
                until: sooner(until, earliest),
            },
            None => Pick::Out { earliest },
        }
    }
}

fn sooner(one: Option<EpochMillis>, other: Option<EpochMillis>) -> Option<EpochMillis> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// A number for a text. `DefaultHasher::new` has fixed keys, so all processes of one
/// build agree.
pub(crate) fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

// The finish of SplitMix64: every bit of the input moves every bit of the output.
fn mixed(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
