//! Credentials that somebody keeps out, or admits again, whatever the pool learned by itself.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::slot::Proof;
use super::{CredentialPool, Mark, MarkKind, Scope};
use crate::clock::millis;
use crate::error::Error;

impl CredentialPool {
    /// Keeps a credential out for a while.
    ///
    /// # Errors
    /// [`Error::UnknownCredential`].
    pub async fn cool(&self, id: &str, wait: Duration, reason: &str) -> Result<(), Error> {
        let until = Some(self.now().saturating_add(millis(wait)));
        self.mark_by_hand(
            id,
            Mark {
                kind: MarkKind::Cooling,
                reason: reason.to_owned(),
                until,
            },
        )
        .await
    }

    /// Keeps a credential out until it is admitted again or `wait` has passed.
    ///
    /// # Errors
    /// [`Error::UnknownCredential`].
    pub async fn park(&self, id: &str, wait: Option<Duration>, reason: &str) -> Result<(), Error> {
        let until = wait.map(|wait| self.now().saturating_add(millis(wait)));
        self.mark_by_hand(
            id,
            Mark {
                kind: MarkKind::Parked,
                reason: reason.to_owned(),
                until,
            },
        )
        .await
    }

    /// Switches a credential off until it is admitted again.
    ///
    /// # Errors
    /// [`Error::UnknownCredential`].
    pub async fn disable(&self, id: &str, reason: &str) -> Result<(), Error> {
        let mark = Mark {
            kind: MarkKind::Disabled,
            reason: reason.to_owned(),
            until: None,
        };
        self.mark_by_hand(id, mark).await
    }

    /// Takes every mark off a credential: its own, its models', its group's.
    ///
    /// # Errors
    /// [`Error::UnknownCredential`].
    pub async fn admit(&self, id: &str) -> Result<(), Error> {
        let scopes = {
            let mut slots = self.0.slots.lock();
            let slot = slots
                .all
                .iter_mut()
                .find(|slot| slot.credential.id() == id)
                .ok_or_else(|| Error::UnknownCredential { id: id.to_owned() })?;
            let mut scopes = vec![Scope::Credential(slot.key.clone())];
            scopes.extend(
                slot.models
                    .keys()
                    .map(|m| Scope::Model(slot.key.clone(), m.clone())),
            );
            slot.mark = None;
            slot.models.clear();
            slot.proof = Proof::Unproven;
            if let Some(group) = slot.credential.quota_group().map(str::to_owned) {
                for member in &mut slots.all {
                    if member.credential.quota_group() == Some(&group) {
                        member.mark = None;
                    }
                }
                scopes.push(Scope::Group(group));
            }
            scopes
        };
        self.0.puts.fetch_add(1, Ordering::SeqCst);
        for scope in scopes {
            self.with_store(move |store, _| store.clear(&scope)).await;
        }
        self.0.puts.fetch_add(1, Ordering::SeqCst);
        self.0.released.notify_waiters();
        Ok(())
    }

    async fn mark_by_hand(&self, id: &str, mark: Mark) -> Result<(), Error> {
        let key = {
            let slots = self.0.slots.lock();
            let found = slots.all.iter().find(|slot| slot.credential.id() == id);
            found.map(|slot| slot.key.clone())
        };
        let key = key.ok_or_else(|| Error::UnknownCredential { id: id.to_owned() })?;
        self.put(Scope::Credential(key), mark).await;
        Ok(())
    }
}
