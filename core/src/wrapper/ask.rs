//! What is asked of a rotation, and how long it may take.

use std::time::Duration;

use serde::Deserialize;

use crate::config;
use crate::error::Error;
use crate::provider::Request;

/// What a call needs of its credential.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ask {
    /// The model it will ask for.
    pub model: Option<String>,
    /// The conversation it belongs to, for the sticky strategy.
    pub session: Option<String>,
    /// The credential that it would rather have. Without it, while that cannot be used, and once
    /// it failed in this call, the pool's strategy chooses.
    pub credential: Option<String>,
    /// The tokens it is expected to cost, for token limits.
    pub tokens: u64,
}

impl Ask {
    /// What a request needs: its model, its session and credential, a guess at its tokens.
    #[must_use]
    pub fn of(request: &Request) -> Self {
        // About four bytes a token in the languages of most prompts; the usage
        // that comes back corrects it.
        let read = request.text_bytes() as u64 / 4;
        Self {
            model: request.model.clone(),
            session: request.session.clone(),
            credential: request.credential.clone(),
            tokens: read + u64::from(request.max_tokens.unwrap_or(0)),
        }
    }

    /// Reads the JSON form: `{"model", "session", "tokens"}`, all optional.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] naming what cannot be used.
    pub fn from_json(json: &str) -> Result<Self, Error> {
        let options: AskOptions = config::from_json(json, "the options of run")?;
        Ok(Self {
            model: options.model,
            session: options.session,
            tokens: options.tokens,
            ..Self::default()
        })
    }
}

/// How long one call may take, where that differs from the wrapper's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CallLimits {
    /// The whole call, at most the wrapper's deadline.
    pub deadline: Option<Duration>,
    /// Each attempt.
    pub attempt: Option<Duration>,
}

impl From<Duration> for CallLimits {
    fn from(deadline: Duration) -> Self {
        Self {
            deadline: Some(deadline),
            attempt: None,
        }
    }
}

/// What can be asked of a rotation, as JSON.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct AskOptions {
    model: Option<String>,
    session: Option<String>,
    tokens: u64,
}
