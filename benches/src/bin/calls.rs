//! Calls a second at 64 in flight: bare reqwest, and the wrapper with four keys of
//! which one is bad. Usage: `calls URL`.

use std::sync::Arc;

use credential_rotation::credential::{Credential, CredentialPool};
use credential_rotation::provider::openai::OpenAi;
use credential_rotation::wrapper::Wrapper;
use credential_rotation_benches::{median, print, rate};
use serde_json::{Value, json};

const CALLS: usize = 20_000;
const IN_FLIGHT: usize = 64;
const ROUNDS: usize = 5;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).ok_or("usage: calls URL")?;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .tcp_nodelay(true)
        .pool_max_idle_per_host(256)
        .build()?;
    let bare_url: Arc<str> = format!("{url}/v1/chat/completions").into();
    let bare = move |_| {
        let (client, url) = (client.clone(), Arc::clone(&bare_url));
        async move {
            let body =
                json!({"model": "sim-1", "messages": [{"role": "user", "content": "hello"}]});
            let request = client
                .post(&*url)
                .bearer_auth("sk-secret-good-1")
                .json(&body);
            let answer: Value = request
                .send()
                .await
                .expect("sent")
                .json()
                .await
                .expect("read");
            assert!(answer["choices"][0]["message"]["content"].is_string());
        }
    };

    let keys = [
        "sk-secret-good-1",
        "sk-secret-bad",
        "sk-secret-good-2",
        "sk-secret-good-3",
    ];
    let credentials = keys
        .iter()
        .map(|key| Credential::new(&key[10..], *key))
        .collect();
    let base = format!("{url}/v1").parse()?;
    let wrapper = Wrapper::builder()
        .target(
            OpenAi::new().with_base_url(base),
            CredentialPool::new(credentials)?,
        )
        .model("sim-1")
        .build()?;
    let ours = move |_| {
        let wrapper = wrapper.clone();
        async move {
            let outcome = wrapper.call("hello").await;
            assert!(outcome.success(), "{:?}", outcome.error());
        }
    };

    // In turns, so that whatever else the machine does meets both.
    let (mut bare_rates, mut our_rates) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bare_rates.push(rate(CALLS, IN_FLIGHT, bare.clone()).await);
        our_rates.push(rate(CALLS, IN_FLIGHT, ours.clone()).await);
    }
    print("rust reqwest", median(bare_rates), "calls/s", json!({}));
    print("rust Wrapper", median(our_rates), "calls/s", json!({}));
    Ok(())
}
