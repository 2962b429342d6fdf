//! The Lua scripts, sent by their digest and whole where the server does not know them.

use std::sync::LazyLock;

use redis::{Cmd, Value, cmd};

use super::link::{Link, is_unknown_script, trouble};
use crate::job::JobError;

/// A script over keys of one slot.
pub(crate) struct Script {
    text: String,
    digest: String,
}

macro_rules! scripts {
    ($($name:ident = $($file:literal)+;)+) => {
        $(pub(super) static $name: LazyLock<Script> = LazyLock::new(|| {
            Script::new(concat!(include_str!("lua/queue.lua"), $(include_str!($file)),+))
        });)+
    };
}

// Each has only the shared parts that it needs: the server makes their functions anew at
// each call.
scripts! {
    ENQUEUE = "lua/enqueue.lua";
    EXCHANGE = "lua/moves.lua" "lua/ingress.lua" "lua/upkeep.lua" "lua/exchange.lua";
    RENEW = "lua/renew.lua";
    REPORT = "lua/report.lua";
    VERB = "lua/moves.lua" "lua/ingress.lua" "lua/verb.lua";
    READ = "lua/moves.lua" "lua/ingress.lua" "lua/read.lua";
    LOG = "lua/log.lua";
    COUNTS = "lua/moves.lua" "lua/ingress.lua" "lua/counts.lua";
    SETTINGS = "lua/moves.lua" "lua/upkeep.lua" "lua/settings.lua";
    SWEEP = "lua/moves.lua" "lua/ingress.lua" "lua/upkeep.lua" "lua/sweep.lua";
    PURGE = "lua/moves.lua" "lua/purge.lua";
}

/// Of the keys that belong to no queue.
pub(super) static LEAD: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("lua/lead.lua")));
pub(super) static REPLACE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("lua/replace.lua")));
pub(super) static ANNOUNCE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("lua/announce.lua")));

impl Script {
    pub(crate) fn new(text: &str) -> Self {
        let digest = redis::Script::new(text).get_hash().to_owned();
        Self {
            text: text.to_owned(),
            digest,
        }
    }

    /// Runs it over the queue with these arguments.
    pub(super) async fn run(
        &self,
        link: &Link,
        head: &Head,
        args: &Args,
    ) -> Result<Value, JobError> {
        self.eval(link, |command| head.fill(command, args)).await
    }

    /// The command for a server that knows the script.
    pub(super) fn command(&self, head: &Head, args: &Args) -> Cmd {
        let mut command = cmd("EVALSHA");
        head.fill(command.arg(&self.digest), args);
        command
    }

    /// Runs it with the keys' number, keys and arguments that are filled in.
    pub(crate) async fn eval(
        &self,
        link: &Link,
        fill: impl Fn(&mut Cmd) + Send + Sync,
    ) -> Result<Value, JobError> {
        let filled = |verb: &str, script: &str| {
            let mut command = cmd(verb);
            fill(command.arg(script));
            command
        };
        let answer = match link.send(&filled("EVALSHA", &self.digest)).await {
            Err(error) if is_unknown_script(&error) => link.send(&filled("EVAL", &self.text)).await,
            answer => answer,
        };
        answer.map_err(|error| trouble(link.address(), &error))
    }
}

/// A key that never is. While a cluster moves a queue from node to node, key by key, a
/// command with a missing key is put off; without one a node would run it on what it has.
const NEVER: &[u8] = b"never";

/// What every script is told first.
pub(super) struct Head {
    /// The public list.
    pub(super) list: String,
    pub(super) prefix: String,
    /// The time in milliseconds, or nothing for the server's own.
    pub(super) now: String,
    /// Whether events are told even if nobody follows at this server.
    pub(super) told: bool,
}

impl Head {
    fn fill(&self, command: &mut Cmd, args: &Args) {
        command.arg(2).arg(&self.list);
        command.arg([self.prefix.as_bytes(), NEVER].concat());
        command.arg(&self.prefix);
        command
            .arg(&self.now)
            .arg(if self.told { "1" } else { "0" });
        for arg in &args.0 {
            command.arg(arg.as_slice());
        }
    }
}

/// Arguments of a script.
#[derive(Default)]
pub(super) struct Args(Vec<Vec<u8>>);

impl Args {
    pub(super) fn with(mut self, arg: impl ToArg) -> Self {
        self.push(arg);
        self
    }

    pub(super) fn push(&mut self, arg: impl ToArg) {
        self.0.push(arg.to_arg());
    }
}

/// Anything that is written as an argument.
pub(super) trait ToArg {
    fn to_arg(self) -> Vec<u8>;
}

impl ToArg for &str {
    fn to_arg(self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }
}

impl ToArg for Vec<u8> {
    fn to_arg(self) -> Vec<u8> {
        self
    }
}

impl ToArg for u64 {
    fn to_arg(self) -> Vec<u8> {
        self.to_string().into_bytes()
    }
}
