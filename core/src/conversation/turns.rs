//! Turns of one session go one after the other, in the order in which they were asked for.
//!
//! That holds within a process; between processes jobs of one group do it, and a session's
//! version refuses what came between.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::session::SessionKey;

/// Who is at turn in which session. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Turns(Arc<Mutex<HashMap<SessionKey, Weak<Semaphore>>>>);

/// Looked through for sessions in which nobody is at turn, when there are so many.
const SWEPT_AT: usize = 1_024;

impl Turns {
    /// Waits until it is one's turn, which lasts as long as what is given back.
    pub(super) async fn wait(&self, key: &SessionKey) -> Option<OwnedSemaphorePermit> {
        let line = {
            let mut lines = self.0.lock();
            if lines.len() >= SWEPT_AT {
                lines.retain(|_, line| line.strong_count() > 0);
            }

            lines.get(key).and_then(Weak::upgrade).unwrap_or_else(|| {
                // First come, first served.
                let line = Arc::new(Semaphore::new(1));
                lines.insert(key.clone(), Arc::downgrade(&line));
                line
            })
        };
        line.acquire_owned().await.ok()
    }
}
