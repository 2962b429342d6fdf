//! `pool …`: looks at the credentials, and takes them out or back in by hand.

mod list;
mod mark;

use clap::{Args, Subcommand};

use super::configuration::Configuration;
use crate::cli::shell::{Ended, Shell};

#[derive(Debug, Args)]
pub(super) struct Pool {
    #[command(subcommand)]
    command: PoolCommand,
}

#[derive(Debug, Subcommand)]
enum PoolCommand {
    /// Show each credential, its state and when it comes back
    List(Configuration),
    /// Keep a credential out for a while
    Cool(mark::Cool),
    /// Keep a credential out until it is admitted, or for a while
    Park(mark::Park),
    /// Switch a credential off until it is admitted
    Disable(mark::Disable),
    /// Take a credential back in at once
    Admit(mark::Admit),
}

impl Pool {
    pub(super) fn run(self, as_json: bool, shell: &mut Shell<'_>) -> Ended {
        match self.command {
            PoolCommand::List(configuration) => list::show(configuration, as_json, shell),
            PoolCommand::Cool(cool) => cool.run(as_json, shell),
            PoolCommand::Park(park) => park.run(as_json, shell),
            PoolCommand::Disable(disable) => disable.run(as_json, shell),
            PoolCommand::Admit(admit) => admit.run(as_json, shell),
        }
    }
}
