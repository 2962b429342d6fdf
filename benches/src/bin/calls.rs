//! Calls a second at 64 in flight: bare reqwest, or the wrapper with four keys of
//! which one is bad. Usage: `calls URL (Wrapper|reqwest)`.

use std::sync::Arc;

use credential_rotation::credential::{Credential, CredentialPool};
use credential_rotation::provider::openai::OpenAi;
use credential_rotation::wrapper::Wrapper;
use credential_rotation_benches::{print, rate};
use serde::Deserialize;
use serde_json::json;

const CALLS: usize = 30_000;
const IN_FLIGHT: usize = 64;
const KEYS: [&str; 4] = ["good-1", "bad", "good-2", "good-3"];

type Failure = Box<dyn std::error::Error>;

/// What an outcome tells of an answer, for the peer to read as well.
#[derive(Deserialize)]
struct Completion {
    model: String,
    choices: Vec<Choice>,
    usage: Usage,
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
    finish_reason: String,
}

#[derive(Deserialize)]
struct Message {
    content: String,
}

#[derive(Deserialize)]
struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut words = std::env::args().skip(1);
    let (Some(url), Some(name)) = (words.next(), words.next()) else {
        return Err("usage: calls URL (Wrapper|reqwest)".into());
    };
    let value = match name.as_str() {
        "Wrapper" => ours(&url).await?,
        "reqwest" => bare(&url).await?,
        other => return Err(format!("no contender is called {other}").into()),
    };
    print(&format!("rust {name}"), value, "calls/s", json!({}));
    Ok(())
}

async fn ours(url: &str) -> Result<f64, Failure> {
    let credentials = KEYS.map(|key| Credential::new(key, format!("sk-secret-{key}")));
    let pool = CredentialPool::new(credentials.into())?;
    let wrapper = Wrapper::builder()
        .target(
            OpenAi::new().with_base_url(format!("{url}/v1").parse()?),
            pool,
        )
        .model("sim-1")
        .build()?;
    let call = move || {
        let wrapper = wrapper.clone();
        async move {
            let outcome = wrapper.call("hello").await;
            let text = outcome.text().expect("an answer");
            assert!(!text.is_empty());
        }
    };
    Ok(rate(CALLS, IN_FLIGHT, call).await)
}

async fn bare(url: &str) -> Result<f64, Failure> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .tcp_nodelay(true)
        .pool_max_idle_per_host(256)
        .build()?;
    let url: Arc<str> = format!("{url}/v1/chat/completions").into();
    let call = move || {
        let (client, url) = (client.clone(), Arc::clone(&url));
        async move {
            let body =
                json!({"model": "sim-1", "messages": [{"role": "user", "content": "hello"}]});
            let request = client.post(&*url).bearer_auth("sk-secret-good-1");
            let answer = request.json(&body).send().await.expect("sent");
            let completion: Completion = answer.json().await.expect("read");
            let choice = &completion.choices[0];
            assert!(!choice.message.content.is_empty());
            assert!(!choice.finish_reason.is_empty() && !completion.model.is_empty());
            assert!(completion.usage.prompt_tokens + completion.usage.completion_tokens > 0);
        }
    };
    Ok(rate(CALLS, IN_FLIGHT, call).await)
}
