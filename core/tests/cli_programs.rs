//! How programs are run, with small ones that misbehave.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use credential_rotation::Credential;
use credential_rotation::credential::OAuthAccount;
use credential_rotation::provider::cli::{CliProfile, CliProvider, OutputFormat, PROFILES};
use credential_rotation::provider::{
    Fault, FaultReason, Patience, Provider, Request, Response, TEXT_LIMIT,
};

/// A program of the test's own, with the folder that it leaves its traces in.
struct Fake {
    folder: tempfile::TempDir,
    provider: CliProvider,
}

impl Fake {
    fn new(script: &str) -> Self {
        let qwen = CliProfile::qwen();
        Self::with_profile(
            CliProfile {
                args: Vec::new(),
                ..qwen
            },
            script,
        )
    }

    fn with_profile(profile: CliProfile, script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("fake");
        let traces = folder.path().display();
        std::fs::write(&program, format!("#!/bin/sh\nTRACES={traces}\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let profile = CliProfile {
            output: OutputFormat::Text,
            ..profile
        };
        Self {
            provider: CliProvider::with_program(profile, &program).unwrap(),
            folder,
        }
    }

    async fn ask(&self, prompt: &str, limit: Duration) -> Result<Response, Fault> {
        let credential = Credential::new("a", "sk-secret-a");
        self.ask_as(&credential, prompt, limit).await
    }

    async fn ask_as(
        &self,
        credential: &Credential,
        prompt: &str,
        limit: Duration,
    ) -> Result<Response, Fault> {
        let patience = Patience {
            attempt: limit,
            ..Patience::default()
        };
        self.provider
            .send(&Request::prompt(prompt), credential, patience)
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
    listed(group).any(|(_, state)| !state.starts_with('Z'))
}

/// The group's processes of this one's: parent and state.
fn listed(group: &str) -> impl Iterator<Item = (String, String)> {
    let table = std::process::Command::new("ps")
        .args(["-eo", "pgid=,ppid=,stat="])
        .output()
        .unwrap();
    let rows: Vec<_> = String::from_utf8_lossy(&table.stdout)
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace().map(str::to_owned);
            let found = words.next()? == group;
            found.then_some((words.next()?, words.next()?))
        })
        .collect();
    rows.into_iter()
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

/// A runtime that ends takes its tasks along, and whoever would have reaped the child.
/// In a process of its own: the runtimes of other tests would reap it.
#[test]
fn a_runtime_that_ends_leaves_nothing_of_the_group_not_even_a_zombie() {
    const NAME: &str = "a_runtime_that_ends_leaves_nothing_of_the_group_not_even_a_zombie";
    if std::env::var_os("ALONE").is_none() {
        let alone = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", NAME])
            .env("ALONE", "1")
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&alone.stdout);
        assert!(
            alone.status.success() && told.contains("1 passed"),
            "{told}"
        );
        return;
    }
    let fake = Fake::new("trap '' TERM; echo $$ > $TRACES/pid; sleep 600 & sleep 600");
    let pid = fake.trace("pid");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.spawn(async move { fake.ask("x", LONG).await.map(|_| fake.folder) });
    let group = runtime.block_on(wait_for(&pid));
    drop(runtime);
    let started = Instant::now();
    // Grandchildren are for init to reap.
    let me = std::process::id().to_string();
    let left = |(parent, state): (String, String)| parent == me || !state.starts_with('Z');
    while listed(group.trim()).any(left) {
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "group {group} is still listed"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
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

#[test]
fn a_provider_is_had_by_its_name_and_an_unknown_one_is_told_the_names() {
    let error = CliProvider::from_name("gwen").unwrap_err();
    assert_eq!(error.code(), "unknown_provider");
    for name in PROFILES {
        assert!(error.to_string().contains(name), "{error}");
        // Found or not, depending on this machine; known in any case.
        let known = CliProvider::from_name(name);
        assert!(known.is_ok() || known.is_err_and(|e| e.code() == "cli_not_found"));
    }
}

#[tokio::test]
async fn the_model_is_named_behind_the_verb() {
    let fake = Fake::with_profile(CliProfile::codex(), r#"cat > /dev/null; echo "$*""#);
    let credential = Credential::new("a", "sk-secret-a").with_model("m-1");
    let answer = fake.ask_as(&credential, "x", LONG).await.unwrap();
    assert_eq!(
        answer.text,
        "exec --json --skip-git-repo-check - --model m-1"
    );
}

#[tokio::test]
async fn half_a_key_at_the_end_of_a_long_message_is_not_told_either() {
    let pad = TEXT_LIMIT - 6;
    let script = format!("printf %{pad}s '' | tr ' ' x >&2; echo $GEMINI_API_KEY >&2; exit 1");
    let fake = Fake::with_profile(CliProfile::gemini(), &script);
    let fault = fake.ask("x", LONG).await.unwrap_err();
    assert!(fault.message.ends_with("x***"), "{}", fault.message.len());
}

#[tokio::test]
async fn an_account_is_one_runs_at_a_time_and_keeps_the_token_that_the_program_refreshed() {
    let fake = Fake::new(
        r#"cat > /dev/null
        creds=$HOME/.qwen/oauth_creds.json
        cat $creds > $TRACES/given; echo >> $TRACES/given
        while [ ! -e $TRACES/go ]; do sleep 0.02; done
        echo '{"access_token":"tok-secret-2","refresh_token":"ref-secret-2","expiry_date":9999999999999}' > $creds
        echo answer"#,
    );
    let qwen = tempfile::tempdir().unwrap();
    let accounts = qwen.path().join("accounts");
    std::fs::create_dir(&accounts).unwrap();
    let file = accounts.join("oauth_creds_2.json");
    let token = r#"{"access_token":"tok-secret-1","refresh_token":"ref-secret-1","expiry_date":1}"#;
    std::fs::write(&file, token).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let link = qwen.path().join("oauth_creds.json");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let account = Arc::new(OAuthAccount::open(&file).unwrap());
    let credential = Credential::oauth_account("2", account);

    let both = async {
        let given = wait_for(&fake.trace("given")).await;
        assert!(given.contains("tok-secret-1"));
        let fault = fake.ask_as(&credential, "x", LONG).await.unwrap_err();
        assert_eq!(fault.reason, FaultReason::AccountBusy);
        assert_eq!(fault.retry_after, Some(Duration::from_secs(1)));
        std::fs::write(fake.trace("go"), "").unwrap();
    };
    let (answer, ()) = tokio::join!(fake.ask_as(&credential, "x", LONG), both);
    assert_eq!(answer.unwrap().text, "answer");
    assert_eq!(credential.secret().expose(), "tok-secret-2");
    let kept = std::fs::read_to_string(&file).unwrap();
    assert!(kept.contains("ref-secret-2"), "the refresh token is lost");
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(std::fs::read_link(&link).unwrap(), file);
}
