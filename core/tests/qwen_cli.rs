//! The real qwen program, driven against the simulated endpoint.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use credential_rotation::credential::{Credential, CredentialPool};
use credential_rotation::provider::cli::{CliProfile, CliProvider};
use credential_rotation::provider::{Patience, Usage};
use credential_rotation::testing::{Scenario, SimulatedEndpoint};
use credential_rotation::wrapper::{Outcome, Wrapper};

/// The program that `make test` installs. Without it the tests have nothing to
/// drive; `REQUIRE_QWEN_CLI=1`, as `make test` sets it, makes that a failure.
fn qwen() -> Option<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let usual = root.join("tools/node_modules/.bin/qwen");
    let program = std::env::var_os("QWEN_CLI").map_or(usual, PathBuf::from);
    if program.exists() {
        return Some(program);
    }
    let missing = format!(
        "no qwen at {}: run `make build`, or set QWEN_CLI",
        program.display()
    );
    assert!(std::env::var_os("REQUIRE_QWEN_CLI").is_none(), "{missing}");
    eprintln!("skipped: {missing}");
    None
}

/// One at a time: the tests look at all children of this process.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

async fn endpoint(scenario: &str) -> SimulatedEndpoint {
    SimulatedEndpoint::start(Scenario::from_json(scenario).unwrap())
        .await
        .unwrap()
}

fn wrapper(program: PathBuf, url: &str, keys: &[&str], limit: Duration) -> Wrapper {
    let provider = CliProvider::with_program(CliProfile::qwen(), program).unwrap();
    let credentials = keys
        .iter()
        .map(|key| Credential::new(*key, format!("sk-secret-{key}")));
    Wrapper::builder()
        .target(
            provider.with_base_url(url.parse().unwrap()),
            CredentialPool::new(credentials.collect()).unwrap(),
        )
        .model("sim-1")
        .patience(Patience {
            attempt: limit,
            ..Patience::default()
        })
        .build()
        .unwrap()
}

fn trail(outcome: &Outcome) -> Vec<(&str, Option<&str>)> {
    let row = |attempt: &'_ credential_rotation::wrapper::Attempt| {
        attempt.fault.as_ref().map(|fault| fault.reason.as_str())
    };
    outcome
        .trail
        .iter()
        .map(|attempt| (attempt.credential.as_str(), row(attempt)))
        .collect()
}

#[tokio::test]
async fn of_three_keys_the_third_answers_and_the_trail_says_why() {
    let Some(program) = qwen() else { return };
    let _turn = TURN.lock().await;
    let endpoint = endpoint(
        r#"{"keys": {
            "sk-secret-spent": [{"fault": "insufficient_quota"}],
            "sk-secret-refused": [{"fault": "unauthorized", "echo_key": true}],
            "sk-secret-good": [{"text": "They said: 429 403 quota exceeded", "usage": {"input_tokens": 5, "output_tokens": 7}}]
        }}"#,
    )
    .await;
    let keys = ["spent", "refused", "good"];
    let wrapper = wrapper(
        program,
        &endpoint.openai_url(),
        &keys,
        Duration::from_secs(60),
    );
    let started = Instant::now();
    let outcome = wrapper.call("What did they say?").await;
    assert_eq!(
        outcome.text(),
        Some("They said: 429 403 quota exceeded"),
        "{outcome:?}"
    );
    assert_eq!(
        trail(&outcome),
        [
            ("spent", Some("quota_exhausted")),
            ("refused", Some("unauthorized")),
            ("good", None)
        ]
    );
    assert_eq!(
        outcome.usage(),
        Some(Usage {
            input_tokens: 5,
            output_tokens: 7,
            cached_tokens: 0
        })
    );
    // The program by itself is silent about a 429 for minutes.
    assert!(
        started.elapsed() < Duration::from_secs(30),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(endpoint.hits("sk-secret-spent"), 1);
    assert!(!format!("{outcome:?}").contains("sk-secret"));
}

/// The program ignores `NO_PROXY`: behind a proxy it would look there for the relay.
/// In a process of its own, as the environment is read there.
#[tokio::test]
async fn a_proxy_of_the_environment_does_not_come_between_the_program_and_the_relay() {
    if qwen().is_none() {
        return;
    }
    let child = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "of_three_keys_the_third_answers_and_the_trail_says_why",
        ])
        .envs(
            ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"]
                .map(|name| (name, "http://127.0.0.1:9")),
        )
        .output()
        .await
        .unwrap();
    let told = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{told}");
    assert!(told.contains("1 passed"), "{told}");
}

#[tokio::test]
async fn a_stream_that_breaks_is_a_fault_and_never_half_an_answer() {
    let Some(program) = qwen() else { return };
    let _turn = TURN.lock().await;
    for (fault, reason) in [
        (r#""fault": "truncated", "after": 1"#, "truncated"),
        (r#""fault": "empty""#, "empty_response"),
        (r#""fault": "html""#, "truncated"),
        (r#""fault": "error_event", "after": 1"#, "crashed"),
    ] {
        let endpoint = endpoint(&format!(r#"{{"default": [{{{fault}}}]}}"#)).await;
        let limit = Duration::from_secs(60);
        let wrapper = wrapper(program.clone(), &endpoint.openai_url(), &["a"], limit);
        let told = wrapper_with_one_attempt(&wrapper, limit).await;
        assert_eq!(told, reason, "{fault}");
    }
}

#[tokio::test]
async fn concurrent_calls_over_four_accounts_never_mix_them() {
    let Some(program) = qwen() else { return };
    let _turn = TURN.lock().await;
    let endpoint = endpoint(
        r#"{"keys": {
            "sk-secret-a": [{"text": "I am a"}], "sk-secret-b": [{"text": "I am b"}],
            "sk-secret-c": [{"text": "I am c"}], "sk-secret-d": [{"text": "I am d"}]
        }, "unknown": "401"}"#,
    )
    .await;
    let keys = ["a", "b", "c", "d"];
    let wrapper = wrapper(
        program,
        &endpoint.openai_url(),
        &keys,
        Duration::from_secs(120),
    );
    let calls = (0..8).map(|n| {
        let wrapper = wrapper.clone();
        tokio::spawn(async move { wrapper.call(format!("Who are you, {n}?")).await })
    });
    // Who answers how often depends on how fast the programs start.
    let mut answered = std::collections::BTreeMap::new();
    for call in calls.collect::<Vec<_>>() {
        let outcome = call.await.unwrap();
        let account = &outcome.trail.last().unwrap().credential;
        *answered.entry(account.clone()).or_insert(0) += 1;
        assert_eq!(
            outcome.text(),
            Some(format!("I am {account}").as_str()),
            "{outcome:?}"
        );
        assert_eq!(outcome.attempts, 1);
    }
    for key in keys {
        let asked = endpoint.hits(&format!("sk-secret-{key}"));
        assert_eq!(Some(&asked), answered.get(key), "{key}");
    }
}

#[tokio::test]
async fn a_timeout_leaves_no_process_behind() {
    let Some(program) = qwen() else { return };
    let _turn = TURN.lock().await;
    let endpoint = endpoint(r#"{"default": [{"fault": "stall"}]}"#).await;
    let wrapper = wrapper(
        program,
        &endpoint.openai_url(),
        &["a"],
        Duration::from_secs(6),
    );
    let call = tokio::spawn({
        let wrapper = wrapper.clone();
        async move { wrapper.call("hello").await }
    });
    let give_up = Instant::now() + Duration::from_secs(20);
    while endpoint.in_flight() == 0 {
        assert!(Instant::now() < give_up, "the program never called");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let groups = child_groups();
    assert!(!groups.is_empty(), "a run has a group of its own");
    call.abort();
    let _ = call.await;
    let give_up = Instant::now() + Duration::from_secs(10);
    while !living(&groups).is_empty() {
        assert!(
            Instant::now() < give_up,
            "left behind: {:?}",
            living(&groups)
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let outcome = wrapper_with_one_attempt(&wrapper, Duration::from_secs(3)).await;
    assert_eq!(outcome, "timeout");
    let give_up = Instant::now() + Duration::from_secs(10);
    while endpoint.in_flight() > 0 {
        assert!(
            Instant::now() < give_up,
            "the endpoint is still being asked"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn wrapper_with_one_attempt(wrapper: &Wrapper, limit: Duration) -> String {
    use credential_rotation::wrapper::Ask;
    let mut rotation = wrapper.rotation(Ask::default()).unwrap();
    let turn = rotation.next().await.unwrap();
    let provider = &wrapper.targets()[0].provider;
    let request = credential_rotation::provider::Request {
        model: Some("sim-1".into()),
        ..credential_rotation::provider::Request::prompt("hello")
    };
    let patience = Patience {
        attempt: limit,
        ..turn.patience
    };
    let fault = provider
        .send(&request, &turn.credential, patience)
        .await
        .unwrap_err();
    fault.reason.as_str().to_owned()
}

fn table() -> Vec<(String, String, String)> {
    let listed = std::process::Command::new("ps")
        .args(["-eo", "ppid=,pgid=,stat="])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace().map(str::to_owned);
            Some((words.next()?, words.next()?, words.next()?))
        })
        .collect()
}

/// The groups of this process's children that are not its own.
fn child_groups() -> Vec<String> {
    let me = std::process::id().to_string();
    let own = rustix::process::getpgrp().as_raw_nonzero().to_string();
    let groups = table()
        .into_iter()
        .filter(|(parent, group, _)| *parent == me && *group != own);
    groups.map(|(_, group, _)| group).collect()
}

fn living(groups: &[String]) -> Vec<String> {
    let rows = table().into_iter();
    rows.filter(|(_, group, state)| groups.contains(group) && !state.starts_with('Z'))
        .map(|(_, group, _)| group)
        .collect()
}
