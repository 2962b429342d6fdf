//! A worker is killed while the model speaks, and another one goes on: the session learns
//! and writes each turn once.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use credential_rotation::connect;
use credential_rotation::conversation::jobs::{self, Document, GENERATION, TRAINING};
use credential_rotation::conversation::{Brief, Conversations};
use credential_rotation::job::worker::{Context, Handler, Worker};
use credential_rotation::job::{Job, JobId, JobSpec, JobState, SharedJobs};
use credential_rotation::session::{NewSession, SharedSessions};
use credential_rotation::testing::{Scenario, SimulatedEndpoint};
use credential_rotation::wrapper::WrapperOptions;
use serde_json::{Value, json};

const FOLDER: &str = "CONVERSATION_PROCESSES_FOLDER";
const ENDPOINT: &str = "CONVERSATION_PROCESSES_ENDPOINT";
const SOON: Duration = Duration::from_secs(30);
/// So long that a busy machine keeps it: one that is lost counts as another death.
const LEASE: Duration = Duration::from_secs(3);

async fn open(folder: &Path, endpoint: &str) -> (SharedJobs, SharedSessions, Conversations) {
    let url = |name: &str| format!("sqlite:{}", folder.join(name).display());
    let jobs = connect::jobs(&url("jobs.db")).await.unwrap();
    let sessions = connect::sessions(&url("sessions.db")).await.unwrap();
    let options = json!({
        "provider": "anthropic", "base_url": endpoint, "model": "sim-1", "max_retries": 0,
        "credentials": [{"id": "a", "secret": "sk-secret-a"}],
    });
    let options = WrapperOptions::from_json(&options.to_string()).unwrap();
    let conversations = Conversations::new(Arc::clone(&sessions), options.build().unwrap());
    (jobs, sessions, conversations)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a process of the test below"]
async fn works_until_it_is_killed() {
    let (folder, endpoint) = (std::env::var(FOLDER), std::env::var(ENDPOINT));
    let (jobs, _, conversations) = open(Path::new(&folder.unwrap()), &endpoint.unwrap()).await;
    let handler = jobs::handler(&conversations);
    let worker = Worker::builder(jobs)
        .lane(jobs::QUEUE, 2)
        .lease(LEASE)
        .handler(TRAINING, Arc::clone(&handler))
        .handler(GENERATION, handler)
        .build()
        .unwrap();
    worker.run(std::future::pending()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a process of the test below"]
async fn dies_before_its_end_is_recorded() {
    let (folder, endpoint) = (std::env::var(FOLDER), std::env::var(ENDPOINT));
    let (jobs, _, conversations) = open(Path::new(&folder.unwrap()), &endpoint.unwrap()).await;
    let handler = jobs::handler(&conversations);
    let dies = move |job: Context| {
        let handler = Arc::clone(&handler);
        async move {
            match handler.run(job).await {
                Ok(_) => std::process::abort(),
                failed => failed,
            }
        }
    };
    let worker = Worker::builder(jobs)
        .lane(jobs::QUEUE, 2)
        .lease(LEASE)
        .handler(TRAINING, dies)
        .build()
        .unwrap();
    worker.run(std::future::pending()).await.unwrap();
}

/// A worker in a process of its own, killed when this goes.
struct Process(Child);

impl Process {
    fn start(folder: &Path, endpoint: &str) -> Self {
        Self::of("works_until_it_is_killed", folder, endpoint)
    }

    fn of(test: &str, folder: &Path, endpoint: &str) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", test])
            .env(FOLDER, folder)
            .env(ENDPOINT, endpoint)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.0.kill();
        self.0.wait().unwrap();
    }
}

/// Waits until the model speaks to a job's attempt.
async fn speaking(jobs: &SharedJobs, id: &JobId) {
    let end = Instant::now() + SOON;
    loop {
        let job = jobs.find(id).await.unwrap();
        let told = job.status.progress.map(|progress| progress.message);
        if told.is_some_and(|message| message.contains("words written")) {
            return;
        }
        assert!(Instant::now() < end, "the model does not speak");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn result(job: Job) -> Value {
    assert_eq!(job.status.state, JobState::Completed, "{job:?}");
    assert_eq!((job.status.attempt, job.status.stalls), (1, 1));
    job.status.result.unwrap().read().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_trained_and_writes_although_its_workers_are_killed() {
    let slow = json!({"pieces": vec!["word "; 400], "piece_ms": 50});
    let steps = json!([slow, {"text": "I know this voice"}, slow, {"text": "at last"}]);
    let scenario = json!({ "keys": { "sk-secret-a": steps } }).to_string();
    let scenario = Scenario::from_json(&scenario).unwrap();
    let endpoint = SimulatedEndpoint::start(scenario).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (jobs, sessions, conversations) = open(folder.path(), &endpoint.url()).await;
    let key = sessions.create(NewSession::of("ann")).await.unwrap().key;

    let first = Process::start(folder.path(), &endpoint.url());
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/sample.pdf");
    let document = Document::File("sample.pdf".to_owned(), std::fs::read(file).unwrap().into());
    let submit = conversations.submit_training(&*jobs, &key, document, None, JobSpec::default());
    let trained = submit.await.unwrap();
    speaking(&jobs, &trained).await;
    drop(first);
    assert_eq!(sessions.get(&key).await.unwrap().turns, 0, "absent");

    let second = Process::start(folder.path(), &endpoint.url());
    let learned = result(jobs.wait(&trained, SOON).await.unwrap());
    assert_eq!(learned["text"], "I know this voice");
    let brief = Brief {
        topic: "ovens".to_owned(),
        words: 60,
        audience: "bakers".to_owned(),
        fields: serde_json::Map::new(),
    };
    let submit = conversations.submit_generation(&*jobs, &key, &brief, JobSpec::default());
    let written = submit.await.unwrap();
    speaking(&jobs, &written).await;
    drop(second);
    assert_eq!(sessions.get(&key).await.unwrap().turns, 1, "whole");

    let _third = Process::start(folder.path(), &endpoint.url());
    let written = result(jobs.wait(&written, SOON).await.unwrap());
    assert_eq!(written["text"], "at last");
    let session = sessions.get(&key).await.unwrap();
    assert_eq!((session.turns, session.jobs.len()), (2, 0));
    let entries = sessions.last(&key, 99).await.unwrap();
    let last: Vec<String> = entries.iter().map(|e| e.message.content.text()).collect();
    assert_eq!(
        (last.len(), last[1].as_str(), last[3].as_str()),
        (4, "I know this voice", "at last")
    );
    assert_eq!(endpoint.requests().len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_is_paid_for_once_although_its_worker_dies_before_the_end_is_recorded() {
    let steps = json!([{"text": "answer {hit}"}]);
    let scenario = json!({ "keys": { "sk-secret-a": steps } }).to_string();
    let scenario = Scenario::from_json(&scenario).unwrap();
    let endpoint = SimulatedEndpoint::start(scenario).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (jobs, sessions, conversations) = open(folder.path(), &endpoint.url()).await;
    let key = sessions.create(NewSession::of("ann")).await.unwrap().key;
    let document = Document::File("a.txt".to_owned(), "Bread is patient.".into());
    let submit = conversations.submit_training(&*jobs, &key, document, None, JobSpec::default());
    let trained = submit.await.unwrap();
    let mut dies = Process::of(
        "dies_before_its_end_is_recorded",
        folder.path(),
        &endpoint.url(),
    );
    let died = dies.0.wait().unwrap();
    assert!(!died.success(), "{died}");
    assert_eq!(sessions.get(&key).await.unwrap().turns, 1);
    let unsettled = jobs.find(&trained).await.unwrap();
    assert!(!unsettled.status.state.is_finished(), "{unsettled:?}");

    let _second = Process::start(folder.path(), &endpoint.url());
    let learned = result(jobs.wait(&trained, SOON).await.unwrap());
    assert_eq!(learned["text"], "answer 1");
    assert_eq!(sessions.get(&key).await.unwrap().turns, 1);
    assert_eq!(endpoint.requests().len(), 1);
}
