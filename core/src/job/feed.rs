//! A channel to those who follow, made when the first one does.
//!
//! A channel holds its room from the beginning, and most processes follow nothing.

use std::sync::OnceLock;

use tokio::sync::broadcast::{self, Receiver, Sender};

use super::JobEvent;

/// Events that a slow follower may be behind before it is told of a gap.
const EVENTS: usize = 8_192;
/// The same of requests to cancel.
const CANCELS: usize = 1_024;

pub(super) struct Feed<T = JobEvent> {
    room: usize,
    sender: OnceLock<Sender<T>>,
}

impl<T: Clone> Feed<T> {
    pub(super) fn of_events() -> Self {
        Self::with_room(EVENTS)
    }

    pub(super) fn of_cancels() -> Self {
        Self::with_room(CANCELS)
    }

    fn with_room(room: usize) -> Self {
        Self {
            room,
            sender: OnceLock::new(),
        }
    }

    pub(super) fn subscribe(&self) -> Receiver<T> {
        let make = || broadcast::channel(self.room).0;
        self.sender.get_or_init(make).subscribe()
    }

    pub(super) fn is_followed(&self) -> bool {
        let sender = self.sender.get();
        sender.is_some_and(|sender| sender.receiver_count() > 0)
    }

    /// Tells those who follow, if there are any.
    pub(super) fn send(&self, event: T) {
        if let Some(sender) = self.sender.get() {
            // Nobody there is no failure.
            let _ = sender.send(event);
        }
    }
}
