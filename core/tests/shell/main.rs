//! The programs as a shell runs them: real processes over a folder with keys.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod jobs;
mod leader;
mod rotation;
mod scene;
#[path = "../servers/mod.rs"]
mod servers;
mod words;
mod worker;

use std::os::unix::fs::PermissionsExt;

use rustix::process::{Pid, Signal, test_kill_process_group};
use serde_json::Value;

use scene::{ROTATION, Scene, fed, private, ran, shown, signal, started, until};

#[test]
fn a_prompt_is_answered_after_rotation_and_the_list_says_who_is_out() {
    let scene = Scene::new(&["spent", "refused", "good"], ROTATION);
    let told = ran(scene.program(&["--wrapper", "hello"]));
    assert_eq!(told, (0, "answer to hello\n".to_owned(), String::new()));
    let (code, out, _) = ran(scene.bare(&["--list"]));
    assert_eq!(code, 0);
    let row = |id: &str| out.lines().find(|line| line.contains(id)).unwrap();
    assert!(
        row("spent").contains("parked") && row("spent").contains("in "),
        "{out}"
    );
    assert!(row("refused").contains("parked"), "{out}");
    assert!(row("good").contains("ready"), "{out}");
}

#[test]
fn json_carries_the_trail() {
    let scene = Scene::new(&["spent", "refused", "good"], ROTATION);
    let (code, out, _) = ran(scene.program(&["--wrapper", "hello", "--json"]));
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &told["success"]), (0, &Value::Bool(true)));
    assert_eq!(told["output"], "answer to hello");
    assert_eq!(told["attempts"], 3);
    assert_eq!(told["trail"][0]["credential"], "spent");
}

#[test]
fn a_prompt_comes_on_standard_input_and_must_be_text() {
    let scene = Scene::new(&["good"], ROTATION);
    let told = fed(scene.program(&["--wrapper", "-"]), b"-f and more");
    assert_eq!((told.0, told.1.as_str()), (0, "answer to -f and more\n"));
    let rows: [(&[u8], &str); 3] = [
        (b"", "prompt is empty"),
        (b"\xff\xfe", "not UTF-8"),
        (&vec![b'a'; 8 * 1024 * 1024 + 1], "limit"),
    ];
    for (input, named) in rows {
        let (code, out, err) = fed(scene.program(&["--wrapper", "-"]), input);
        assert_eq!((code, out.as_str()), (4, ""), "{err}");
        assert!(err.starts_with("error: ") && err.contains(named), "{err}");
    }
    assert_eq!(scene.endpoint.hits_total(), 1);
}

#[test]
fn each_kind_of_failure_has_its_exit_code() {
    let scene = Scene::new(&["good"], ROTATION);
    let none = Scene::new(&[], ROTATION);
    let open = Scene::new(&["good"], ROTATION);
    let file = open.home.path().join("credentials.toml");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let spent = Scene::new(&["spent"], ROTATION);
    let down = Scene::new(&["good"], r#"{"default": [{"fault": "server_error"}]}"#);
    let rows = [
        (
            down.program(&["--wrapper", "x", "--max-retries", "0"]),
            1,
            "attempts failed",
        ),
        (scene.program(&["--wrapper"]), 2, "--wrapper"),
        (scene.program(&[]), 2, "--setup"),
        (none.program(&["--wrapper", "x"]), 3, "no credentials"),
        (
            spent.program(&["--wrapper", "x"]),
            3,
            "no credential can be used",
        ),
        (scene.program(&["--wrapper", ""]), 4, "prompt is empty"),
        (
            scene.program(&["--switch", "99"]),
            4,
            "invalid account index 99",
        ),
        (
            scene.bare(&["--wrapper", "x", "--provider", "nobody"]),
            4,
            "nobody",
        ),
        (
            scene.bare(&[
                "--wrapper",
                "x",
                "--provider",
                "openai",
                "--base-url",
                "ftp://u:sk-secret-p@h/",
            ]),
            4,
            "invalid URL",
        ),
        (open.program(&["--wrapper", "x"]), 5, "chmod 600"),
        (
            scene.bare(&["--wrapper", "x", "--program", "/nowhere/qwen"]),
            5,
            "/nowhere/qwen",
        ),
    ];
    for (command, expected, named) in rows {
        let words = format!("{command:?}");
        let (code, out, err) = ran(command);
        assert_eq!((code, out.as_str()), (expected, ""), "{words}: {err}");
        assert!(err.contains(named), "{words}: {err}");
    }
}

#[test]
fn a_failure_in_json_is_one_object_and_the_message_stays_on_stderr() {
    let none = Scene::new(&[], ROTATION);
    let (code, out, err) = ran(none.program(&["--wrapper", "x", "--json"]));
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &told["success"]), (3, &Value::Bool(false)));
    assert_eq!(told["error"]["code"], "no_credentials");
    assert!(err.starts_with("error: "), "{err}");
}

#[test]
fn a_signal_ends_the_call_with_its_code() {
    for (sent, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let scene = Scene::new(&["good"], r#"{"default": [{"delay_ms": 60000}]}"#);
        let child = started(scene.program(&["--wrapper", "x"]));
        until("the request", || scene.endpoint.hits_total() == 1);
        signal(&child, sent);
        let (ended, out, err) = shown(&child.wait_with_output().unwrap());
        assert_eq!((ended, out.as_str(), err.as_str()), (code, "", ""));
        until("the end of the request", || {
            scene.endpoint.closed_early("sk-secret-good") == 1
        });
    }
}

#[test]
fn ctrl_c_leaves_no_process_behind_even_one_that_will_not_go() {
    let scene = Scene::new(&["good"], ROTATION);
    let program = scene.home.path().join("qwen");
    let noted = scene.home.path().join("group");
    // Deaf to TERM, and so are its children.
    let script = format!(
        "#!/bin/sh\ntrap '' TERM\nsleep 300 &\necho $$ > {0}.new\nmv {0}.new {0}\nwait\n",
        noted.display()
    );
    private(&program, &script);
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
    let mut command = scene.bare(&["--wrapper", "x", "--program"]);
    command.arg(&program);
    command.args([
        "--base-url",
        &scene.endpoint.openai_url(),
        "--model",
        "sim-1",
    ]);
    let child = started(command);
    until("the start of the program", || noted.exists());
    signal(&child, Signal::INT);
    let (code, _, _) = shown(&child.wait_with_output().unwrap());
    assert_eq!(code, 130);
    let group = std::fs::read_to_string(&noted).unwrap();
    let group = Pid::from_raw(group.trim().parse().unwrap()).unwrap();
    until("the end of the group", || {
        test_kill_process_group(group).is_err()
    });
}

#[test]
fn a_failed_call_is_a_failure_even_if_nobody_reads_its_result() {
    let scene = Scene::new(
        &["good"],
        r#"{"default": [{"delay_ms": 300, "fault": "server_error"}]}"#,
    );
    let words = ["--wrapper", "x", "--json", "--max-retries", "0"];
    let mut child = started(scene.program(&words));
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(1));
}
