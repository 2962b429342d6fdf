//! The scenarios that all languages share, from Rust: `vectors/rotation.json`.
#![allow(clippy::unwrap_used, clippy::panic)]

use credential_rotation::Error;
use credential_rotation::clock::{Clock, SystemClock};
use credential_rotation::provider::http::{ErrorFacts, classify};
use credential_rotation::provider::{Request, Response};
use credential_rotation::testing::{Scenario, SimulatedEndpoint};
use credential_rotation::wrapper::{Ask, Attempt, RunError, Turn, Wrapper, WrapperOptions};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Vectors {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    drives: Vec<String>,
    scenario: Value,
    options: Value,
    calls: Vec<Call>,
}

#[derive(Deserialize)]
struct Call {
    prompt: String,
    expect: Expectation,
}

#[derive(Deserialize)]
struct Expectation {
    output: Option<String>,
    code: Option<String>,
    trail: Vec<(String, Option<String>)>,
}

/// What a drive saw: the text, or the code (`None` for the client's own error), and the trail.
type Seen = (Result<String, Option<String>>, Option<Vec<Attempt>>);

#[tokio::test]
async fn the_shared_scenarios_hold_by_call() {
    drive("call").await;
}

#[tokio::test]
async fn the_shared_scenarios_hold_by_stream() {
    drive("stream").await;
}

#[tokio::test]
async fn the_shared_scenarios_hold_by_run() {
    drive("run").await;
}

async fn drive(how: &str) {
    let text = include_str!("../vectors/rotation.json");
    let vectors: Vectors = serde_json::from_str(text).unwrap();
    let chosen = vectors
        .cases
        .iter()
        .filter(|case| case.drives.iter().any(|d| d == how));
    let mut ran = 0;
    for case in chosen {
        play(case, how).await;
        ran += 1;
    }
    assert!(ran > 15, "only {ran} cases for {how}");
}

async fn play(case: &Case, how: &str) {
    let scenario = Scenario::from_json(&case.scenario.to_string()).unwrap();
    let endpoint = SimulatedEndpoint::start(scenario).await.unwrap();
    let wrapper = wrapper(&case.options, &endpoint.url());
    for (number, call) in case.calls.iter().enumerate() {
        let (result, trail) = match how {
            "call" => by_call(&wrapper, &call.prompt).await,
            "stream" => by_stream(&wrapper, &call.prompt).await,
            _ => by_run(&wrapper, &endpoint.url(), &case.options, &call.prompt).await,
        };
        let place = format!("{} (call {}, {how})", case.name, number + 1);
        match (&call.expect.output, result) {
            (Some(output), Ok(text)) => assert_eq!(&text, output, "{place}"),
            (None, Err(code)) => {
                let theirs = ["request_rejected", "attempts_exhausted"];
                let expected = call.expect.code.clone();
                let expected =
                    expected.filter(|code| how != "run" || !theirs.contains(&code.as_str()));
                assert_eq!(code, expected, "{place}");
            }
            (expected, got) => panic!("{place}: expected {expected:?}, got {got:?}; {trail:?}"),
        }
        if let Some(trail) = trail {
            let seen: Vec<_> = trail.into_iter().map(row).collect();
            assert_eq!(seen, call.expect.trail, "{place}");
        }
    }
}

fn row(attempt: Attempt) -> (String, Option<String>) {
    (
        attempt.credential,
        attempt.fault.map(|fault| fault.reason.as_str().to_owned()),
    )
}

fn wrapper(options: &Value, url: &str) -> Wrapper {
    let mut options = options.clone();
    let base = json!(format!("{url}/v1"));
    if let Some(fallbacks) = options.get_mut("fallbacks").and_then(Value::as_array_mut) {
        for fallback in fallbacks {
            fallback["base_url"] = base.clone();
        }
    }
    options["base_url"] = base;
    options["model"] = json!("sim-1");
    WrapperOptions::from_json(&options.to_string())
        .unwrap()
        .build()
        .unwrap()
}

async fn by_call(wrapper: &Wrapper, prompt: &str) -> Seen {
    let outcome = wrapper.call(prompt).await;
    assert_eq!(outcome.attempts as usize, outcome.trail.len());
    let result = outcome.result.map(|response| response.text);
    (
        result.map_err(|error| Some(error.code().to_owned())),
        Some(outcome.trail),
    )
}

async fn by_stream(wrapper: &Wrapper, prompt: &str) -> Seen {
    use futures_util::StreamExt;
    let mut answer = wrapper.stream(Request::prompt(prompt));
    let mut response = Ok(Response::default());
    while let Some(piece) = answer.next().await {
        match (piece, &mut response) {
            (Ok(credential_rotation::provider::Chunk::Text { text }), Ok(whole)) => {
                whole.text.push_str(&text)
            }
            (Err(error), _) => response = Err(error),
            _ => {}
        }
    }
    let code = |error: Error| Some(error.code().to_owned());
    (
        response.map(|whole| whole.text).map_err(code),
        Some(answer.trail()),
    )
}

// A client of the user's own: bare reqwest, its failures told as facts.
async fn by_run(wrapper: &Wrapper, url: &str, options: &Value, prompt: &str) -> Seen {
    let anthropic = options["provider"] == "anthropic";
    let client = client();
    let work = |turn: Turn| {
        let (client, url, prompt) = (client.clone(), url.to_owned(), prompt.to_owned());
        async move { post(&client, &url, anthropic, &turn, &prompt).await }
    };
    let tell = |facts: &ErrorFacts| classify(facts, SystemClock.now());
    let done = wrapper.run(Ask::default(), tell, work).await;
    let result = done.map_err(|error| match error {
        RunError::Theirs(_) => None,
        RunError::Ours(error) => Some(error.code().to_owned()),
    });
    (result, None)
}

async fn post(
    client: &reqwest::Client,
    url: &str,
    anthropic: bool,
    turn: &Turn,
    prompt: &str,
) -> Result<String, ErrorFacts> {
    let body = json!({
        "model": "sim-1", "max_tokens": 50, "messages": [{"role": "user", "content": prompt}]
    });
    let secret = turn.credential.secret();
    let request = if anthropic {
        client
            .post(format!("{url}/v1/messages"))
            .header("x-api-key", secret.expose())
    } else {
        client
            .post(format!("{url}/v1/chat/completions"))
            .bearer_auth(secret.expose())
    };
    let facts = |kind: &str| ErrorFacts {
        kind: Some(kind.to_owned()),
        ..ErrorFacts::default()
    };
    let answer = request
        .json(&body)
        .send()
        .await
        .map_err(|_| facts("connect"))?;
    let status = answer.status().as_u16();
    let headers = answer
        .headers()
        .iter()
        .map(|(name, value)| {
            (
                name.to_string(),
                value.to_str().unwrap_or_default().to_owned(),
            )
        })
        .collect();
    let text = answer.text().await.map_err(|_| facts("truncated"))?;
    if status != 200 {
        return Err(ErrorFacts {
            status: Some(status),
            headers,
            body: Some(text),
            ..ErrorFacts::default()
        });
    }
    let value: Value = serde_json::from_str(&text).map_err(|_| facts("malformed"))?;
    let place = if anthropic {
        "/content/0/text"
    } else {
        "/choices/0/message/content"
    };
    let text = value.pointer(place).and_then(Value::as_str);
    text.map(str::to_owned).ok_or_else(|| facts("malformed"))
}

fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}
