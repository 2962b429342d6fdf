//! A turn around its call: what is sent, and what is added to the session behind it.

use serde_json::json;

use super::summary::{far_reach, reach};
use super::turn::{Ask, Reply};
use super::window::{self, Selection, TRUNCATED};
use super::{ConversationError, ConversationSettings, Host, Window};
use crate::error::Error;
use crate::provider::{Message, Request, Usage};
use crate::session::{
    EntryKind, Guard, MESSAGE_BYTES, MESSAGE_LIMIT, NewMessage, NewTurn, Range, SESSION_BYTES,
    Session, SessionError, SessionKey, TRAINING_LIMIT, Transcript, Written, check_name,
};
use crate::wrapper::{Attempt, Wrapper};

/// How often a write is repeated because the session was renamed or touched meanwhile.
const WRITES: u32 = 5;
/// What endpoints write at least, in tokens, unless they are told otherwise.
const USUAL_TOKENS: u32 = 4_096;
/// Tokens for a word, in languages that need many.
const TOKENS_PER_WORD: u32 = 3;
/// What a message has beside its text, at most, in bytes.
const BESIDE: u64 = 1_024;

/// A turn before its call.
pub(super) struct Prepared {
    pub(super) wrapper: Wrapper,
    pub(super) window: Window,
    pub(super) templates: super::Templates,
    pub(super) read: Transcript,
    /// The most messages of the talk that are sent.
    pub(super) reach: u64,
    /// What is added before the turn.
    pub(super) summary: Option<NewMessage>,
    settings: ConversationSettings,
    guard: Guard,
    prompt: String,
    kind: EntryKind,
    words: Option<u32>,
    /// Tokens of the messages sent beside the prompt, as far as they are known.
    sent_tokens: u64,
}

/// What an earlier attempt of a job came to, if the session has its turn.
pub(super) async fn taken(
    host: &Host,
    key: &SessionKey,
    guard: &Guard,
) -> Result<Option<Reply>, Error> {
    let Some(fence) = &guard.fence else {
        return Ok(None);
    };
    let found = host.sessions.find_turn(key, fence.job.as_str()).await?;
    is_meant(&found.session, guard.incarnation)?;
    // It is the last message of its turn.
    let answer = found.entries.last();
    Ok(answer.map(|answer| Reply {
        text: answer.message.content.text(),
        model: None,
        usage: None,
        finish_reason: None,
        truncated: answer.message.extra.contains_key(TRUNCATED),
        trail: Vec::new(),
        repeated: true,
        session: found.session.clone(),
    }))
}

/// Refuses what was made anew under the name of the session that is meant.
fn is_meant(session: &Session, incarnation: Option<u64>) -> Result<(), SessionError> {
    match incarnation {
        Some(meant) if meant != session.incarnation => Err(SessionError::UnknownSession {
            id: session.key.id().to_owned(),
        }),
        _ => Ok(()),
    }
}

impl Prepared {
    pub(super) async fn new(
        host: &Host,
        key: &SessionKey,
        guard: Guard,
        ask: &Ask,
    ) -> Result<Self, Error> {
        let session = host.sessions.get(key).await?;
        let settings = ConversationSettings::read(&session.settings)?;
        let templates = settings.templates(&host.templates)?;
        let prompt = match ask.template {
            Some(name) => templates.render(name, &ask.fields)?,
            None => ask.prompt.clone(),
        };
        if ask.trained && session.training.is_empty() {
            let id = key.id().to_owned();
            return Err(ConversationError::NotTrained { id }.into());
        }
        let wrapper = match &settings.provider {
            None => host.wrapper.clone(),
            Some(name) => host.others.get(name).cloned().ok_or_else(|| {
                let known: Vec<&str> = host.others.keys().map(String::as_str).collect();
                Error::UnknownProvider {
                    name: name.clone(),
                    known: if known.is_empty() {
                        "none: leave `provider` out".to_owned()
                    } else {
                        known.join(", ")
                    },
                }
            })?,
        };
        let window = settings
            .window
            .clone()
            .unwrap_or_else(|| host.window.clone());
        // Summaries take places too.
        let most = match window.summarise {
            true => far_reach(&window).saturating_add(far_reach(&window) / 2 + 2),
            false => window.last,
        };
        let read = host.sessions.read(key, Range::Window(most)).await?;
        is_meant(&read.session, guard.incarnation)?;
        is_meant(&read.session, Some(session.incarnation))?;
        has_room(&read.session, &prompt, ask.kind)?;
        Ok(Self {
            wrapper,
            settings,
            reach: reach(&window),
            window,
            templates,
            guard: guard.of(read.session.incarnation),
            read,
            summary: None,
            prompt,
            kind: ask.kind,
            words: ask.words,
            sent_tokens: 0,
        })
    }

    pub(super) fn select(&self, window: &Window) -> Result<Selection, ConversationError> {
        let system = self.settings.system.as_ref().map_or(0, String::len);
        let next = system + self.prompt.len();
        let total = self.read.session.messages;
        window::select(&self.read.entries, total, next, window).map_err(|small| {
            ConversationError::WindowTooSmall {
                tokens: small.0,
                budget: window.token_budget.unwrap_or(u64::MAX),
            }
        })
    }

    /// What is sent within the present reach.
    pub(super) fn selected(&self) -> Result<Selection, ConversationError> {
        self.select(&Window {
            last: self.reach,
            ..self.window.clone()
        })
    }

    pub(super) fn request(&mut self) -> Result<Request, ConversationError> {
        let selection = self.selected()?;
        self.sent_tokens = selection.tokens;
        let training = selection.training;
        let mut messages = selection.messages;
        messages.push(Message::user(self.prompt.clone()));
        // A text of that length is not to be cut at what is usual.
        let needed = self
            .words
            .map(|words| words.saturating_mul(TOKENS_PER_WORD));
        let needed = needed.filter(|tokens| *tokens > USUAL_TOKENS);
        Ok(Request {
            max_tokens: self.settings.max_tokens.or(needed),
            // It is long, and comes with every turn.
            stable_messages: Some(training).filter(|count| *count > 0),
            ..self.ask(messages)
        })
    }

    pub(super) fn ask(&self, messages: Vec<Message>) -> Request {
        Request {
            model: self.settings.model.clone(),
            system: self.settings.system.clone(),
            messages,
            temperature: self.settings.temperature,
            // The prompt cache is there.
            credential: self.read.credential.as_deref().map(str::to_owned),
            session: Some(super::jobs::session_name(&self.read.session.key)),
            ..Request::default()
        }
    }

    pub(super) fn turn(
        &self,
        text: &str,
        usage: Option<Usage>,
        truncated: bool,
        trail: &[Attempt],
    ) -> NewTurn {
        // What was sent before has been counted before: the rest is this question's.
        let asked = |usage: Usage| usage.input_tokens.saturating_sub(self.sent_tokens);
        let new = |message, tokens: Option<u64>| NewMessage {
            message,
            kind: self.kind,
            tokens: tokens.filter(|tokens| *tokens > 0),
        };
        let mut answer = Message::assistant(text);
        if truncated {
            answer.extra.insert(TRUNCATED.to_owned(), json!(true));
        }
        let said = [
            new(Message::user(self.prompt.clone()), usage.map(asked)),
            new(answer, usage.map(|usage| usage.output_tokens)),
        ];
        NewTurn {
            messages: self.summary.clone().into_iter().chain(said).collect(),
            key: self.guard.fence.as_ref().map(|f| f.job.as_str().into()),
            credential: self.moved(trail),
        }
    }

    /// The credential that the next turn would rather have, if another than before. One that was
    /// only in use stays the session's: its prompt cache will still be there.
    fn moved(&self, trail: &[Attempt]) -> Option<Box<str>> {
        let answered = trail.last().filter(|attempt| attempt.fault.is_none())?;
        let model = answered.model.as_deref();
        let stays = |had: &str| {
            let failed = |attempt: &Attempt| attempt.credential == had && attempt.fault.is_some();
            !trail.iter().any(failed) && self.wrapper.pool().admits(had, model)
        };
        if self.read.credential.as_deref().is_some_and(stays) {
            return None;
        }
        // A name that a session cannot keep is no reason to lose the turn.
        let known = check_name("credential", &answered.credential).is_ok();
        known.then(|| answered.credential.as_str().into())
    }

    /// Adds to the session, if nobody else has spoken in it since it was read.
    pub(super) async fn write(
        &self,
        host: &Host,
        key: &SessionKey,
        turn: NewTurn,
    ) -> Result<Written, SessionError> {
        let before = &self.read.session;
        let mut guard = Guard {
            version: Some(before.version),
            ..self.guard.clone()
        };
        for _ in 0..WRITES {
            let written = host.sessions.append(key, guard.clone(), turn.clone());
            let stale = match written.await {
                Err(stale @ SessionError::StaleVersion { .. }) => stale,
                written => return written,
            };
            // A new name or tag is no reason to lose an answer.
            let now = host.sessions.get(key).await?;
            let same = now.messages == before.messages && now.removed_at == before.removed_at;
            if !same {
                return Err(stale);
            }
            guard.version = Some(now.version);
        }
        host.sessions.append(key, guard, turn).await
    }
}

/// Refuses a turn that the session could not take, before it is paid for.
fn has_room(session: &Session, prompt: &str, kind: EntryKind) -> Result<(), SessionError> {
    let full = |what, size, limit, remedy| SessionError::TooLarge {
        what,
        size,
        limit,
        remedy,
    };
    let clear = "clear the session, or go on in a new one";
    // As JSON: what is escaped takes more.
    let size = serde_json::to_string(prompt).map_or(0, |text| text.len() as u64) + BESIDE;
    let training = match kind {
        EntryKind::Training => session.training.len() + 2,
        _ => 0,
    };
    let rows = [
        ("message", size, MESSAGE_BYTES, "split it, or shorten it"),
        ("session", session.bytes + size, SESSION_BYTES, clear),
        (
            "number of messages",
            session.messages + 2,
            MESSAGE_LIMIT,
            clear,
        ),
        (
            "number of training messages",
            training as u64,
            TRAINING_LIMIT as u64,
            clear,
        ),
    ];
    match rows.into_iter().find(|(_, size, limit, _)| size > limit) {
        Some((what, size, limit, remedy)) => Err(full(what, size, limit, remedy)),
        None => Ok(()),
    }
}
