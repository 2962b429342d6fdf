//! How programs are run, with small ones that misbehave.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use credential_rotation::Credential;
use credential_rotation::provider::cli::{CliProfile, CliProvider, OutputFormat};
use credential_rotation::provider::{Fault, FaultReason, Patience, Provider, Request, Response};

/// A program of the test's own, with the folder that it leaves its traces in.
struct Fake {
    folder: tempfile::TempDir,
    provider: CliProvider,
}

impl Fake {
    fn new(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("fake");
        let traces = folder.path().display();
        std::fs::write(&program, format!("#!/bin/sh\nTRACES={traces}\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let profile = CliProfile {
            output: OutputFormat::Text,
            args: Vec::new(),
            ..CliProfile::qwen()
        };
        Self {
            provider: CliProvider::with_program(profile, &program).unwrap(),
            folder,
        }
    }

    async fn ask(&self, prompt: &str, limit: Duration) -> Result<Response, Fault> {
        let patience = Patience {
            attempt: limit,
            ..Patience::default()
        };
        let credential = Credential::new("a", "sk-secret-a");
        self.provider
            .send(&Request::prompt(prompt), &credential, patience)
            .await
    }

    fn trace(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Waits until the group whose leader wrote its id is gone.
    async fn assert_group_ends(&self) {
        let id = wait_for(&self.trace("pid")).await;
        let started = Instant::now();
        while alive(id.trim()) {
            assert!(
                started.elapsed() < Duration::from_secs(5),
                "group {id} lives on"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn alive(group: &str) -> bool {
    // Zombies of the group do not count: they hold nothing.
    let listed = std::process::Command::new("ps")
        .args(["-eo", "pgid=,stat="])
        .output()
        .unwrap();
    String::from_utf8_lossy(&listed.stdout).lines().any(|line| {
        let mut words = line.split_whitespace();
        words.next() == Some(group) && !words.next().unwrap_or_default().starts_with('Z')
    })
}

async fn wait_for(file: &Path) -> String {
    let started = Instant::now();
    loop {
        match std::fs::read_to_string(file) {
            Ok(text) if text.ends_with('\n') => return text,
            _ => assert!(
                started.elapsed() < Duration::from_secs(5),
                "no {}",
                file.display()
            ),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn the_prompt_arrives_on_stdin_and_in_no_argument() {
    let fake = Fake::new(r#"echo "$@" > $TRACES/args; ls -A > $TRACES/files; cat"#);
    let prompt = "-p \"quoted\" è ".repeat(20_000);
    let answer = fake.ask(&prompt, LONG).await.unwrap();
    assert_eq!(answer.text, prompt.trim());
    assert!(
        !std::fs::read_to_string(fake.trace("args"))
            .unwrap()
            .contains("quoted")
    );
    assert_eq!(std::fs::read_to_string(fake.trace("files")).unwrap(), "");
}

#[tokio::test]
async fn the_program_sees_a_private_home_and_neither_our_environment_nor_the_key() {
    let fake = Fake::new("cat > /dev/null; env");
    let answer = fake.ask("x", LONG).await.unwrap();
    let home = answer
        .text
        .lines()
        .find(|line| line.starts_with("HOME="))
        .unwrap();
    assert!(home.contains("credential-rotation-"), "{home}");
    assert!(!answer.text.contains("CARGO"), "our environment");
    assert!(!answer.text.contains("sk-secret-a"), "the key");
}

#[tokio::test]
async fn a_hanging_program_is_ended_with_its_children_at_the_deadline() {
    let fake = Fake::new("echo $$ > $TRACES/pid; trap '' TERM; sleep 600 & sleep 600");
    let fault = fake.ask("x", Duration::from_millis(300)).await.unwrap_err();
    assert_eq!(fault.reason, FaultReason::Timeout);
    fake.assert_group_ends().await;
}

#[tokio::test]
async fn a_dropped_call_ends_the_group() {
    let fake = Fake::new("echo $$ > $TRACES/pid; sleep 600 & sleep 600");
    let asked = tokio::time::timeout(Duration::from_millis(300), fake.ask("x", LONG)).await;
    assert!(asked.is_err());
    fake.assert_group_ends().await;
}

#[tokio::test]
async fn a_child_that_keeps_the_pipes_holds_nobody_up() {
    let fake = Fake::new("echo $$ > $TRACES/pid; cat > /dev/null; sleep 600 & echo answer");
    let started = Instant::now();
    assert_eq!(fake.ask("x", LONG).await.unwrap().text, "answer");
    assert!(started.elapsed() < Duration::from_secs(5));
    fake.assert_group_ends().await;
}

#[tokio::test]
async fn a_quota_message_on_stderr_ends_the_wait_at_once() {
    let fake =
        Fake::new("echo $$ > $TRACES/pid; echo 'Qwen OAuth quota exceeded: daily' >&2; sleep 600");
    let started = Instant::now();
    let fault = fake.ask("x", LONG).await.unwrap_err();
    assert_eq!(fault.reason, FaultReason::QuotaExhausted);
    assert!(started.elapsed() < Duration::from_secs(5));
    fake.assert_group_ends().await;
}

#[tokio::test]
async fn endless_output_is_cut_and_told() {
    let fake = Fake::new("echo $$ > $TRACES/pid; yes 'far too much' ");
    let fault = fake.ask("x", LONG).await.unwrap_err();
    assert_eq!(fault.reason, FaultReason::InvalidOutput);
    fake.assert_group_ends().await;
}

#[tokio::test]
async fn output_that_is_no_text_names_the_program_and_the_remedy() {
    let fault = Fake::new(r"printf '\377\376'")
        .ask("x", LONG)
        .await
        .unwrap_err();
    assert_eq!(fault.reason, FaultReason::InvalidOutput);
    assert!(fault.message.contains("not UTF-8"), "{}", fault.message);
}

#[tokio::test]
async fn a_program_that_does_not_read_its_input_is_no_failure() {
    let answer = Fake::new("echo answer")
        .ask(&"x".repeat(4 << 20), LONG)
        .await
        .unwrap();
    assert_eq!(answer.text, "answer");
}

#[tokio::test]
async fn a_prompt_over_the_limit_of_stdin_is_refused() {
    let fault = Fake::new("cat")
        .ask(&"x".repeat((8 << 20) + 1), LONG)
        .await
        .unwrap_err();
    assert_eq!(fault.reason, FaultReason::TooLarge);
}

#[test]
fn a_program_that_is_not_there_is_named_with_the_remedy() {
    let error = CliProvider::with_program(CliProfile::qwen(), "surely-not-installed").unwrap_err();
    assert_eq!(error.code(), "cli_not_found");
    assert!(error.to_string().contains("npm install"), "{error}");
}
