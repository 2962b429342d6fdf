//! Command lines of both programs: what is understood, and what is shown.

mod pool;
mod sessions;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use super::*;

/// What a program did: exit code, stdout, stderr.
fn ran(program: Program, words: &[&str]) -> (u8, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let args = std::iter::once(program.name()).chain(words.iter().copied());
    let code = run(
        program,
        args.map(OsString::from),
        &mut Shell {
            input: &mut std::io::empty(),
            out: &mut out,
            err: &mut err,
            out_is_terminal: false,
            err_is_terminal: false,
            colours: true,
        },
    );
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (code, text(out), text(err))
}

fn accounts(folder: &Path, words: &[&str]) -> (u8, String, String) {
    let folder = folder.to_str().unwrap();
    ran(
        Program::AccountQwen,
        &[words, &["--qwen-dir", folder]].concat(),
    )
}

fn token_file(path: &Path, name: &str) {
    let expiry = 4_102_444_800_000_u64;
    let text = format!(
        r#"{{"access_token": "tok-secret-a-{name}", "token_type": "Bearer", "refresh_token": "tok-secret-r-{name}", "expiry_date": {expiry}}}"#
    );
    private(path, &text);
}

fn private(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn a_program_is_named_by_its_path_or_name() {
    let rows = [
        ("account-qwen", Some(Program::AccountQwen)),
        ("/usr/bin/account-qwen", Some(Program::AccountQwen)),
        ("credential-rotation", Some(Program::CredentialRotation)),
        ("python", None),
        ("", None),
    ];
    for (word, program) in rows {
        assert_eq!(Program::named(OsStr::new(word)), program, "{word}");
    }
}

#[test]
fn exactly_one_action_is_a_command_line() {
    let rows: [(&[&str], u8); 9] = [
        (&[], exit::USAGE),
        (&["--json"], exit::USAGE),
        (&["--list", "--stats"], exit::USAGE),
        (&["--setup", "--wrapper", "x"], exit::USAGE),
        (&["--switch", "one"], exit::USAGE),
        (&["--switch", "-1"], exit::USAGE),
        (&["--nonsense"], exit::USAGE),
        (&["--help"], exit::OK),
        (&["--version"], exit::OK),
    ];
    for (words, code) in rows {
        let (ended, out, err) = ran(Program::AccountQwen, words);
        assert_eq!(ended, code, "{words:?}");
        assert_eq!(out.is_empty(), code == exit::USAGE, "{words:?}: {out}");
        assert_eq!(err.is_empty(), code == exit::OK, "{words:?}: {err}");
    }
    for words in [&["pool"][..], &["call"], &[]] {
        assert_eq!(
            ran(Program::CredentialRotation, words).0,
            exit::USAGE,
            "{words:?}"
        );
    }
}

#[test]
fn each_program_tells_its_version_as_one_line() {
    for program in [Program::AccountQwen, Program::CredentialRotation] {
        let (_, out, _) = ran(program, &["--version"]);
        assert_eq!(
            out,
            format!("{} {}\n", program.name(), env!("CARGO_PKG_VERSION"))
        );
    }
}

#[test]
fn every_shell_gets_completions() {
    for shell in ["bash", "zsh", "fish"] {
        let (code, out, _) = ran(Program::AccountQwen, &["--completions", shell]);
        assert_eq!(code, exit::OK);
        assert!(out.contains("switch-next"), "{shell}");
        let (code, out, _) = ran(Program::CredentialRotation, &["completions", shell]);
        assert_eq!(code, exit::OK);
        assert!(out.contains("simulate"), "{shell}");
    }
    assert_eq!(
        ran(Program::AccountQwen, &["--completions", "tcsh"]).0,
        exit::USAGE
    );
}

#[test]
fn a_folder_is_set_up_filled_switched_counted_and_emptied() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join(".qwen");
    let source = home.path().join("tokens.json");
    let (code, out, err) = accounts(&folder, &["--setup"]);
    assert_eq!(code, exit::OK, "{err}");
    assert!(out.contains("holds no account yet"), "{out}");
    for (name, told) in [("a", "added account 1\n"), ("b", "added account 2\n")] {
        token_file(&source, name);
        let (code, out, err) = accounts(&folder, &["--add", source.to_str().unwrap()]);
        assert_eq!((code, out.as_str()), (exit::OK, told), "{err}");
    }
    let (_, out, _) = accounts(&folder, &["--switch", "2"]);
    assert_eq!(out, "account 2 is in use now\n");
    let (_, out, _) = accounts(&folder, &["--switch-next", "--json"]);
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        told,
        serde_json::json!({"success": true, "switched": true, "wrapped": true, "index": 1})
    );
    let (_, out, _) = accounts(&folder, &["--stats", "--json"]);
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(told["total_switches"], 2, "{told}");
    let (_, out, _) = accounts(&folder, &["--stats"]);
    assert!(out.contains("all switches   2"), "{out}");
    let (code, out, _) = accounts(&folder, &["--remove", "2"]);
    assert_eq!((code, out.as_str()), (exit::OK, "removed account 2\n"));
    let (_, out, _) = accounts(&folder, &["--switch-next"]);
    assert_eq!(out, "account 1 stays in use: there is no other\n");
}

#[test]
fn the_list_shows_every_account_and_key_and_hides_none_for_a_broken_one() {
    let home = tempfile::tempdir().unwrap();
    let files = home.path().join("accounts");
    std::fs::create_dir(&files).unwrap();
    token_file(&files.join("oauth_creds_1.json"), "a");
    std::fs::write(files.join("oauth_creds_3.json"), "{").unwrap();
    let keys = home.path().join("credentials.toml");
    std::fs::write(
        &keys,
        "[[credentials]]\nid = \"spare\"\nsecret = \"sk-secret-s\"\n",
    )
    .unwrap();
    for file in [&files.join("oauth_creds_3.json"), &keys] {
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let (code, out, err) = accounts(home.path(), &["--list"]);
    assert_eq!(code, exit::OK, "{err}");
    let shown: Vec<Vec<&str>> = out
        .lines()
        .map(|line| line.split_whitespace().take(4).collect())
        .collect();
    assert_eq!(shown[1], ["1", "*", "account1", "ready"], "{out}");
    assert_eq!(shown[2], ["2", "-", "account2", "missing"], "{out}");
    assert_eq!(shown[3], ["3", "-", "account3", "unusable"], "{out}");
    assert_eq!(
        shown.last().unwrap(),
        &["-", "-", "spare", "ready"],
        "{out}"
    );
    assert!(!out.contains("-secret-") && !out.contains('\x1b'), "{out}");
    let (_, out, _) = accounts(home.path(), &["--list", "--json"]);
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(told["accounts"][2]["state"], "unusable");
    assert!(
        told["accounts"][2]["reason"]
            .as_str()
            .unwrap()
            .contains("corrupt")
    );
    assert!(!home.path().join("pool-state.db").exists(), "a look wrote");
}

#[test]
fn a_mistake_ends_with_the_code_of_its_kind_and_leaves_the_folder_alone() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join(".qwen");
    let rows: [(&[&str], u8, &str); 8] = [
        (
            &["--switch", "99"],
            exit::BAD_INPUT,
            "invalid account index 99",
        ),
        (
            &["--remove", "0"],
            exit::BAD_INPUT,
            "invalid account index 0",
        ),
        (&["--switch", "1"], exit::STATE, "account-qwen --add"),
        (&["--switch-next"], exit::NO_CREDENTIAL, "no credentials"),
        (&["--add"], exit::NO_CREDENTIAL, "log in with"),
        (
            &["--add", "/nowhere/tokens.json"],
            exit::STATE,
            "/nowhere/tokens.json",
        ),
        (&["--wrapper", " "], exit::BAD_INPUT, "prompt is empty"),
        (
            &["--wrapper", "x", "--timeout", "0"],
            exit::BAD_INPUT,
            "--timeout",
        ),
    ];
    for (words, code, named) in rows {
        let (ended, out, err) = accounts(&folder, words);
        assert_eq!((ended, out.as_str()), (code, ""), "{words:?}: {err}");
        assert!(
            err.starts_with("error: ") && err.contains(named),
            "{words:?}: {err}"
        );
        assert!(!folder.exists(), "{words:?} made the folder");
        let (ended, out, _) = accounts(&folder, &[words, &["--json"]].concat());
        let told: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(
            (ended, &told["success"]),
            (code, &Value::Bool(false)),
            "{words:?}"
        );
    }
}

#[test]
fn both_command_lines_are_well_formed() {
    use clap::CommandFactory;
    account_qwen::Arguments::command().debug_assert();
    credential_rotation::Arguments::command().debug_assert();
}

#[test]
fn the_actions_of_one_program_are_a_subcommand_of_the_other() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().to_str().unwrap();
    token_file(&home.path().join("tokens.json"), "a");
    let file = home.path().join("tokens.json");
    let words = |action: &[&str]| {
        let before = ["accounts", "--qwen-dir", folder];
        ran(Program::CredentialRotation, &[&before[..], action].concat())
    };
    let (code, out, err) = words(&["--add", file.to_str().unwrap()]);
    assert_eq!(
        (code, out.as_str()),
        (exit::OK, "added account 1\n"),
        "{err}"
    );
    let listed = accounts(home.path(), &["--list", "--json"]);
    assert_eq!(words(&["--list", "--json"]), listed);
    assert_eq!(words(&[]).0, exit::USAGE);
    assert_eq!(words(&["--list", "--stats"]).0, exit::USAGE);
    assert_eq!(words(&["--switch", "99"]).0, exit::BAD_INPUT);
}

#[test]
fn a_folder_has_room_for_as_many_accounts_as_are_asked_for() {
    let home = tempfile::tempdir().unwrap();
    for (total, rows) in [("1", 1), ("8", 8)] {
        let (code, out, err) = accounts(home.path(), &["--list", "--total-accounts", total]);
        assert_eq!(code, exit::OK, "{err}");
        assert_eq!(out.lines().count(), rows + 1, "{out}");
    }
    let (code, _, err) = accounts(home.path(), &["--list", "--total-accounts", "0"]);
    assert_eq!(code, exit::BAD_INPUT);
    assert!(err.contains("total_accounts"), "{err}");
}

#[test]
fn colours_are_for_terminals_where_they_are_wanted() {
    let home = tempfile::tempdir().unwrap();
    for (terminal, colours, expected) in [
        (true, true, true),
        (true, false, false),
        (false, true, false),
    ] {
        let mut out = Vec::new();
        let folder = home.path().to_str().unwrap();
        let words = ["account-qwen", "--list", "--qwen-dir", folder];
        let code = run(
            Program::AccountQwen,
            words.map(OsString::from),
            &mut Shell {
                input: &mut std::io::empty(),
                out: &mut out,
                err: &mut std::io::sink(),
                out_is_terminal: terminal,
                err_is_terminal: false,
                colours,
            },
        );
        assert_eq!(code, exit::OK);
        assert_eq!(out.contains(&0x1b), expected, "{terminal} {colours}");
    }
}
