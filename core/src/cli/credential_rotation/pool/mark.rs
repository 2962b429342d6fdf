//! `pool cool|park|disable|admit`: what a person decides about a credential.
//!
//! A decision only counts where other processes see it, so it goes into the pool's
//! store, and what is shown afterwards is read back from there.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{Configuration, list};
use crate::cli::exit;
use crate::cli::pending::{Waited, wait_for};
use crate::cli::seconds::{LONGEST_REST, milliseconds};
use crate::cli::shell::{Ended, Shell};
use crate::config::invalid;
use crate::credential::pool::StoreChoice;
use crate::credential::{CredentialPool, CredentialState};
use crate::error::Error;
use crate::wrapper::{Wrapper, WrapperOptions};

/// The longest reason, in bytes: it is a field of a table.
const REASON_LIMIT: usize = 200;

#[derive(Debug, Args)]
pub(super) struct Cool {
    #[command(flatten)]
    whom: Whom,
    /// How long
    #[arg(long = "for", value_name = "SECONDS")]
    time: f64,
    #[command(flatten)]
    why: Why,
}

#[derive(Debug, Args)]
pub(super) struct Park {
    #[command(flatten)]
    whom: Whom,
    /// How long [default: until it is admitted]
    #[arg(long = "for", value_name = "SECONDS")]
    time: Option<f64>,
    #[command(flatten)]
    why: Why,
}

#[derive(Debug, Args)]
pub(super) struct Disable {
    #[command(flatten)]
    whom: Whom,
    #[command(flatten)]
    why: Why,
}

#[derive(Debug, Args)]
pub(super) struct Admit {
    #[command(flatten)]
    whom: Whom,
}

#[derive(Debug, Args)]
struct Whom {
    /// The credential's id, as `pool list` shows it
    id: String,
    #[command(flatten)]
    configuration: Configuration,
}

#[derive(Debug, Args)]
struct Why {
    /// Why, for lists and errors
    #[arg(long, value_name = "TEXT", default_value = "by_hand")]
    reason: String,
}

/// What is decided.
enum Decision {
    Cool(Duration, String),
    Park(Option<Duration>, String),
    Disable(String),
    Admit,
}

impl Cool {
    pub(super) fn run(self, as_json: bool, shell: &mut Shell<'_>) -> Ended {
        let decision = Decision::Cool(rest(self.time)?, self.why.text()?);
        self.whom.decide(&decision, as_json, shell)
    }
}

impl Park {
    pub(super) fn run(self, as_json: bool, shell: &mut Shell<'_>) -> Ended {
        let decision = Decision::Park(self.time.map(rest).transpose()?, self.why.text()?);
        self.whom.decide(&decision, as_json, shell)
    }
}

impl Disable {
    pub(super) fn run(self, as_json: bool, shell: &mut Shell<'_>) -> Ended {
        let decision = Decision::Disable(self.why.text()?);
        self.whom.decide(&decision, as_json, shell)
    }
}

impl Admit {
    pub(super) fn run(self, as_json: bool, shell: &mut Shell<'_>) -> Ended {
        self.whom.decide(&Decision::Admit, as_json, shell)
    }
}

impl Why {
    fn text(self) -> Result<String, Error> {
        if self.reason.trim().is_empty() || self.reason.len() > REASON_LIMIT {
            let problem = format!("give a text of at most {REASON_LIMIT} bytes");
            return Err(invalid("--reason", &problem));
        }
        Ok(self.reason)
    }
}

impl Whom {
    fn decide(self, decision: &Decision, as_json: bool, shell: &mut Shell<'_>) -> Ended {
        let (options, file) = self.configuration.options()?;
        let stores = stores(&options);
        let wrapper = options.clone().build()?;
        let now = wrapper.pool().now();
        let place = file.map_or_else(
            || "the configuration".to_owned(),
            |file| file.display().to_string(),
        );
        let shared = shared(&wrapper, &self.id, &stores, &place)?;
        let waited = wait_for(async {
            for (pool, _) in &shared {
                decision.put(pool, &self.id).await?;
            }
            // Pools of their own know only what the stores hold.
            let seen = options.build()?;
            let mut rows = list::rows(&seen).await;
            rows.retain(|(_, status)| status.id == self.id);
            Ok::<_, Error>(rows)
        });
        let rows = match waited? {
            Waited::Done(rows) => rows?,
            Waited::Signalled(code) => return Ok(code),
        };
        // One row a pool, in the same order.
        for ((_, status), (_, store)) in rows.iter().zip(&shared) {
            if !decision.shows(status.state) {
                return Err(Error::StateUnavailable {
                    path: store.clone(),
                    problem: "the decision could not be written".to_owned(),
                }
                .into());
            }
        }
        list::print(&rows, now, as_json, shell)?;
        Ok(exit::OK)
    }
}

/// The pools that hold a credential, each with its store.
fn shared(
    wrapper: &Wrapper,
    id: &str,
    stores: &[StoreChoice],
    place: &str,
) -> Result<Vec<(CredentialPool, PathBuf)>, Error> {
    let mut shared = Vec::new();
    for (target, store) in wrapper.targets().iter().zip(stores) {
        if target.pool.get(id).is_none() {
            continue;
        }
        let StoreChoice::File(path) = store else {
            return Err(invalid(
                place,
                &format!(
                    "the pool that holds `{id}` has no `store`, so that no other process would know: name a file under [wrapper.pool]"
                ),
            ));
        };
        shared.push((target.pool.clone(), path.clone()));
    }
    if shared.is_empty() {
        return Err(Error::UnknownCredential { id: id.to_owned() });
    }
    Ok(shared)
}

/// The store of each target, in the wrapper's order.
fn stores(options: &WrapperOptions) -> Vec<StoreChoice> {
    let first = std::iter::once(&options.pool);
    let further = options.fallbacks.iter().map(|fallback| &fallback.pool);
    first
        .chain(further)
        .map(|pool| pool.store.clone())
        .collect()
}

fn rest(seconds: f64) -> Result<Duration, Error> {
    milliseconds("--for", seconds, LONGEST_REST).map(Duration::from_millis)
}

impl Decision {
    async fn put(&self, pool: &CredentialPool, id: &str) -> Result<(), Error> {
        match self {
            Self::Cool(time, reason) => pool.cool(id, *time, reason).await,
            Self::Park(time, reason) => pool.park(id, *time, reason).await,
            Self::Disable(reason) => pool.disable(id, reason).await,
            Self::Admit => {
                // Marks of its models and group are only taken off when they are known.
                pool.refreshed_list().await;
                pool.admit(id).await
            }
        }
    }

    /// Whether a credential in that state can have been decided about so. A mark
    /// that keeps it out longer stays; a minute that is used up outlives `admit`.
    fn shows(&self, state: CredentialState) -> bool {
        let free = matches!(state, CredentialState::Ready | CredentialState::Busy);
        match self {
            Self::Cool(..) | Self::Park(..) => !free,
            Self::Disable(_) => state == CredentialState::Disabled,
            Self::Admit => free || state == CredentialState::Cooling,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_that_the_store_does_not_show_was_not_written() {
        use CredentialState::{Busy, Cooling, Disabled, Parked, Ready};
        let cool = Decision::Cool(Duration::from_secs(1), String::new());
        let park = Decision::Park(None, String::new());
        let disable = Decision::Disable(String::new());
        let rows = [
            (&cool, vec![Cooling, Parked, Disabled]),
            (&park, vec![Cooling, Parked, Disabled]),
            (&disable, vec![Disabled]),
            (&Decision::Admit, vec![Ready, Busy, Cooling]),
        ];
        for (index, (decision, written)) in rows.into_iter().enumerate() {
            for state in [Ready, Busy, Cooling, Parked, Disabled] {
                assert_eq!(
                    decision.shows(state),
                    written.contains(&state),
                    "row {index}, {state:?}"
                );
            }
        }
    }
}
