//! A manager's verbs as JSON, for languages that hand them over: names and forms are here
//! once for all of them.

use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    Change, Guard, NewSession, NewTurn, Range, SessionError, SessionFilter, SessionKey,
    SessionManager, Verb, Write,
};

/// A wish, as `{"verb": …}` with the verb's members beside it.
#[derive(Debug, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case", deny_unknown_fields)]
enum Wish {
    Backend,
    Create {
        session: Box<NewSession>,
    },
    Get {
        key: SessionKey,
    },
    Read {
        key: SessionKey,
        range: Range,
    },
    FindTurn {
        key: SessionKey,
        name: String,
    },
    Append {
        key: SessionKey,
        #[serde(default)]
        guard: Guard,
        turn: NewTurn,
    },
    Pop {
        key: SessionKey,
        #[serde(default)]
        guard: Guard,
    },
    Clear {
        key: SessionKey,
        #[serde(default)]
        guard: Guard,
    },
    Change {
        key: SessionKey,
        #[serde(default)]
        guard: Guard,
        change: Change,
    },
    Attach {
        key: SessionKey,
        guard: Guard,
        for_ms: u64,
    },
    Detach {
        key: SessionKey,
        guard: Guard,
    },
    Touch {
        key: SessionKey,
        #[serde(default)]
        guard: Guard,
    },
    List {
        filter: SessionFilter,
    },
    Count {
        #[serde(default)]
        owner: Option<String>,
    },
    Delete {
        key: SessionKey,
        #[serde(default)]
        guard: Guard,
    },
    CleanUp {
        idle_ms: u64,
    },
    Fork {
        key: SessionKey,
        #[serde(default)]
        id: Option<String>,
    },
    Export {
        key: SessionKey,
    },
    Import {
        owner: String,
        #[serde(default)]
        id: Option<String>,
        lines: String,
    },
    Files {
        key: SessionKey,
    },
    DropFile {
        key: SessionKey,
        #[serde(default)]
        guard: Guard,
        name: String,
    },
}

/// Where a file goes, and on what conditions.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    key: SessionKey,
    #[serde(default)]
    guard: Guard,
    name: String,
}

/// Keeps a file, whose content comes beside the wish: `{"key", "guard", "name"}`.
///
/// # Errors
/// [`SessionError::Invalid`] for a wish that is none, and as [`SessionManager::put_file`].
pub async fn put_file(
    sessions: &dyn SessionManager,
    wish: &str,
    body: Bytes,
) -> Result<(), SessionError> {
    let Place { key, guard, name } = read(wish)?;
    sessions.put_file(&key, guard, &name, body).await
}

/// Does what a wish says, and gives what came of it as JSON.
///
/// # Errors
/// [`SessionError::Invalid`] for a wish that is none, and those of the verb.
pub async fn perform(sessions: &dyn SessionManager, wish: &str) -> Result<String, SessionError> {
    let wish = read(wish)?;
    let write = |key: SessionKey, guard: Guard, verb: Verb| async move {
        let written = sessions.write(&key, Write { guard, verb }).await?;
        told(&json!({ "session": written.session, "repeated": written.repeated }))
    };
    match wish {
        Wish::Backend => told(&sessions.backend()),
        Wish::Create { session } => told(&sessions.create(*session).await?),
        Wish::Get { key } => told(&sessions.get(&key).await?),
        Wish::Read { key, range } => told(&sessions.read(&key, range).await?),
        Wish::FindTurn { key, name } => told(&sessions.find_turn(&key, &name).await?),
        Wish::Append { key, guard, turn } => write(key, guard, Verb::Append(turn)).await,
        Wish::Pop { key, guard } => write(key, guard, Verb::Pop).await,
        Wish::Clear { key, guard } => write(key, guard, Verb::Clear).await,
        Wish::Change { key, guard, change } => write(key, guard, Verb::Change(change)).await,
        Wish::Attach { key, guard, for_ms } => write(key, guard, Verb::Attach { for_ms }).await,
        Wish::Detach { key, guard } => write(key, guard, Verb::Detach).await,
        Wish::Touch { key, guard } => write(key, guard, Verb::Touch).await,
        Wish::List { filter } => told(&sessions.list(&filter).await?),
        Wish::Count { owner } => told(&sessions.count(owner.as_deref()).await?),
        Wish::Delete { key, guard } => told(&sessions.delete(&key, guard).await?),
        Wish::CleanUp { idle_ms } => {
            told(&sessions.clean_up(Duration::from_millis(idle_ms)).await?)
        }
        Wish::Fork { key, id } => told(&sessions.fork(&key, id).await?),
        Wish::Export { key } => told(&sessions.export(&key).await?),
        Wish::Import { owner, id, lines } => told(&sessions.import(&owner, id, &lines).await?),
        Wish::Files { key } => told(&sessions.files(&key).await?),
        Wish::DropFile { key, guard, name } => told(&sessions.drop_file(&key, guard, &name).await?),
    }
}

fn read<T: DeserializeOwned>(wish: &str) -> Result<T, SessionError> {
    serde_json::from_str(wish)
        .map_err(|problem| SessionError::invalid("arguments", problem.to_string()))
}

fn told(answer: &impl Serialize) -> Result<String, SessionError> {
    serde_json::to_string(answer)
        .map_err(|problem| SessionError::invalid("answer", problem.to_string()))
}
