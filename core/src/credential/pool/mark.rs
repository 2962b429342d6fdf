//! Why a credential is out, and until when. Pure.

use serde::{Deserialize, Serialize};

use crate::clock::EpochMillis;
use crate::credential::CredentialState;

/// A reason not to use something, and when it ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Which kind of out.
    pub kind: MarkKind,
    /// Why: a fault's reason, or a person's words.
    pub reason: String,
    /// When it ends, in epoch milliseconds; `None` when not by itself.
    pub until: Option<EpochMillis>,
}

/// The kinds of out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MarkKind {
    /// Asked to wait.
    Cooling,
    /// Refused or out of quota.
    Parked,
    /// Switched off by hand.
    Disabled,
}

/// What a mark is put on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scope {
    /// One credential, by its state key.
    Credential(String),
    /// All credentials of a quota group.
    Group(String),
    /// One model of one credential.
    Model(String, String),
}

impl Mark {
    /// Whether it still holds.
    #[must_use]
    pub fn holds(&self, now: EpochMillis) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    /// The one of two that keeps a credential out longer.
    #[must_use]
    pub fn later(self, other: Self) -> Self {
        let rank = |mark: &Self| mark.until.unwrap_or(EpochMillis::MAX);
        match (self.kind, other.kind) {
            (MarkKind::Disabled, _) => self,
            (_, MarkKind::Disabled) => other,
            _ if rank(&other) > rank(&self) => other,
            _ => self,
        }
    }
}

impl MarkKind {
    /// How a credential under such a mark is listed.
    #[must_use]
    pub fn state(self) -> CredentialState {
        match self {
            Self::Cooling => CredentialState::Cooling,
            Self::Parked => CredentialState::Parked,
            Self::Disabled => CredentialState::Disabled,
        }
    }
}

impl Scope {
    /// Its key in a store. The parts are told apart by a character that ids do not hold.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::Credential(key) => format!("credential\u{1f}{key}"),
            Self::Group(name) => format!("group\u{1f}{name}"),
            Self::Model(key, model) => format!("model\u{1f}{key}\u{1f}{model}"),
        }
    }

    /// The scope of a store's key, `None` for one that this version does not know.
    #[must_use]
    pub fn from_key(key: &str) -> Option<Self> {
        let mut parts = key.split('\u{1f}');
        let scope = match (parts.next()?, parts.next()?, parts.next()) {
            ("credential", key, None) => Self::Credential(key.to_owned()),
            ("group", name, None) => Self::Group(name.to_owned()),
            ("model", key, Some(model)) => Self::Model(key.to_owned(), model.to_owned()),
            _ => return None,
        };
        parts.next().is_none().then_some(scope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cooling(until: u64) -> Mark {
        Mark {
            kind: MarkKind::Cooling,
            reason: "rate_limited".into(),
            until: Some(until),
        }
    }

    #[test]
    fn overlapping_marks_keep_the_latest_deadline_in_either_order() {
        assert_eq!(cooling(5).later(cooling(9)).until, Some(9));
        assert_eq!(cooling(9).later(cooling(5)).until, Some(9));
    }

    #[test]
    fn a_mark_by_hand_outlives_any_cooldown() {
        let disabled = Mark {
            kind: MarkKind::Disabled,
            reason: "by hand".into(),
            until: None,
        };
        assert_eq!(cooling(u64::MAX).later(disabled.clone()), disabled);
        assert_eq!(disabled.clone().later(cooling(u64::MAX)), disabled);
    }

    #[test]
    fn scopes_come_back_from_their_keys() {
        for scope in [
            Scope::Credential("a@1".into()),
            Scope::Group("org".into()),
            Scope::Model("a@1".into(), "gpt:x".into()),
        ] {
            assert_eq!(Scope::from_key(&scope.key()), Some(scope));
        }
        assert_eq!(Scope::from_key("planet\u{1f}x"), None);
    }
}
