//! Conversations: sessions that speak with a model, and learn from documents.
//!
//! A [`Conversation`] reads what is to be sent from its session, asks through a
//! [`Wrapper`], and adds the turn to the session when the answer is whole: a turn that
//! failed, or was stopped, leaves no trace. Where sessions are kept, and how credentials
//! rotate, it does not know.

mod error;
pub mod jobs;
mod material;
mod prepared;
mod settings;
mod submit;
mod summary;
mod template;
mod ticket;
mod turn;
mod turns;
mod verdict;
mod window;
pub mod wire;
mod work;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

pub use error::{CODES, ConversationError};
pub use settings::ConversationSettings;
pub use template::{LANGUAGES, Templates};
pub use turn::{Piece, Reply, TurnStream};
pub use window::Window;

use self::summary::Failures;
use self::turn::Ask;
use self::turns::Turns;
use crate::error::Error;
use crate::session::{EntryKind, Fence, Guard, SessionKey, SharedSessions};
use crate::wrapper::Wrapper;

/// Sessions and those who answer in them. Cheap to clone; clones share everything.
#[derive(Debug, Clone)]
pub struct Conversations(Arc<Host>);

pub(crate) struct Host {
    sessions: SharedSessions,
    wrapper: Wrapper,
    others: BTreeMap<String, Wrapper>,
    templates: Templates,
    window: Window,
    turns: Turns,
    failures: Failures,
}

/// A session that can be spoken in.
#[derive(Debug, Clone)]
pub struct Conversation {
    host: Arc<Host>,
    key: SessionKey,
    guard: Guard,
}

/// What a session is to learn from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Material {
    /// What it is called.
    pub title: String,
    /// All of its text.
    pub text: String,
}

/// What is to be written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Brief {
    /// About what.
    pub topic: String,
    /// About how many words.
    pub words: u32,
    /// For whom.
    pub audience: String,
    /// Fields of templates of one's own.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

impl Conversations {
    /// Conversations over these sessions, answered through this wrapper.
    #[must_use]
    pub fn new(sessions: SharedSessions, wrapper: Wrapper) -> Self {
        // English is shipped: a test reads it.
        let templates = Templates::shipped("en").unwrap_or_else(|_| Templates::none());
        Self(Arc::new(Host {
            sessions,
            wrapper,
            others: BTreeMap::new(),
            templates,
            window: Window::default(),
            turns: Turns::default(),
            failures: Failures::default(),
        }))
    }

    /// With another wrapper, for sessions whose settings name it as `provider`.
    #[must_use]
    pub fn with_wrapper(self, name: &str, wrapper: Wrapper) -> Self {
        self.with(|host| drop(host.others.insert(name.to_owned(), wrapper)))
    }

    /// With other prompts.
    #[must_use]
    pub fn with_templates(self, templates: Templates) -> Self {
        self.with(|host| host.templates = templates)
    }

    /// With another window.
    #[must_use]
    pub fn with_window(self, window: Window) -> Self {
        self.with(|host| host.window = window)
    }

    /// With other bounds for turns that wait for one of the same session: at most so many,
    /// each at most so long. Default: 100, 10 minutes.
    #[must_use]
    pub fn with_waiting(self, most: usize, at_most: Duration) -> Self {
        self.with(|host| host.turns = Turns::within(most, at_most))
    }

    /// The sessions.
    #[must_use]
    pub fn sessions(&self) -> &SharedSessions {
        &self.0.sessions
    }

    /// A session to speak in. Whether it is there shows at its first use.
    #[must_use]
    pub fn open(&self, key: SessionKey) -> Conversation {
        Conversation {
            host: Arc::clone(&self.0),
            key,
            guard: Guard::default(),
        }
    }

    fn with(self, change: impl FnOnce(&mut Host)) -> Self {
        let mut host = match Arc::try_unwrap(self.0) {
            Ok(host) => host,
            // Turns go on under the host that they began with.
            Err(shared) => Host {
                sessions: Arc::clone(&shared.sessions),
                wrapper: shared.wrapper.clone(),
                others: shared.others.clone(),
                templates: shared.templates.clone(),
                window: shared.window.clone(),
                turns: shared.turns.clone(),
                failures: shared.failures.clone(),
            },
        };
        change(&mut host);
        Self(Arc::new(host))
    }
}

impl Conversation {
    /// Its session.
    #[must_use]
    pub fn key(&self) -> &SessionKey {
        &self.key
    }

    /// The same as an attempt of a job: late attempts write nothing, and a job writes its
    /// turn once, however often it is tried. Its name must be no other job's, in other queues
    /// and later ones included.
    #[must_use]
    pub fn fenced(mut self, fence: Fence) -> Self {
        self.guard.fence = Some(fence);
        self
    }

    /// What an earlier attempt of the job came to, if the session has its turn.
    pub(crate) async fn taken(&self) -> Result<Option<Reply>, Error> {
        prepared::taken(&self.host, &self.key, &self.guard).await
    }

    /// Learns from a document, and gives what the model says of it.
    ///
    /// # Errors
    /// [`ConversationError::EmptyDocument`] and others of conversations, sessions and calls.
    pub async fn train(&self, material: &Material) -> Result<Reply, Error> {
        self.train_stream(material).into_reply().await
    }

    /// The same, as it comes.
    #[must_use]
    pub fn train_stream(&self, material: &Material) -> TurnStream {
        if material.text.trim().is_empty() {
            return TurnStream::refused(ConversationError::EmptyDocument {
                title: material.title.clone(),
            });
        }
        let title = match material.title.trim() {
            "" => "—",
            title => title,
        };
        self.ask(Ask {
            template: Some("training"),
            fields: fields(json!({ "title": title, "text": material.text })),
            kind: EntryKind::Training,
            ..Ask::default()
        })
    }

    /// Writes a text in the style of what it was trained on.
    ///
    /// # Errors
    /// [`ConversationError::NotTrained`] and others of conversations, sessions and calls.
    pub async fn generate(&self, brief: &Brief) -> Result<Reply, Error> {
        self.generate_stream(brief).into_reply().await
    }

    /// The same, as it comes.
    #[must_use]
    pub fn generate_stream(&self, brief: &Brief) -> TurnStream {
        if brief.words == 0 {
            let problem = "it is 0: say about how many are wanted";
            return TurnStream::refused(ConversationError::invalid("words", problem));
        }
        let mut given = brief.fields.clone();
        given.extend(fields(json!({
            "topic": brief.topic, "words": brief.words, "audience": brief.audience,
        })));
        self.ask(Ask {
            template: Some("generation"),
            fields: given,
            words: Some(brief.words),
            trained: true,
            ..Ask::default()
        })
    }

    /// Says something, and gives the answer.
    ///
    /// # Errors
    /// Those of conversations, sessions and calls.
    pub async fn send(&self, prompt: &str) -> Result<Reply, Error> {
        self.send_stream(prompt).into_reply().await
    }

    /// The same, as it comes.
    #[must_use]
    pub fn send_stream(&self, prompt: &str) -> TurnStream {
        if prompt.trim().is_empty() {
            return TurnStream::failed(Error::EmptyPrompt);
        }
        self.ask(Ask {
            prompt: prompt.to_owned(),
            ..Ask::default()
        })
    }

    fn ask(&self, ask: Ask) -> TurnStream {
        turn::take(
            Arc::clone(&self.host),
            self.key.clone(),
            self.guard.clone(),
            ask,
        )
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conversations")
            .field("sessions", &self.sessions)
            .finish_non_exhaustive()
    }
}

fn fields(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
