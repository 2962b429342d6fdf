//! What would fall out of a window is summed up before it does, a bounded part at a time.
//!
//! Between two summaries half a window more is sent than the window has, so that there is no
//! message which is neither sent nor summed up. Where the model cannot sum up, more is sent for
//! another half window, and only then it is asked again. A summary is added with the turn that
//! it was made for: who fails, or is taken back, leaves none.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::json;

use super::prepared::Prepared;
use super::window::{COVERS, Selection};
use super::{Host, Window};
use crate::error::Error;
use crate::provider::Message;
use crate::session::{Entry, EntryKind, NewMessage, Range, SessionKey};

/// Words of a summary.
const WORDS: u64 = 300;
/// The most messages that are summed up at once, and their most bytes.
const PART: (u64, usize) = (100, 64 << 10);
/// What is summed up of one message, in bytes.
const MESSAGE: usize = 8 << 10;
/// Sessions whose failures are remembered.
const REMEMBERED: usize = 1_024;

/// How many messages are summed up at once when all goes well.
fn half(window: &Window) -> u64 {
    (window.last / 2).max(2)
}

/// The most messages of the talk that are sent.
pub(super) fn reach(window: &Window) -> u64 {
    match window.summarise {
        true => window.last.saturating_add(half(window) - 1),
        false => window.last,
    }
}

/// The same where no summary could be had.
pub(super) fn far_reach(window: &Window) -> u64 {
    let more = half(window).saturating_mul(2);
    window.last.saturating_add(more)
}

/// Sessions that could not be summed up, with the messages they had then.
#[derive(Clone, Default)]
pub(super) struct Failures(Arc<Mutex<HashMap<SessionKey, u64>>>);

impl Failures {
    fn rests(&self, key: &SessionKey, messages: u64, for_so_many: u64) -> bool {
        let failed = self.0.lock().get(key).copied();
        let recent = |at| (at..at + for_so_many).contains(&messages);
        failed.is_some_and(recent)
    }

    fn note(&self, key: &SessionKey, messages: u64) {
        let mut failed = self.0.lock();
        if failed.len() >= REMEMBERED {
            // They are asked once more than they need be.
            failed.clear();
        }
        failed.insert(key.clone(), messages);
    }
}

impl Prepared {
    /// Has summed up what is over the window, if something would be left out otherwise.
    /// Without a summary the turn is taken all the same.
    pub(super) async fn sum_up(&mut self, host: &Host, key: &SessionKey) -> Result<(), Error> {
        if !self.window.summarise {
            return Ok(());
        }
        let sent = self.selected()?;
        if !self.leaves_out(&sent) {
            return Ok(());
        }
        let messages = self.read.session.messages;
        if host.failures.rests(key, messages, half(&self.window)) {
            self.reach = far_reach(&self.window);
            return Ok(());
        }
        // Room for turns to come, so that not each of them costs a summary.
        let lean = self.select(&Window {
            token_budget: self.window.token_budget.map(|budget| budget / 4 * 3),
            ..self.window.clone()
        });
        let to = lean.map_or(sent.from, |lean| lean.from.max(sent.from));
        let part = Range::From {
            place: sent.covered,
            limit: to.saturating_sub(sent.covered).min(PART.0),
        };
        let old = host.sessions.read(key, part).await?.entries;
        let budget = self.window.token_budget.unwrap_or(u64::MAX);
        let room = usize::try_from(budget.saturating_mul(2)).unwrap_or(PART.1);
        let (lines, to) = part_of(&old, to, room.min(PART.1));
        if lines.is_empty() {
            return Ok(());
        }
        if let Some(summary) = self.summary_of(lines, to).await? {
            self.send_instead(summary);
        } else {
            tracing::warn!(session = %key, "older messages could not be summed up");
            host.failures.note(key, messages);
            self.reach = far_reach(&self.window);
        }
        Ok(())
    }

    /// Whether something was said that is neither sent nor covered by the summary.
    fn leaves_out(&self, sent: &Selection) -> bool {
        let between = sent.covered..sent.from;
        let training = self.read.session.training.iter();
        let training = training.filter(|place| between.contains(place)).count();
        between.end.saturating_sub(between.start) > training as u64
    }

    /// The model's summary of these lines, and of what was summed up before.
    async fn summary_of(&self, lines: Vec<String>, to: u64) -> Result<Option<NewMessage>, Error> {
        let before = self.read.entries.iter().rev();
        let before = before.filter(|entry| entry.kind == EntryKind::Summary);
        let mut all: Vec<String> = before.take(1).map(line).collect();
        all.extend(lines);
        let fields = super::fields(json!({ "words": WORDS, "text": all.join("\n\n") }));
        let prompt = self.templates.render("summary", &fields)?;
        let summed = self.wrapper.complete(self.ask(vec![Message::user(prompt)]));
        let Ok(response) = summed.await.into_result() else {
            return Ok(None);
        };
        if response.text.trim().is_empty() {
            return Ok(None);
        }
        let mut message = Message::user(response.text);
        message.extra.insert(COVERS.to_owned(), json!(to));
        Ok(Some(NewMessage {
            message,
            kind: EntryKind::Summary,
            tokens: response.usage.map(|usage| usage.output_tokens),
        }))
    }

    fn send_instead(&mut self, summary: NewMessage) {
        let session = &self.read.session;
        self.read.entries.push(Entry {
            place: session.messages,
            turn: session.messages,
            version: session.version,
            at: session.active_at,
            kind: summary.kind,
            message: summary.message.clone(),
            tokens: summary.tokens,
            key: None,
        });
        self.summary = Some(summary);
        // One that is too long for the budget helps nobody.
        if self.selected().is_err() {
            self.read.entries.pop();
            self.summary = None;
        }
    }
}

/// The first of these messages as lines, whole turns of at most so many bytes, and the place
/// behind them; `to` is the place behind all that is to be summed up.
fn part_of(entries: &[Entry], to: u64, mut room: usize) -> (Vec<String>, u64) {
    let (mut lines, mut end, mut cut) = (Vec::new(), 0, None);
    for entry in entries {
        if entry.place == entry.turn && !lines.is_empty() {
            cut = Some((lines.len(), entry.place));
        }
        if entry.kind == EntryKind::Talk {
            let line = line(entry);
            if line.len() > room && !lines.is_empty() {
                break;
            }
            room = room.saturating_sub(line.len());
            lines.push(line);
        }
        end = entry.place + 1;
    }
    match cut {
        Some((count, place)) if end < to => {
            lines.truncate(count);
            (lines, place)
        }
        _ => (lines, end),
    }
}

fn line(entry: &Entry) -> String {
    let mut text = entry.message.content.text();
    if text.len() > MESSAGE {
        text.truncate(text.floor_char_boundary(MESSAGE));
        text.push('…');
    }
    format!("{}: {text}", entry.message.role)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(sizes: &[usize]) -> Vec<Entry> {
        let entry = |(place, size): (usize, &usize)| Entry {
            place: place as u64,
            turn: place as u64 / 2 * 2,
            version: 1,
            at: 0,
            kind: EntryKind::Talk,
            message: Message::user("x".repeat(*size)),
            tokens: None,
            key: None,
        };
        sizes.iter().enumerate().map(entry).collect()
    }

    #[test]
    fn a_part_has_whole_turns_as_far_as_there_is_room() {
        let part = |sizes: &[usize], to, room| {
            let (lines, end) = part_of(&entries(sizes), to, room);
            (lines.len(), end)
        };
        let rows = [
            (part(&[4, 4, 4, 4], 4, 99), (4, 4)),
            (part(&[4, 4, 4, 4], 9, 99), (2, 2)),
            (part(&[4, 4, 4, 4], 4, 35), (2, 2)),
            (part(&[4, 4, 4, 4], 4, 5), (1, 1)),
            (part(&[], 4, 99), (0, 0)),
        ];
        for (found, wanted) in rows {
            assert_eq!(found, wanted);
        }
        let long = part_of(&entries(&[MESSAGE * 3]), 1, 99).0;
        assert!(long[0].len() < MESSAGE + 20, "{}", long[0].len());
    }
}
