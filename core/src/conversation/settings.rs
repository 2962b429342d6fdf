//! What a session says about its conversation: read from the session's settings.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{ConversationError, Templates, Window};

/// A conversation's settings, kept with its session. All have defaults.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConversationSettings {
    /// The system prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// The model; else the wrapper's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The name of the wrapper that is asked, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The most tokens of an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// Sampling temperature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// The language of the shipped prompts, `en` or `it`. Default: the host's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Prompts of its own, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub templates: BTreeMap<String, String>,
    /// A window of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
}

impl ConversationSettings {
    /// Reads them; members of other names are the session's owner's business.
    ///
    /// # Errors
    /// [`ConversationError::Invalid`] for one of another type.
    pub fn read(settings: &Map<String, Value>) -> Result<Self, ConversationError> {
        serde_json::from_value(Value::Object(settings.clone()))
            .map_err(|e| ConversationError::invalid("settings", e.to_string()))
    }

    /// As a session keeps them.
    #[must_use]
    pub fn to_map(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(map)) => map,
            _ => Map::new(),
        }
    }

    /// The prompts to use, over those of the host.
    pub(super) fn templates(&self, host: &Templates) -> Result<Templates, ConversationError> {
        let base = match &self.language {
            Some(language) => Templates::shipped(language)?,
            None => host.clone(),
        };
        let own = self.templates.iter();
        Ok(own.fold(base, |all, (name, text)| all.with(name, text)))
    }
}
