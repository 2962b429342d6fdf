//! `credential-rotation`: calls by a file or by options, pools, and an endpoint to try them on.

use std::io::{BufRead, BufReader};

use rustix::process::Signal;
use serde_json::Value;

use crate::scene::{ROTATION, Scene, private, ran, rotation, signal, started};

#[test]
fn the_other_program_simulates_calls_and_lists_by_its_file() {
    let home = tempfile::tempdir().unwrap();
    let scenario = home.path().join("scenario.json");
    std::fs::write(&scenario, ROTATION).unwrap();
    let program = || rotation(home.path(), &[]);
    let mut simulate = program();
    simulate
        .args(["simulate", "--json", "--scenario"])
        .arg(&scenario);
    let mut simulated = started(simulate);
    let mut line = String::new();
    let mut heard = BufReader::new(simulated.stdout.take().unwrap());
    heard.read_line(&mut line).unwrap();
    let told: Value = serde_json::from_str(&line).unwrap();
    let file = format!(
        "[wrapper]\nprovider = \"openai\"\nmodel = \"sim-1\"\nbase_url = {}\ncredentials = [\n  {{ id = \"spent\", secret = \"sk-secret-spent\" }},\n  {{ id = \"good\", secret = \"sk-secret-good\" }},\n]\n",
        told["openai_url"]
    );
    private(&home.path().join("credential-rotation.toml"), &file);
    let mut call = program();
    call.args(["call", "hello"]);
    assert_eq!(
        ran(call),
        (0, "answer to hello\n".to_owned(), String::new())
    );
    let mut list = program();
    list.args(["pool", "list", "--json"]);
    let (code, out, _) = ran(list);
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &told["credentials"][1]["id"]), (0, &"good".into()));
    let mut taken = program();
    let port = line.rsplit(':').next().unwrap().split('/').next().unwrap();
    taken.args([
        "simulate",
        "--port",
        port.trim_end_matches(['"', '}', '\n']),
    ]);
    assert_eq!(ran(taken).0, 4);
    signal(&simulated, Signal::INT);
    assert_eq!(simulated.wait().unwrap().code(), Some(0));
}

#[test]
fn a_call_without_a_file_goes_by_its_options_and_never_sends_a_files_keys_elsewhere() {
    let scene = Scene::new(&[], ROTATION);
    let url = scene.endpoint.openai_url();
    let words = ["call", "hello", "--base-url", &url, "--model", "sim-1"];
    let mut call = rotation(scene.home.path(), &words);
    call.env(
        "OPENAI_API_KEYS",
        "sk-secret-spent,sk-secret-refused,sk-secret-good",
    );
    assert_eq!(
        ran(call),
        (0, "answer to hello\n".to_owned(), String::new())
    );
    let (code, _, err) = ran(rotation(scene.home.path(), &words));
    assert_eq!(code, 3);
    assert!(err.contains("OPENAI_API_KEY"), "{err}");
    let mut overridden = rotation(scene.home.path(), &words);
    overridden.env("CREDENTIAL_ROTATION_WRAPPER_PROVIDER", "nobody");
    overridden.env("OPENAI_API_KEY", "sk-secret-good");
    let (code, _, err) = ran(overridden);
    assert_eq!(code, 4);
    assert!(err.contains("nobody"), "{err}");

    let hits = scene.endpoint.hits_total();
    let file = "[wrapper]\ncredentials = [{ id = \"good\", secret = \"sk-secret-good\" }]\n";
    private(&scene.home.path().join("credential-rotation.toml"), file);
    for option in ["--base-url", "--provider", "--program"] {
        let (code, _, err) = ran(rotation(scene.home.path(), &["call", "x", option, &url]));
        assert_eq!(code, 4, "{option}: {err}");
        assert!(
            err.contains(option) && err.contains("credential-rotation.toml"),
            "{option}: {err}"
        );
    }
    assert_eq!(scene.endpoint.hits_total(), hits);
}

#[test]
fn a_call_goes_by_its_file_and_options_above_it() {
    let scene = Scene::new(&[], r#"{"default": [{"fault": "server_error"}]}"#);
    let file = format!(
        "[wrapper]\nbase_url = \"{}\"\nmodel = \"of-file\"\nmax_retries = 3\npolicy = {{ backoff_ms = 1, max_backoff_ms = 1 }}\ncredentials = [{{ id = \"good\", secret = \"sk-secret-good\" }}]\n",
        scene.endpoint.openai_url()
    );
    private(&scene.home.path().join("credential-rotation.toml"), &file);
    let told = |words: &[&str]| {
        let words = [&["call", "x", "--json"], words].concat();
        let (code, out, _) = ran(rotation(scene.home.path(), &words));
        assert_eq!(code, 1);
        let told: Value = serde_json::from_str(&out).unwrap();
        (told["attempts"].clone(), told["trail"][0]["model"].clone())
    };
    assert_eq!(told(&[]), (4.into(), "of-file".into()));
    let above = told(&["--max-retries", "0", "--model", "of-call"]);
    assert_eq!(above, (1.into(), "of-call".into()));
}

#[test]
fn who_is_switched_off_for_a_folders_pool_is_asked_by_no_program() {
    let scene = Scene::new(&["good", "better"], r#"{"default": [{"text": "ok"}]}"#);
    let folder = scene.home.path();
    assert_eq!(ran(scene.program(&["--wrapper", "x"])).0, 0);
    let file = format!(
        "[wrapper]\nsources = [{{ accounts = {folder:?} }}]\n[wrapper.pool]\nstore = {:?}\n",
        folder.join("pool-state.db")
    );
    private(&folder.join("credential-rotation.toml"), &file);
    let (code, out, err) = ran(rotation(folder, &["pool", "disable", "good"]));
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let before = scene.endpoint.hits("sk-secret-good");
    for _ in 0..4 {
        assert_eq!(ran(scene.program(&["--wrapper", "x"])).0, 0);
    }
    assert_eq!(scene.endpoint.hits("sk-secret-good"), before);
    let (_, out, _) = ran(scene.bare(&["--list"]));
    assert!(out.contains("disabled"), "{out}");
    assert_eq!(ran(rotation(folder, &["pool", "admit", "good"])).0, 0);
    for _ in 0..4 {
        assert_eq!(ran(scene.program(&["--wrapper", "x"])).0, 0);
    }
    assert!(scene.endpoint.hits("sk-secret-good") > before);
}

#[test]
fn variables_that_are_no_text_are_nobodys_trouble() {
    use std::os::unix::ffi::OsStrExt;
    let home = tempfile::tempdir().unwrap();
    let mut list = rotation(home.path(), &["pool", "list"]);
    list.env("OPENAI_API_KEY", "sk-secret-good");
    list.env("SOMEBODY_ELSES", std::ffi::OsStr::from_bytes(b"\xff"));
    let (code, out, err) = ran(list);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("ready"), "{out}");
}
