//! A credential on loan, given back when dropped.

use super::slot::Proof;
use super::strategy::Slots;
use super::{CredentialPool, Mark, Scope};
use crate::clock::EpochMillis;
use crate::credential::Credential;
use crate::provider::FaultClass;

/// A borrowed credential. Dropping it gives it back, whatever happened:
/// success, fault, cancellation or panic.
#[derive(Debug)]
pub struct Lease {
    pool: CredentialPool,
    credential: Credential,
    index: usize,
    ticket: u64,
    pub(super) shared_ticket: Option<i64>,
    given_back: bool,
}

/// What came of a loan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settlement {
    /// Whom the fault concerned; `None` for success.
    pub fault: Option<FaultClass>,
    /// Tokens that the call cost, where the endpoint said so.
    pub tokens: Option<u64>,
    /// Marks to put on the credential, its group or its model.
    pub marks: Vec<(Marked, Mark)>,
}

/// What a settlement marks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Marked {
    /// The credential alone.
    Credential,
    /// Its quota group, or itself where it has none.
    Group,
    /// One model of it.
    Model(String),
}

impl Lease {
    pub(super) fn new(
        pool: CredentialPool,
        credential: Credential,
        index: usize,
        ticket: u64,
    ) -> Self {
        Self {
            pool,
            credential,
            index,
            ticket,
            shared_ticket: None,
            given_back: false,
        }
    }

    /// The credential.
    #[must_use]
    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    /// Gives it back and says what came of it.
    pub async fn settle(mut self, settlement: Settlement) {
        // The mark goes first: in between, nobody else may borrow a bad credential.
        for (target, mark) in settlement.marks {
            self.pool.put(self.scope(target), mark).await;
        }
        if let (Some(ticket), Some(tokens)) = (self.shared_ticket, settlement.tokens) {
            self.pool
                .with_store(move |store, _| store.settle(ticket, tokens))
                .await;
        }
        self.give_back(Some((settlement.fault, settlement.tokens)));
    }

    pub(super) fn ticket(&self) -> u64 {
        self.ticket
    }

    pub(super) fn index(&self) -> usize {
        self.index
    }

    fn scope(&self, target: Marked) -> Scope {
        let slots = self.pool.0.slots.lock();
        let key = slots
            .all
            .get(self.index)
            .map_or_else(String::new, |slot| slot.key.clone());
        match (target, self.credential.quota_group()) {
            (Marked::Model(model), _) => Scope::Model(key, model),
            (Marked::Group, Some(group)) => Scope::Group(group.to_owned()),
            (Marked::Group, None) | (Marked::Credential, _) => Scope::Credential(key),
        }
    }

    fn give_back(&mut self, outcome: Option<(Option<FaultClass>, Option<u64>)>) {
        if std::mem::replace(&mut self.given_back, true) {
            return;
        }
        let proven = {
            let mut slots = self.pool.0.slots.lock();
            slots.take_back(self.index, self.ticket, outcome)
        };
        if proven {
            self.pool.0.released.notify_waiters();
        } else {
            self.pool.0.released.notify_one();
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.give_back(None);
    }
}

impl Slots {
    pub(super) fn lend(
        &mut self,
        index: usize,
        tokens: u64,
        now: EpochMillis,
    ) -> (Credential, u64) {
        let slot = &mut self.all[index];
        slot.in_flight += 1;
        if slot.proof == Proof::Unproven {
            slot.proof = Proof::Probing { since: now };
        }
        let limits = slot.credential.limits();
        (
            slot.credential.clone(),
            slot.window.admit(limits, tokens, now),
        )
    }

    /// Whether this loan proved the credential.
    fn take_back(
        &mut self,
        index: usize,
        ticket: u64,
        outcome: Option<(Option<FaultClass>, Option<u64>)>,
    ) -> bool {
        let Some(slot) = self.all.get_mut(index) else {
            return false;
        };
        slot.in_flight = slot.in_flight.saturating_sub(1);
        let Some((fault, tokens)) = outcome else {
            // Nothing is known of a call that was given up: the next may probe.
            if matches!(slot.proof, Proof::Probing { .. }) {
                slot.proof = Proof::Unproven;
            }
            return false;
        };
        if let Some(tokens) = tokens {
            slot.window.settle(ticket, tokens);
        }
        let before = slot.proof;
        slot.proof = match fault {
            None | Some(FaultClass::Request | FaultClass::Model) => Proof::Proven,
            // Nothing is known of the credential when the endpoint failed.
            Some(FaultClass::Provider) if before == Proof::Proven => Proof::Proven,
            _ => Proof::Unproven,
        };
        before != Proof::Proven && slot.proof == Proof::Proven
    }
}
