//! The folder on a real disk, with what programs and users do to it.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::*;
use crate::credential::private_file;

mod membership;
mod processes;

fn token(name: &str, expiry: u64) -> String {
    json!({"access_token": format!("tok-secret-a{name}"), "refresh_token": format!("tok-secret-r{name}"), "expiry_date": expiry})
        .to_string()
}

/// A folder with these accounts, each with a token of its own.
fn folder(numbers: &[u32]) -> (tempfile::TempDir, AccountsFolder) {
    let place = tempfile::tempdir().unwrap();
    let folder = AccountsFolder::open(Some(place.path().join("qwen")), None).unwrap();
    folder.make_accounts_dir().unwrap();
    for number in numbers {
        let text = token(&number.to_string(), 1000);
        private_file::write(&folder.account_file(*number), text.as_bytes()).unwrap();
    }
    (place, folder)
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Every file below the folder with its content, locks apart.
fn on_disk(folder: &AccountsFolder) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.qwen_dir().to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let kind = std::fs::symlink_metadata(&path).unwrap();
            if kind.is_symlink() {
                let target = std::fs::read_link(&path).unwrap().display().to_string();
                found.push((path, target));
            } else if kind.is_dir() {
                folders.push(path);
            } else if path.extension().is_none_or(|end| end != "lock") {
                found.push((path.clone(), text(&path)));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn switching_counts_links_and_logs_in_the_shapes_users_have() {
    let (_place, folder) = folder(&[1, 2]);
    folder.switch_to(2, SwitchReason::Manual).unwrap();
    assert_eq!(
        text(&folder.creds_link()),
        text(&folder.account_file(2)),
        "the link"
    );
    let state: Value = serde_norway::from_str(&text(&folder.state_file())).unwrap();
    let at = state["last_switch"].clone();
    assert!(at.as_str().is_some_and(|at| at.ends_with("+00:00")), "{at}");
    assert_eq!(
        state,
        json!({"current_index": 2, "total_accounts": 5, "last_switch": at, "switches_total": 1,
            "accounts": {"account2": {"switches_count": 1, "last_used": at}}})
    );
    let entry = |index: u32, active: bool, exists: bool, count: u32, used: Value| json!({"index": index, "active": active, "exists": exists, "switches_count": count, "last_used": used});
    assert_eq!(
        json!(folder.list().unwrap()),
        json!({
            "account1": entry(1, false, true, 0, Value::Null),
            "account2": entry(2, true, true, 1, at.clone()),
            "account3": entry(3, false, false, 0, Value::Null),
            "account4": entry(4, false, false, 0, Value::Null),
            "account5": entry(5, false, false, 0, Value::Null),
        })
    );
    assert_eq!(
        json!(folder.stats().unwrap()),
        json!({"accounts": {"account1": 0, "account2": 1, "account3": 0, "account4": 0, "account5": 0},
            "total_switches": 1, "last_switch": at, "current_account": "account2",
            "most_used_account": "account2", "most_used_count": 1})
    );
    let line: Value = serde_json::from_str(text(&folder.log_file()).trim()).unwrap();
    assert_eq!(
        line,
        json!({"timestamp": at, "level": "INFO", "event": "account_switch", "from": 1, "to": 2,
            "reason": "manual", "trigger": "manual"})
    );
    for file in [folder.state_file(), folder.log_file(), folder.lock_file()] {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[test]
fn nothing_is_most_used_before_the_first_switch() {
    let (_place, folder) = folder(&[]);
    let stats = folder.stats().unwrap();
    assert_eq!(
        (stats.most_used_account.as_str(), stats.most_used_count),
        ("account1", 0)
    );
    assert!(!folder.state_file().exists(), "asking writes nothing");
}

#[test]
fn the_next_account_skips_gaps_and_says_when_the_round_begins_again() {
    for (present, start, rounds) in [
        (
            vec![1, 2, 4],
            1,
            vec![(true, 2), (true, 4), (false, 1), (true, 2)],
        ),
        (vec![2, 3], 3, vec![(false, 2), (true, 3)]),
        (vec![3], 3, vec![(false, 3), (false, 3)]),
        (vec![1, 7, 10], 7, vec![(true, 10), (false, 1)]),
    ] {
        let (_place, folder) = folder(&present);
        folder.switch_to(start, SwitchReason::Test).unwrap();
        for round in rounds {
            let next = folder.switch_next(SwitchReason::AutoQuota).unwrap();
            assert_eq!(next, round, "{present:?}");
            assert_eq!(folder.state().unwrap().current_index, round.1);
        }
    }
}

#[test]
fn what_cannot_be_done_is_told_and_leaves_the_disk_as_it_was() {
    type Act = fn(&AccountsFolder) -> Result<(), Error>;
    type Row<'a> = (&'a str, Option<(&'a [u8], u32)>, Act, &'a str);
    let switch_2: Act = |folder| folder.switch_to(2, SwitchReason::Manual).map(drop);
    let put = |folder: &AccountsFolder, content: &[u8], mode: u32| {
        let file = folder.account_file(2);
        std::fs::write(&file, content).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let big = format!("{{\"access_token\":\"{}\"}}", "x".repeat(1 << 20));
    let rows: Vec<Row<'_>> = vec![
        (
            "index 0",
            None,
            |f| f.switch_to(0, SwitchReason::Manual).map(drop),
            "invalid_account_index",
        ),
        (
            "index 6",
            None,
            |f| f.switch_to(6, SwitchReason::Manual).map(drop),
            "invalid_account_index",
        ),
        (
            "remove 9",
            None,
            |f| f.remove(9).map(drop),
            "invalid_account_index",
        ),
        ("a gap", None, switch_2, "credential_file_unreadable"),
        (
            "remove a gap",
            None,
            |f| f.remove(2).map(drop),
            "credential_file_unreadable",
        ),
        (
            "no JSON",
            Some((b"{", 0o600)),
            switch_2,
            "credential_file_corrupt",
        ),
        (
            "not UTF-8",
            Some((b"\xff\xfe", 0o600)),
            switch_2,
            "credential_file_corrupt",
        ),
        (
            "no token",
            Some((b"{}", 0o600)),
            switch_2,
            "credential_file_corrupt",
        ),
        (
            "too large",
            Some((big.as_bytes(), 0o600)),
            switch_2,
            "credential_file_corrupt",
        ),
        (
            "open to others",
            Some((b"{\"access_token\":\"tok-secret-x\"}", 0o644)),
            switch_2,
            "credential_file_permissions",
        ),
        (
            "the next is broken",
            Some((b"{", 0o600)),
            |f| f.switch_next(SwitchReason::AutoQuota).map(drop),
            "credential_file_corrupt",
        ),
        (
            "the one after it is broken",
            Some((b"{", 0o600)),
            |f| f.remove(1).map(drop),
            "credential_file_corrupt",
        ),
        (
            "a file that is not there",
            None,
            |f| f.add(Some(Path::new("/nonexistent/t"))).map(drop),
            "credential_file_unreadable",
        ),
        (
            "a folder in a file's place",
            None,
            |f| f.add(Some(Path::new("/"))).map(drop),
            "credential_file_unreadable",
        ),
        (
            "the same token again",
            None,
            |f| f.add(None).map(drop),
            "invalid_config",
        ),
    ];
    for (name, file, act, code) in rows {
        let (_place, folder) = folder(&[1]);
        folder.setup().unwrap();
        if let Some((content, mode)) = file {
            put(&folder, content, mode);
            if mode != 0o600 || std::str::from_utf8(content).is_err() {
                // Read as text below: only what can be.
                let error = act(&folder).unwrap_err();
                assert_eq!(error.code(), code, "{name}");
                assert_eq!(folder.state().unwrap().current_index, 1, "{name}");
                continue;
            }
        }
        let before = on_disk(&folder);
        let error = act(&folder).unwrap_err();
        assert_eq!(error.code(), code, "{name}: {error}");
        assert!(!error.to_string().contains("tok-secret"), "{error}");
        assert_eq!(on_disk(&folder), before, "{name}");
    }
}

#[test]
fn a_folder_without_accounts_says_how_to_add_one() {
    let (_place, folder) = folder(&[]);
    let next = folder.switch_next(SwitchReason::AutoQuota).unwrap_err();
    let add = folder.add(None).unwrap_err();
    for error in [next, add] {
        assert_eq!(error.code(), "no_credentials");
        assert!(error.to_string().contains("log in"), "{error}");
    }
}

#[test]
fn impossible_options_are_refused() {
    for total in [0, MOST + 1] {
        let error = AccountsFolder::open(None, Some(total)).unwrap_err();
        assert_eq!(error.code(), "invalid_config");
    }
    assert_eq!(
        AccountsFolder::open(Some(PathBuf::new()), None)
            .unwrap_err()
            .code(),
        "invalid_config"
    );
    assert_eq!(
        "often".parse::<SwitchReason>().unwrap_err().code(),
        "invalid_config"
    );
    assert_eq!("test".parse::<SwitchReason>().unwrap(), SwitchReason::Test);
}

#[test]
fn a_token_that_a_program_refreshed_goes_back_to_its_account() {
    for (name, put, account, previous) in [
        ("newer", token("1b", 2000), token("1b", 2000), Some(token("1", 1000))),
        ("as old", token("1b", 1000), token("1b", 1000), Some(token("1", 1000))),
        ("older", token("1b", 500), token("1", 1000), Some(token("1b", 500))),
        ("the same", token("1", 1000), token("1", 1000), None),
        (
            "only its access token is new",
            json!({"access_token": "tok-secret-new", "refresh_token": "tok-secret-r1", "expiry_date": 2000}).to_string(),
            json!({"access_token": "tok-secret-new", "refresh_token": "tok-secret-r1", "expiry_date": 2000}).to_string(),
            Some(token("1", 1000)),
        ),
    ] {
        let (_place, folder) = folder(&[1, 2]);
        folder.setup().unwrap();
        private_file::write(&folder.creds_link(), put.as_bytes()).unwrap();
        folder.switch_to(2, SwitchReason::AutoQuota).unwrap();
        assert_eq!(text(&folder.account_file(1)), account, "{name}");
        assert_eq!(text(&folder.account_file(2)), token("2", 1000), "{name}");
        assert_eq!(text(&folder.creds_link()), token("2", 1000), "{name}");
        let kept = private_file::beside(&folder.account_file(1), ".previous");
        assert_eq!(kept.exists().then(|| text(&kept)), previous, "{name}");
    }
}

#[test]
fn a_refreshed_token_that_cannot_be_read_stops_the_switch_and_stays() {
    let (_place, folder) = folder(&[1, 2]);
    folder.setup().unwrap();
    private_file::write(&folder.creds_link(), b"{\"access_tok").unwrap();
    let before = on_disk(&folder);
    let error = folder.switch_to(2, SwitchReason::AutoQuota).unwrap_err();
    assert_eq!(error.code(), "credential_file_corrupt");
    assert!(error.to_string().contains("oauth_creds.json"), "{error}");
    assert_eq!(on_disk(&folder), before);
}

#[test]
fn the_link_is_believed_more_than_a_state_that_was_not_written() {
    let (_place, folder) = folder(&[1, 2, 3]);
    folder.switch_to(3, SwitchReason::Test).unwrap();
    // As after a kill between the two writes, and as the package before wrote links.
    std::fs::remove_file(folder.creds_link()).unwrap();
    std::os::unix::fs::symlink(folder.account_file(2), folder.creds_link()).unwrap();
    assert_eq!(folder.state().unwrap().current_index, 2);
}

#[test]
fn a_corrupt_state_is_kept_aside_and_the_initial_one_used() {
    for corrupt in ["current_index: [", "", "- 1\n- 2\n", "current_index: many"] {
        let (_place, folder) = folder(&[1, 2]);
        std::fs::write(folder.state_file(), corrupt).unwrap();
        assert_eq!(folder.state().unwrap().current_index, 1, "{corrupt}");
        assert_eq!(text(&folder.state_file()), corrupt, "asking writes nothing");
        folder.switch_to(2, SwitchReason::Manual).unwrap();
        assert_eq!(folder.state().unwrap().switches_total, 1);
        assert_eq!(text(&state::aside(&folder.state_file())), corrupt);
    }
    let (_place, folder) = folder(&[1]);
    std::fs::create_dir(folder.state_file()).unwrap();
    assert_eq!(folder.state().unwrap_err().code(), "state_unavailable");
}

#[test]
fn keys_of_other_versions_are_kept() {
    let (_place, folder) = folder(&[1, 2]);
    let state = "current_index: 1\ntotal_accounts: 3\nnote: mine\n7: seven\naccounts:\n  account2:\n    switches_count: 4\n    colour: red\n";
    std::fs::write(folder.state_file(), state).unwrap();
    folder.switch_to(2, SwitchReason::Manual).unwrap();
    let written: serde_norway::Value = serde_norway::from_str(&text(&folder.state_file())).unwrap();
    assert_eq!(written["note"], "mine");
    assert_eq!(written["7"], "seven");
    assert_eq!(written["total_accounts"], 3);
    assert_eq!(written["accounts"]["account2"]["colour"], "red");
    assert_eq!(written["accounts"]["account2"]["switches_count"], 5);
}

#[test]
fn a_full_log_is_put_aside() {
    let (_place, folder) = folder(&[1, 2]);
    let log = std::fs::File::create(folder.log_file()).unwrap();
    log.set_len(rotation_log::LOG_LIMIT).unwrap();
    folder.switch_to(2, SwitchReason::Manual).unwrap();
    assert_eq!(text(&folder.log_file()).lines().count(), 1);
    assert!(folder.qwen_dir().join("rotation.log.1").exists());
}

#[test]
fn a_log_that_cannot_be_written_does_not_undo_the_switch() {
    let (_place, folder) = folder(&[1, 2]);
    std::fs::create_dir(folder.log_file()).unwrap();
    folder.switch_to(2, SwitchReason::Manual).unwrap();
    assert_eq!(folder.state().unwrap().current_index, 2);
}

#[test]
fn a_state_that_cannot_be_written_undoes_the_switch() {
    let (_place, folder) = folder(&[1, 2]);
    folder.setup().unwrap();
    std::fs::remove_file(folder.state_file()).unwrap();
    std::os::unix::fs::symlink("/dev/null/x", folder.state_file()).unwrap();
    let error = folder.switch_to(2, SwitchReason::Manual).unwrap_err();
    assert_eq!(error.code(), "state_unavailable");
    assert_eq!(text(&folder.creds_link()), token("1", 1000));
}
