//! Conversations with a model, by the simulated endpoint, over real sessions.
#![allow(clippy::unwrap_used, clippy::panic)]

mod servers;
mod talks;

use std::sync::Arc;
use std::time::Duration;

use credential_rotation::conversation::{
    Conversation, ConversationSettings, Conversations, Material, Piece, Window,
};
use credential_rotation::credential::pool::Want;
use credential_rotation::job::JobId;
use credential_rotation::provider::Message;
use credential_rotation::session::{
    Entry, EntryKind, Fence, Guard, NewMessage, NewTurn, Range, Session, TRAINING_LIMIT,
};
use credential_rotation::wrapper::WrapperOptions;
use futures_util::StreamExt;
use serde_json::{Value, json};

use talks::{Place, SOON, brief, lesson};

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
    let body = place.endpoint.requests().pop().unwrap().body;
    let marks: Vec<bool> = (0..3)
        .map(|at| body["messages"][at]["content"][0]["cache_control"].is_object())
        .collect();
    assert_eq!(marks, [false, true, false], "up to the training");
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_that_is_far_back_is_not_paid_for_again() {
    let redis = servers::redis_is_there().then(|| servers::Redis::start(&[]));
    let mut urls = vec![None, Some("memory:".to_owned())];
    urls.extend(redis.iter().map(|redis| Some(redis.url())));
    for url in urls {
        let place = Place::over(url.as_deref(), json!([{"text": "answer {hit}"}])).await;
        let talk = place.open(ConversationSettings::default()).await;
        let attempt = |epoch| {
            let job = JobId::from_text("j").unwrap();
            talk.clone().fenced(Fence { job, epoch })
        };
        attempt(1).send("hello").await.unwrap();
        for n in 0..100 {
            let turn = NewTurn::of(vec![Message::user(format!("said {n}"))]);
            let said = place.sessions.append(talk.key(), Guard::default(), turn);
            said.await.unwrap();
        }
        let again = attempt(2).send("hello").await.unwrap();
        assert!(again.repeated, "{url:?}");
        assert_eq!((&*again.text, again.session.turns), ("answer 1", 101));
        assert_eq!(place.endpoint.hits_total(), 1, "{url:?}");
    }
}

#[tokio::test]
async fn a_session_stays_with_its_credential_and_with_the_next_one_behind_a_limit() {
    let ok = |times: u64| json!({"text": "re", "times": times});
    let limited = json!({"fault": "rate_limited", "times": 1});
    let keys = json!({
        "sk-secret-a": [ok(3), limited, ok(99)], "sk-secret-b": [ok(99)], "sk-secret-c": [ok(99)],
    });
    let place = Place::of(None, keys).await;
    let wrapper = place.wrapper_of(&["a", "b", "c"], 2);
    // As many processes have it: each has a pool of its own.
    let other = place.wrapper_of(&["a", "b", "c"], 2);
    let talks = [&wrapper, &other].map(|wrapper| {
        let sessions = Arc::clone(&place.sessions);
        Conversations::new(sessions, wrapper.clone())
    });
    let one = place.open(ConversationSettings::default()).await;
    let two = place.open(ConversationSettings::default()).await;
    let say = async |talks: &Conversations, talk: &Conversation| {
        let reply = talks.open(talk.key().clone()).send("hello").await.unwrap();
        let by = reply.trail.last().unwrap().credential.clone();
        let read = place.sessions.read(talk.key(), Range::Last(0)).await;
        assert_eq!(read.unwrap().credential.as_deref(), Some(&*by));
        // Those who are shown a session do not learn of it.
        let shown = serde_json::to_value(&reply.session).unwrap();
        assert!(shown.get("credential").is_none(), "{shown}");
        by
    };
    for talks in [&talks[0], &talks[1], &talks[0]] {
        let by = (say(talks, &one).await, say(talks, &two).await);
        assert_eq!(by, ("a".to_owned(), "b".to_owned()));
    }
    // `a` says that it is limited: the session moves, and stays when `a` is back.
    let moved = say(&talks[0], &one).await;
    assert_ne!(moved, "a");
    wrapper.pool().admit("a").await.unwrap();
    for talks in [&talks[0], &talks[1], &talks[0]] {
        assert_eq!(say(talks, &one).await, moved);
        assert_eq!(say(talks, &two).await, "b");
    }
    // Sessions that begin are spread as the pool's strategy has it.
    let mut begun = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let talk = place.open(ConversationSettings::default()).await;
        begun.insert(say(&talks[0], &talk).await);
    }
    assert_eq!(begun.len(), 3);
}

#[tokio::test]
async fn a_session_leaves_a_credential_whose_endpoint_is_down() {
    let ok = |times: u64| json!({"text": "re", "times": times});
    let down = json!({"fault": "overloaded", "times": 99});
    let keys = json!({ "sk-secret-a": [ok(1), down], "sk-secret-b": [ok(99)] });
    let place = Place::of(None, keys).await;
    let wrapper = place.wrapper_of(&["a", "b"], 2);
    let talks = Conversations::new(Arc::clone(&place.sessions), wrapper);
    let talk = place.open(ConversationSettings::default()).await;
    for wanted in [&["a"][..], &["a", "b"], &["b"], &["b"]] {
        let reply = talks.open(talk.key().clone()).send("hello").await.unwrap();
        let by: Vec<_> = reply.trail.iter().map(|a| a.credential.as_str()).collect();
        assert_eq!(by, wanted);
    }
}

#[tokio::test]
async fn a_credential_in_use_is_replaced_for_one_turn_and_one_that_is_out_for_good() {
    let ok = json!([{"text": "re", "times": 99}]);
    let place = Place::of(None, json!({ "sk-secret-a": ok, "sk-secret-b": ok })).await;
    let one_call =
        |id: &str| json!({ "id": id, "secret": format!("sk-secret-{id}"), "concurrency": 1 });
    let options = json!({
        "provider": "anthropic", "base_url": place.endpoint.url(), "model": "sim-1",
        "credentials": [one_call("a"), one_call("b")],
    });
    let options = WrapperOptions::from_json(&options.to_string()).unwrap();
    let wrapper = options.build().unwrap();
    let talks = Conversations::new(Arc::clone(&place.sessions), wrapper.clone());
    let talk = place.open(ConversationSettings::default()).await;
    let say = async || {
        let reply = talks.open(talk.key().clone()).send("hello").await.unwrap();
        reply.trail.last().unwrap().credential.clone()
    };
    assert_eq!(say().await, "a");
    let want = Want {
        credential: Some("a"),
        ..Want::default()
    };
    let lease = wrapper.pool().try_acquire(&want).unwrap();
    assert_eq!((lease.credential().id(), say().await.as_str()), ("a", "b"));
    drop(lease);
    assert_eq!(say().await, "a", "it was only in use");
    wrapper.pool().cool("a", SOON, "test").await.unwrap();
    assert_eq!(say().await, "b");
    wrapper.pool().admit("a").await.unwrap();
    assert_eq!(say().await, "b", "it was out");
}

/// A window of so many messages, summed up.
fn summing(last: u64) -> ConversationSettings {
    let window = Window {
        last,
        token_budget: None,
        summarise: true,
    };
    ConversationSettings {
        window: Some(window),
        ..ConversationSettings::default()
    }
}

/// Up to which place a session is summed up.
async fn covered(place: &Place, session: &Session) -> u64 {
    let Some(at) = session.summary else {
        return 0;
    };
    let range = Range::From {
        place: at,
        limit: 1,
    };
    let read = place.sessions.read(&session.key, range).await.unwrap();
    read.entries[0].message.extra["covers"].as_u64().unwrap()
}

#[tokio::test]
async fn every_message_is_sent_or_summed_up() {
    let place = Place::new(json!([{"text": "answer {hit}"}])).await;
    let talk = place.open(summing(40)).await;
    talk.train(&lesson()).await.unwrap();
    for turn in 0..75 {
        let before = place.sessions.last(talk.key(), 999).await.unwrap();
        let reply = talk.send(&format!("question {turn}")).await.unwrap();
        let (asked, covers) = (place.asked(), covered(&place, &reply.session).await);
        let lacks = |entry: &&Entry| {
            entry.kind == EntryKind::Talk
                && entry.place >= covers
                && !asked.contains(&entry.message.content.text())
        };
        assert_eq!(before.iter().find(lacks), None, "turn {turn}");
        assert!(asked.len() <= 2 + 1 + 60 + 1, "{}", asked.len());
    }
    // 75 turns and the training, and a summary for each half window.
    assert_eq!(place.endpoint.hits_total(), 76 + 5);
}

#[tokio::test]
async fn a_long_past_is_summed_up_in_parts() {
    let place = Place::new(json!([{"text": "answer {hit}"}])).await;
    let talk = place.open(summing(40)).await;
    let said = |n: u64| NewTurn::of(vec![Message::user(format!("said {n} {}", "x".repeat(400)))]);
    for n in 0..500 {
        let guard = Guard::default();
        place
            .sessions
            .append(talk.key(), guard, said(n))
            .await
            .unwrap();
    }
    let mut before = 0;
    for turn in 0..6 {
        let reply = talk.send(&format!("question {turn}")).await.unwrap();
        let covers = covered(&place, &reply.session).await;
        assert!(covers > before || covers >= 460, "{covers} behind {before}");
        assert!(covers - before <= 100, "{covers} behind {before}");
        before = covers;
    }
    assert!(before >= 460, "{before}");
    let longest = |body: &Value| body["messages"].to_string().len();
    let requests = place.endpoint.requests();
    let longest = requests.iter().map(|request| longest(&request.body)).max();
    assert!(longest.unwrap() < 70_000, "{longest:?}");
}

#[tokio::test]
async fn where_the_model_cannot_sum_up_more_is_sent_and_it_is_asked_again_later() {
    let ok = |times: u64| json!({"text": "answer {hit}", "times": times});
    let fault = json!({"fault": "server_error", "times": 1});
    let place = Place::new(json!([ok(3), fault, ok(1), fault, {"text": "answer {hit}"}])).await;
    let talk = place.open(summing(4)).await;
    for turn in 0..4 {
        talk.send(&format!("question {turn}")).await.unwrap();
    }
    assert_eq!(
        place.endpoint.hits_total(),
        5,
        "one failed, and cost no turn"
    );
    assert_eq!(place.asked().len(), 7, "all of it is sent");
    let reply = talk.send("question 4").await.unwrap();
    assert_eq!(place.endpoint.hits_total(), 7, "and another one");
    assert_eq!((reply.session.summary, place.asked().len()), (None, 9));
    let reply = talk.send("question 5").await.unwrap();
    assert!(reply.session.summary.is_some());
    assert!(
        place.asked()[0].starts_with("answer"),
        "{:?}",
        place.asked()
    );
}

#[tokio::test]
async fn a_turn_that_fails_leaves_no_summary_and_one_that_is_taken_back_takes_it_along() {
    let ok = |times: u64| json!({"text": "answer {hit}", "times": times});
    let fault = json!({"fault": "server_error", "times": 1});
    let place = Place::new(json!([ok(4), fault, ok(9)])).await;
    let talk = place.open(summing(4)).await;
    for turn in 0..3 {
        talk.send(&format!("question {turn}")).await.unwrap();
    }
    let before = place.sessions.get(talk.key()).await.unwrap();
    talk.send("question 3").await.unwrap_err();
    assert_eq!(place.endpoint.hits_total(), 5, "its summary was made");
    assert_eq!(place.sessions.get(talk.key()).await.unwrap(), before);
    let reply = talk.send("question 3").await.unwrap();
    let session = &reply.session;
    assert_eq!(
        (session.summary, session.messages, session.turns),
        (Some(6), 9, 4)
    );
    let popped = place
        .sessions
        .pop(talk.key(), Guard::default())
        .await
        .unwrap();
    assert_eq!(
        (popped.summary, popped.messages, popped.turns),
        (None, 6, 3)
    );
}

#[tokio::test]
async fn italian_sessions_are_prompted_in_italian() {
    let place = Place::new(json!([{"text": "risposta {hit}"}])).await;
    let talk = place
        .open(ConversationSettings {
            language: Some("it".to_owned()),
            ..summing(4)
        })
        .await;
    talk.train(&lesson()).await.unwrap();
    talk.generate(&brief("forni")).await.unwrap();
    assert!(place.asked()[2].starts_with("Scrivi un testo su forni"));
    for turn in 0..3 {
        talk.send(&format!("domanda {turn}")).await.unwrap();
    }
    let summary = place
        .endpoint
        .requests()
        .into_iter()
        .map(|request| request.body);
    let asked = |body: &Value| {
        body["messages"]
            .to_string()
            .contains("Riassumi la conversazione")
    };
    assert_eq!(summary.filter(asked).count(), 1);
}

#[tokio::test]
async fn a_text_of_that_length_is_asked_for_and_a_cut_one_is_said_to_be() {
    let cut = json!({"text": "It ends in the mid", "finish_reason": "max_tokens", "times": 1});
    let place = Place::new(json!([{"text": "I see", "times": 1}, cut, {"text": "whole"}])).await;
    let talk = place.open(ConversationSettings::default()).await;
    let limit = || place.endpoint.requests().pop().unwrap().body["max_tokens"].clone();
    talk.train(&lesson()).await.unwrap();
    let mut long = brief("ovens");
    long.words = 4_000;
    let reply = talk.generate(&long).await.unwrap();
    assert!(reply.truncated);
    assert_eq!(reply.finish_reason.as_deref(), Some("max_tokens"));
    assert_eq!(limit(), 12_000);
    let reply = talk.generate(&brief("salt")).await.unwrap();
    assert!(!reply.truncated, "{:?}", reply.finish_reason);
    assert_eq!(limit(), 4_096);
    // The mark stays with the message, and is not sent.
    let entries = place.sessions.last(talk.key(), 3).await.unwrap();
    assert_eq!(entries[0].message.extra["truncated"], true);
    let sent = place.endpoint.requests().pop().unwrap().body.to_string();
    assert!(!sent.contains("truncated"), "{sent}");
}

#[tokio::test]
async fn the_settings_of_a_session_are_those_of_its_requests() {
    let place = Place::new(json!([{"text": "re"}])).await;
    let other = Place::new(json!([{"text": "elsewhere"}])).await;
    let settings = ConversationSettings {
        model: Some("sim-2".to_owned()),
        provider: Some("other".to_owned()),
        max_tokens: Some(77),
        temperature: Some(0.25),
        ..ConversationSettings::default()
    };
    let talk = place.open(settings).await;
    let talks = place.conversations().with_wrapper("other", other.wrapper());
    let talk = talks.open(talk.key().clone());
    assert_eq!(talk.send("hello").await.unwrap().text, "elsewhere");
    let body = other.endpoint.requests().pop().unwrap().body;
    assert_eq!(body["model"], "sim-2");
    assert_eq!(
        (&body["max_tokens"], &body["temperature"]),
        (&json!(77), &json!(0.25))
    );
    assert_eq!(place.endpoint.hits_total(), 0);
}

#[tokio::test]
async fn a_turn_that_nobody_reads_holds_up_others_for_a_time_only() {
    let place = Place::new(json!([{"text": "a b", "piece_ms": 5}])).await;
    let talk = place.open(ConversationSettings::default()).await;
    let talks = place
        .conversations()
        .with_waiting(1, Duration::from_millis(50));
    let talk = talks.open(talk.key().clone());
    let mut unread = talk.send_stream("unread");
    unread.next().await.unwrap().unwrap();
    let (one, other) = tokio::join!(talk.send("one"), talk.send("other"));
    for busy in [one.unwrap_err(), other.unwrap_err()] {
        assert_eq!(busy.code(), "session_busy", "{busy}");
    }
    let elsewhere = place.open(ConversationSettings::default()).await;
    talks
        .open(elsewhere.key().clone())
        .send("hello")
        .await
        .unwrap();
    drop(unread);
    talk.send("now").await.unwrap();
    assert_eq!(place.texts(&talk).await.len(), 2);
}

#[tokio::test]
async fn what_the_session_has_no_room_for_is_refused_before_it_is_paid_for() {
    let place = Place::new(json!([{"text": "re"}])).await;
    let talk = place.open(ConversationSettings::default()).await;
    // A control character takes six bytes as JSON.
    let long = talk.send(&"\u{1}".repeat(2 << 20)).await.unwrap_err();
    assert_eq!(long.code(), "session_too_large");
    let lesson_of = |n: usize| NewMessage {
        kind: EntryKind::Training,
        ..Message::user(format!("lesson {n}")).into()
    };
    let messages = (0..TRAINING_LIMIT - 1).map(lesson_of).collect();
    let turn = NewTurn {
        messages,
        ..NewTurn::default()
    };
    place
        .sessions
        .append(talk.key(), Guard::default(), turn)
        .await
        .unwrap();
    let taught = talk.train(&lesson()).await.unwrap_err();
    assert_eq!(taught.code(), "session_too_large");
    assert_eq!(place.endpoint.hits_total(), 0);
    talk.send("hello").await.unwrap();
}
