//! The server that all are measured against: prints its URL and runs until it is ended.
//!
//! Keys `sk-secret-good-*` are answered, `sk-secret-bad` is refused,
//! `sk-secret-stream` streams 100 MB.

use credential_rotation::testing::{Scenario, SimulatedEndpoint};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let scenario = Scenario::from_json(
        r#"{
            "record": false,
            "keys": {
                "sk-secret-bad": [{"fault": "unauthorized"}],
                "sk-secret-stream": [{"bytes": 104857600}]
            },
            "default": [{"text": "The quick brown fox jumps over the lazy dog."}]
        }"#,
    )?;
    let endpoint = SimulatedEndpoint::start(scenario).await?;
    println!("{}", endpoint.url());
    tokio::signal::ctrl_c().await?;
    Ok(())
}
