//! The real claude program, driven against the simulated endpoint, where `CLAUDE_CLI`
//! says where it is: it is no free software, so `make test` does not install it.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::{Duration, Instant};

use credential_rotation::credential::{Credential, CredentialPool};
use credential_rotation::provider::Patience;
use credential_rotation::provider::cli::{CliProfile, CliProvider};
use credential_rotation::testing::{Scenario, SimulatedEndpoint};
use credential_rotation::wrapper::Wrapper;

#[tokio::test]
async fn of_four_keys_the_last_answers_and_the_trail_says_why() {
    let Some(program) = std::env::var_os("CLAUDE_CLI") else {
        eprintln!("skipped: CLAUDE_CLI is not set");
        return;
    };
    let scenario = r#"{"keys": {
        "sk-secret-spent": [{"fault": "billing"}],
        "sk-secret-refused": [{"fault": "unauthorized", "echo_key": true}],
        "sk-secret-throttled": [{"fault": "rate_limited", "retry_after": 60}],
        "sk-secret-good": [{"text": "They said: API Error: 429 usage limit reached"}]
    }}"#;
    let endpoint = SimulatedEndpoint::start(Scenario::from_json(scenario).unwrap())
        .await
        .unwrap();
    let keys = ["spent", "refused", "throttled", "good"];
    let credentials = keys.map(|key| Credential::new(key, format!("sk-secret-{key}")));
    let provider = CliProvider::with_program(CliProfile::claude(), program).unwrap();
    let wrapper = Wrapper::builder()
        .target(
            provider.with_base_url(endpoint.url().parse().unwrap()),
            CredentialPool::new(credentials.into()).unwrap(),
        )
        .model("sim-1")
        .max_retries(3)
        .patience(Patience {
            attempt: Duration::from_secs(60),
            ..Patience::default()
        })
        .build()
        .unwrap();
    let started = Instant::now();
    let outcome = wrapper.call("What did they say?").await;
    assert_eq!(
        outcome.text(),
        Some("They said: API Error: 429 usage limit reached"),
        "{outcome:?}"
    );
    let reasons = outcome.trail.iter().map(|attempt| {
        let fault = attempt.fault.as_ref();
        fault.map(|fault| fault.reason.as_str())
    });
    assert_eq!(
        reasons.collect::<Vec<_>>(),
        [
            Some("billing"),
            Some("unauthorized"),
            Some("rate_limited"),
            None
        ]
    );
    // The program by itself is silent about a 429 for minutes.
    assert!(started.elapsed() < Duration::from_secs(30));
    assert!(!format!("{outcome:?}").contains("sk-secret"));
}
