//! `sessions`: looks at sessions; takes one out as JSON lines and in again, removes one.

use std::io::Read;

use clap::{Args, Subcommand, ValueHint};
use serde_json::json;

use crate::cli::pending::{Waited, wait_for};
use crate::cli::shell::{Ended, Shell, Stop};
use crate::cli::{exit, table};
use crate::clock::{Clock, SystemClock};
use crate::config::invalid;
use crate::connect;
use crate::error::Error;
use crate::session::{
    Guard, Range, SESSION_BYTES, Session, SessionError, SessionFilter, SessionKey, SharedSessions,
};

/// Where the sessions are, when the command line does not say.
const URL_VARIABLE: &str = "CREDENTIAL_ROTATION_SESSIONS_URL";

#[derive(Debug, Args)]
struct Place {
    /// Where the sessions are: `redis://…`, `sqlite:PATH` [default: CREDENTIAL_ROTATION_SESSIONS_URL]
    #[arg(long, global = true, value_name = "URL", value_hint = ValueHint::Url)]
    url: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Sessions {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List sessions, those used last first
    List(List),
    /// Show a session and its last messages
    Show(Show),
    /// Write a session as JSON lines
    Export(One),
    /// Make a session of JSON lines from standard input
    Import(Import),
    /// Remove sessions with all that is kept with them
    Delete(Many),
}

#[derive(Debug, Args)]
struct List {
    /// Of this owner [default: all, owner by owner]
    #[arg(long, value_name = "O")]
    owner: Option<String>,
    /// With this tag
    #[arg(long, value_name = "T")]
    tag: Option<String>,
    /// At most so many [default: 100]
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Behind this mark, which the page before gave
    #[arg(long, value_name = "MARK")]
    after: Option<String>,
}

#[derive(Debug, Args)]
struct One {
    /// Of this owner
    #[arg(long, value_name = "O", default_value = SessionKey::DEFAULT_OWNER)]
    owner: String,
    /// The session's id
    #[arg(value_name = "ID")]
    id: String,
}

#[derive(Debug, Args)]
struct Show {
    #[command(flatten)]
    one: One,
    /// The last so many messages
    #[arg(long, value_name = "N", default_value_t = 20)]
    last: u64,
}

#[derive(Debug, Args)]
struct Many {
    /// Of this owner
    #[arg(long, value_name = "O", default_value = SessionKey::DEFAULT_OWNER)]
    owner: String,
    /// The sessions' ids
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
}

#[derive(Debug, Args)]
struct Import {
    /// For this owner
    #[arg(long, value_name = "O", default_value = SessionKey::DEFAULT_OWNER)]
    owner: String,
    /// Under this id [default: the one it had]
    #[arg(long, value_name = "ID")]
    id: Option<String>,
}

impl Sessions {
    pub(super) fn run(self, as_json: bool, shell: &mut Shell<'_>) -> Ended {
        let place = &self.place;
        let done = wait_for(async {
            match self.action {
                Action::List(list) => list.run(place, as_json, shell).await,
                Action::Show(show) => show.run(place, as_json, shell).await,
                Action::Export(one) => one.export(place, shell).await,
                Action::Import(import) => import.run(place, as_json, shell).await,
                Action::Delete(many) => many.delete(place, as_json, shell).await,
            }
        });
        match done? {
            Waited::Done(ended) => ended,
            Waited::Signalled(code) => Ok(code),
        }
    }
}

impl Place {
    async fn connect(&self) -> Result<SharedSessions, Stop> {
        let variable = || {
            std::env::var(URL_VARIABLE)
                .ok()
                .filter(|url| !url.is_empty())
        };
        let Some(url) = self.url.clone().or_else(variable) else {
            let problem = format!("say where the sessions are, or set {URL_VARIABLE}");
            return Err(invalid("--url", &problem).into());
        };
        Ok(connect::sessions(&url).await?)
    }
}

impl One {
    fn key(&self) -> Result<SessionKey, Stop> {
        Ok(SessionKey::new(&self.owner, &self.id)?)
    }

    async fn export(self, place: &Place, shell: &mut Shell<'_>) -> Ended {
        let sessions = place.connect().await?;
        let lines = sessions.export(&self.key()?).await?;
        shell.say(&lines)?;
        Ok(exit::OK)
    }
}

impl List {
    async fn run(self, place: &Place, as_json: bool, shell: &mut Shell<'_>) -> Ended {
        let sessions = place.connect().await?;
        let filter = SessionFilter {
            owner: self.owner,
            tag: self.tag,
            limit: self.limit,
            after: self.after,
        };
        let page = sessions.list(&filter).await?;
        if as_json {
            shell.say_json(&json!(page))?;
            return Ok(exit::OK);
        }
        let now = SystemClock.now();
        let rows: Vec<_> = page.sessions.iter().map(|s| row(s, now)).collect();
        let heads = [
            "OWNER", "ID", "NAME", "TURNS", "MESSAGES", "TRAINED", "JOBS", "USED",
        ];
        table::print(heads, &rows, shell)?;
        if let Some(next) = page.next {
            shell.note(&format!("there are more: --after '{next}'"));
        }
        Ok(exit::OK)
    }
}

impl Show {
    async fn run(self, place: &Place, as_json: bool, shell: &mut Shell<'_>) -> Ended {
        let sessions = place.connect().await?;
        let read = sessions
            .read(&self.one.key()?, Range::Last(self.last))
            .await?;
        if as_json {
            shell.say_json(&json!(read))?;
            return Ok(exit::OK);
        }
        let session = &read.session;
        shell.say(&format!(
            "{}, version {}, {} turns, {} messages, {} bytes",
            session.key, session.version, session.turns, session.messages, session.bytes
        ))?;
        for entry in &read.entries {
            let text = entry.message.content.text();
            shell.say(&format!(
                "\n[{}] {}:\n{text}",
                entry.place, entry.message.role
            ))?;
        }
        Ok(exit::OK)
    }
}

impl Import {
    async fn run(self, place: &Place, as_json: bool, shell: &mut Shell<'_>) -> Ended {
        let sessions = place.connect().await?;
        let mut lines = String::new();
        // An export has some bytes beside its messages.
        let most = SESSION_BYTES * 2;
        let read = (&mut *shell.input).take(most).read_to_string(&mut lines);
        read.map_err(|_| invalid("standard input", &"it is no UTF-8"))?;
        let made = sessions.import(&self.owner, self.id, &lines).await?;
        if as_json {
            shell.say_json(&json!(made))?;
        } else {
            shell.say(&format!("{} has {} messages", made.key, made.messages))?;
        }
        Ok(exit::OK)
    }
}

impl Many {
    async fn delete(self, place: &Place, as_json: bool, shell: &mut Shell<'_>) -> Ended {
        let sessions = place.connect().await?;
        for id in &self.ids {
            sessions
                .delete(&SessionKey::new(&self.owner, id)?, Guard::default())
                .await?;
            if !as_json {
                shell.say(&format!("{}/{id} is removed", self.owner))?;
            }
        }
        if as_json {
            shell.say_json(&json!({ "deleted": self.ids }))?;
        }
        Ok(exit::OK)
    }
}

impl From<SessionError> for Stop {
    fn from(error: SessionError) -> Self {
        Self::Error(Error::from(error))
    }
}

fn row(session: &Session, now: u64) -> [table::Cell; 8] {
    let trained = if session.training.is_empty() {
        "no"
    } else {
        "yes"
    };
    [
        session.key.owner().into(),
        session.key.id().into(),
        session.name.as_deref().unwrap_or_default().into(),
        session.turns.to_string().into(),
        session.messages.to_string().into(),
        trained.into(),
        session.jobs.len().to_string().into(),
        format!("{} s ago", now.saturating_sub(session.active_at) / 1000).into(),
    ]
}
