//! `simulate`: an endpoint that answers and fails by a scenario, until Ctrl-C.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::exit;
use crate::cli::pending::{Waited, wait_for};
use crate::cli::shell::{Ended, Shell, Stop};
use crate::config::{FILE_LIMIT, invalid};
use crate::error::Error;
use crate::testing::{Scenario, SimulatedEndpoint};

#[derive(Debug, Args)]
pub(super) struct Simulate {
    /// The scenario, as JSON; without one every key gets an answer
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    scenario: Option<PathBuf>,
    /// The port on loopback [default: one that is free]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    port: u16,
}

impl Simulate {
    pub(super) fn run(self, as_json: bool, shell: &mut Shell<'_>) -> Ended {
        let scenario = match &self.scenario {
            Some(file) => read(file)?,
            None => Scenario::default(),
        };
        let served = wait_for(async {
            // Before the address is told: who reads it may send the signal at once.
            let mut interrupt = signal(SignalKind::interrupt())?;
            let endpoint = SimulatedEndpoint::start_at(scenario, self.port)
                .await
                .map_err(|problem| invalid(&format!("--port {}", self.port), &problem))?;
            if as_json {
                let told = json!({ "success": true, "url": endpoint.url(), "openai_url": endpoint.openai_url() });
                shell.say_json(&told)?;
            } else {
                let (openai, anthropic) = (endpoint.openai_url(), endpoint.url());
                shell.say(&format!("openai     {openai}\nanthropic  {anthropic}"))?;
            }
            interrupt.recv().await;
            Ok::<_, Stop>(exit::OK)
        });
        match served? {
            Waited::Done(ended) => ended,
            // Its usual end.
            Waited::Signalled(_) => Ok(exit::OK),
        }
    }
}

fn read(file: &Path) -> Result<Scenario, Error> {
    let place = file.display().to_string();
    let unusable = |problem: &dyn std::fmt::Display| invalid(&place, problem);
    let mut text = String::new();
    File::open(file)
        .and_then(|opened| opened.take(FILE_LIMIT + 1).read_to_string(&mut text))
        .map_err(|problem| unusable(&problem))?;
    if text.len() as u64 > FILE_LIMIT {
        return Err(unusable(&format!("it is over {FILE_LIMIT} bytes")));
    }
    Scenario::from_json(&text)
}
