//! Which messages of a session are sent. Pure.
//!
//! All messages are kept; what trains and the last ones are sent, as far as the budget goes.

use serde::{Deserialize, Serialize};

use crate::provider::Message;
use crate::session::{Entry, EntryKind};

/// Bytes a token has, until a provider has counted some.
const BYTES_PER_TOKEN: f64 = 4.0;
/// The member of a summary's message that says which place it goes up to.
pub(super) const COVERS: &str = "covers";
/// The member of an answer that was cut at a limit.
pub(super) const TRUNCATED: &str = "truncated";

/// How much of a conversation a model is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Window {
    /// The last messages, beside those that train. Default: 40.
    pub last: u64,
    /// Tokens of all that is sent, by the provider's count where it has one, else estimated.
    /// Default: no limit.
    pub token_budget: Option<u64>,
    /// Before messages fall out of the window, have the model sum them up, and send that in
    /// their place. It costs a call for every half window, by which more than `last` are sent
    /// in between. Default: no.
    pub summarise: bool,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            last: 40,
            token_budget: None,
            summarise: false,
        }
    }
}

/// What is sent, and what is not.
#[derive(Debug, PartialEq)]
pub(super) struct Selection {
    pub(super) messages: Vec<Message>,
    /// How many of them, from the first, train.
    pub(super) training: usize,
    /// The tokens of these messages, counted or estimated, without what is sent beside them.
    pub(super) tokens: u64,
    /// The place of the first message of the talk that is sent.
    pub(super) from: u64,
    /// Up to which place a summary goes.
    pub(super) covered: u64,
}

/// The window is too small for what must be sent: so many tokens.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooSmall(pub(super) u64);

/// Chooses from a session's training, its summary and its last messages, in order; `next` are
/// the bytes that are sent beside them, `total` the messages that the session has.
pub(super) fn select(
    entries: &[Entry],
    total: u64,
    next: usize,
    window: &Window,
) -> Result<Selection, TooSmall> {
    let measure = Measure::of(entries);
    let summary = entries.iter().rev().find(|e| e.kind == EntryKind::Summary);
    let covered = summary.and_then(covers).unwrap_or(0);
    let first: Vec<&Entry> = entries
        .iter()
        .filter(|entry| entry.kind == EntryKind::Training)
        .chain(summary)
        .collect();
    let training = first.len() - usize::from(summary.is_some());
    let mut tokens = measure.all(&first);
    let beside = measure.estimate(next);
    let budget = window.token_budget.unwrap_or(u64::MAX);
    let least = tokens.saturating_add(beside);
    if least > budget {
        return Err(TooSmall(least));
    }
    let talk: Vec<&Entry> = entries
        .iter()
        .filter(|entry| entry.kind == EntryKind::Talk && entry.place >= covered)
        .collect();
    // Whole turns, the latest first: an answer without its question misleads.
    let mut start = talk.len();
    let mut count = 0;
    while start > 0 {
        let turn = talk[start - 1].turn;
        let begins = talk[..start]
            .iter()
            .rposition(|entry| entry.turn != turn)
            .map_or(0, |at| at + 1);
        let whole = talk[begins].place == turn || has_summary(entries, turn);
        let more = tokens.saturating_add(measure.all(&talk[begins..start]));
        count += (start - begins) as u64;
        if !whole || count > window.last || more.saturating_add(beside) > budget {
            break;
        }
        tokens = more;
        start = begins;
    }
    let sent = first.into_iter().chain(talk[start..].iter().copied());
    Ok(Selection {
        messages: sent.map(spoken).collect(),
        training,
        tokens,
        from: talk.get(start).map_or(total, |entry| entry.place),
        covered,
    })
}

/// Whether a turn begins with a summary, and what was said comes behind it.
fn has_summary(entries: &[Entry], turn: u64) -> bool {
    let first = entries.binary_search_by_key(&turn, |entry| entry.place);
    first.is_ok_and(|at| entries[at].kind == EntryKind::Summary)
}

/// Up to which place a summary goes.
fn covers(summary: &Entry) -> Option<u64> {
    summary.message.extra.get(COVERS)?.as_u64()
}

/// A message as an endpoint is told it.
fn spoken(entry: &Entry) -> Message {
    let mut message = entry.message.clone();
    for own in [COVERS, TRUNCATED] {
        message.extra.remove(own);
    }
    message
}

/// What a token weighs in this session.
struct Measure {
    bytes_per_token: f64,
}

impl Measure {
    fn of(entries: &[Entry]) -> Self {
        let (mut bytes, mut tokens) = (0, 0_u64);
        for entry in entries {
            if let Some(counted) = entry.tokens.filter(|tokens| *tokens > 0) {
                bytes += entry.message.content.text_bytes();
                tokens = tokens.saturating_add(counted);
            }
        }
        let known = tokens > 0 && bytes > 0;
        Self {
            bytes_per_token: if known {
                (bytes as f64 / tokens as f64).clamp(0.5, 16.0)
            } else {
                BYTES_PER_TOKEN
            },
        }
    }

    /// Counts come from whoever wrote the messages: their sum may be anything.
    fn all(&self, entries: &[&Entry]) -> u64 {
        let each = entries.iter().map(|entry| self.tokens(entry));
        each.fold(0, u64::saturating_add)
    }

    fn tokens(&self, entry: &Entry) -> u64 {
        let estimated = || self.estimate(entry.message.content.text_bytes());
        entry.tokens.unwrap_or_else(estimated)
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn estimate(&self, bytes: usize) -> u64 {
        (bytes as f64 / self.bytes_per_token).ceil() as u64
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entries(kinds: &str) -> Vec<Entry> {
        let entry = |(place, kind): (usize, char)| Entry {
            place: place as u64,
            turn: place as u64 / 2 * 2,
            version: 1,
            at: 0,
            kind: match kind {
                't' => EntryKind::Training,
                's' => EntryKind::Summary,
                _ => EntryKind::Talk,
            },
            message: Message::user(format!("{kind}{place:03}")),
            tokens: None,
            key: None,
        };
        kinds.chars().enumerate().map(entry).collect()
    }

    fn sent(entries: &[Entry], window: &Window) -> String {
        let total = entries.len() as u64;
        let selection = select(entries, total, 0, window).unwrap();
        let texts = selection.messages.iter().map(|m| m.content.text());
        texts.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn training_and_the_last_whole_turns_are_sent() {
        let entries = entries("ttqaqaqa");
        let window = |last, token_budget| Window {
            last,
            token_budget,
            summarise: false,
        };
        let rows = [
            (window(40, None), "t000 t001 q002 a003 q004 a005 q006 a007"),
            (window(4, None), "t000 t001 q004 a005 q006 a007"),
            (window(3, None), "t000 t001 q006 a007"),
            (window(0, None), "t000 t001"),
            (window(40, Some(4)), "t000 t001 q006 a007"),
            (window(40, Some(3)), "t000 t001"),
            (window(40, Some(2)), "t000 t001"),
        ];
        for (window, wanted) in rows {
            assert_eq!(sent(&entries, &window), wanted, "{window:?}");
        }
        let refused = select(&entries, 8, 0, &window(40, Some(1)));
        assert_eq!(refused, Err(TooSmall(2)));
        let refused = select(&entries, 8, 400, &window(40, Some(50)));
        assert_eq!(refused, Err(TooSmall(102)));
    }

    #[test]
    fn a_summary_takes_the_place_of_what_it_covers() {
        let mut entries = entries("qaqasxqa");
        entries[5].kind = EntryKind::Summary;
        for place in [4, 5] {
            entries[place].turn = place as u64;
            let covers = json!(if place == 4 { 2 } else { 4 });
            entries[place]
                .message
                .extra
                .insert(COVERS.to_owned(), covers);
        }
        let window = Window::default();
        assert_eq!(sent(&entries, &window), "x005 q006 a007");
        let selection = select(&entries, 8, 0, &window).unwrap();
        assert_eq!((selection.from, selection.covered), (6, 4));
        assert!(selection.messages.iter().all(|m| m.extra.is_empty()));
    }

    #[test]
    fn a_turn_that_begins_with_a_summary_is_whole() {
        let mut entries = entries("qasqa");
        for (place, turn) in [(0, 0), (1, 0), (2, 2), (3, 2), (4, 2)] {
            entries[place].turn = turn;
        }
        let covers = json!(2);
        entries[2].message.extra.insert(COVERS.to_owned(), covers);
        assert_eq!(sent(&entries, &Window::default()), "s002 q003 a004");
        assert_eq!(sent(&entries[3..], &Window::default()), "", "half a turn");
    }

    #[test]
    fn what_the_provider_counted_is_what_counts() {
        let mut entries = entries("qaqa");
        for entry in &mut entries {
            entry.tokens = Some(100);
        }
        let window = Window {
            token_budget: Some(399),
            ..Window::default()
        };
        assert_eq!(sent(&entries, &window), "q002 a003");
        assert_eq!(select(&entries, 4, 0, &window).unwrap().tokens, 200);
    }

    #[test]
    fn counts_that_no_number_holds_are_more_than_any_budget() {
        for kinds in ["ttqa", "qaqa"] {
            let mut entries = entries(kinds);
            for entry in &mut entries {
                entry.tokens = Some(u64::MAX);
            }
            let window = |token_budget| Window {
                token_budget,
                ..Window::default()
            };
            let unbounded = select(&entries, 4, 100, &window(None)).unwrap();
            assert_eq!((unbounded.messages.len(), unbounded.tokens), (4, u64::MAX));
            let bounded = select(&entries, 4, 100, &window(Some(1_000)));
            match kinds {
                "ttqa" => assert_eq!(bounded, Err(TooSmall(u64::MAX))),
                _ => assert_eq!(bounded.unwrap().messages.len(), 0),
            }
        }
    }
}
