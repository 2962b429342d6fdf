//! A prompt gets its answer although one key is out of quota and another is throttled.
//!
//! Needs no network: the endpoint is simulated. Run by `make demo`.

use credential_rotation::credential::{Credential, CredentialPool};
use credential_rotation::provider::openai::OpenAi;
use credential_rotation::testing::{Scenario, SimulatedEndpoint};
use credential_rotation::wrapper::{Outcome, Wrapper};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let endpoint = SimulatedEndpoint::start(Scenario::from_json(
        r#"{"keys": {
            "sk-secret-spent":     [{"fault": "insufficient_quota"}],
            "sk-secret-throttled": [{"fault": "rate_limited", "retry_after": 30}],
            "sk-secret-good":      [{"text": "Bonjour! (asked: {prompt})"}]
        }}"#,
    )?)
    .await?;

    let pool = CredentialPool::new(vec![
        Credential::new("spent", "sk-secret-spent"),
        Credential::new("throttled", "sk-secret-throttled"),
        Credential::new("good", "sk-secret-good"),
    ])?;
    let wrapper = Wrapper::builder()
        .target(
            OpenAi::new().with_base_url(endpoint.openai_url().parse()?),
            pool,
        )
        .model("sim-1")
        .max_retries(5)
        .build()?;

    for prompt in ["Say hello in French", "And again"] {
        println!("> {prompt}");
        let outcome = wrapper.call(prompt).await;
        tell(&outcome);
    }

    println!("The pool now:");
    for row in wrapper.pool().list() {
        let reason = row.reason.unwrap_or_default();
        println!("  {:<10} {:<8} {reason}", row.id, row.state.as_str());
    }
    Ok(())
}

fn tell(outcome: &Outcome) {
    for (number, attempt) in outcome.trail.iter().enumerate() {
        let said = attempt
            .fault
            .as_ref()
            .map_or("answered", |fault| fault.reason.as_str());
        println!(
            "  attempt {}: {:<10} {said} ({} ms)",
            number + 1,
            attempt.credential,
            attempt.duration_ms
        );
    }
    match &outcome.result {
        Ok(response) => println!("< {}\n", response.text),
        Err(error) => println!("! {error}\n"),
    }
}
