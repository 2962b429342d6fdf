//! One credential's place in the pool: what speaks for and against using it now. Pure.

use std::collections::HashMap;

use super::mark::Mark;
use super::strategy::hash;
use super::window::Window;
use crate::clock::EpochMillis;
use crate::credential::{Credential, CredentialState, CredentialStatus};

/// A credential and its state in this process.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) credential: Credential,
    /// What its marks are filed under: the id, and for a key its fingerprint.
    pub(crate) key: String,
    pub(crate) in_flight: u32,
    pub(crate) mark: Option<Mark>,
    pub(crate) models: HashMap<String, Mark>,
    pub(crate) window: Window,
    pub(crate) proof: Proof,
    /// The key as a number, for the sticky strategy.
    pub(crate) key_hash: u64,
}

/// Whether a credential has been seen to work.
///
/// One that has not is lent to one call at a time, so that a bad key costs one
/// request and not one for each call that happens to be in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    Unproven,
    Probing { since: EpochMillis },
    Proven,
}

/// Whether a slot can be used now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Readiness {
    Ready,
    /// In use; ask again when something is given back, or at this time.
    Busy {
        until: Option<EpochMillis>,
    },
    /// Out, until the time if there is one.
    Out {
        until: Option<EpochMillis>,
    },
}

impl Slot {
    pub(crate) fn new(credential: Credential) -> Self {
        // An account keeps its place when its token is refreshed; a new key under
        // an old name starts afresh.
        let key = match credential.oauth() {
            Some(_) => credential.id().to_owned(),
            None => format!("{}@{}", credential.id(), credential.secret().fingerprint()),
        };
        Self {
            credential,
            key_hash: hash(&key),
            key,
            in_flight: 0,
            mark: None,
            models: HashMap::new(),
            window: Window::default(),
            proof: Proof::Unproven,
        }
    }

    /// Whether it can serve a call for this model with so many tokens.
    pub(crate) fn readiness(
        &mut self,
        model: Option<&str>,
        tokens: u64,
        now: EpochMillis,
        probe: u64,
    ) -> Readiness {
        self.expire(now);
        if let Some(mark) = &self.mark {
            return Readiness::Out { until: mark.until };
        }
        if let Some(mark) = self.model_mark(model) {
            return Readiness::Out { until: mark.until };
        }
        let limits = self.credential.limits();
        if limits
            .concurrency
            .is_some_and(|most| self.in_flight >= most)
        {
            return Readiness::Busy { until: None };
        }
        if let Proof::Probing { since } = self.proof
            && now < since + probe
        {
            return Readiness::Busy {
                until: Some(since + probe),
            };
        }
        match self.window.free_at(limits, tokens, now) {
            Some(at) => Readiness::Out { until: Some(at) },
            None => Readiness::Ready,
        }
    }

    /// Puts a mark on it, or keeps the one that lasts longer.
    pub(crate) fn put(&mut self, mark: Mark) {
        self.mark = Some(match self.mark.take() {
            Some(old) => old.later(mark),
            None => mark,
        });
    }

    /// Puts a mark on one model of it.
    pub(crate) fn put_model(&mut self, model: &str, mark: Mark) {
        let kept = match self.models.remove(model) {
            Some(old) => old.later(mark),
            None => mark,
        };
        self.models.insert(model.to_owned(), kept);
    }

    /// How it stands, for lists and errors.
    pub(crate) fn status(
        &mut self,
        model: Option<&str>,
        now: EpochMillis,
        probe: u64,
    ) -> CredentialStatus {
        let readiness = self.readiness(model, 0, now, probe);
        let mark = self.mark.as_ref().or_else(|| self.model_mark(model));
        let (state, reason, until) = match (mark, readiness) {
            (Some(mark), _) => (mark.kind.state(), Some(mark.reason.clone()), mark.until),
            (None, Readiness::Out { until }) => (
                CredentialState::Cooling,
                Some("limit_of_the_minute".to_owned()),
                until,
            ),
            (None, Readiness::Busy { .. }) => (CredentialState::Busy, None, None),
            (None, Readiness::Ready) => (CredentialState::Ready, None, None),
        };
        CredentialStatus {
            id: self.credential.id().to_owned(),
            state,
            reason,
            until,
            in_flight: self.in_flight,
        }
    }

    fn model_mark(&self, model: Option<&str>) -> Option<&Mark> {
        if self.models.is_empty() {
            return None;
        }
        self.models.get(model.or(self.credential.model())?)
    }

    // An expired mark readmits the credential, one call first.
    fn expire(&mut self, now: EpochMillis) {
        if self.mark.as_ref().is_some_and(|mark| !mark.holds(now)) {
            self.mark = None;
            self.proof = Proof::Unproven;
        }
        if !self.models.is_empty() {
            self.models.retain(|_, mark| mark.holds(now));
        }
    }
}
