//! `credential-rotation pool …`: what is listed, and what a person's decision comes to.

use super::*;

#[test]
fn a_pool_is_listed_from_its_configuration_file() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("credential-rotation.toml");
    private(
        &file,
        "[wrapper]\ncredentials = [{ id = \"one\", secret = \"sk-secret-1\" }]\n",
    );
    let path = file.to_str().unwrap();
    let (code, out, err) = ran(
        Program::CredentialRotation,
        &["pool", "list", "--config", path],
    );
    assert_eq!(code, exit::OK, "{err}");
    assert!(out.lines().nth(1).unwrap().contains("ready"), "{out}");
    assert!(!out.contains("sk-secret"), "{out}");
    let words = ["pool", "list", "--config", "/nowhere.toml"];
    let (code, _, err) = ran(Program::CredentialRotation, &words);
    assert_eq!(code, exit::BAD_INPUT);
    assert!(err.contains("/nowhere.toml"), "{err}");
}

/// A configuration with credentials `one` and `two`; the file's path.
fn pool_file(home: &Path, more: &str) -> String {
    let file = home.join("pool.toml");
    let text = format!(
        "[wrapper]\ncredentials = [{{ id = \"one\", secret = \"sk-secret-1\" }}, {{ id = \"two\", secret = \"sk-secret-2\" }}]\n{more}"
    );
    private(&file, &text);
    file.to_str().unwrap().to_owned()
}

#[test]
fn a_credential_is_taken_out_and_back_in_for_every_process_that_shares_the_store() {
    let home = tempfile::tempdir().unwrap();
    let store = home.path().join("pool.db");
    let more = format!("[wrapper.pool]\nstore = {store:?}\n");
    let file = pool_file(home.path(), &more);
    let pool = |words: &[&str]| {
        let after = ["--config", &file, "--json"];
        let words = [&["pool"], words, &after[..]].concat();
        let (code, out, err) = ran(Program::CredentialRotation, &words);
        assert_eq!(code, exit::OK, "{words:?}: {err}");
        serde_json::from_str::<Value>(&out).unwrap()["credentials"].clone()
    };
    let state = |rows: &Value| {
        rows.as_array()
            .unwrap()
            .iter()
            .map(|row| row["state"].clone())
            .collect::<Vec<_>>()
    };
    let rows: [(&[&str], &str, bool); 7] = [
        (&["cool", "one", "--for", "600"], "cooling", true),
        (&["admit", "one"], "ready", false),
        (&["park", "one", "--for", "600"], "parked", true),
        (&["admit", "one"], "ready", false),
        (&["park", "one"], "parked", false),
        (
            &["disable", "one", "--reason", "rotated out"],
            "disabled",
            false,
        ),
        (&["admit", "one"], "ready", false),
    ];
    for (words, expected, ends) in rows {
        let told = pool(words);
        assert_eq!(state(&told), [expected], "{words:?}");
        assert_eq!(told[0]["until"].is_u64(), ends, "{words:?}");
        assert_eq!(state(&pool(&["list"])), [expected, "ready"], "{words:?}");
    }
    assert_eq!(pool(&["disable", "two"])[0]["reason"], "by_hand");
}

#[test]
fn a_decision_that_nobody_would_learn_of_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let alone = pool_file(home.path(), "");
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("pool.db");
    let shared = pool_file(
        folder.path(),
        &format!("[wrapper.pool]\nstore = {store:?}\n"),
    );
    let long = "x".repeat(201);
    let rows: [(&str, &[&str], u8, &str); 8] = [
        (&alone, &["disable", "one"], exit::BAD_INPUT, "`store`"),
        (&alone, &["admit", "three"], exit::BAD_INPUT, "`three`"),
        (&shared, &["admit", "three"], exit::BAD_INPUT, "`three`"),
        (&shared, &["cool", "one"], exit::USAGE, "--for"),
        (
            &shared,
            &["cool", "one", "--for", "0"],
            exit::BAD_INPUT,
            "--for",
        ),
        (
            &shared,
            &["park", "one", "--for", "1e300"],
            exit::BAD_INPUT,
            "--for",
        ),
        (
            &shared,
            &["disable", "one", "--reason", " "],
            exit::BAD_INPUT,
            "--reason",
        ),
        (
            &shared,
            &["disable", "one", "--reason", &long],
            exit::BAD_INPUT,
            "--reason",
        ),
    ];
    for (file, words, code, named) in rows {
        let words = [&["pool"], words, &["--config", file][..]].concat();
        let (ended, out, err) = ran(Program::CredentialRotation, &words);
        assert_eq!((ended, out.as_str()), (code, ""), "{words:?}: {err}");
        assert!(err.contains(named), "{words:?}: {err}");
    }
    let (_, out, _) = ran(
        Program::CredentialRotation,
        &["pool", "list", "--config", &shared],
    );
    assert_eq!(out.matches("ready").count(), 2, "{out}");
}

#[test]
fn a_store_that_cannot_be_used_is_trouble_and_not_a_decision() {
    let home = tempfile::tempdir().unwrap();
    let file = pool_file(
        home.path(),
        "[wrapper.pool]\nstore = \"/nowhere/pool.db\"\n",
    );
    let words = ["pool", "disable", "one", "--config", &file];
    let (code, out, err) = ran(Program::CredentialRotation, &words);
    assert_eq!((code, out.as_str()), (exit::STATE, ""));
    assert!(err.contains("/nowhere/pool.db"), "{err}");
}
