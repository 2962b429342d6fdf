//! `jobs`, `queues` and `status`: looking after jobs in a file and at a server.

use std::io::{BufRead, BufReader};
use std::path::Path;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::scene::{jobs, ran, rotation, signal, started};
use crate::servers;

fn done(home: &Path, words: &[&str]) -> String {
    let (code, out, err) = ran(jobs(home, words));
    assert_eq!((code, err.as_str()), (0, ""), "{words:?}: {out}");
    out
}

fn told(home: &Path, words: &[&str]) -> Vec<Value> {
    let out = done(home, &[words, &["--json"]].concat());
    let lines = out.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn state(home: &Path, id: &str) -> Value {
    told(home, &["jobs", "show", id])[0]["state"].clone()
}

#[test]
fn jobs_are_listed_by_what_they_are() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    for (id, queue, kind) in [("a", "one", "k"), ("b", "one", "l"), ("c", "two", "k")] {
        let words = ["jobs", "add", queue, "7", "--id", id, "--kind", kind];
        assert_eq!(done(home, &words), format!("{id} added\n"));
    }
    done(home, &["jobs", "cancel", "b"]);
    let listed = |words: &[&str]| {
        let page = told(home, &[&["jobs", "list"], words].concat()).remove(0);
        let jobs = page["jobs"].as_array().unwrap().iter();
        let mut ids: Vec<String> = jobs.map(|job| job["id"].as_str().unwrap().into()).collect();
        ids.sort();
        (ids.join(" "), page["next"].clone())
    };
    let rows: [(&[&str], &str); 5] = [
        (&[], "a b c"),
        (&["--queue", "one"], "a b"),
        (&["--kind", "k"], "a c"),
        (&["--state", "cancelled"], "b"),
        (&["--queue", "two", "--state", "failed"], ""),
    ];
    for (words, ids) in rows {
        assert_eq!(listed(words).0, ids, "{words:?}");
    }
    // Page by page.
    let mut ids = Vec::new();
    let mut after = Value::Null;
    loop {
        let mut words = vec!["--limit", "2"];
        words.extend(after.as_str().iter().flat_map(|mark| ["--after", mark]));
        let (page, next) = listed(&words);
        ids.extend(page.split(' ').map(str::to_owned));
        after = next;
        if after.is_null() {
            break;
        }
    }
    ids.sort();
    assert_eq!(ids, ["a", "b", "c"]);
    let table = done(home, &["jobs", "list"]);
    assert!(
        table.starts_with("ID ") && table.contains("cancelled"),
        "{table}"
    );
    let (code, _, err) = ran(jobs(home, &["jobs", "list", "--state", "lost"]));
    assert!(code == 2 && err.contains("waiting, delayed"), "{err}");
}

#[test]
fn every_answer_is_told_and_a_refusal_among_them_is_a_failure() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    for id in ["a", "b", "c"] {
        done(home, &["jobs", "add", "q", "--id", id]);
    }
    let (code, out, err) = ran(jobs(home, &["jobs", "cancel", "gone", "a", "b"]));
    assert_eq!(code, 4);
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].starts_with("gone refused: no job `gone`"), "{out}");
    assert_eq!(lines[1..], ["a cancelled", "b cancelled"]);
    assert!(err.starts_with("error: no job `gone`"), "{err}");
    // `c` never ended: there is nothing to try again.
    let words = ["jobs", "retry", "c", "a", "gone", "b", "--json"];
    let (code, out, err) = ran(jobs(home, &words));
    let lines: Vec<Value> = out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["error"]["code"], "illegal_move");
    assert_eq!(lines[1], json!({ "id": "a", "state": "waiting" }));
    assert_eq!(lines[2]["error"]["code"], "unknown_job");
    assert_eq!(lines[3], json!({ "id": "b", "state": "waiting" }));
    assert_eq!(lines[4]["success"], false);
    assert_eq!((code, lines.len()), (4, 5), "{err}");
    for id in ["a", "b", "c"] {
        assert_eq!(state(home, id), "waiting");
    }
    // One alone has one answer.
    let (code, out, _) = ran(jobs(home, &["jobs", "retry", "gone"]));
    assert_eq!((code, out.as_str()), (4, ""));
    let out = done(home, &["jobs", "delete", "a", "gone"]);
    assert_eq!(out, "a deleted\ngone unknown\n");
}

#[test]
fn queues_are_counted_paused_and_let_go_on() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    done(home, &["jobs", "add", "q", "--id", "a"]);
    let paused = || told(home, &["queues"])[0]["queues"][0]["paused"].clone();
    assert_eq!(paused(), false);
    assert_eq!(done(home, &["queues", "pause", "q"]), "q is paused\n");
    assert_eq!(paused(), true);
    let table = done(home, &["queues"]);
    assert!(table.contains("paused"), "{table}");
    let resumed = told(home, &["queues", "resume", "q"]);
    assert_eq!(resumed, [json!({ "queue": "q", "paused": false })]);
    assert_eq!(paused(), false);
    // The URL may stand anywhere, and goes before the variable's.
    let other = ["--url", "sqlite:other.db"];
    done(home, &[&["jobs"], &other[..], &["add", "there"]].concat());
    for words in [
        [&["queues"], &other[..], &["pause", "there"]].concat(),
        [&["queues", "pause"], &other[..], &["there"]].concat(),
        [&["queues", "pause", "there"], &other[..]].concat(),
    ] {
        assert_eq!(done(home, &words), "there is paused\n", "{words:?}");
    }
    assert_eq!(paused(), false);
    let status = told(home, &["status"]).remove(0);
    assert_eq!(status["workers"], json!([]));
    assert_eq!(status["queues"][0]["waiting"], 1);
}

#[test]
fn who_watches_sees_a_server_go_and_come_back() {
    if !servers::redis_is_there() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let mut redis = servers::Redis::start(&["--appendonly", "yes"]);
    let url = redis.url();
    let words = ["status", "--watch", "--json", "--url", &url];
    let mut child = started(rotation(home.path(), &words));
    let mut heard = BufReader::new(child.stdout.take().unwrap());
    let mut next = || {
        let mut line = String::new();
        heard.read_line(&mut line).unwrap();
        serde_json::from_str::<Value>(&line).unwrap()
    };
    assert_eq!(next()["queues"], json!([]));
    redis.kill();
    let missed = loop {
        let line = next();
        if !line["error"].is_null() {
            break line;
        }
    };
    assert_eq!(missed["error"]["code"], "backend_unavailable");
    redis.restart();
    while next()["queues"].is_null() {}
    signal(&child, Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    // The first look has to succeed: an address may be wrong.
    redis.kill();
    let (code, _, err) = ran(rotation(home.path(), &["status", "--watch", "--url", &url]));
    assert_eq!(code, 5, "{err}");
}
