//! The mark of the format in which jobs are kept under a prefix: what another version wrote
//! is left alone.

use std::sync::atomic::{AtomicU64, Ordering};

use redis::{Value, cmd};

use super::link::Link;
use super::text;
use crate::job::JobError;

/// Of the keys, records and scripts as they are. Another one is due when those who have this
/// one could not work beside it.
const FORMAT: &str = "2";

/// Looks at the mark once a connection: behind a new one may be another server.
#[derive(Default)]
pub(super) struct Format {
    /// The connection over which the mark was right.
    checked: AtomicU64,
}

impl Format {
    /// Refuses a prefix whose jobs have another format, and marks one that has no mark.
    pub(super) async fn check(&self, link: &Link) -> Result<(), JobError> {
        let connection = link.made();
        if connection > 0 && self.checked.load(Ordering::Relaxed) == connection {
            return Ok(());
        }
        let mark = link.address().global("format");
        let mut found = text(link.ask(cmd("GET").arg(&mark)).await?);
        if found.is_none() {
            let mut set = cmd("SET");
            set.arg(&mark).arg(FORMAT).arg("NX");
            match link.ask(&set).await {
                Ok(Value::Nil) => found = text(link.ask(cmd("GET").arg(&mark)).await?),
                Ok(_) => {}
                // Who may not write now, as to a full server, tries again next time.
                Err(_) => return Ok(()),
            }
        }
        match found {
            Some(other) if other != FORMAT => Err(JobError::Unsuitable {
                backend: link.address().shown.clone(),
                problem: format!(
                    "its jobs under the prefix `{}` have the format `{other}`, this version has `{FORMAT}`",
                    link.address().prefix
                ),
                remedy:
                    "use the version that wrote them until they are done, or another `?prefix=`"
                        .to_owned(),
            }),
            _ => {
                self.checked.store(connection, Ordering::Relaxed);
                Ok(())
            }
        }
    }
}
