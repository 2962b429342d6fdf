//! Where a training job's text comes from.

use std::ops::ControlFlow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Material;
use crate::document::{self, Limits, Progress};
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

impl Source {
    /// What it is called, before it is read.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::File { name, .. } => name,
            Self::Text(material) => &material.title,
        }
    }
}

/// Refuses at once what no job could read.
pub(super) fn check(name: &str, body: &Bytes) -> Result<(), Error> {
    Ok(document::check(body, Some(name), &Limits::default())?)
}

/// Reads it; tells how many pages it has.
pub(super) async fn read(
    sessions: &SharedSessions,
    key: &SessionKey,
    source: &Source,
    max_pages: Option<u32>,
    job: &Context,
) -> Result<(Material, Option<u32>), Error> {
    match source {
        Source::Text(material) => Ok((material.clone(), None)),
        Source::File { file, name } => {
            job.progress(0.0, "fetching the document");
            let body = sessions.file(key, file).await?;
            job.progress(1.0, format!("reading {} bytes", body.len()));
            let (name, job) = (name.clone(), job.clone());
            let reading = move || {
                let limits = Limits {
                    max_pages,
                    ..Limits::default()
                };
                let found = document::read_with(&body, Some(&name), &limits, &mut |now| {
                    let (percent, words) = told(now);
                    job.progress(percent, words);
                    match job.is_cancelled() {
                        true => ControlFlow::Break(()),
                        false => ControlFlow::Continue(()),
                    }
                })?;
                let title = found.title.clone().unwrap_or(name);
                let pages = Some(found.page_count);
                Ok::<_, Error>((
                    Material {
                        title,
                        text: found.text(),
                    },
                    pages,
                ))
            };
            // Reading takes a thread for seconds.
            let read = tokio::task::spawn_blocking(reading).await;
            read.map_err(|_| Error::Closed)?
        }
    }
}

/// Reading is the first third of a training.
fn told(now: Progress) -> (f32, String) {
    #[allow(clippy::cast_precision_loss)]
    let share = now.pages as f32 / now.page_count.max(1) as f32;
    let words = match now.page_count {
        0 => "waiting for other documents".to_owned(),
        pages => format!("page {} of {pages} ({} bytes)", now.pages + 1, now.bytes),
    };
    (1.0 + 29.0 * share, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_training_tells_the_bytes_and_the_pages_that_are_read_in_order() {
        let sample = include_bytes!("../../../examples/sample.pdf");
        let mut all = Vec::new();
        let read = document::read_with(sample, None, &Limits::default(), &mut |now| {
            all.push(told(now));
            ControlFlow::Continue(())
        });
        let pages = read.unwrap().page_count;
        let bytes = sample.len();
        assert!(pages > 1);
        let wanted: Vec<String> = (1..=pages)
            .map(|page| format!("page {page} of {pages} ({bytes} bytes)"))
            .collect();
        let words: Vec<&String> = all.iter().map(|(_, words)| words).collect();
        assert_eq!(words, wanted.iter().collect::<Vec<_>>());
        assert!(all.is_sorted_by(|a, b| a.0 < b.0), "{all:?}");
        assert!(all.iter().all(|(percent, _)| (1.0..30.0).contains(percent)));
    }
}
