//! Answers kept for identical requests, and identical requests in flight made one.
//!
//! Only whole answers are kept. Who is asked does not matter to the key, what is
//! asked does, and of which targets.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::outcome::Outcome;
use crate::provider::{Request, Response};

/// How answers are cached. Times in milliseconds, sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CacheOptions {
    /// How long an answer is kept. Default: 300,000.
    pub ttl_ms: u64,
    /// How much text is kept. Default: 64 MiB.
    pub max_bytes: u64,
}

impl Default for CacheOptions {
    fn default() -> Self {
        Self {
            ttl_ms: 300_000,
            max_bytes: 64 * 1024 * 1024,
        }
    }
}

type Key = [u8; 32];

/// What a caller of [`ResponseCache::get_or`] got.
pub(super) enum Cached {
    /// It made the call itself.
    Own(Box<Outcome>),
    /// A kept answer, or the one of an identical call.
    Shared(Arc<Response>),
    /// An identical call failed.
    Failed(Arc<Outcome>),
}

#[derive(Debug)]
pub(super) struct ResponseCache {
    answers: Cache<Key, Arc<Response>>,
}

impl ResponseCache {
    pub(super) fn new(options: CacheOptions) -> Self {
        let answers = Cache::builder()
            .time_to_live(Duration::from_millis(options.ttl_ms))
            .max_capacity(options.max_bytes)
            .weigher(|_, response: &Arc<Response>| {
                u32::try_from(response.text.len() + 256).unwrap_or(u32::MAX)
            })
            .build();
        Self { answers }
    }

    pub(super) fn key(request: &Request) -> Option<Key> {
        let bytes = serde_json::to_vec(request).ok()?;
        Some(Sha256::digest(&bytes).into())
    }

    pub(super) async fn get(&self, key: &Key) -> Option<Arc<Response>> {
        self.answers.get(key).await
    }

    pub(super) async fn insert(&self, key: Key, response: Arc<Response>) {
        self.answers.insert(key, response).await;
    }

    /// The kept answer, or the outcome of `call`, which runs once for all who ask meanwhile.
    pub(super) async fn get_or(&self, key: Key, call: impl Future<Output = Outcome>) -> Cached {
        let mut own = None;
        let made = self
            .answers
            .try_get_with(key, async {
                let outcome = call.await;
                let shared = match &outcome.result {
                    Ok(response) => Ok(Arc::new(response.clone())),
                    Err(_) => Err(outcome.clone()),
                };
                own = Some(Box::new(outcome));
                shared
            })
            .await;
        match (own, made) {
            (Some(outcome), _) => Cached::Own(outcome),
            (None, Ok(response)) => Cached::Shared(response),
            (None, Err(outcome)) => Cached::Failed(outcome),
        }
    }
}
