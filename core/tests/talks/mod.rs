//! Conversations for tests: sessions over a simulated endpoint, and workers for their jobs.
#![allow(dead_code, clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use credential_rotation::connect;
use credential_rotation::conversation::jobs::{self, GENERATION, TRAINING};
use credential_rotation::conversation::{
    Brief, Conversation, ConversationSettings, Conversations, Material,
};
use credential_rotation::job::worker::{Handlers, Worker, WorkerHandle, WorkerReport};
use credential_rotation::job::{JobError, JobId, JobSpec, SharedJobs};
use credential_rotation::session::{
    Guard, NewSession, Range, Session, SessionError, SessionFilter, SessionKey, SessionManager,
    SessionPage, SharedSessions, Transcript, Verb, Write, Written,
};
use credential_rotation::testing::{Scenario, SimulatedEndpoint};
use credential_rotation::wrapper::{Wrapper, WrapperOptions};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) struct Place {
    pub(crate) endpoint: SimulatedEndpoint,
    pub(crate) sessions: SharedSessions,
    pub(crate) folder: tempfile::TempDir,
}

impl Place {
    pub(crate) async fn new(steps: Value) -> Self {
        Self::over(None, steps).await
    }

    /// With sessions there, or in a file of its own.
    pub(crate) async fn over(url: Option<&str>, steps: Value) -> Self {
        Self::of(url, json!({ "sk-secret-a": steps })).await
    }

    /// With what the endpoint says to each key.
    pub(crate) async fn of(url: Option<&str>, keys: Value) -> Self {
        let scenario = json!({ "keys": keys }).to_string();
        let scenario = Scenario::from_json(&scenario).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let own = format!("sqlite:{}", folder.path().join("sessions.db").display());
        Self {
            endpoint: SimulatedEndpoint::start(scenario).await.unwrap(),
            sessions: connect::sessions(url.unwrap_or(&own)).await.unwrap(),
            folder,
        }
    }

    /// The same sessions, looked at otherwise.
    pub(crate) fn with(mut self, change: impl FnOnce(SharedSessions) -> SharedSessions) -> Self {
        self.sessions = change(self.sessions);
        self
    }

    pub(crate) fn wrapper(&self) -> Wrapper {
        self.wrapper_of(&["a"], 0)
    }

    /// With these credentials, in turn.
    pub(crate) fn wrapper_of(&self, ids: &[&str], max_retries: u32) -> Wrapper {
        let credential = |id: &&str| json!({ "id": id, "secret": format!("sk-secret-{id}") });
        let options = json!({
            "provider": "anthropic", "base_url": self.endpoint.url(), "model": "sim-1",
            "max_retries": max_retries,
            "credentials": ids.iter().map(credential).collect::<Vec<_>>(),
        });
        let options = WrapperOptions::from_json(&options.to_string());
        options.unwrap().build().unwrap()
    }

    pub(crate) fn conversations(&self) -> Conversations {
        Conversations::new(Arc::clone(&self.sessions), self.wrapper())
    }

    pub(crate) async fn open(&self, settings: ConversationSettings) -> Conversation {
        let new = NewSession::of("ann").with(|new| new.settings = settings.to_map());
        let session = self.sessions.create(new).await.unwrap();
        self.conversations().open(session.key)
    }

    pub(crate) async fn texts(&self, conversation: &Conversation) -> Vec<String> {
        let entries = self.sessions.last(conversation.key(), 99).await.unwrap();
        let text = |e: &credential_rotation::session::Entry| e.message.content.text();
        entries.iter().map(text).collect()
    }

    /// What the endpoint was last asked.
    pub(crate) fn asked(&self) -> Vec<String> {
        let body = self.endpoint.requests().pop().unwrap().body;
        let messages = body["messages"].as_array().unwrap();
        let text = |m: &Value| match &m["content"] {
            Value::String(text) => text.clone(),
            parts => parts[0]["text"].as_str().unwrap().to_owned(),
        };
        messages.iter().map(text).collect()
    }
}

pub(crate) fn lesson() -> Material {
    Material {
        title: "On bread".to_owned(),
        text: "Bread is patient. It waits for nobody.".to_owned(),
    }
}

pub(crate) fn brief(topic: &str) -> Brief {
    Brief {
        topic: topic.to_owned(),
        words: 120,
        audience: "bakers".to_owned(),
        fields: serde_json::Map::new(),
    }
}

pub(crate) fn job(id: &str) -> JobSpec {
    JobSpec {
        id: Some(JobId::from_text(id).unwrap()),
        ..JobSpec::default()
    }
}

pub(crate) fn worker(jobs: &SharedJobs, conversations: &Conversations) -> Worker {
    let handler = jobs::handler(conversations);
    Worker::builder(Arc::clone(jobs))
        .lane(jobs::QUEUE, 4)
        .handler(TRAINING, Arc::clone(&handler))
        .handler(GENERATION, handler)
        .build()
        .unwrap()
}

/// A worker at work.
pub(crate) struct Running {
    handle: WorkerHandle,
    run: JoinHandle<Result<WorkerReport, JobError>>,
}

impl Running {
    pub(crate) fn start(worker: Worker) -> Self {
        let handle = worker.handle();
        let run = tokio::spawn(worker.run(std::future::pending()));
        Self { handle, run }
    }

    /// Until it has ended what it has.
    pub(crate) async fn stop(self) {
        self.handle.stop();
        self.run.await.unwrap().unwrap();
    }
}

/// The handlers of conversations' jobs, to be given to a drain.
pub(crate) fn handlers(conversations: &Conversations) -> Handlers {
    let handler = jobs::handler(conversations);
    Handlers::new()
        .on(TRAINING, Arc::clone(&handler))
        .on(GENERATION, handler)
}

/// Sessions of which each turn is held before it is written, until it is let go.
#[derive(Debug)]
pub(crate) struct Gate {
    sessions: SharedSessions,
    /// Rung when a turn has come.
    pub(crate) came: Notify,
    /// To be rung for each turn.
    pub(crate) go: Notify,
}

impl Gate {
    pub(crate) fn before(sessions: SharedSessions) -> Arc<Self> {
        Arc::new(Self {
            sessions,
            came: Notify::new(),
            go: Notify::new(),
        })
    }
}

#[async_trait]
impl SessionManager for Gate {
    fn backend(&self) -> String {
        self.sessions.backend()
    }

    async fn create(&self, new: NewSession) -> Result<Session, SessionError> {
        self.sessions.create(new).await
    }

    async fn get(&self, key: &SessionKey) -> Result<Session, SessionError> {
        self.sessions.get(key).await
    }

    async fn write(&self, key: &SessionKey, write: Write) -> Result<Written, SessionError> {
        if matches!(write.verb, Verb::Append(_)) {
            self.came.notify_one();
            self.go.notified().await;
        }
        self.sessions.write(key, write).await
    }

    async fn read(&self, key: &SessionKey, range: Range) -> Result<Transcript, SessionError> {
        self.sessions.read(key, range).await
    }

    async fn find_turn(&self, key: &SessionKey, name: &str) -> Result<Transcript, SessionError> {
        self.sessions.find_turn(key, name).await
    }

    async fn list(&self, filter: &SessionFilter) -> Result<SessionPage, SessionError> {
        self.sessions.list(filter).await
    }

    async fn count(&self, owner: Option<&str>) -> Result<u64, SessionError> {
        self.sessions.count(owner).await
    }

    async fn delete(&self, key: &SessionKey, guard: Guard) -> Result<(), SessionError> {
        self.sessions.delete(key, guard).await
    }

    async fn clean_up(&self, idle: Duration) -> Result<usize, SessionError> {
        self.sessions.clean_up(idle).await
    }

    async fn put_file(
        &self,
        key: &SessionKey,
        guard: Guard,
        name: &str,
        body: Bytes,
    ) -> Result<(), SessionError> {
        self.sessions.put_file(key, guard, name, body).await
    }

    async fn file(&self, key: &SessionKey, name: &str) -> Result<Bytes, SessionError> {
        self.sessions.file(key, name).await
    }

    async fn files(&self, key: &SessionKey) -> Result<Vec<String>, SessionError> {
        self.sessions.files(key).await
    }

    async fn drop_file(
        &self,
        key: &SessionKey,
        guard: Guard,
        name: &str,
    ) -> Result<bool, SessionError> {
        self.sessions.drop_file(key, guard, name).await
    }
}
