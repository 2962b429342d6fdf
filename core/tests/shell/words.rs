//! The words of the programs, which are the same for cargo, pip and npm: `vectors/programs.json`.

use serde::Deserialize;

use crate::scene::{ran, rotation};

#[derive(Deserialize)]
struct Vectors {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    words: Vec<String>,
    code: i32,
    out: Vec<String>,
    err: Vec<String>,
}

#[test]
fn what_is_said_is_what_all_programs_say() {
    let text = include_str!("../../vectors/programs.json");
    let vectors: Vectors = serde_json::from_str(text).unwrap();
    for case in vectors.cases {
        let home = tempfile::tempdir().unwrap();
        let words: Vec<&str> = case.words.iter().map(String::as_str).collect();
        let mut program = rotation(home.path(), &words);
        program.env("COLUMNS", "100");
        let (code, out, err) = ran(program);
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(
            (code, lines(&out), lines(&err)),
            (case.code, case.out, case.err),
            "{}",
            case.name
        );
    }
}

#[test]
fn modules_are_for_the_programs_of_other_languages() {
    let home = tempfile::tempdir().unwrap();
    let words = ["worker", "--url", "sqlite:jobs.db", "--queues", "q:1"];
    let words = [&words[..], &["--app", "tasks"]].concat();
    let (code, out, err) = ran(rotation(home.path(), &words));
    assert_eq!((code, out.as_str()), (4, ""));
    assert!(
        err.contains("--app tasks: this program runs commands only"),
        "{err}"
    );
    assert!(
        err.contains("use the one that pip or npm installs"),
        "{err}"
    );
    // Nothing was reached before it was told.
    assert!(!home.path().join("jobs.db").exists());
}
