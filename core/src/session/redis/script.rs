//! The one script of sessions, and the keys that it is run over.

use std::sync::LazyLock;

use redis::{Cmd, Value};

use crate::job::JobError;
use crate::job::redis::link::Link;
use crate::job::redis::scripts::Script;

static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("session.lua")));

/// A verb with its arguments, for one owner's sessions.
pub(super) struct Call {
    prefix: String,
    args: Vec<Vec<u8>>,
}

impl Call {
    pub(super) fn new(link: &Link, owner: &str, verb: &str) -> Self {
        Self {
            prefix: owner_prefix(link, owner),
            args: vec![verb.as_bytes().to_vec()],
        }
    }

    pub(super) fn with(mut self, arg: impl AsRef<[u8]>) -> Self {
        self.args.push(arg.as_ref().to_vec());
        self
    }

    pub(super) fn number(self, number: u64) -> Self {
        self.with(number.to_string())
    }

    pub(super) async fn run(&self, link: &Link) -> Result<Value, JobError> {
        SCRIPT
            .eval(link, |command: &mut Cmd| {
                command.arg(1).arg(format!("{}active", self.prefix));
                command.arg(&self.prefix);
                for arg in &self.args {
                    command.arg(arg.as_slice());
                }
            })
            .await
    }
}

/// What the names of an owner's keys begin with. They share a slot, so that a script may use
/// several of them in a cluster.
pub(super) fn owner_prefix(link: &Link, owner: &str) -> String {
    // Braces in the name would end the hash tag early.
    let mut plain = String::with_capacity(owner.len());
    for c in owner.chars() {
        match c {
            '{' => plain.push_str("%7B"),
            '}' => plain.push_str("%7D"),
            '%' => plain.push_str("%25"),
            c => plain.push(c),
        }
    }
    link.address().global(&format!("sessions:{{{plain}}}:"))
}
