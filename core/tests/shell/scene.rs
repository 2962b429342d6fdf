//! What a program of a test has around it, and how it is run to its end.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use credential_rotation::testing::{Scenario, SimulatedEndpoint};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A folder with keys, and the endpoint that knows them.
pub(crate) struct Scene {
    pub(crate) home: TempDir,
    pub(crate) endpoint: SimulatedEndpoint,
}

impl Scene {
    pub(crate) fn new(keys: &[&str], scenario: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let text: String = keys
            .iter()
            .map(|id| format!("[[credentials]]\nid = \"{id}\"\nsecret = \"sk-secret-{id}\"\n"))
            .collect();
        if !keys.is_empty() {
            private(&home.path().join("credentials.toml"), &text);
        }
        let scenario = Scenario::from_json(scenario).unwrap();
        let endpoint = SimulatedEndpoint::start_blocking(scenario).unwrap();
        Self { home, endpoint }
    }

    /// `account-qwen` asking the endpoint directly.
    pub(crate) fn program(&self, words: &[&str]) -> Command {
        let mut command = self.bare(words);
        command.args(["--provider", "openai", "--base-url"]);
        command.arg(self.endpoint.openai_url());
        command.args(["--model", "sim-1"]);
        command
    }

    pub(crate) fn bare(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_account-qwen"));
        command
            .args(words)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("QWEN_DIR", self.home.path())
            .env("HOME", self.home.path())
            .stdin(Stdio::null());
        command
    }
}

pub(crate) fn private(path: &Path, text: &str) {
    std::fs::OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
}

/// Runs to the end. Whatever is shown must be plain and hold no secret.
pub(crate) fn ran(mut command: Command) -> (i32, String, String) {
    shown(&command.output().unwrap())
}

pub(crate) fn shown(output: &Output) -> (i32, String, String) {
    let out = String::from_utf8(output.stdout.clone()).unwrap();
    let err = String::from_utf8(output.stderr.clone()).unwrap();
    for text in [&out, &err] {
        assert!(!text.contains('\x1b'), "escape codes in a pipe");
        assert!(!text.contains("-secret-"), "a secret is shown");
    }
    (output.status.code().unwrap(), out, err)
}

pub(crate) fn fed(mut command: Command, input: &[u8]) -> (i32, String, String) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let input = input.to_vec();
    // The program may end before it has read all.
    let feed = std::thread::spawn(move || drop(pipe.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    feed.join().unwrap();
    shown(&output)
}

pub(crate) fn until(what: &str, done: impl Fn() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < PATIENCE, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn signal(child: &Child, signal: Signal) {
    let id = Pid::from_raw(child.id().cast_signed()).unwrap();
    kill_process(id, signal).unwrap();
}

pub(crate) fn started(mut command: Command) -> Child {
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

pub(crate) const ROTATION: &str = r#"{"keys": {
    "sk-secret-spent": [{"fault": "insufficient_quota", "echo_key": true}],
    "sk-secret-refused": [{"fault": "unauthorized", "echo_key": true}],
    "sk-secret-good": [{"text": "answer to {prompt}"}]
}, "unknown": "401"}"#;

/// `credential-rotation` in a folder, with no environment but what programs need.
pub(crate) fn rotation(folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_credential-rotation"));
    command
        .args(words)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", folder)
        .current_dir(folder)
        .stdin(Stdio::null());
    command
}

/// The same with jobs in a file of the folder.
pub(crate) fn jobs(folder: &Path, words: &[&str]) -> Command {
    let mut command = rotation(folder, words);
    command.env("CREDENTIAL_ROTATION_URL", "sqlite:jobs.db");
    command
}
