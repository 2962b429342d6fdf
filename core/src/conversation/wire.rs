//! Conversations as JSON, for languages that hand them over: names and forms are here once
//! for all of them.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;

use super::jobs::Document;
use super::turns::Turns;
use super::{Brief, ConversationError, Conversations, Material, Templates, TurnStream, Window};
use crate::error::Error;
use crate::job::{JobId, JobManager, JobSpec};
use crate::session::{Fence, SessionKey, SharedSessions};
use crate::wrapper::Wrapper;

/// What is set for all conversations of a host.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Options {
    /// The language of the shipped prompts.
    language: Option<String>,
    /// Prompts in place of, or beside, those.
    templates: BTreeMap<String, String>,
    window: Option<Window>,
    /// How many turns of a session wait at most,
    max_waiting: Option<usize>,
    /// and how long.
    wait_ms: Option<u64>,
}

/// Something to be said.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    key: SessionKey,
    #[serde(default)]
    fence: Option<Fence>,
    say: Say,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Say {
    Train(Material),
    Generate(Brief),
    Send(String),
}

/// A job to be asked for.
#[derive(Debug, Deserialize)]
struct Order {
    key: SessionKey,
    /// The job's queue, id and the like.
    #[serde(default)]
    job: JobSpec,
    #[serde(flatten)]
    what: Work,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Work {
    /// To train on a text, or on a file that comes beside.
    Training {
        #[serde(default)]
        text: Option<Material>,
        #[serde(default)]
        name: Option<String>,
        #[serde(default)]
        max_pages: Option<u32>,
    },
    /// To write.
    Generation(Brief),
}

/// Sets up conversations; `wrappers` are those that sessions may name as their `provider`.
///
/// # Errors
/// [`ConversationError::Invalid`] for options that are none.
pub fn conversations(
    sessions: SharedSessions,
    wrapper: Wrapper,
    wrappers: Vec<(String, Wrapper)>,
    options: &str,
) -> Result<Conversations, Error> {
    let options: Options = read("options", options)?;
    let templates = Templates::shipped(options.language.as_deref().unwrap_or("en"))?;
    let templates = options
        .templates
        .iter()
        .fold(templates, |all, (name, text)| all.with(name, text));
    let mut made = Conversations::new(sessions, wrapper).with_templates(templates);
    if let Some(window) = options.window {
        made = made.with_window(window);
    }
    if options.max_waiting.is_some() || options.wait_ms.is_some() {
        let (most, at_most) = Turns::BOUNDS;
        let at_most = options.wait_ms.map_or(at_most, Duration::from_millis);
        made = made.with_waiting(options.max_waiting.unwrap_or(most), at_most);
    }
    let add =
        |made: Conversations, (name, wrapper): (String, Wrapper)| made.with_wrapper(&name, wrapper);
    Ok(wrappers.into_iter().fold(made, add))
}

/// Takes a turn.
#[must_use]
pub fn say(conversations: &Conversations, wish: &str) -> TurnStream {
    let wish: Wish = match read("arguments", wish) {
        Ok(wish) => wish,
        Err(error) => return TurnStream::refused(error),
    };
    let mut conversation = conversations.open(wish.key);
    if let Some(fence) = wish.fence {
        conversation = conversation.fenced(fence);
    }
    match &wish.say {
        Say::Train(material) => conversation.train_stream(material),
        Say::Generate(brief) => conversation.generate_stream(brief),
        Say::Send(prompt) => conversation.send_stream(prompt),
    }
}

/// Asks for a job, and gives its id.
///
/// # Errors
/// As [`Conversations::submit_training`] and [`Conversations::submit_generation`].
pub async fn submit(
    conversations: &Conversations,
    jobs: &dyn JobManager,
    order: &str,
    file: Option<Bytes>,
) -> Result<JobId, Error> {
    let Order { key, job, what } = read("arguments", order)?;
    match what {
        Work::Generation(brief) => {
            conversations
                .submit_generation(jobs, &key, &brief, job)
                .await
        }
        Work::Training {
            text,
            name,
            max_pages,
        } => {
            let document = match (file, text) {
                (Some(body), None) => Document::File(name.unwrap_or_default(), body),
                (None, Some(material)) => Document::Text(material),
                _ => {
                    let problem = "give a file or a text";
                    return Err(ConversationError::invalid("document", problem).into());
                }
            };
            conversations
                .submit_training(jobs, &key, document, max_pages, job)
                .await
        }
    }
}

fn read<'a, T: Deserialize<'a>>(
    field: &'static str,
    text: &'a str,
) -> Result<T, ConversationError> {
    serde_json::from_str(text)
        .map_err(|problem| ConversationError::invalid(field, problem.to_string()))
}
