//! `pool list`: the credentials of each target and how they stand.

use serde_json::json;

use super::Configuration;
use crate::cli::pending::{Waited, wait_for};
use crate::cli::shell::{Ended, Shell, Stop};
use crate::cli::table::{self, Cell};
use crate::cli::{exit, when};
use crate::clock::EpochMillis;
use crate::credential::CredentialStatus;
use crate::wrapper::Wrapper;

/// A provider's name, and one of the credentials it is asked with.
pub(super) type Row = (String, CredentialStatus);

/// Prints the list.
pub(super) fn show(configuration: Configuration, as_json: bool, shell: &mut Shell<'_>) -> Ended {
    let wrapper = configuration.options()?.0.build()?;
    let now = wrapper.pool().now();
    match wait_for(rows(&wrapper))? {
        Waited::Done(rows) => print(&rows, now, as_json, shell)?,
        Waited::Signalled(code) => return Ok(code),
    }
    Ok(exit::OK)
}

/// All credentials, by what the processes that share a store know.
pub(super) async fn rows(wrapper: &Wrapper) -> Vec<Row> {
    let mut rows = Vec::new();
    for target in wrapper.targets() {
        let name = target.provider.name().to_owned();
        let statuses = target.pool.refreshed_list().await;
        rows.extend(statuses.into_iter().map(|status| (name.clone(), status)));
    }
    rows
}

/// Prints rows as a table, or as JSON.
pub(super) fn print(
    rows: &[Row],
    now: EpochMillis,
    as_json: bool,
    shell: &mut Shell<'_>,
) -> Result<(), Stop> {
    if as_json {
        let rows = rows.iter().map(|(provider, status)| {
            let mut row = json!(status);
            row["provider"] = json!(provider);
            row
        });
        let rows: Vec<_> = rows.collect();
        return shell.say_json(&json!({ "success": true, "credentials": rows }));
    }
    let cells = |(provider, status): &Row| -> [Cell; 5] {
        let back = status.until.map(|until| when::comes_back(until, now));
        [
            provider.into(),
            status.id.as_str().into(),
            Cell::of_state(status.state.as_str()),
            back.unwrap_or_default().into(),
            status.reason.as_deref().unwrap_or_default().into(),
        ]
    };
    let rows: Vec<_> = rows.iter().map(cells).collect();
    let heads = ["PROVIDER", "ID", "STATE", "COMES BACK", "REASON"];
    table::print(heads, &rows, shell)
}
