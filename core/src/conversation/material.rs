//! Where a training job's text comes from.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Material;
use crate::error::Error;
use crate::job::worker::Context;
use crate::session::{SessionKey, SharedSessions};

/// A document, as a job's payload names it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Source {
    /// A file kept with the session.
    File {
        /// Its name there.
        file: String,
        /// What its owner calls it.
        name: String,
    },
    /// A text in the job itself.
    Text(Material),
}

/// Refuses at once what no job could read.
pub(super) fn check(_name: &str, _body: &Bytes) -> Result<(), Error> {
    Ok(())
}

/// Reads it; tells how many pages it has.
pub(super) async fn read(
    sessions: &SharedSessions,
    key: &SessionKey,
    source: &Source,
    _max_pages: Option<u32>,
    _job: &Context,
) -> Result<(Material, Option<u32>), Error> {
    match source {
        Source::Text(material) => Ok((material.clone(), None)),
        Source::File { file, name } => {
            let body = sessions.file(key, file).await?;
            let text = String::from_utf8_lossy(&body).into_owned();
            let title = name.clone();
            Ok((Material { title, text }, None))
        }
    }
}

/// Whether a document's error would come again.
pub(super) fn is_final(_error: &Error) -> bool {
    false
}
