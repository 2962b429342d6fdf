//! What becomes of a delivery, by a real worker and a real peer.

use futures_util::StreamExt;
use serde_json::Value;

use super::super::WEBHOOK_SECRET_VARIABLE;
use super::*;
use crate::job::memory::MemoryJobs;
use crate::job::worker::{Worker, WorkerHandle};
use crate::job::{EventStream, Job, JobId, JobManager, JobSpec, JobState, What};
use crate::provider::http::raw_peer::{Act, RawPeer, answer};
use crate::testing::ManualClock;

/// Longer than anything here takes: a test that hangs fails.
const LONG: Duration = Duration::from_secs(20);
const SECRETS: &str =
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A worker whose handler fails for the kind `fails`.
struct Scene {
    clock: Arc<ManualClock>,
    jobs: Arc<MemoryJobs>,
    events: EventStream,
    worker: WorkerHandle,
}

impl Scene {
    async fn with(options: WebhookOptions) -> Self {
        let clock = Arc::new(ManualClock::new(1_800_000_000_000));
        let jobs = Arc::new(MemoryJobs::with_clock(clock.clone()));
        let handler = async |job: Context| match job.kind() {
            "fails" => Err(HandlerError::Unrecoverable(Failure::new("Mine", "no luck"))),
            _ => Ok(Payload::of(&[1, 2])?),
        };
        let worker = Worker::builder(jobs.clone())
            .lane("q", 2)
            .default_handler(handler)
            .webhooks(options)
            .clock(clock.clone())
            .build()
            .unwrap();
        let handle = worker.handle();
        tokio::spawn(worker.run(std::future::pending()));
        let events = jobs.events().await.unwrap();
        Self {
            clock,
            jobs,
            events,
            worker: handle,
        }
    }

    async fn signing(allow_private: bool) -> Self {
        let secret = Some(Secret::from(SECRETS));
        Self::with(WebhookOptions {
            secret,
            allow_private,
        })
        .await
    }

    async fn add(&self, url: &str, change: impl FnOnce(&mut JobSpec)) {
        let spec = JobSpec::new("q", Payload::NULL)
            .with_id(JobId::from_text("a").unwrap())
            .with(|spec| spec.webhook = Some(url.into()))
            .with(change);
        self.jobs.enqueue_one(spec).await.unwrap();
    }

    /// The delivery once its attempt is over.
    async fn tried(&mut self) -> Job {
        let id = JobId::from_text("webhook:a").unwrap();
        let over = async {
            loop {
                let event = self.events.next().await.unwrap();
                let ours = event.id.as_ref() == Some(&id);
                if ours && matches!(event.what, What::Completed | What::Failed | What::Delayed) {
                    return;
                }
            }
        };
        tokio::time::timeout(LONG, over).await.expect("it ends");
        self.jobs.find(&id).await.unwrap()
    }

    async fn after(&self, rest: Duration) {
        self.clock.advance(rest);
        // Whoever waits for the time looks again.
        self.jobs.set_paused("q", false).await.unwrap();
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.worker.stop_now();
    }
}

fn says(status: &str, headers: &str, body: &str) -> Vec<Act> {
    vec![Act::Send(answer(status, headers, body).into_bytes())]
}

fn header<'a>(request: &'a str, name: &str) -> &'a str {
    let lines = request.lines();
    let mut values = lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    values
        .next()
        .unwrap_or_else(|| panic!("no {name}: {request}"))
}

fn error(job: &Job) -> (&str, &str) {
    let error = job.status.error.as_ref().unwrap();
    (&error.kind, &error.message)
}

#[tokio::test]
async fn an_end_is_told_signed_and_again_until_it_is_heard() {
    let scripts = vec![
        says("500 Oops", "", "not\nnow"),
        says("204 No Content", "", ""),
    ];
    let mut peer = RawPeer::in_turn(scripts).await;
    let mut scene = Scene::signing(true).await;
    let url = format!("{}hooks?a=1", peer.url);
    scene.add(&url, |_| {}).await;
    let first = scene.tried().await;
    assert_eq!(first.status.state, JobState::Delayed);
    let words = "the webhook answered 500 Internal Server Error: not now";
    assert_eq!(error(&first), (failure_kind::WEBHOOK_FAILED, words));
    scene.after(Duration::from_secs(5)).await;
    let second = scene.tried().await;
    assert_eq!(
        (second.status.state, second.status.attempt),
        (JobState::Completed, 2)
    );
    let now = scene.clock.now() / 1_000;
    for at in [now - 5, now] {
        let request = peer.requests.recv().await.unwrap();
        assert!(request.starts_with("POST /hooks?a=1 HTTP/1.1"), "{request}");
        let (_, body) = request.split_once("\r\n\r\n").unwrap();
        let told: Value = serde_json::from_str(body).unwrap();
        assert_eq!(told["type"], "job.completed");
        assert_eq!(told["timestamp"], "2027-01-15T08:00:00Z");
        assert_eq!(told["data"]["result"], serde_json::json!([1, 2]));
        assert_eq!(told["data"]["attempts"], 1);
        assert_eq!(header(&request, "content-type"), "application/json");
        assert_eq!(header(&request, "webhook-id"), "a");
        assert_eq!(header(&request, "webhook-timestamp"), at.to_string());
        let secret = Secret::from(SECRETS);
        let signed = sign::signatures(Some(&secret), "a", at, body.as_bytes()).unwrap();
        assert_eq!(signed.split(' ').count(), 2);
        assert_eq!(header(&request, "webhook-signature"), signed);
    }
}

#[tokio::test]
async fn a_failure_is_told_and_so_is_one_of_a_job_that_is_gone() {
    let mut peer = RawPeer::saying(&answer("200 OK", "", "")).await;
    let mut scene = Scene::signing(true).await;
    let url = peer.url.to_string();
    scene.add(&url, |job| job.kind = Some("fails".into())).await;
    assert_eq!(scene.tried().await.status.state, JobState::Completed);
    let told = peer.requests.recv().await.unwrap();
    assert!(
        told.contains(r#""type":"job.failed""#) && told.contains("no luck"),
        "{told}"
    );
    for id in ["a", "webhook:a"] {
        let id = JobId::from_text(id).unwrap();
        scene.jobs.delete(&[id]).await.unwrap();
    }
    scene.add(&url, |job| job.result_ttl_ms = 0).await;
    assert_eq!(scene.tried().await.status.state, JobState::Completed);
    let told = peer.requests.recv().await.unwrap();
    assert!(
        told.contains(r#""state":"completed""#) && !told.contains("attempts"),
        "{told}"
    );
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let mut peer = RawPeer::in_turn(vec![
        says("307 Temporary Redirect", "location: /elsewhere\r\n", ""),
        says("200 OK", "", ""),
    ])
    .await;
    let mut scene = Scene::signing(true).await;
    scene.add(peer.url.as_str(), |_| {}).await;
    let tried = scene.tried().await;
    assert_eq!(tried.status.state, JobState::Delayed);
    assert!(error(&tried).1.contains("307"), "{tried:?}");
    assert!(peer.requests.recv().await.unwrap().starts_with("POST / "));
    assert!(peer.requests.try_recv().is_err());
}

#[tokio::test]
async fn who_is_gone_is_told_no_more() {
    let peer = RawPeer::saying(&answer("410 Gone", "", &"x".repeat(100_000))).await;
    let mut scene = Scene::signing(true).await;
    scene.add(peer.url.as_str(), |_| {}).await;
    let tried = scene.tried().await;
    assert_eq!(
        (tried.status.state, tried.status.attempt),
        (JobState::Failed, 1)
    );
    let (kind, words) = error(&tried);
    assert_eq!(kind, failure_kind::WEBHOOK_GONE);
    assert!(words.len() < 300, "{words}");
}

#[tokio::test]
async fn private_addresses_are_refused_unless_they_are_allowed() {
    let mut peer = RawPeer::saying(&answer("200 OK", "", "")).await;
    let port = peer.url.port().unwrap();
    for host in [
        "127.0.0.1",
        "localhost",
        "LOCALHOST",
        "2130706433",
        "[::ffff:7f00:1]",
    ] {
        let mut scene = Scene::signing(false).await;
        scene.add(&format!("http://{host}:{port}/"), |_| {}).await;
        let tried = scene.tried().await;
        assert_eq!(
            (tried.status.state, tried.status.attempt),
            (JobState::Failed, 1),
            "{host}: {tried:?}"
        );
        let (kind, words) = error(&tried);
        assert_eq!(kind, failure_kind::WEBHOOK_REFUSED, "{host}: {words}");
        assert!(words.contains("`allow_private`"), "{words}");
    }
    assert!(peer.requests.try_recv().is_err());
    let mut scene = Scene::signing(true).await;
    scene
        .add(&format!("http://localhost:{port}/"), |_| {})
        .await;
    assert_eq!(scene.tried().await.status.state, JobState::Completed);
}

#[tokio::test]
async fn nobody_is_told_without_a_secret_or_an_answer() {
    let mut peer = RawPeer::acting(vec![Act::Reset]).await;
    let mut scene = Scene::with(WebhookOptions {
        secret: None,
        allow_private: true,
    })
    .await;
    scene.add(peer.url.as_str(), |_| {}).await;
    let tried = scene.tried().await;
    assert_eq!(tried.status.state, JobState::Delayed);
    let (kind, words) = error(&tried);
    assert_eq!(kind, failure_kind::WEBHOOK_SECRET);
    assert!(words.contains(WEBHOOK_SECRET_VARIABLE), "{words}");
    assert!(peer.requests.try_recv().is_err());

    let mut scene = Scene::signing(true).await;
    scene.add(peer.url.as_str(), |_| {}).await;
    let tried = scene.tried().await;
    assert_eq!(tried.status.state, JobState::Delayed);
    assert_eq!(error(&tried).0, failure_kind::WEBHOOK_FAILED);
}

#[tokio::test]
async fn a_secret_that_is_none_makes_no_worker() {
    let options = WebhookOptions {
        secret: Some(Secret::from("hunter2")),
        ..WebhookOptions::default()
    };
    let jobs: SharedJobs = Arc::new(MemoryJobs::new());
    let handler = async |_: Context| Ok(Payload::NULL);
    let builder = Worker::builder(jobs).lane("q", 1).default_handler(handler);
    let refused = builder.webhooks(options).build().unwrap_err();
    assert!(matches!(
        &refused,
        JobError::Invalid {
            field: "webhooks",
            ..
        }
    ));
    assert!(!refused.to_string().contains("hunter2"));
}
