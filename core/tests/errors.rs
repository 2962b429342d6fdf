//! Every public error is reached, by the way a user would reach it.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use credential_rotation::cli::{self, Program, Shell};
use credential_rotation::credential::accounts::{AccountsFolder, SwitchReason};
use credential_rotation::credential::{Credential, CredentialPool, CredentialSource};
use credential_rotation::error::CODES;
use credential_rotation::job::{
    Claim, JobError, JobId, JobSpec, Outcome, Payload, QueueLimits, Settlement, SharedJobs,
};
use credential_rotation::provider::Request;
use credential_rotation::testing::{Scenario, SimulatedEndpoint};
use credential_rotation::wrapper::{Wrapper, WrapperOptions};
use credential_rotation::{Error, connect, job};
use serde_json::{Value, json};

struct Place {
    endpoint: SimulatedEndpoint,
    folder: tempfile::TempDir,
}

impl Place {
    async fn new() -> Self {
        let scenario = r#"{"keys": {
            "sk-secret-bad": [{"fault": "bad_request", "echo_key": true}],
            "sk-secret-down": [{"fault": "server_error", "echo_key": true}],
            "sk-secret-stall": [{"fault": "stall"}],
            "sk-secret-cut": [{"fault": "truncated", "after": 1}],
            "sk-secret-good": [{}]
        }}"#;
        let endpoint = SimulatedEndpoint::start(Scenario::from_json(scenario).unwrap())
            .await
            .unwrap();
        Self {
            endpoint,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn try_wrapper(&self, key: &str, more: Value) -> Result<Wrapper, Error> {
        let mut options = json!({
            "base_url": self.endpoint.openai_url(), "model": "sim-1", "policy": {"backoff_ms": 1},
            "credentials": [{"id": key, "secret": format!("sk-secret-{key}")}]
        });
        for (name, value) in more.as_object().unwrap() {
            options[name] = value.clone();
        }
        WrapperOptions::from_json(&options.to_string())?.build()
    }

    fn wrapper(&self, key: &str, more: Value) -> Wrapper {
        self.try_wrapper(key, more).unwrap()
    }

    fn file(&self, text: &str, mode: u32) -> PathBuf {
        let path = self.folder.path().join("keys.json");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    async fn called(&self, key: &str, more: Value) -> Error {
        self.wrapper(key, more)
            .call("hello")
            .await
            .result
            .unwrap_err()
    }

    async fn reach(&self, code: &str) -> Error {
        let none = json!({});
        match code {
            "empty_prompt" => self
                .wrapper("good", none)
                .call(" ")
                .await
                .result
                .unwrap_err(),
            "prompt_too_large" => self.called("good", json!({"prompt_limit": 2})).await,
            "no_credentials" => CredentialPool::new(Vec::new()).unwrap_err(),
            "credential_file_unreadable" => load(&self.folder.path().join("none")),
            "credential_file_corrupt" => load(&self.file(r#"[{"key": "sk-secret-x"}]"#, 0o600)),
            "credential_file_permissions" => load(&self.file("[]", 0o644)),
            "invalid_account_index" => self
                .accounts()
                .switch_to(9, SwitchReason::Test)
                .unwrap_err(),
            "unknown_credential" => self
                .wrapper("good", none)
                .pool()
                .admit("nobody")
                .await
                .unwrap_err(),
            "duplicate_credential" => {
                let twice = vec![Credential::new("a", "sk-secret-a"); 2];
                CredentialPool::new(twice).unwrap_err()
            }
            "cli_not_found" => self
                .try_wrapper(
                    "good",
                    json!({"provider": "qwen", "program": "surely-not-there"}),
                )
                .unwrap_err(),
            "unknown_provider" => self
                .try_wrapper("good", json!({"provider": "oracle"}))
                .unwrap_err(),
            "invalid_url" => self
                .try_wrapper("good", json!({"base_url": "ftp://x.invalid"}))
                .unwrap_err(),
            "invalid_config" => self
                .try_wrapper("good", json!({"max_retrys": 1}))
                .unwrap_err(),
            "all_cooling" => {
                let wrapper = self.wrapper("good", none);
                wrapper.pool().park("good", None, "by hand").await.unwrap();
                wrapper.call("hello").await.result.unwrap_err()
            }
            "pool_saturated" => self.saturated().await,
            "deadline_exceeded" => self.called("stall", json!({"deadline_ms": 30})).await,
            "request_rejected" => self.called("bad", none).await,
            "attempts_exhausted" => self.called("down", json!({"max_retries": 0})).await,
            "retry_budget_exhausted" => self.called("down", json!({"retry_budget": 4})).await,
            "stream_interrupted" => {
                let answer = self.wrapper("cut", none).stream(Request::prompt("a b c"));
                answer.into_response().await.unwrap_err()
            }
            "state_unavailable" => self
                .try_wrapper("good", json!({"pool": {"store": "/nonexistent/pool.db"}}))
                .unwrap_err(),
            "lock_timeout" => self.locked(),
            "closed" => {
                let wrapper = self.wrapper("good", none);
                wrapper.close();
                wrapper.call("hello").await.result.unwrap_err()
            }
            other => panic!("no way to reach {other} is known"),
        }
    }

    async fn saturated(&self) -> Error {
        let wrapper = self.wrapper("stall", json!({"pool": {"max_waiting": 0}}));
        let first = tokio::spawn({
            let wrapper = wrapper.clone();
            async move { wrapper.call("hello").await }
        });
        while wrapper.pool().list()[0].in_flight == 0 {
            tokio::task::yield_now().await;
        }
        let refused = wrapper.call("hello").await.result.unwrap_err();
        first.abort();
        refused
    }

    fn accounts(&self) -> AccountsFolder {
        let folder = self.folder.path().join("accounts");
        std::fs::create_dir_all(&folder).unwrap();
        for number in 1..=2 {
            let file = folder.join(format!("oauth_creds_{number}.json"));
            std::fs::write(&file, r#"{"access_token": "tok-secret-1"}"#).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        AccountsFolder::open(Some(self.folder.path().to_owned()), None).unwrap()
    }

    fn locked(&self) -> Error {
        let accounts = self.accounts().with_lock_wait(Duration::from_millis(20));
        accounts.switch_to(1, SwitchReason::Test).unwrap();
        let held = std::fs::File::options()
            .append(true)
            .open(accounts.lock_file())
            .unwrap();
        held.lock().unwrap();
        accounts.switch_to(2, SwitchReason::Test).unwrap_err()
    }
}

fn load(path: &Path) -> Error {
    CredentialSource::File(path.to_owned()).load().unwrap_err()
}

#[tokio::test]
async fn every_error_is_reached_and_tells_no_secret() {
    for code in CODES {
        let error = Place::new().await.reach(code).await;
        assert_eq!(error.code(), code);
        let told = format!("{error} {error:?} {}", error.to_json());
        for secret in ["sk-secret", "tok-secret"] {
            assert!(!told.contains(secret), "{code}");
        }
        assert_eq!(error.to_json()["code"], code);
    }
}

#[test]
fn a_configuration_with_keys_in_it_must_be_private() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("credential-rotation.toml");
    let with_key = "[wrapper]\n[[wrapper.credentials]]\nid = \"a\"\nsecret = \"sk-secret-a\"\n";
    for (text, mode, code) in [
        (with_key, 0o644, Some("credential_file_permissions")),
        (with_key, 0o600, None),
        ("[wrapper]\nmodel = \"m\"\n", 0o644, None),
    ] {
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let refused = WrapperOptions::from_file(&path).err();
        assert_eq!(refused.map(|error| error.code()), code, "{mode:o} {text}");
    }
}

#[test]
fn every_error_has_a_row_in_the_documentation() {
    let page = include_str!("../../docs/errors.md");
    for code in CODES.into_iter().chain(credential_rotation::job::CODES) {
        assert!(page.contains(&format!("| `{code}` |")), "{code}");
    }
}

async fn with_limits(limits: QueueLimits) -> SharedJobs {
    let jobs = connect::jobs("memory:").await.unwrap();
    jobs.set_limits("q", limits).await.unwrap();
    jobs
}

/// The words that a program prints about a queue that is none.
fn of_the_program(folder: &Path) -> (String, String) {
    let mut out = Vec::new();
    let url = format!("sqlite:{}", folder.join("jobs.db").display());
    let program = "credential-rotation";
    let words = [program, "queues", "--url", &url, "--json", "pause", "nope"];
    let mut shell = Shell {
        input: &mut std::io::empty(),
        out: &mut out,
        err: &mut std::io::sink(),
        out_is_terminal: false,
        err_is_terminal: false,
        colours: false,
    };
    cli::run(
        Program::CredentialRotation,
        words.map(Into::into),
        &mut shell,
    );
    let told: Value = serde_json::from_slice(&out).unwrap();
    let word = |name: &str| told["error"][name].as_str().unwrap().to_owned();
    (word("code"), word("message"))
}

/// Reaches an error of jobs as a user would.
async fn reach_of_jobs(code: &str, folder: &Path) -> JobError {
    let jobs = connect::jobs("memory:").await.unwrap();
    let id = JobId::from_text("a").unwrap();
    let job = JobSpec::new("q", Payload::of(&"text").unwrap()).with_id(id.clone());
    let ids = std::slice::from_ref(&id);
    let small = |max_bytes, max_payload| QueueLimits {
        max_bytes,
        max_payload,
        ..QueueLimits::default()
    };
    match code {
        "invalid_job" => jobs
            .enqueue_one(job.with(|job| job.priority = 1_000))
            .await
            .unwrap_err(),
        "job_too_large" => {
            let jobs = with_limits(small(1_000, 3)).await;
            jobs.enqueue_one(job).await.unwrap_err()
        }
        "queue_full" => {
            let jobs = with_limits(small(3, 1_000)).await;
            jobs.enqueue_one(job).await.unwrap_err()
        }
        "unknown_job" => jobs.find(&id).await.unwrap_err(),
        "stale_attempt" => {
            jobs.enqueue_one(job).await.unwrap();
            let claim = Claim {
                worker: "w".into(),
                max: 1,
                lease: Duration::from_secs(60),
            };
            let claimed = jobs.claim("q", claim).await.unwrap().remove(0);
            let settlement = Settlement {
                lease: claimed.lease,
                outcome: Outcome::Release,
            };
            jobs.settle(settlement.clone()).await.unwrap();
            jobs.settle(settlement).await.unwrap_err()
        }
        "illegal_move" => {
            jobs.enqueue_one(job).await.unwrap();
            jobs.revive(ids).await.unwrap().remove(0).unwrap_err()
        }
        "wait_timeout" => {
            jobs.enqueue_one(job).await.unwrap();
            jobs.wait(&id, Duration::from_millis(1)).await.unwrap_err()
        }
        "backend_unavailable" => connect::jobs("redis://127.0.0.1:1/").await.unwrap_err(),
        "backend_unsuitable" => {
            let file = folder.join("text.db");
            std::fs::write(&file, "no database ".repeat(1_000)).unwrap();
            let url = format!("sqlite:{}", file.display());
            connect::jobs(&url).await.unwrap_err()
        }
        "manager_closed" => {
            jobs.close().await;
            jobs.wait_for_work("q", Duration::from_secs(1))
                .await
                .unwrap_err()
        }
        other => panic!("no way to reach {other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_job_error_is_reached_and_names_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    for code in job::CODES {
        let (reached, message) = if code == "unknown_queue" {
            let folder = folder.path().to_owned();
            let told = tokio::task::spawn_blocking(move || of_the_program(&folder));
            told.await.unwrap()
        } else {
            let error = reach_of_jobs(code, folder.path()).await;
            (error.code().to_owned(), error.to_string())
        };
        assert_eq!(reached, code, "{message}");
        // What is wrong, and what to do about it.
        let remedy = message.split_once([':', ';']).map_or("", |(_, rest)| rest);
        assert!(remedy.trim().len() > 10, "{code}: {message}");
    }
}
