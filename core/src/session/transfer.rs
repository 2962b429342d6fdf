//! A session as JSON lines: the session first, then a line for each message. Pure.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::rules::{MESSAGE_BYTES, MESSAGE_LIMIT, check_message};
use super::{Entry, NewSession, SessionError, SessionKey, Transcript};

/// What the first line says that it is.
const FORMAT: &str = "credential-rotation.session";
const VERSION: u32 = 1;

/// The first line. Whatever else stands there is not taken over.
#[derive(Serialize, Deserialize)]
struct First {
    format: String,
    format_version: u32,
    owner: String,
    id: String,
    #[serde(default)]
    name: Option<Box<str>>,
    #[serde(default)]
    tags: Vec<Box<str>>,
    #[serde(default)]
    settings: Map<String, Value>,
    messages: u64,
}

pub(super) fn to_lines(read: &Transcript) -> String {
    let session = read.session.clone();
    let first = First {
        format: FORMAT.to_owned(),
        format_version: VERSION,
        owner: session.key.owner().to_owned(),
        id: session.key.id().to_owned(),
        name: session.name,
        tags: session.tags,
        settings: session.settings,
        messages: read.entries.len() as u64,
    };
    let mut lines = serde_json::to_string(&first).unwrap_or_default();
    lines.push('\n');
    for entry in &read.entries {
        lines.push_str(&serde_json::to_string(entry).unwrap_or_default());
        lines.push('\n');
    }
    lines
}

pub(super) fn from_lines(text: &str) -> Result<NewSession, SessionError> {
    let refused = |line: usize, problem: String| SessionError::InvalidImport {
        line: line + 1,
        problem,
    };
    let mut lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    let Some((number, line)) = lines.next() else {
        return Err(refused(0, "it is empty".to_owned()));
    };
    let first: First = read(line).map_err(|problem| refused(number, problem))?;
    if first.format != FORMAT || first.format_version != VERSION {
        let problem = format!("it is not `{FORMAT}` version {VERSION}");
        return Err(refused(number, problem));
    }
    SessionKey::new(&first.owner, &first.id).map_err(|e| refused(number, e.to_string()))?;
    if first.messages > MESSAGE_LIMIT {
        let problem = format!("it has over {MESSAGE_LIMIT} messages");
        return Err(refused(number, problem));
    }
    let mut entries: Vec<Entry> = Vec::new();
    let mut last = number;
    for (number, line) in lines {
        last = number;
        if line.len() as u64 > MESSAGE_BYTES {
            return Err(refused(number, "it is over 8 MB".to_owned()));
        }
        let entry: Entry = read(line).map_err(|problem| refused(number, problem))?;
        if entry.place != entries.len() as u64 || entry.turn > entry.place {
            return Err(refused(
                number,
                "its `place` or `turn` is out of order".to_owned(),
            ));
        }
        check_message(&entry.message, entry.key.as_deref())
            .map_err(|e| refused(number, e.to_string()))?;
        entries.push(entry);
        if entries.len() as u64 > first.messages {
            return Err(refused(
                number,
                "there are more messages than announced".to_owned(),
            ));
        }
    }
    if (entries.len() as u64) < first.messages {
        let problem = format!(
            "{} of {} messages are there: the export was cut",
            entries.len(),
            first.messages
        );
        return Err(refused(last, problem));
    }
    Ok(NewSession {
        owner: first.owner,
        id: Some(first.id),
        name: first.name,
        tags: first.tags,
        settings: first.settings,
        entries,
        // Where it comes from, other credentials are in use.
        credential: None,
    })
}

/// Only where and how it is wrong: the content is nobody's business.
fn read<T: serde::de::DeserializeOwned>(line: &str) -> Result<T, String> {
    serde_json::from_str(line).map_err(|e| match e.classify() {
        serde_json::error::Category::Data => "a member is missing or of another type".to_owned(),
        _ => format!("it is no JSON at column {}", e.column()),
    })
}
