//! How a call goes through the pool, with a provider that follows a script.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;

use super::decide::Policy;
use super::*;
use crate::credential::Credential;
use crate::credential::pool::{PoolOptions, Strategy};
use crate::provider::{Chunk, ChunkStream, FaultReason, Provider, Usage};

/// Answers with the credential's id unless the script has something else for it.
#[derive(Debug, Clone, Default)]
struct Scripted(Arc<Script>);

#[derive(Debug, Default)]
struct Script {
    faults: Mutex<HashMap<String, Vec<Option<Fault>>>>,
    hits: Mutex<Vec<String>>,
    models: Mutex<Vec<Option<String>>>,
    running: AtomicUsize,
    slow: Option<Duration>,
    /// Pieces of text before the fault, in a stream.
    pieces_before: usize,
}

impl Scripted {
    fn new(faults: &[(&str, &[Option<FaultReason>])]) -> Self {
        Self::with(faults, |_| {})
    }

    fn with(faults: &[(&str, &[Option<FaultReason>])], change: impl FnOnce(&mut Script)) -> Self {
        let faults = faults.iter().map(|(id, reasons)| {
            let script = reasons
                .iter()
                .map(|reason| reason.map(|r| Fault::new(r, "scripted")))
                .collect();
            ((*id).to_owned(), script)
        });
        let mut script = Script {
            faults: Mutex::new(faults.collect()),
            ..Script::default()
        };
        change(&mut script);
        Self(Arc::new(script))
    }

    // The last entry of a script repeats.
    fn next_fault(&self, id: &str) -> Option<Fault> {
        self.0.hits.lock().push(id.to_owned());
        let mut faults = self.0.faults.lock();
        let script = faults.get_mut(id)?;
        if script.len() > 1 {
            script.remove(0)
        } else {
            script.first().cloned().flatten()
        }
    }

    fn hits(&self, id: &str) -> usize {
        self.0.hits.lock().iter().filter(|hit| *hit == id).count()
    }

    fn all_hits(&self) -> usize {
        self.0.hits.lock().len()
    }
}

struct Running<'a>(&'a AtomicUsize);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Provider for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }

    async fn send(
        &self,
        request: &Request,
        credential: &Credential,
        _: Patience,
    ) -> Result<Response, Fault> {
        self.0.running.fetch_add(1, Ordering::SeqCst);
        let _running = Running(&self.0.running);
        self.0.models.lock().push(request.model.clone());
        let fault = self.next_fault(credential.id());
        if let Some(slow) = self.0.slow {
            tokio::time::sleep(slow).await;
        } else {
            tokio::task::yield_now().await;
        }
        match fault {
            Some(fault) => Err(fault),
            None => Ok(Response {
                text: format!("from {}", credential.id()),
                usage: Some(Usage {
                    input_tokens: 3,
                    output_tokens: 2,
                    cached_tokens: 0,
                }),
                ..Response::default()
            }),
        }
    }

    async fn stream(
        &self,
        _: &Request,
        credential: &Credential,
        _: Patience,
    ) -> Result<ChunkStream, Fault> {
        let fault = self.next_fault(credential.id());
        let pieces = if fault.is_some() {
            self.0.pieces_before
        } else {
            2
        };
        let text = (0..pieces).map(|n| {
            Ok(Chunk::Text {
                text: format!("{}{n} ", credential.id()),
            })
        });
        let done = Chunk::Done {
            model: None,
            usage: None,
            finish_reason: Some("stop".into()),
        };
        let end = match fault {
            Some(fault) => Err(fault),
            None => Ok(done),
        };
        Ok(Box::pin(stream::iter(
            text.chain([end]).collect::<Vec<_>>(),
        )))
    }
}

fn pool(ids: &[&str]) -> CredentialPool {
    pool_by(Strategy::RoundRobin, ids)
}

fn pool_by(strategy: Strategy, ids: &[&str]) -> CredentialPool {
    let credentials = ids
        .iter()
        .map(|id| Credential::new(*id, format!("sk-secret-{id}")));
    let options = PoolOptions {
        strategy,
        ..PoolOptions::default()
    };
    CredentialPool::with_options(credentials.collect(), options).unwrap()
}

fn quick() -> Policy {
    Policy {
        backoff_ms: 1,
        max_backoff_ms: 2,
        ..Policy::default()
    }
}

fn wrapper(provider: &Scripted, ids: &[&str]) -> Wrapper {
    Wrapper::builder()
        .target(provider.clone(), pool(ids))
        .policy(quick())
        .build()
        .unwrap()
}

fn faults(outcome: &Outcome) -> Vec<(&str, Option<&str>)> {
    let row = |attempt: &'_ Attempt| attempt.fault.as_ref().map(|fault| fault.reason.as_str());
    outcome
        .trail
        .iter()
        .map(|attempt| (attempt.credential.as_str(), row(attempt)))
        .collect()
}

use FaultReason::{
    BadRequest, Connect, Overloaded, QuotaExhausted, RateLimited, ServerError, Truncated,
    Unauthorized,
};

#[tokio::test]
async fn a_call_goes_on_to_the_credential_that_answers_and_says_why() {
    let provider = Scripted::new(&[("a", &[Some(QuotaExhausted)]), ("b", &[Some(RateLimited)])]);
    let outcome = wrapper(&provider, &["a", "b", "c"]).call("hello").await;
    assert_eq!(outcome.text(), Some("from c"));
    assert_eq!(outcome.attempts, 3);
    assert_eq!(
        faults(&outcome),
        [
            ("a", Some("quota_exhausted")),
            ("b", Some("rate_limited")),
            ("c", None)
        ]
    );
    assert_eq!(outcome.usage().unwrap().total(), 5);
}

#[tokio::test]
async fn who_wants_a_credential_that_is_down_goes_on_to_another_whatever_the_strategy() {
    let wanting = |id: &str| Request {
        credential: Some(id.to_owned()),
        session: Some("conversation-7".to_owned()),
        ..Request::prompt("hello")
    };
    for reason in [Connect, Overloaded] {
        for strategy in Strategy::ALL {
            for (down, up) in [("a", "b"), ("b", "a")] {
                let provider = Scripted::new(&[(down, &[Some(reason)])]);
                let wrapper = Wrapper::builder()
                    .target(provider.clone(), pool_by(strategy, &["a", "b"]))
                    .policy(quick())
                    .build()
                    .unwrap();
                for _ in 0..3 {
                    let outcome = wrapper.complete(wanting(down)).await;
                    let wanted = [(down, Some(reason.as_str())), (up, None)];
                    assert_eq!(faults(&outcome), wanted, "{strategy:?}");
                }
            }
        }
    }
    // Where there is no other, it is asked again.
    let provider = Scripted::new(&[("a", &[Some(Connect), Some(Overloaded), None])]);
    let outcome = wrapper(&provider, &["a"]).complete(wanting("a")).await;
    assert_eq!((outcome.text(), outcome.attempts), (Some("from a"), 3));
}

#[tokio::test]
async fn of_fifty_concurrent_calls_none_fails_and_the_bad_key_is_hit_once() {
    let provider = Scripted::new(&[("bad", &[Some(Unauthorized)])]);
    let wrapper = wrapper(&provider, &["a", "bad", "b", "c"]);
    let calls = (0..50).map(|n| {
        let wrapper = wrapper.clone();
        tokio::spawn(async move { wrapper.call(format!("prompt {n}")).await })
    });
    for call in calls.collect::<Vec<_>>() {
        assert!(call.await.unwrap().success());
    }
    assert_eq!(provider.hits("bad"), 1);
}

#[tokio::test]
async fn a_request_fault_is_one_hit_and_costs_no_credential() {
    let provider = Scripted::new(&[("a", &[Some(BadRequest)])]);
    let wrapper = wrapper(&provider, &["a", "b"]);
    let outcome = wrapper.call("hello").await;
    assert_eq!(outcome.error().unwrap().code(), "request_rejected");
    assert_eq!(provider.all_hits(), 1);
    assert!(wrapper.pool().list().iter().all(|row| row.reason.is_none()));
}

#[tokio::test]
async fn attempts_never_exceed_the_budget_across_retry_rotation_and_fallback() {
    let all_fail: &[(&str, &[Option<FaultReason>])] = &[
        ("a", &[Some(ServerError)]),
        ("b", &[Some(ServerError)]),
        ("z", &[Some(ServerError)]),
    ];
    let provider = Scripted::new(all_fail);
    let wrapper = Wrapper::builder()
        .target(provider.clone(), pool(&["a", "b"]))
        .target(provider.clone(), pool(&["z"]))
        .policy(Policy {
            max_retries: 4,
            ..quick()
        })
        .build()
        .unwrap();
    let outcome = wrapper.call("hello").await;
    assert_eq!(outcome.error().unwrap().code(), "attempts_exhausted");
    assert_eq!((outcome.attempts, provider.all_hits()), (5, 5));
    assert_eq!(provider.hits("z"), 3);
}

#[tokio::test]
async fn the_fallback_is_asked_for_its_own_model() {
    let provider = Scripted::new(&[("a", &[Some(Unauthorized)])]);
    let wrapper = Wrapper::builder()
        .target(provider.clone(), pool(&["a"]))
        .model("big")
        .target(provider.clone(), pool(&["z"]))
        .model("small")
        .build()
        .unwrap();
    let outcome = wrapper.call("hello").await;
    assert_eq!(outcome.text(), Some("from z"));
    assert_eq!(
        *provider.0.models.lock(),
        [Some("big".to_owned()), Some("small".to_owned())]
    );
}

#[tokio::test]
async fn when_all_rest_the_error_names_each_and_no_request_is_made() {
    let provider = Scripted::new(&[("a", &[Some(RateLimited)]), ("b", &[Some(QuotaExhausted)])]);
    let wrapper = wrapper(&provider, &["a", "b"]);
    assert_eq!(
        wrapper.call("first").await.error().unwrap().code(),
        "all_cooling"
    );
    let hits = provider.all_hits();
    let outcome = wrapper.call("second").await;
    let Some(Error::AllCooling {
        earliest: Some(_),
        credentials,
    }) = outcome.error()
    else {
        panic!("{outcome:?}");
    };
    let reasons: Vec<_> = credentials
        .iter()
        .map(|row| row.reason.as_deref())
        .collect();
    assert_eq!(reasons, [Some("rate_limited"), Some("quota_exhausted")]);
    assert_eq!(provider.all_hits(), hits);
}

#[tokio::test(start_paused = true)]
async fn a_lone_credential_obeys_retry_after_within_the_deadline() {
    let provider = Scripted::new(&[("a", &[Some(RateLimited), None])]);
    let pool = pool(&["a"]);
    let policy = Policy {
        cooldown_ms: 40,
        min_cooldown_ms: 40,
        ..quick()
    };
    let wrapper = Wrapper::builder()
        .target(provider.clone(), pool)
        .policy(policy)
        .build()
        .unwrap();
    let outcome = wrapper.call("hello").await;
    assert!(outcome.success(), "{outcome:?}");
    assert_eq!(outcome.attempts, 2);
}

#[tokio::test]
async fn a_slow_attempt_is_given_up_and_its_work_dropped() {
    let provider = Scripted::with(&[], |script| script.slow = Some(Duration::from_secs(60)));
    let wrapper = Wrapper::builder()
        .target(provider.clone(), pool(&["a"]))
        .policy(Policy {
            max_retries: 1,
            ..quick()
        })
        .patience(Patience {
            attempt: Duration::from_millis(10),
            ..Patience::default()
        })
        .build()
        .unwrap();
    let outcome = wrapper.call("hello").await;
    assert_eq!(
        outcome.error().unwrap().fault().unwrap().reason,
        FaultReason::Timeout
    );
    assert_eq!(outcome.attempts, 2);
    assert_eq!(provider.0.running.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn the_deadline_ends_a_call_that_waits_for_a_credential() {
    let provider = Scripted::with(&[], |script| script.slow = Some(Duration::from_secs(60)));
    let wrapper = Wrapper::builder()
        .target(provider.clone(), pool(&["a"]))
        .deadline(Duration::from_millis(20))
        .build()
        .unwrap();
    let first = tokio::spawn({
        let wrapper = wrapper.clone();
        async move { wrapper.call("one").await }
    });
    let second = wrapper.call("two").await;
    assert_eq!(second.error().unwrap().code(), "deadline_exceeded");
    assert_eq!(
        first.await.unwrap().error().unwrap().code(),
        "deadline_exceeded"
    );
}

#[tokio::test]
async fn a_call_may_bring_a_shorter_deadline_of_its_own() {
    let provider = Scripted::with(&[], |script| script.slow = Some(Duration::from_secs(60)));
    let wrapper = wrapper(&provider, &["a"]);
    let request = Request::prompt("hello");
    let deadline = Duration::from_millis(40);
    let outcome = wrapper.complete_within(request, deadline).await;
    let error = outcome.error().unwrap();
    assert_eq!(error.code(), "deadline_exceeded");
    assert!(error.to_string().contains("within 40 ms"), "{error}");
    assert_eq!(provider.0.running.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_outcome_is_told_alike_as_a_tree_and_as_text() {
    let provider = Scripted::new(&[("a", &[Some(BadRequest), None])]);
    let wrapper = wrapper(&provider, &["a"]);
    for members in [9, 11] {
        let outcome = wrapper.call("hello").await;
        let told: serde_json::Value = serde_json::from_str(&outcome.to_json_text()).unwrap();
        assert_eq!(told, outcome.to_json());
        assert_eq!(told.as_object().unwrap().len(), members);
    }
}

#[tokio::test]
async fn under_a_total_outage_the_retry_budget_caps_the_amplification() {
    let provider = Scripted::new(&[("a", &[Some(ServerError)])]);
    let wrapper = Wrapper::builder()
        .target(provider.clone(), pool(&["a"]))
        .policy(Policy {
            max_retries: 3,
            ..quick()
        })
        .retry_budget(50)
        .build()
        .unwrap();
    for _ in 0..100 {
        wrapper.call("hello").await;
    }
    assert_eq!(provider.all_hits(), 110);
    assert_eq!(
        wrapper.call("x").await.error().unwrap().code(),
        "retry_budget_exhausted"
    );
}

#[tokio::test]
async fn identical_calls_become_one_and_errors_are_not_kept() {
    let provider = Scripted::new(&[("a", &[Some(BadRequest), None])]);
    let wrapper = Wrapper::builder()
        .target(provider.clone(), pool(&["a"]))
        .cache(CacheOptions::default())
        .build()
        .unwrap();
    assert!(!wrapper.call("same").await.success());
    let calls = (0..20).map(|_| {
        let wrapper = wrapper.clone();
        tokio::spawn(async move { wrapper.call("same").await })
    });
    let mut shared = 0;
    for call in calls.collect::<Vec<_>>() {
        let outcome = call.await.unwrap();
        assert_eq!(outcome.text(), Some("from a"));
        shared += usize::from(outcome.cached);
    }
    assert_eq!((provider.all_hits(), shared), (2, 19));
    wrapper.call("other").await;
    assert_eq!(provider.all_hits(), 3);
}

#[tokio::test]
async fn a_stream_fails_over_before_its_first_piece() {
    let provider = Scripted::new(&[("a", &[Some(ServerError)])]);
    let wrapper = wrapper(&provider, &["a", "b"]);
    let mut answer = wrapper.stream(Request::prompt("hello"));
    let mut text = String::new();
    while let Some(chunk) = answer.next().await {
        if let Chunk::Text { text: piece } = chunk.unwrap() {
            text.push_str(&piece);
        }
    }
    assert_eq!(text, "b0 b1 ");
    assert_eq!(answer.trail().len(), 2);
}

#[tokio::test]
async fn after_a_piece_a_stream_ends_in_an_error_with_the_partial_text() {
    let provider = Scripted::with(&[("a", &[Some(Truncated)])], |script| {
        script.pieces_before = 2
    });
    let wrapper = wrapper(&provider, &["a", "b"]);
    let pieces: Vec<_> = wrapper.stream(Request::prompt("hello")).collect().await;
    let Some(Err(Error::StreamInterrupted { partial, fault })) = pieces.last() else {
        panic!("{pieces:?}");
    };
    assert_eq!((partial.as_str(), fault.reason), ("a0 a1 ", Truncated));
    assert_eq!((pieces.len(), provider.all_hits()), (3, 1));
}

#[tokio::test]
async fn a_whole_stream_is_cached_and_a_broken_one_is_not() {
    let provider = Scripted::with(&[("a", &[Some(Truncated), None])], |script| {
        script.pieces_before = 1
    });
    let wrapper = Wrapper::builder()
        .target(provider.clone(), pool(&["a"]))
        .cache(CacheOptions::default())
        .build()
        .unwrap();
    assert!(
        wrapper
            .stream(Request::prompt("x"))
            .into_response()
            .await
            .is_err()
    );
    let whole = wrapper
        .stream(Request::prompt("x"))
        .into_response()
        .await
        .unwrap();
    let again = wrapper
        .stream(Request::prompt("x"))
        .into_response()
        .await
        .unwrap();
    assert_eq!((whole.text.as_str(), &again), ("a0 a1 ", &whole));
    assert_eq!(provider.all_hits(), 2);
    assert!(wrapper.call("x").await.cached);
}

#[tokio::test]
async fn a_dropped_stream_gives_its_credential_back() {
    let provider = Scripted::new(&[]);
    let wrapper = wrapper(&provider, &["a"]);
    let mut answer = wrapper.stream(Request::prompt("hello"));
    answer.next().await.unwrap().unwrap();
    assert_eq!(wrapper.pool().list()[0].in_flight, 1);
    drop(answer);
    assert_eq!(wrapper.pool().list()[0].in_flight, 0);
}

#[tokio::test]
async fn run_rotates_around_any_code_and_gives_its_own_errors_back() {
    let provider = Scripted::new(&[]);
    let wrapper = wrapper(&provider, &["a", "b"]);
    let classify = |error: &String| {
        error
            .contains("429")
            .then(|| Fault::new(RateLimited, error.clone()))
    };
    let done = wrapper
        .run(Ask::default(), classify, |turn| async move {
            match turn.credential.id() {
                "a" => Err("429 slow down".to_owned()),
                id => Ok(id.to_owned()),
            }
        })
        .await;
    assert_eq!(done.unwrap(), "b");
    let theirs = wrapper
        .run(Ask::default(), classify, |_| async {
            Err::<(), _>("a bug of mine".to_owned())
        })
        .await;
    assert!(matches!(theirs, Err(RunError::Theirs(error)) if error == "a bug of mine"));
    let ours = wrapper
        .run(Ask::default(), classify, |_| async {
            Err::<(), _>("429".to_owned())
        })
        .await;
    assert!(
        matches!(ours, Err(RunError::Ours(Error::AllCooling { .. }))),
        "{ours:?}"
    );
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_before_any_request() {
    let provider = Scripted::new(&[]);
    let wrapper = Wrapper::builder()
        .target(provider.clone(), pool(&["a"]))
        .prompt_limit(10)
        .build()
        .unwrap();
    for (prompt, code) in [
        ("", "empty_prompt"),
        (" \n", "empty_prompt"),
        ("12345678901", "prompt_too_large"),
    ] {
        assert_eq!(
            wrapper.call(prompt).await.error().unwrap().code(),
            code,
            "{prompt:?}"
        );
        let streamed = wrapper
            .stream(Request::prompt(prompt))
            .into_response()
            .await;
        assert_eq!(streamed.unwrap_err().code(), code, "{prompt:?}");
    }
    wrapper.close();
    assert_eq!(wrapper.call("x").await.error().unwrap().code(), "closed");
    assert_eq!(provider.all_hits(), 0);
}

#[tokio::test]
async fn a_fallback_message_stands_in_for_an_error() {
    let provider = Scripted::new(&[("a", &[Some(BadRequest), None])]);
    let wrapper = wrapper(&provider, &["a"]);
    assert_eq!(
        wrapper.call_with_fallback("x", "unavailable").await,
        "unavailable"
    );
    assert_eq!(
        wrapper.call_with_fallback("x", "unavailable").await,
        "from a"
    );
}
