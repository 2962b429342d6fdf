//! Training and generation as jobs, over every backend.
#![allow(clippy::unwrap_used, clippy::panic)]

mod servers;
mod talks;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use credential_rotation::connect;
use credential_rotation::conversation::jobs::{self, Document, TRAINING, stage};
use credential_rotation::conversation::{Brief, ConversationSettings, Conversations};
use credential_rotation::job::memory::MemoryJobs;
use credential_rotation::job::worker::{Context, Handler, HandlerError, Handlers, Worker};
use credential_rotation::job::{Job, JobFilter, JobId, JobSpec, JobState, RetryPolicy, SharedJobs};
use credential_rotation::session::{FILE_LIMIT, Guard, NewSession, SessionKey};
use credential_rotation::testing::{ManualClock, drain_until_idle};
use futures_util::StreamExt;
use serde_json::{Map, Value, json};

use servers::Redis;
use talks::{Gate, Place, Running, SOON, brief, handlers, job, lesson, worker};

/// Jobs over a clock set by hand.
fn by_hand() -> (SharedJobs, ManualClock) {
    let clock = ManualClock::default();
    let jobs = MemoryJobs::with_clock(Arc::new(clock.clone()));
    (Arc::new(jobs), clock)
}

/// Jobs in memory, and those who do them.
async fn in_memory(place: &Place) -> (SharedJobs, Conversations) {
    let jobs = connect::jobs("memory:").await.unwrap();
    (jobs, place.conversations())
}

/// The same with jobs in a file.
async fn in_a_file(place: &Place) -> (SharedJobs, Conversations) {
    let url = format!("sqlite:{}", place.folder.path().join("jobs.db").display());
    let jobs = connect::jobs(&url).await.unwrap();
    (jobs, place.conversations())
}

const BREAD: &str = "Bread is patient.";

fn file(text: &'static str) -> Document {
    Document::File("a.txt".to_owned(), text.into())
}

async fn train(talks: &Conversations, jobs: &SharedJobs, key: &SessionKey, spec: JobSpec) -> JobId {
    let text = Document::Text(lesson());
    let submitted = talks.submit_training(&**jobs, key, text, None, spec);
    submitted.await.unwrap()
}

async fn write(
    talks: &Conversations,
    jobs: &SharedJobs,
    key: &SessionKey,
    topic: &str,
    spec: JobSpec,
) -> JobId {
    let brief = brief(topic);
    let submitted = talks.submit_generation(&**jobs, key, &brief, spec);
    submitted.await.unwrap()
}

async fn state(jobs: &SharedJobs, id: &JobId) -> JobState {
    jobs.find(id).await.unwrap().status.state
}

fn result(job: Job) -> Value {
    assert_eq!(job.status.state, JobState::Completed, "{job:?}");
    job.status.result.unwrap().read().unwrap()
}

fn why(job: &Job) -> &str {
    job.status.error.as_ref().map_or("", |error| &error.kind)
}

/// Jobs that are tried again soon.
fn soon(id: &str) -> JobSpec {
    let mut spec = job(id);
    spec.retry = RetryPolicy::Fixed {
        delay_ms: 50,
        jitter: 0.0,
    };
    spec
}

#[tokio::test]
async fn what_is_written_waits_for_a_training_that_rests_before_another_attempt() {
    let fault = json!({"fault": "server_error", "times": 1});
    let ok = json!({"text": "re {hit}", "times": 1});
    let place = Place::new(json!([fault, ok, fault, {"text": "re {hit}"}])).await;
    let (jobs, clock) = by_hand();
    let talks = place.conversations();
    let talk = place.open(ConversationSettings::default()).await;
    let key = talk.key();
    let trained = train(&talks, &jobs, key, job("t")).await;
    let first = write(&talks, &jobs, key, "first", job("g1")).await;
    let last = write(
        &talks,
        &jobs,
        key,
        "last",
        job("g2").with(|job| job.priority = 9),
    )
    .await;
    drain_until_idle(&jobs, handlers(&talks)).await.unwrap();
    assert_eq!(place.endpoint.hits_total(), 1, "others wait for it");
    for id in [&trained, &first, &last] {
        assert_eq!(state(&jobs, id).await, JobState::Delayed);
    }
    let mut order = Vec::new();
    for _ in 0..20 {
        clock.advance(Duration::from_millis(700));
        drain_until_idle(&jobs, handlers(&talks)).await.unwrap();
        for id in [&last, &first, &trained] {
            if !order.contains(id) && state(&jobs, id).await == JobState::Completed {
                order.push(id.clone());
            }
        }
    }
    assert_eq!(order, [trained, first.clone(), last]);
    let job = jobs.find(&first).await.unwrap();
    assert_eq!(job.status.attempt, 2, "waiting costs no attempt");
    let texts = place.texts(&talk).await;
    assert!(
        texts[2].contains("first") && texts[4].contains("last"),
        "{texts:?}"
    );
    assert!(place.sessions.get(key).await.unwrap().jobs.is_empty());
}

#[tokio::test]
async fn jobs_that_ended_unheard_or_are_for_later_hold_up_nobody() {
    let place = Place::new(json!([{"text": "re {hit}"}])).await;
    let (jobs, talks) = in_memory(&place).await;
    let talk = place.open(ConversationSettings::default()).await;
    let key = talk.key();
    train(
        &talks,
        &jobs,
        key,
        job("later").after(Duration::from_secs(3_600)),
    )
    .await;
    let called_off = train(&talks, &jobs, key, job("called off")).await;
    let deleted = train(&talks, &jobs, key, job("deleted")).await;
    let trained = train(&talks, &jobs, key, job("t")).await;
    jobs.cancel(&[called_off]).await.unwrap();
    jobs.delete(&[deleted]).await.unwrap();
    drain_until_idle(&jobs, handlers(&talks)).await.unwrap();
    assert_eq!(state(&jobs, &trained).await, JobState::Completed);
    let attached = place.sessions.get(key).await.unwrap().jobs;
    assert!(
        !attached
            .iter()
            .any(|job| job.id.as_str().starts_with("called")),
        "{attached:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_keep_the_order_of_turns_over_every_backend() {
    let redis = servers::redis_is_there().then(|| Redis::start(&[]));
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
    let mut places = vec![
        ("memory:".to_owned(), "memory:".to_owned()),
        (file("jobs.db"), file("sessions.db")),
    ];
    if let Some(redis) = &redis {
        let url = format!("redis://127.0.0.1:{}/", redis.port);
        places.push((url.clone(), url));
    }
    for (at, sessions) in places {
        let fault = json!({"fault": "server_error", "times": 1});
        let ok = json!({"text": "re {hit}", "times": 1});
        let steps = json!([fault, ok, fault, fault, {"text": "re {hit}"}]);
        let place = Place::over(Some(&sessions), steps).await;
        let jobs = connect::jobs(&at).await.unwrap();
        let talks = place.conversations();
        let talk = place.open(ConversationSettings::default()).await;
        let key = talk.key();
        train(&talks, &jobs, key, soon("t")).await;
        let topics = ["one", "two", "three", "four"];
        let mut ids = Vec::new();
        for topic in topics {
            ids.push(write(&talks, &jobs, key, topic, soon(topic)).await);
        }
        let running = [(); 2].map(|()| Running::start(worker(&jobs, &talks)));
        for id in &ids {
            result(jobs.wait(id, SOON).await.unwrap());
        }
        for worker in running {
            worker.stop().await;
        }
        let texts = place.texts(&talk).await;
        let asked = texts.iter().skip(2).step_by(2);
        for (text, topic) in asked.zip(topics) {
            assert!(
                text.contains(&format!("about {topic} for")),
                "{at}: {texts:?}"
            );
        }
        assert_eq!((texts.len(), place.endpoint.hits_total()), (10, 8), "{at}");
    }
}

#[tokio::test]
async fn a_turn_that_was_written_before_its_worker_died_is_not_taken_again() {
    let place = Place::new(json!([{"text": "answer {hit}"}])).await;
    let (jobs, talks) = in_memory(&place).await;
    let talk = place.open(ConversationSettings::default()).await;
    let spec = job("t").with(|job| job.max_attempts = 1);
    let submitted = talks.submit_training(&*jobs, talk.key(), file(BREAD), None, spec);
    let trained = submitted.await.unwrap();
    // The first attempt's end is not recorded.
    let (inner, died) = (jobs::handler(&talks), Arc::new(AtomicBool::new(false)));
    let dies = move |job: Context| {
        let (inner, died) = (Arc::clone(&inner), Arc::clone(&died));
        async move {
            let done = inner.run(job).await;
            match died.swap(true, Ordering::SeqCst) {
                false => Err(HandlerError::Snooze(Duration::ZERO)),
                true => done,
            }
        }
    };
    let handlers = Handlers::new().on(TRAINING, dies);
    drain_until_idle(&jobs, handlers).await.unwrap();
    let result = result(jobs.find(&trained).await.unwrap());
    assert_eq!(
        (&result["text"], &result["title"]),
        (&json!("answer 1"), &json!("a.txt"))
    );
    assert_eq!(
        place.endpoint.hits_total(),
        1,
        "the answer was paid for once"
    );
    assert_eq!(place.texts(&talk).await.len(), 2);
    let files = place.sessions.files(talk.key()).await.unwrap();
    assert!(files.is_empty(), "{files:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_all_credentials_rest_a_job_rests_too_with_its_file() {
    let throttled = json!({"fault": "rate_limited", "retry_after": 1, "times": 1});
    let place = Place::new(json!([throttled, {"text": "at last"}])).await;
    let (jobs, talks) = in_memory(&place).await;
    let talk = place.open(ConversationSettings::default()).await;
    talks
        .open(talk.key().clone())
        .send("hello")
        .await
        .unwrap_err();
    let spec = job("t").with(|job| job.max_attempts = 1);
    let submitted = talks.submit_training(&*jobs, talk.key(), file(BREAD), None, spec);
    let trained = submitted.await.unwrap();
    drain_until_idle(&jobs, handlers(&talks)).await.unwrap();
    let resting = jobs.find(&trained).await.unwrap().status;
    assert_eq!((resting.state, resting.attempt), (JobState::Delayed, 0));
    let running = Running::start(worker(&jobs, &talks));
    let done = result(jobs.wait(&trained, SOON).await.unwrap());
    assert_eq!(done["text"], "at last");
    running.stop().await;
}

#[tokio::test]
async fn a_job_writes_nothing_into_a_session_made_anew_under_its_name() {
    let place = Place::new(json!([{"text": "a b", "piece_ms": 20}])).await;
    let (jobs, talks) = in_memory(&place).await;
    let new = NewSession::of("ann").with_id("s");
    let key = place.sessions.create(new.clone()).await.unwrap().key;
    let anew = async || {
        place.sessions.delete(&key, Guard::default()).await.unwrap();
        place.sessions.create(new.clone()).await.unwrap();
    };
    let id = train(&talks, &jobs, &key, job("t")).await;
    anew().await;
    drain_until_idle(&jobs, handlers(&talks)).await.unwrap();
    let ended = jobs.find(&id).await.unwrap();
    assert_eq!(
        (ended.status.state, why(&ended)),
        (JobState::Failed, "unknown_session")
    );
    assert_eq!(place.endpoint.hits_total(), 0);
    // The same while the model speaks.
    let mut late = talks.open(key.clone()).send_stream("hello");
    late.next().await.unwrap().unwrap();
    anew().await;
    let error = late.into_reply().await.unwrap_err();
    assert_eq!(error.code(), "unknown_session");
    let session = place.sessions.get(&key).await.unwrap();
    assert_eq!((session.messages, session.jobs.len()), (0, 0));
}

#[tokio::test]
async fn a_session_with_unfinished_jobs_is_not_cleaned_up() {
    let place = Place::new(json!([
        {"fault": "server_error", "times": 1}, {"text": "re {hit}"}
    ]))
    .await;
    let ((jobs, clock), talks) = (by_hand(), place.conversations());
    let talk = place.open(ConversationSettings::default()).await;
    let clean_up = async || place.sessions.clean_up(Duration::ZERO).await.unwrap();
    train(&talks, &jobs, talk.key(), job("t")).await;
    assert_eq!(clean_up().await, 0, "it was accepted");
    drain_until_idle(&jobs, handlers(&talks)).await.unwrap();
    assert_eq!(clean_up().await, 0, "it is tried again");
    clock.advance(Duration::from_secs(5));
    drain_until_idle(&jobs, handlers(&talks)).await.unwrap();
    assert_eq!(place.texts(&talk).await.len(), 2);
    assert_eq!(clean_up().await, 1, "it is done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_is_called_off_while_its_turn_is_written_is_done() {
    let mut gate = None;
    let place = Place::new(json!([{"text": "a b"}])).await.with(|sessions| {
        gate = Some(Gate::before(sessions));
        Arc::clone(gate.as_ref().unwrap()) as _
    });
    let gate = gate.unwrap();
    let (jobs, talks) = in_memory(&place).await;
    let talk = place.open(ConversationSettings::default()).await;
    let id = train(&talks, &jobs, talk.key(), job("t")).await;
    // The write goes on once the attempt has been told to end.
    let (inner, opens) = (jobs::handler(&talks), Arc::clone(&gate));
    let told = move |job: Context| {
        let (inner, opens) = (Arc::clone(&inner), Arc::clone(&opens));
        async move {
            let cancelled = job.cancelled();
            tokio::spawn(async move {
                cancelled.cancelled().await;
                opens.go.notify_one();
            });
            inner.run(job).await
        }
    };
    let worker = Worker::builder(Arc::clone(&jobs))
        .lane(jobs::QUEUE, 1)
        .handler(TRAINING, told)
        .build()
        .unwrap();
    let running = Running::start(worker);
    tokio::time::timeout(SOON, gate.came.notified())
        .await
        .unwrap();
    jobs.cancel(std::slice::from_ref(&id)).await.unwrap();
    let done = result(jobs.wait(&id, SOON).await.unwrap());
    assert_eq!(done["text"], "a b");
    assert_eq!(place.texts(&talk).await.len(), 2);
    running.stop().await;
}

#[tokio::test]
async fn an_id_that_is_used_again_is_another_job() {
    let place = Place::new(json!([{"text": "answer {hit}"}])).await;
    let (jobs, talks) = in_memory(&place).await;
    let talk = place.open(ConversationSettings::default()).await;
    let key = talk.key();
    talk.train(&lesson()).await.unwrap();
    let daily = || job("daily").with(|job| job.max_attempts = 1);
    for day in 2..5 {
        let id = write(&talks, &jobs, key, &format!("day {day}"), daily()).await;
        drain_until_idle(&jobs, handlers(&talks)).await.unwrap();
        let result = result(jobs.find(&id).await.unwrap());
        assert_eq!(result["text"], format!("answer {day}"));
        jobs.delete(&[id]).await.unwrap();
    }
    // In two queues at once.
    for (queue, answer) in [("b", 5), ("a", 6)] {
        let spec = daily().with(|job| job.queue = queue.into());
        write(&talks, &jobs, key, queue, spec).await;
        drain_until_idle(&jobs, handlers(&talks)).await.unwrap();
        let last = place.texts(&talk).await.pop().unwrap();
        assert_eq!(last, format!("answer {answer}"));
    }
}

#[tokio::test]
async fn sessions_of_all_owners_have_names_of_their_own_among_jobs() {
    let place = Place::new(json!([{"text": "re {hit}"}])).await;
    let (jobs, talks) = in_memory(&place).await;
    let long = "x".repeat(200);
    let pairs = [
        ("acme", "ann/s"),
        ("acme/ann", "s"),
        ("acme%2Fann", "s"),
        ("bob", "s"),
        (long.as_str(), "s"),
        (long.as_str(), "t"),
    ];
    let mut names = Vec::new();
    for (owner, id) in pairs {
        let new = NewSession::of(owner).with_id(id);
        let key = place.sessions.create(new).await.unwrap().key;
        let job = train(&talks, &jobs, &key, JobSpec::default()).await;
        let session = jobs::session_name(&key);
        let filter = JobFilter {
            session: Some(session.clone()),
            ..JobFilter::default()
        };
        let found = jobs.list(&filter).await.unwrap().jobs;
        assert_eq!(found.len(), 1, "{owner} {id}");
        assert_eq!(found[0].id, job);
        assert_eq!(found[0].spec.group.as_deref(), Some(&*session));
        names.push(session);
    }
    assert_eq!(names[..2], ["acme/ann/s", "acme%2Fann/s"]);
}

#[tokio::test]
async fn fields_of_a_brief_may_have_any_names() {
    let place = Place::new(json!([{"text": "re {hit}"}])).await;
    let (jobs, talks) = in_memory(&place).await;
    let own = "On {topic} by {owner} in {session}: {what}, {ticket}";
    let talk = place
        .open(ConversationSettings {
            templates: [("generation".to_owned(), own.to_owned())].into(),
            ..ConversationSettings::default()
        })
        .await;
    talk.train(&lesson()).await.unwrap();
    let mut fields = Map::new();
    for name in ["owner", "session", "what", "ticket"] {
        fields.insert(name.to_owned(), json!(name.to_uppercase()));
    }
    let brief = Brief {
        fields,
        ..brief("ovens")
    };
    let submitted = talks.submit_generation(&*jobs, talk.key(), &brief, job("g"));
    let id = submitted.await.unwrap();
    drain_until_idle(&jobs, handlers(&talks)).await.unwrap();
    result(jobs.find(&id).await.unwrap());
    let asked = place.asked().pop().unwrap();
    assert_eq!(asked, "On ovens by OWNER in SESSION: WHAT, TICKET");
}

#[tokio::test]
async fn a_job_that_is_there_already_leaves_nothing_and_loses_nothing() {
    let place = Place::new(json!([{"text": "re {hit}"}])).await;
    let (jobs, talks) = in_memory(&place).await;
    let talk = place.open(ConversationSettings::default()).await;
    let key = talk.key();
    let submit = async |text: &'static str, spec: JobSpec| {
        let submitted = talks.submit_training(&*jobs, key, file(text), None, spec);
        submitted.await
    };
    let unique = || JobSpec::default().with(|job| job.unique_key = Some("k".into()));
    let first = submit("The first.", unique()).await.unwrap();
    assert_eq!(submit("The second.", unique()).await.unwrap(), first);
    submit("The third.", job("j")).await.unwrap();
    submit("The fourth.", job("j")).await.unwrap();
    let odd = job("k").with(|job| job.queue = "no queue".into());
    assert_eq!(submit("Odd", odd).await.unwrap_err().code(), "invalid_job");
    let long = job(&"x".repeat(151));
    assert_eq!(
        submit("Long", long).await.unwrap_err().code(),
        "invalid_job"
    );
    let session = place.sessions.get(key).await.unwrap();
    assert_eq!(place.sessions.files(key).await.unwrap().len(), 2);
    assert_eq!(session.jobs.len(), 2);
    drain_until_idle(&jobs, handlers(&talks)).await.unwrap();
    let texts = place.texts(&talk).await;
    assert!(
        texts[0].contains("The first.") && texts[2].contains("The third."),
        "{texts:?}"
    );
}

#[tokio::test]
async fn a_session_has_64_unfinished_jobs_and_those_called_off_make_room() {
    let place = Place::new(json!([])).await;
    let (jobs, talks) = in_memory(&place).await;
    let talk = place.open(ConversationSettings::default()).await;
    let mut ids = Vec::new();
    for _ in 0..64 {
        ids.push(train(&talks, &jobs, talk.key(), JobSpec::default()).await);
    }
    let text = Document::Text(lesson());
    let submit = talks.submit_training(&*jobs, talk.key(), text, None, JobSpec::default());
    let full = submit.await.unwrap_err();
    assert_eq!(full.code(), "session_too_large");
    assert!(full.to_string().contains("let some of them end"), "{full}");
    jobs.cancel(&ids[3..5]).await.unwrap();
    train(&talks, &jobs, talk.key(), JobSpec::default()).await;
    assert_eq!(place.sessions.get(talk.key()).await.unwrap().jobs.len(), 63);
}

#[tokio::test]
async fn a_text_that_was_cut_is_said_to_be_in_the_jobs_result() {
    let cut = json!({"text": "It ends in the mid", "finish_reason": "max_tokens", "times": 1});
    let place = Place::new(json!([{"text": "re", "times": 1}, cut, {"text": "whole"}])).await;
    let (jobs, talks) = in_memory(&place).await;
    let talk = place.open(ConversationSettings::default()).await;
    talk.train(&lesson()).await.unwrap();
    for (id, reason, truncated) in [("a", "max_tokens", true), ("b", "end_turn", false)] {
        let id = write(&talks, &jobs, talk.key(), "ovens", job(id)).await;
        drain_until_idle(&jobs, handlers(&talks)).await.unwrap();
        let result = result(jobs.find(&id).await.unwrap());
        assert_eq!(result["finish_reason"], reason);
        assert_eq!(result["truncated"], truncated);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn training_and_generation_run_as_jobs_in_order() {
    let place = Place::new(json!([{"text": "re {hit}"}])).await;
    let (jobs, talks) = in_a_file(&place).await;
    let talk = place.open(ConversationSettings::default()).await;
    let key = talk.key();
    let trained = train(&talks, &jobs, key, job("t")).await;
    let written = write(&talks, &jobs, key, "ovens", job("g")).await;
    let waiting = jobs.find(&trained).await.unwrap();
    assert_eq!(stage(waiting.spec.kind(), waiting.status.state), "pending");
    let running = Running::start(worker(&jobs, &talks));
    let result = result(jobs.wait(&written, SOON).await.unwrap());
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
    let ovens = brief("ovens");
    let submit = talks.submit_generation(&*jobs, key, &ovens, job("h"));
    assert_eq!(submit.await.unwrap_err().code(), "unknown_session");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_called_off_while_the_model_speaks() {
    let slow: Vec<&str> = vec!["word "; 400];
    let place = Place::new(json!([{"pieces": slow, "piece_ms": 25}])).await;
    let (jobs, talks) = in_memory(&place).await;
    let talk = place.open(ConversationSettings::default()).await;
    let key = talk.key();
    let id = train(&talks, &jobs, key, job("t")).await;
    let mut events = jobs.events().await.unwrap();
    let running = Running::start(worker(&jobs, &talks));
    // Its first words have come.
    loop {
        let event = tokio::time::timeout(SOON, events.next())
            .await
            .unwrap()
            .unwrap();
        let told = serde_json::to_string(&event).unwrap();
        if told.contains("words written") {
            assert!(told.contains("tokens)"), "{told}");
            break;
        }
    }
    jobs.cancel(std::slice::from_ref(&id)).await.unwrap();
    let ended = jobs.wait(&id, SOON).await.unwrap();
    assert_eq!(ended.status.state, JobState::Cancelled);
    assert!(place.texts(&talk).await.is_empty());
    running.stop().await;
    assert_eq!(place.endpoint.in_flight(), 0, "the call has ended upstream");
    assert!(place.sessions.get(key).await.unwrap().jobs.is_empty());
}

#[tokio::test]
async fn uploads_of_jobs_that_were_called_off_make_room() {
    let place = Place::new(json!([])).await;
    let (jobs, talks) = in_a_file(&place).await;
    let talk = place.open(ConversationSettings::default()).await;
    let submit = |n: u64| {
        let job = job(&format!("job-{n}"));
        talks.submit_training(&*jobs, talk.key(), file(BREAD), None, job)
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
    assert!(!files.iter().any(|name| name.contains("job-5")));
}
