//! The actions that change or count the folder's accounts.

use std::path::Path;

use serde_json::{Value, json};

use crate::cli::exit;
use crate::cli::shell::{Ended, Shell, Stop};
use crate::cli::table;
use crate::credential::accounts::{AccountsFolder, SwitchReason};

/// A folder, and where to tell what was done to it.
pub(super) struct Desk<'a, 'b> {
    pub(super) accounts: AccountsFolder,
    pub(super) as_json: bool,
    pub(super) shell: &'a mut Shell<'b>,
}

impl Desk<'_, '_> {
    pub(super) fn setup(&mut self) -> Ended {
        let list = self.accounts.setup()?;
        let held = list.0.iter().filter(|account| account.exists).count();
        let folder = self.accounts.qwen_dir().display().to_string();
        let told = match held {
            0 => format!(
                "{folder} is ready and holds no account yet: log in with `qwen`, then `account-qwen --add`"
            ),
            1 => format!("{folder} is ready and holds 1 account"),
            _ => format!("{folder} is ready and holds {held} accounts"),
        };
        self.tell(&told, json!({ "qwen_dir": folder, "accounts": list }))
    }

    pub(super) fn add(&mut self, file: Option<&Path>) -> Ended {
        let index = self.accounts.add(file)?;
        self.tell(&format!("added account {index}"), json!({ "index": index }))
    }

    pub(super) fn remove(&mut self, index: u32) -> Ended {
        let state = self.accounts.remove(index)?;
        let current = state.current_index;
        self.tell(
            &format!("removed account {index}"),
            json!({ "index": index, "current_index": current }),
        )
    }

    pub(super) fn switch(&mut self, index: u32) -> Ended {
        self.accounts.switch_to(index, SwitchReason::Manual)?;
        self.tell(
            &format!("account {index} is in use now"),
            json!({ "index": index }),
        )
    }

    pub(super) fn switch_next(&mut self) -> Ended {
        let before = self.accounts.state()?.current_index;
        let (further, index) = self.accounts.switch_next(SwitchReason::Manual)?;
        let told = if index == before {
            format!("account {index} stays in use: there is no other")
        } else if further {
            format!("account {index} is in use now")
        } else {
            format!("account {index} is in use now: the round begins again")
        };
        self.tell(
            &told,
            json!({ "switched": index != before, "wrapped": !further, "index": index }),
        )
    }

    pub(super) fn stats(&mut self) -> Ended {
        let stats = self.accounts.stats()?;
        if self.as_json {
            return self.tell("", json!(stats));
        }
        let rows: Vec<_> = stats
            .accounts
            .iter()
            .map(|(index, count)| [format!("account{index}").into(), count.to_string().into()])
            .collect();
        table::print(["ACCOUNT", "SWITCHES"], &rows, self.shell)?;
        let last = stats.last_switch.as_deref().unwrap_or("never");
        self.shell.say(&format!(
            "\nin use         {}\nmost used      {} (switches: {})\nall switches   {}\nlast switch    {last}",
            stats.current_account, stats.most_used_account, stats.most_used_count, stats.total_switches
        ))?;
        Ok(exit::OK)
    }

    fn tell(&mut self, text: &str, mut value: Value) -> Ended {
        if self.as_json {
            value["success"] = json!(true);
            self.shell.say_json(&value)?;
        } else {
            self.shell.say(text)?;
        }
        Ok::<_, Stop>(exit::OK)
    }
}
