//! Conversations with a model, by the simulated endpoint, over real sessions.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;
use std::time::Duration;

use credential_rotation::connect;
use credential_rotation::conversation::jobs::{self, Document, GENERATION, TRAINING, stage};
use credential_rotation::conversation::{
    Brief, Conversation, ConversationSettings, Conversations, Material, Piece, Window,
};
use credential_rotation::job::worker::Worker;
use credential_rotation::job::{JobId, JobSpec, JobState, SharedJobs};
use credential_rotation::session::{FILE_LIMIT, Fence, Guard, NewSession, Range, SharedSessions};
use credential_rotation::testing::{Scenario, SimulatedEndpoint};
use credential_rotation::wrapper::{Wrapper, WrapperOptions};
use futures_util::StreamExt;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);

struct Place {
    endpoint: SimulatedEndpoint,
    sessions: SharedSessions,
    folder: tempfile::TempDir,
}

impl Place {
    async fn new(steps: Value) -> Self {
        let scenario = json!({ "keys": { "sk-secret-a": steps } }).to_string();
        let scenario = Scenario::from_json(&scenario).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("sessions.db").display());
        Self {
            endpoint: SimulatedEndpoint::start(scenario).await.unwrap(),
            sessions: connect::sessions(&url).await.unwrap(),
            folder,
        }
    }

    fn wrapper(&self) -> Wrapper {
        let options = json!({
            "provider": "anthropic", "base_url": self.endpoint.url(), "model": "sim-1",
            "max_retries": 0, "credentials": [{"id": "a", "secret": "sk-secret-a"}],
        });
        let options = WrapperOptions::from_json(&options.to_string());
        options.unwrap().build().unwrap()
    }

    fn conversations(&self) -> Conversations {
        Conversations::new(Arc::clone(&self.sessions), self.wrapper())
    }

    async fn open(&self, settings: ConversationSettings) -> Conversation {
        let new = NewSession::of("ann").with(|new| new.settings = settings.to_map());
        let session = self.sessions.create(new).await.unwrap();
        self.conversations().open(session.key)
    }

    async fn texts(&self, conversation: &Conversation) -> Vec<String> {
        let entries = self.sessions.last(conversation.key(), 99).await.unwrap();
        let text = |e: &credential_rotation::session::Entry| e.message.content.text();
        entries.iter().map(text).collect()
    }

    /// What the endpoint was last asked.
    fn asked(&self) -> Vec<String> {
        let body = self.endpoint.requests().pop().unwrap().body;
        let messages = body["messages"].as_array().unwrap();
        let text = |m: &Value| match &m["content"] {
            Value::String(text) => text.clone(),
            parts => parts[0]["text"].as_str().unwrap().to_owned(),
        };
        messages.iter().map(text).collect()
    }
}

fn lesson() -> Material {
    Material {
        title: "On bread".to_owned(),
        text: "Bread is patient. It waits for nobody.".to_owned(),
    }
}

fn brief(topic: &str) -> Brief {
    Brief {
        topic: topic.to_owned(),
        words: 120,
        audience: "bakers".to_owned(),
        fields: serde_json::Map::new(),
    }
}

#[tokio::test]
async fn a_session_is_trained_and_writes_what_it_learned() {
    let place = Place::new(json!([
        {"text": "answer {hit}", "times": 1, "usage": {"input_tokens": 100, "output_tokens": 3}},
        {"text": "answer {hit}", "times": 1, "usage": {"input_tokens": 150, "output_tokens": 4}},
        {"text": "answer {hit}"},
    ]))
    .await;
    let talk = place
        .open(ConversationSettings {
            system: Some("Be brief.".to_owned()),
            language: Some("it".to_owned()),
            ..ConversationSettings::default()
        })
        .await;
    let trained = talk.train(&lesson()).await.unwrap();
    assert_eq!(trained.session.training, [0, 1]);
    let body = place.endpoint.requests().pop().unwrap().body;
    assert!(body.to_string().contains("Be brief."), "{body}");
    assert!(place.asked()[0].contains("Scriverai testi"));
    let written = talk.generate(&brief("ovens")).await.unwrap();
    assert_eq!(written.text, "answer 2");
    assert!(written.usage.is_some() && written.trail.len() == 1);
    let asked = place.asked();
    assert_eq!(asked.len(), 3, "{asked:?}");
    assert!(asked[0].contains("Bread is patient"));
    assert!(asked[2].contains("ovens") && asked[2].contains("120"));
    let said = talk.send("Shorter, please").await.unwrap();
    assert_eq!((said.session.turns, said.session.messages), (3, 6));
    assert_eq!(place.asked().len(), 5);
    let entries = place.sessions.last(talk.key(), 9).await.unwrap();
    let tokens: Vec<_> = entries[..4].iter().map(|entry| entry.tokens).collect();
    // Of the 150 that were read, 103 had been counted before.
    assert_eq!(tokens, [Some(100), Some(3), Some(47), Some(4)]);
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_before_any_call() {
    let place = Place::new(json!([{}])).await;
    let talk = place.open(ConversationSettings::default()).await;
    let own = |name: &str, text: &str| ConversationSettings {
        templates: [(name.to_owned(), text.to_owned())].into(),
        ..ConversationSettings::default()
    };
    let odd = place.open(own("training", "{nothing}")).await;
    let tight = place
        .open(ConversationSettings {
            window: Some(Window {
                token_budget: Some(2),
                ..Window::default()
            }),
            ..ConversationSettings::default()
        })
        .await;
    let elsewhere = place
        .open(ConversationSettings {
            provider: Some("never".to_owned()),
            ..ConversationSettings::default()
        })
        .await;
    let unknown = place
        .conversations()
        .open(credential_rotation::session::SessionKey::new("bob", talk.key().id()).unwrap());
    let empty = Material::default();
    let mut wordless = brief("x");
    wordless.words = 0;
    let codes = [
        talk.generate(&brief("x")).await.unwrap_err().code(),
        talk.generate(&wordless).await.unwrap_err().code(),
        talk.train(&empty).await.unwrap_err().code(),
        talk.send(" \n").await.unwrap_err().code(),
        odd.train(&lesson()).await.unwrap_err().code(),
        tight
            .send("much more than two tokens")
            .await
            .unwrap_err()
            .code(),
        elsewhere.send("hello").await.unwrap_err().code(),
        unknown.send("hello").await.unwrap_err().code(),
        talk.generate(&brief(" ")).await.unwrap_err().code(),
    ];
    let wanted = [
        "not_trained",
        "invalid_conversation",
        "empty_document",
        "empty_prompt",
        "template_field",
        "window_too_small",
        "unknown_provider",
        "unknown_session",
        "template_field",
    ];
    assert_eq!(codes, wanted);
    assert_eq!(place.endpoint.hits_total(), 0);
    assert!(place.texts(&talk).await.is_empty());
}

#[tokio::test]
async fn a_turn_that_fails_or_is_dropped_leaves_the_session_as_it_was() {
    let place = Place::new(json!([
        {"text": "one"}, {"fault": "truncated", "after": 1}, {"text": "a b c d", "piece_ms": 50},
        {"text": "", "tool_calls": [{"name": "look"}]}, {"text": "two"},
    ]))
    .await;
    let talk = place.open(ConversationSettings::default()).await;
    talk.send("first").await.unwrap();
    let before = place.sessions.get(talk.key()).await.unwrap();
    let cut = talk.send("cut").await.unwrap_err();
    assert_eq!(cut.code(), "stream_interrupted");
    let mut dropped = talk.send_stream("dropped");
    let piece = dropped.next().await.unwrap().unwrap();
    assert!(matches!(piece, Piece::Text { .. }), "{piece:?}");
    drop(dropped);
    let silent = talk.send("silent").await.unwrap_err();
    assert_eq!(silent.code(), "no_answer");
    assert_eq!(place.sessions.get(talk.key()).await.unwrap(), before);
    talk.send("second").await.unwrap();
    assert_eq!(place.texts(&talk).await, ["first", "one", "second", "two"]);
    assert_eq!(place.asked(), ["first", "one", "second"]);
}

#[tokio::test]
async fn turns_of_one_session_go_one_after_the_other_and_sessions_beside_each_other() {
    let place = Place::new(json!([{"text": "re {prompt}", "delay_ms": 30}])).await;
    let one = place.open(ConversationSettings::default()).await;
    let other = place.open(ConversationSettings::default()).await;
    let say = |talk: &Conversation, n: usize| {
        let talk = talk.clone();
        async move { talk.send(&n.to_string()).await.unwrap() }
    };
    let turns = (0..12).map(|n| say([&one, &other][n % 2], n));
    futures_util::future::join_all(turns).await;
    for (talk, first) in [(&one, 0), (&other, 1)] {
        let texts = place.texts(talk).await;
        let wanted: Vec<String> = (0..6)
            .map(|n| n * 2 + first)
            .flat_map(|n| [n.to_string(), format!("re {n}")])
            .collect();
        assert_eq!(texts, wanted);
    }
}

#[tokio::test]
async fn a_session_that_was_cleared_meanwhile_takes_no_late_answer() {
    let place = Place::new(json!([{"text": "a b", "piece_ms": 100}])).await;
    let talk = place.open(ConversationSettings::default()).await;
    talk.send("first").await.unwrap();
    let mut late = talk.send_stream("late");
    late.next().await.unwrap().unwrap();
    let renamed = credential_rotation::session::Change {
        name: Some("new".into()),
        ..Default::default()
    };
    let key = talk.key();
    place
        .sessions
        .change(key, Guard::default(), renamed)
        .await
        .unwrap();
    let reply = late.into_reply().await.unwrap();
    assert_eq!(reply.session.turns, 2, "a new name costs no answer");
    let mut late = talk.send_stream("later");
    late.next().await.unwrap().unwrap();
    place.sessions.clear(key, Guard::default()).await.unwrap();
    assert_eq!(late.into_reply().await.unwrap_err().code(), "stale_version");
    assert!(place.texts(&talk).await.is_empty());
}

#[tokio::test]
async fn what_falls_out_of_the_window_is_summed_up_once() {
    let place = Place::new(json!([{"text": "answer {hit}"}])).await;
    let talk = place
        .open(ConversationSettings {
            window: Some(Window {
                last: 4,
                token_budget: None,
                summarise: true,
            }),
            ..ConversationSettings::default()
        })
        .await;
    for n in 0..3 {
        talk.send(&format!("question {n}")).await.unwrap();
    }
    assert_eq!(place.endpoint.hits_total(), 3);
    talk.send("question 3").await.unwrap();
    // One call to sum up the first turn, one for the question.
    assert_eq!(place.endpoint.hits_total(), 5);
    let asked = place.asked();
    assert_eq!(asked[0], "answer 4", "the summary comes first");
    assert_eq!(asked.last().unwrap(), "question 3");
    assert!(!asked.contains(&"question 0".to_owned()));
    talk.send("question 4").await.unwrap();
    let whole = place
        .sessions
        .read(talk.key(), Range::Last(99))
        .await
        .unwrap();
    assert!(whole.entries.len() >= 11, "messages are kept");
}

fn job(id: &str) -> JobSpec {
    JobSpec {
        id: Some(JobId::from_text(id).unwrap()),
        ..JobSpec::default()
    }
}

fn worker(jobs: &SharedJobs, conversations: &Conversations) -> Worker {
    let handler = jobs::handler(conversations);
    Worker::builder(Arc::clone(jobs))
        .lane(jobs::QUEUE, 4)
        .handler(TRAINING, Arc::clone(&handler))
        .handler(GENERATION, handler)
        .build()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn training_and_generation_run_as_jobs_in_order() {
    let place = Place::new(json!([{"text": "re {hit}"}])).await;
    let url = format!("sqlite:{}", place.folder.path().join("jobs.db").display());
    let jobs = connect::jobs(&url).await.unwrap();
    let conversations = place.conversations();
    let talk = place.open(ConversationSettings::default()).await;
    let key = talk.key();
    let text = Document::Text(lesson());
    let submit = conversations.submit_training(&*jobs, key, text, None, job("t"));
    let trained = submit.await.unwrap();
    let ovens = brief("ovens");
    let submit = conversations.submit_generation(&*jobs, key, &ovens, job("g"));
    let written = submit.await.unwrap();
    let waiting = jobs.find(&trained).await.unwrap();
    assert_eq!(stage(waiting.spec.kind(), waiting.status.state), "pending");
    let worker = worker(&jobs, &conversations);
    let handle = worker.handle();
    let running = tokio::spawn(worker.run(std::future::pending()));
    let done = jobs.wait(&written, SOON).await.unwrap();
    assert_eq!(done.status.state, JobState::Completed, "{done:?}");
    let result: Value = done.status.result.unwrap().read().unwrap();
    assert_eq!(result["text"], "re 2", "training came first");
    assert_eq!(result["session"], key.id());
    let trained = jobs.find(&trained).await.unwrap();
    assert_eq!(
        stage(trained.spec.kind(), trained.status.state),
        "completed"
    );
    let session = place.sessions.get(key).await.unwrap();
    assert_eq!((session.turns, session.jobs.len()), (2, 0));
    // A job for a session that is gone fails at once.
    place.sessions.delete(key, Guard::default()).await.unwrap();
    let submit = conversations.submit_generation(&*jobs, key, &ovens, job("h"));
    assert_eq!(submit.await.unwrap_err().code(), "unknown_session");
    handle.stop();
    running.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_called_off_while_the_model_speaks() {
    let slow: Vec<&str> = vec!["word "; 400];
    let place = Place::new(json!([{"pieces": slow, "piece_ms": 25}])).await;
    let jobs = connect::jobs("memory:").await.unwrap();
    let conversations = place.conversations();
    let talk = place.open(ConversationSettings::default()).await;
    let key = talk.key();
    let text = Document::Text(lesson());
    let submit = conversations.submit_training(&*jobs, key, text, None, job("t"));
    let id = submit.await.unwrap();
    let mut events = jobs.events().await.unwrap();
    let worker = worker(&jobs, &conversations);
    let handle = worker.handle();
    let running = tokio::spawn(worker.run(std::future::pending()));
    // Its first words have come.
    loop {
        let event = tokio::time::timeout(SOON, events.next())
            .await
            .unwrap()
            .unwrap();
        if serde_json::to_string(&event)
            .unwrap()
            .contains("words written")
        {
            break;
        }
    }
    jobs.cancel(std::slice::from_ref(&id)).await.unwrap();
    let ended = jobs.wait(&id, SOON).await.unwrap();
    assert_eq!(ended.status.state, JobState::Cancelled);
    assert!(place.texts(&talk).await.is_empty());
    handle.stop();
    running.await.unwrap().unwrap();
    assert_eq!(place.endpoint.in_flight(), 0, "the call has ended upstream");
    assert!(place.sessions.get(key).await.unwrap().jobs.is_empty());
}

#[tokio::test]
async fn a_job_takes_its_turn_once_however_often_it_is_tried() {
    let place = Place::new(json!([{"text": "answer {hit}"}])).await;
    let talk = place.open(ConversationSettings::default()).await;
    let attempt = |epoch| {
        talk.clone().fenced(Fence {
            job: JobId::from_text("j").unwrap(),
            epoch,
        })
    };
    let first = attempt(1).send("hello").await.unwrap();
    let again = attempt(2).send("hello").await.unwrap();
    assert!(again.repeated && !first.repeated);
    assert_eq!(again.text, first.text);
    assert_eq!(
        place.endpoint.hits_total(),
        1,
        "the answer was paid for once"
    );
    talk.send("between").await.unwrap();
    let late = attempt(1).send("late").await;
    assert!(late.is_err() || late.unwrap().repeated);
    assert_eq!(place.texts(&talk).await.len(), 4);
}

#[tokio::test]
async fn uploads_of_jobs_that_were_called_off_make_room() {
    let place = Place::new(json!([])).await;
    let url = format!("sqlite:{}", place.folder.path().join("jobs.db").display());
    let jobs = connect::jobs(&url).await.unwrap();
    let conversations = place.conversations();
    let talk = place.open(ConversationSettings::default()).await;
    let submit = |n: u64| {
        let file = Document::File("a.txt".to_owned(), "Bread is patient.".into());
        let job = job(&format!("job-{n}"));
        conversations.submit_training(&*jobs, talk.key(), file, None, job)
    };
    for n in 0..FILE_LIMIT {
        submit(n).await.unwrap();
    }
    let full = submit(90).await.unwrap_err();
    assert_eq!(full.code(), "session_too_large");
    let id = |n: u64| JobId::from_text(format!("job-{n}")).unwrap();
    jobs.cancel(&[id(3), id(5)]).await.unwrap();
    submit(91).await.unwrap();
    let files = place.sessions.files(talk.key()).await.unwrap();
    assert_eq!(files.len() as u64, FILE_LIMIT - 1);
    assert!(!files.iter().any(|name| name.ends_with("job-5")));
}
