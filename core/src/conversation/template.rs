//! Prompts with named fields. Pure.
//!
//! `{topic}` stands for a field, `{{` and `}}` for braces. Fields are put in once: braces in
//! a field's own text mean nothing.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::ConversationError;

/// The languages that prompts are shipped in.
pub const LANGUAGES: [&str; 2] = ["en", "it"];

/// Prompts by name. `training` has the fields `title` and `text`, `generation` has `topic`,
/// `words` and `audience`, `summary` has `words` and `text`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Templates(BTreeMap<String, String>);

type Shipped = Result<BTreeMap<String, String>, toml::de::Error>;
static ENGLISH: LazyLock<Shipped> =
    LazyLock::new(|| toml::from_str(include_str!("templates/en.toml")));
static ITALIAN: LazyLock<Shipped> =
    LazyLock::new(|| toml::from_str(include_str!("templates/it.toml")));

impl Templates {
    /// The shipped ones of a language: `en` or `it`.
    ///
    /// # Errors
    /// [`ConversationError::Invalid`] for another.
    pub fn shipped(language: &str) -> Result<Self, ConversationError> {
        let shipped = match language {
            "en" => &*ENGLISH,
            "it" => &*ITALIAN,
            _ => {
                let problem = format!(
                    "there are no prompts in `{language}`: use `en` or `it`, or give `templates`"
                );
                return Err(ConversationError::invalid("language", problem));
            }
        };
        match shipped {
            Ok(texts) => Ok(Self(texts.clone())),
            Err(e) => Err(ConversationError::invalid("language", e.to_string())),
        }
    }

    pub(super) fn none() -> Self {
        Self(BTreeMap::new())
    }

    /// With a prompt in place of, or beside, those there are.
    #[must_use]
    pub fn with(mut self, name: &str, text: &str) -> Self {
        self.0.insert(name.to_owned(), text.to_owned());
        self
    }

    /// Puts the fields into a prompt.
    ///
    /// # Errors
    /// [`ConversationError::UnknownTemplate`], [`ConversationError::TemplateField`] for one
    /// that is missing, blank or no text or number.
    pub fn render(
        &self,
        name: &str,
        fields: &Map<String, Value>,
    ) -> Result<String, ConversationError> {
        let Some(text) = self.0.get(name) else {
            let known: Vec<&str> = self.0.keys().map(String::as_str).collect();
            return Err(ConversationError::UnknownTemplate {
                name: name.to_owned(),
                known: known.join(", "),
            });
        };
        let missing = |field: &str, problem: &'static str| ConversationError::TemplateField {
            template: name.to_owned(),
            field: field.to_owned(),
            problem,
        };
        let mut out = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some(at) = rest.find(['{', '}']) {
            out.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(doubled) = rest.strip_prefix(brace) {
                out.push_str(brace);
                rest = doubled;
                continue;
            }
            let field = match rest.split_once('}') {
                Some((field, behind)) if brace == "{" => {
                    rest = behind;
                    field
                }
                _ => return Err(missing(brace, "a brace stands alone: write it twice")),
            };
            match fields.get(field) {
                Some(Value::String(text)) if !text.trim().is_empty() => out.push_str(text),
                Some(Value::Number(number)) => out.push_str(&number.to_string()),
                Some(Value::String(_)) => return Err(missing(field, "it is blank")),
                Some(_) => return Err(missing(field, "it is neither a text nor a number")),
                None => return Err(missing(field, "it is missing")),
            }
        }
        out.push_str(rest);
        Ok(out.trim().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn every_shipped_prompt_takes_its_fields() {
        let fields = fields(json!({
            "title": "T", "text": "a {b} c", "topic": "bread", "words": 300, "audience": "bakers",
        }));
        for language in LANGUAGES {
            let templates = Templates::shipped(language).unwrap();
            for name in ["training", "generation", "summary"] {
                let text = templates.render(name, &fields).unwrap();
                assert!(!text.contains("{t") && text.len() > 80, "{text}");
            }
            let training = templates.render("training", &fields).unwrap();
            assert!(training.contains("a {b} c"), "put in once");
        }
        assert!(Templates::shipped("xx").is_err());
    }

    #[test]
    fn what_is_wrong_with_a_field_is_said_with_its_name() {
        let templates = Templates::shipped("en")
            .unwrap()
            .with("t", "{{{a}}} {b}")
            .with("open", "x {a")
            .with("lone", "x } y");
        let good = templates.render("t", &fields(json!({"a": "x", "b": 2})));
        assert_eq!(good.unwrap(), "{x} 2");
        let rows = [
            ("t", json!({"a": "x"}), "`b`", "missing"),
            ("t", json!({"a": " ", "b": 1}), "`a`", "blank"),
            ("t", json!({"a": [], "b": 1}), "`a`", "neither"),
            ("open", json!({"a": "x"}), "`{`", "alone"),
            ("lone", json!({}), "`}`", "alone"),
        ];
        for (name, given, field, problem) in rows {
            let error = templates.render(name, &fields(given)).unwrap_err();
            assert_eq!(error.code(), "template_field");
            let words = error.to_string();
            assert!(words.contains(field) && words.contains(problem), "{words}");
        }
        let unknown = templates.render("never", &Map::new()).unwrap_err();
        assert_eq!(unknown.code(), "unknown_template");
    }
}
