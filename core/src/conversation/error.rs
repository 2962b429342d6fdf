//! What can go wrong with a conversation beside its calls and its session.

use serde_json::{Value, json};

/// A refusal of a [`super::Conversation`]. No call was made, or its answer is of no use; the
/// session is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConversationError {
    /// A setting or argument that cannot be used.
    #[error("invalid `{field}`: {problem}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// Something is to be written in a style that was never taught.
    #[error("session `{id}` is not trained yet: train it on a document first")]
    NotTrained {
        /// The session.
        id: String,
    },
    /// A document without text.
    #[error("the document `{title}` has no text to train on: give one that has")]
    EmptyDocument {
        /// Its title.
        title: String,
    },
    /// A prompt lacks a field, or has one that cannot be put in.
    #[error("the template `{template}` cannot be filled: `{field}`: {problem}")]
    TemplateField {
        /// The template.
        template: String,
        /// The field.
        field: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// No prompt of that name.
    #[error("no template `{name}`: there are {known}")]
    UnknownTemplate {
        /// The name.
        name: String,
        /// Those there are.
        known: String,
    },
    /// What must be sent is over the window.
    #[error(
        "what has to be sent takes some {tokens} tokens, the window has {budget}: train on less, or raise `token_budget`"
    )]
    WindowTooSmall {
        /// Tokens of system prompt, training and this message.
        tokens: u64,
        /// The budget.
        budget: u64,
    },
    /// Others are at turn in the session, and too many wait, or it took too long.
    #[error(
        "session `{id}` is busy: {waiting} turns wait for one that goes on, this one for {waited_ms} ms: ask again later, and end turns that nobody reads"
    )]
    Busy {
        /// The session.
        id: String,
        /// Turns that wait.
        waiting: usize,
        /// How long this one did, in milliseconds.
        waited_ms: u64,
    },
    /// The model said nothing.
    #[error("the model gave an empty answer{}: ask again, or in other words", because(finish_reason.as_deref()))]
    NoAnswer {
        /// Why it ended, as the endpoint says it.
        finish_reason: Option<String>,
    },
}

impl ConversationError {
    /// The stable code: the same in every language.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid { .. } => "invalid_conversation",
            Self::NotTrained { .. } => "not_trained",
            Self::EmptyDocument { .. } => "empty_document",
            Self::TemplateField { .. } => "template_field",
            Self::UnknownTemplate { .. } => "unknown_template",
            Self::WindowTooSmall { .. } => "window_too_small",
            Self::Busy { .. } => "session_busy",
            Self::NoAnswer { .. } => "no_answer",
        }
    }

    /// As it crosses into other languages: `code`, `message`, and what is known beside them.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut value = match self {
            Self::Invalid { field, .. } => json!({ "field": field }),
            Self::NotTrained { id } => json!({ "id": id }),
            Self::EmptyDocument { title } => json!({ "title": title }),
            Self::TemplateField {
                template, field, ..
            } => json!({ "template": template, "field": field }),
            Self::UnknownTemplate { name, .. } => json!({ "template": name }),
            Self::WindowTooSmall { tokens, budget } => {
                json!({ "tokens": tokens, "budget": budget })
            }
            Self::Busy {
                id,
                waiting,
                waited_ms,
            } => json!({ "id": id, "waiting": waiting, "waited_ms": waited_ms }),
            Self::NoAnswer { finish_reason } => json!({ "finish_reason": finish_reason }),
        };
        value["code"] = json!(self.code());
        value["message"] = json!(self.to_string());
        value
    }

    pub(crate) fn invalid(field: &'static str, problem: impl Into<String>) -> Self {
        Self::Invalid {
            field,
            problem: problem.into(),
        }
    }
}

/// Every code of a [`ConversationError`], in the order of the documentation.
pub const CODES: [&str; 8] = [
    "invalid_conversation",
    "not_trained",
    "empty_document",
    "template_field",
    "unknown_template",
    "window_too_small",
    "session_busy",
    "no_answer",
];

fn because(reason: Option<&str>) -> String {
    reason.map_or_else(String::new, |reason| format!(" ({reason})"))
}
