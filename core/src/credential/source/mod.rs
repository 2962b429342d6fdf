//! Where credentials come from: options, environment, a file, an accounts folder.

mod env;
mod file;

use std::borrow::Cow;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Credential, CredentialSpec};
use crate::error::Error;

/// A place that holds credentials; in JSON `{"env": "OPENAI"}`,
/// `{"file": "keys.toml"}` or `{"accounts": "~/.qwen"}`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialSource {
    /// `X_API_KEY`, `X_API_KEY_2`… with gaps, or a comma list in `X_API_KEYS`;
    /// `X_BASE_URL` and `X_MODEL` go with them.
    Env(String),
    /// A JSON or TOML file of credentials, or one key a line; mode 0600.
    File(PathBuf),
    /// An accounts folder: `DIR/accounts/oauth_creds_N.json`, and `DIR/credentials.toml`
    /// or `.json` where there is one.
    Accounts(PathBuf),
}

impl CredentialSource {
    /// What is in this place; nothing is no error.
    ///
    /// # Errors
    /// What reading the files gives.
    pub fn load(&self) -> Result<Vec<Credential>, Error> {
        match self {
            Self::Env(prefix) => env::load(prefix, |name| std::env::var(name).ok()),
            Self::File(path) => file::load(&at_home(path)),
            Self::Accounts(folder) => super::accounts::load(&at_home(folder)),
        }
    }

    /// Credentials given, then those of each source, in order.
    ///
    /// # Errors
    /// [`Error::NoCredentials`] for none at all, [`Error::DuplicateCredential`] for two of
    /// one id, and what reading the sources gives.
    pub fn load_all(
        given: Vec<CredentialSpec>,
        sources: &[Self],
    ) -> Result<Vec<Credential>, Error> {
        let mut credentials = Vec::new();
        for (index, spec) in given.into_iter().enumerate() {
            credentials.push(spec.build(index + 1)?);
        }
        for source in sources {
            credentials.extend(source.load()?);
        }
        if credentials.is_empty() {
            return Err(none_in(sources));
        }
        let mut ids = HashSet::new();
        match credentials.iter().find(|one| !ids.insert(one.id())) {
            Some(twice) => Err(Error::DuplicateCredential {
                id: twice.id().to_owned(),
            }),
            None => Ok(credentials),
        }
    }

    /// The sources given, or where a provider's credentials usually are when nothing is given.
    #[must_use]
    pub fn or_usual(sources: Vec<Self>, given: &[CredentialSpec], provider: &str) -> Vec<Self> {
        if !sources.is_empty() || !given.is_empty() {
            return sources;
        }
        let env = |prefix: &str| Self::Env(prefix.to_owned());
        match provider {
            "qwen" => vec![
                Self::Accounts(super::accounts::usual_folder()),
                env("OPENAI"),
            ],
            "anthropic" | "claude" => vec![env("ANTHROPIC")],
            "gemini" => vec![env("GEMINI")],
            _ => vec![env("OPENAI")],
        }
    }
}

/// `~/` as shells read it: options and files are read by none.
fn at_home(path: &Path) -> Cow<'_, Path> {
    match (path.strip_prefix("~"), std::env::home_dir()) {
        (Ok(rest), Some(home)) => Cow::Owned(home.join(rest)),
        _ => Cow::Borrowed(path),
    }
}

fn none_in(sources: &[CredentialSource]) -> Error {
    let name = |source: &CredentialSource| match source {
        CredentialSource::Env(prefix) => format!("the environment ({prefix}_API_KEY)"),
        CredentialSource::File(path) => path.display().to_string(),
        CredentialSource::Accounts(folder) => folder.display().to_string(),
    };
    let places: Vec<_> = sources.iter().map(name).collect();
    Error::NoCredentials {
        place: if places.is_empty() { "the options".to_owned() } else { places.join(" or ") },
        remedy: "give `credentials`, set an API key variable, or add an account with `account-qwen --add`"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(json: &str) -> CredentialSpec {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn nothing_anywhere_names_the_places_and_the_remedy() {
        let sources = [CredentialSource::Env("SURELY_NOT_SET".to_owned())];
        let error = CredentialSource::load_all(Vec::new(), &sources).unwrap_err();
        assert_eq!(error.code(), "no_credentials");
        assert!(
            error.to_string().contains("SURELY_NOT_SET_API_KEY"),
            "{error}"
        );
    }

    #[test]
    fn two_of_one_id_are_refused() {
        let given = vec![
            spec(r#"{"id": "a", "secret": "sk-secret-a"}"#),
            spec(r#"{"id": "a", "secret": "sk-secret-b"}"#),
        ];
        let error = CredentialSource::load_all(given, &[]).unwrap_err();
        assert_eq!(error.code(), "duplicate_credential");
    }

    #[test]
    fn a_tilde_is_the_home_folder() {
        let home = std::env::home_dir().unwrap();
        for (given, read) in [
            ("~/.qwen", home.join(".qwen")),
            ("~", home.join("")),
            ("/a/~", PathBuf::from("/a/~")),
            ("~other/x", PathBuf::from("~other/x")),
        ] {
            assert_eq!(at_home(Path::new(given)), read, "{given}");
        }
    }

    #[test]
    fn what_is_given_needs_no_usual_place() {
        let given = [spec(r#"{"secret": "sk-secret-a"}"#)];
        assert!(CredentialSource::or_usual(Vec::new(), &given, "openai").is_empty());
        let usual = CredentialSource::or_usual(Vec::new(), &[], "anthropic");
        assert_eq!(usual, [CredentialSource::Env("ANTHROPIC".to_owned())]);
    }

    #[test]
    fn a_specification_that_cannot_be_used_is_refused_by_name() {
        let rows = [
            (
                r#"{"id": "a", "secret": " "}"#,
                "invalid_config",
                "secret is empty",
            ),
            (
                r#"{"id": "a", "secret": "x\ny"}"#,
                "invalid_config",
                "header",
            ),
            (r#"{"id": "", "secret": "x"}"#, "invalid_config", "id"),
            (
                r#"{"id": "a", "secret": "x", "weight": 0}"#,
                "invalid_config",
                "weight",
            ),
            (
                r#"{"id": "a", "secret": "x", "rpm": 0}"#,
                "invalid_config",
                "limit",
            ),
            (
                r#"{"id": "a", "secret": "x", "base_url": "ftp://h"}"#,
                "invalid_url",
                "ftp",
            ),
        ];
        for (json, code, named) in rows {
            let error = spec(json).build(1).unwrap_err();
            assert_eq!(error.code(), code, "{json}");
            assert!(error.to_string().contains(named), "{json}: {error}");
        }
    }
}
