//! A turn around its call: what is sent, and what is added to the session behind it.

use serde_json::json;

use super::turn::{Ask, Reply};
use super::window::{self, COVERS, Selection};
use super::{ConversationError, ConversationSettings, Host, Window};
use crate::error::Error;
use crate::provider::{Message, Request, Usage};
use crate::session::{
    Entry, EntryKind, Fence, Guard, NewMessage, NewTurn, Range, SessionError, SessionKey,
    Transcript, Written,
};
use crate::wrapper::Wrapper;

/// Words of a summary.
const SUMMARY_WORDS: u64 = 300;
/// How often a write is repeated because the session was renamed or touched meanwhile.
const WRITES: u32 = 5;

/// A turn before its call.
pub(super) struct Prepared {
    pub(super) wrapper: Wrapper,
    settings: ConversationSettings,
    window: Window,
    templates: super::Templates,
    read: Transcript,
    prompt: String,
    kind: EntryKind,
    /// Tokens of the messages sent beside the prompt, as far as they are known.
    sent_tokens: u64,
}

impl Prepared {
    pub(super) async fn new(host: &Host, key: &SessionKey, ask: &Ask) -> Result<Self, Error> {
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
        let read = host.sessions.read(key, Range::Window(window.last)).await?;
        Ok(Self {
            wrapper,
            settings,
            window,
            templates,
            read,
            prompt,
            kind: ask.kind,
            sent_tokens: 0,
        })
    }

    /// The turn as it was taken before, if an earlier attempt of the job did so and could
    /// not say it. One that is out of the window shows when it is written.
    pub(super) fn repeated(&self, fence: Option<&Fence>) -> Option<Reply> {
        let job = fence?.job.as_str();
        let ours = |entry: &&Entry| entry.key.as_deref() == Some(job);
        let answer = self.read.entries.iter().rev().find(ours)?;
        Some(Reply {
            text: answer.message.content.text(),
            model: None,
            usage: None,
            trail: Vec::new(),
            repeated: true,
            session: self.read.session.clone(),
        })
    }

    fn select(&self) -> Result<Selection, ConversationError> {
        let system = self.settings.system.as_ref().map_or(0, String::len);
        let next = system + self.prompt.len();
        let total = self.read.session.messages;
        window::select(&self.read.entries, total, next, &self.window).map_err(|small| {
            ConversationError::WindowTooSmall {
                tokens: small.0,
                budget: self.window.token_budget.unwrap_or(u64::MAX),
            }
        })
    }

    pub(super) fn request(&mut self) -> Result<Request, ConversationError> {
        let selection = self.select()?;
        self.sent_tokens = selection.tokens;
        let mut messages = selection.messages;
        messages.push(Message::user(self.prompt.clone()));
        Ok(self.ask(messages))
    }

    fn ask(&self, messages: Vec<Message>) -> Request {
        Request {
            model: self.settings.model.clone(),
            system: self.settings.system.clone(),
            messages,
            max_tokens: self.settings.max_tokens,
            temperature: self.settings.temperature,
            // One credential for one session: its prompt cache is there.
            session: Some(self.read.session.key.to_string()),
            ..Request::default()
        }
    }

    /// Has what falls out of the window summed up, when that is half a window. Without a
    /// summary the turn is taken all the same.
    pub(super) async fn sum_up(
        &mut self,
        host: &Host,
        key: &SessionKey,
        fence: Option<&Fence>,
    ) -> Result<(), Error> {
        if !self.window.summarise {
            return Ok(());
        }
        let selection = self.select()?;
        let (place, to) = (selection.covered, selection.from);
        let dropped = to.saturating_sub(place);
        if dropped == 0 || dropped < (self.window.last / 2).max(2) {
            return Ok(());
        }
        let range = Range::From {
            place,
            limit: dropped,
        };
        let old = host.sessions.read(key, range).await?.entries;
        let before = self.read.entries.iter().rev();
        let before = before
            .filter(|entry| entry.kind == EntryKind::Summary)
            .take(1);
        let talk = old.iter().filter(|entry| entry.kind == EntryKind::Talk);
        let lines: Vec<String> = before
            .chain(talk)
            .map(|entry| format!("{}: {}", entry.message.role, entry.message.content.text()))
            .collect();
        let fields = super::fields(json!({ "words": SUMMARY_WORDS, "text": lines.join("\n\n") }));
        let prompt = self.templates.render("summary", &fields)?;
        let summed = self.wrapper.complete(self.ask(vec![Message::user(prompt)]));
        let response = match summed.await.into_result() {
            Ok(response) if !response.text.trim().is_empty() => response,
            _ => {
                tracing::warn!(session = %key, "older messages could not be summed up: they are left out");
                return Ok(());
            }
        };
        let mut message = Message::user(response.text);
        message.extra.insert(COVERS.to_owned(), json!(to));
        let turn = NewTurn {
            messages: vec![NewMessage {
                message,
                kind: EntryKind::Summary,
                tokens: response.usage.map(|usage| usage.output_tokens),
            }],
            key: None,
        };
        self.write(host, key, fence.cloned(), turn).await?;
        self.read = host
            .sessions
            .read(key, Range::Window(self.window.last))
            .await?;
        Ok(())
    }

    pub(super) fn turn(&self, text: &str, usage: Option<Usage>, fence: Option<&Fence>) -> NewTurn {
        // What was sent before has been counted before: the rest is this question's.
        let asked = |usage: Usage| usage.input_tokens.saturating_sub(self.sent_tokens);
        let new = |message, tokens: Option<u64>| NewMessage {
            message,
            kind: self.kind,
            tokens: tokens.filter(|tokens| *tokens > 0),
        };
        NewTurn {
            messages: vec![
                new(Message::user(self.prompt.clone()), usage.map(asked)),
                new(
                    Message::assistant(text),
                    usage.map(|usage| usage.output_tokens),
                ),
            ],
            key: fence.map(|fence| fence.job.as_str().into()),
        }
    }

    /// Adds to the session, if nobody else has spoken in it since it was read.
    pub(super) async fn write(
        &self,
        host: &Host,
        key: &SessionKey,
        fence: Option<Fence>,
        turn: NewTurn,
    ) -> Result<Written, SessionError> {
        let before = &self.read.session;
        let mut version = before.version;
        for _ in 0..WRITES {
            let guard = Guard {
                version: Some(version),
                fence: fence.clone(),
                ..Guard::default()
            };
            let stale = match host.sessions.append(key, guard, turn.clone()).await {
                Err(stale @ SessionError::StaleVersion { .. }) => stale,
                written => return written,
            };
            // A new name or tag is no reason to lose an answer.
            let now = host.sessions.get(key).await?;
            let same = now.messages == before.messages && now.removed_at == before.removed_at;
            if !same {
                return Err(stale);
            }
            version = now.version;
        }
        host.sessions
            .append(
                key,
                Guard {
                    version: Some(version),
                    fence,
                    ..Guard::default()
                },
                turn,
            )
            .await
    }
}
