//! `pool list`: the credentials of each target and how they stand.

use clap::{Args, Subcommand};
use serde_json::json;

use super::Configuration;
use crate::cli::pending::{Waited, wait_for};
use crate::cli::shell::{Ended, Shell};
use crate::cli::table::{self, Cell};
use crate::cli::{exit, when};
use crate::credential::CredentialStatus;

#[derive(Debug, Args)]
pub(super) struct Pool {
    #[command(subcommand)]
    command: PoolCommand,
}

#[derive(Debug, Subcommand)]
enum PoolCommand {
    /// Show each credential, its state and when it comes back
    List(Configuration),
}

impl Pool {
    pub(super) fn run(self, as_json: bool, shell: &mut Shell<'_>) -> Ended {
        let PoolCommand::List(configuration) = self.command;
        let wrapper = configuration.options()?.build()?;
        let now = wrapper.pool().now();
        let waited = wait_for(async {
            let mut listed: Vec<(String, CredentialStatus)> = Vec::new();
            for target in wrapper.targets() {
                let name = target.provider.name().to_owned();
                let statuses = target.pool.refreshed_list().await;
                listed.extend(statuses.into_iter().map(|status| (name.clone(), status)));
            }
            listed
        });
        let listed = match waited? {
            Waited::Done(listed) => listed,
            Waited::Signalled(code) => return Ok(code),
        };
        if as_json {
            let rows = listed.iter().map(|(provider, status)| {
                let mut row = json!(status);
                row["provider"] = json!(provider);
                row
            });
            let rows: Vec<_> = rows.collect();
            shell.say_json(&json!({ "success": true, "credentials": rows }))?;
            return Ok(exit::OK);
        }
        let cells = |(provider, status): &(String, CredentialStatus)| -> [Cell; 5] {
            let back = status.until.map(|until| when::comes_back(until, now));
            [
                provider.into(),
                status.id.as_str().into(),
                Cell::of_state(status.state.as_str()),
                back.unwrap_or_default().into(),
                status.reason.as_deref().unwrap_or_default().into(),
            ]
        };
        let rows: Vec<_> = listed.iter().map(cells).collect();
        let heads = ["PROVIDER", "ID", "STATE", "COMES BACK", "REASON"];
        table::print(heads, &rows, shell)?;
        Ok(exit::OK)
    }
}
