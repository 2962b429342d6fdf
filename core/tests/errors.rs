//! Every public error is reached, by the way a user would reach it.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use credential_rotation::Error;
use credential_rotation::credential::accounts::{AccountsFolder, SwitchReason};
use credential_rotation::credential::{Credential, CredentialPool, CredentialSource};
use credential_rotation::error::CODES;
use credential_rotation::provider::Request;
use credential_rotation::testing::{Scenario, SimulatedEndpoint};
use credential_rotation::wrapper::{Wrapper, WrapperOptions};
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
