//! Several processes over one folder.

use std::process::Command;

use super::*;

const CHILD: &str = "ACCOUNTS_TEST_FOLDER";

#[test]
fn a_folder_that_another_holds_is_given_up_on_at_the_deadline() {
    let (_place, folder) = folder(&[1, 2]);
    let _held = folder.lock().unwrap();
    let hurried = folder.clone().with_lock_wait(Duration::from_millis(20));
    let error = hurried.switch_to(2, SwitchReason::Manual).unwrap_err();
    assert_eq!(error.code(), "lock_timeout");
    assert!(error.to_string().contains("rotation.lock"), "{error}");
}

/// Run by the next tests in processes of their own.
#[test]
#[ignore = "needs the folder that the next tests give it"]
fn switches_a_hundred_times() {
    let folder = std::env::var_os(CHILD).map(PathBuf::from);
    let folder = AccountsFolder::open(folder, None).unwrap();
    // The others' switches, each of several writes to the disk, go before.
    let folder = folder.with_lock_wait(Duration::from_secs(300));
    for _ in 0..100 {
        folder.switch_next(SwitchReason::Test).unwrap();
    }
}

/// Run by the next tests in a process of its own.
#[test]
#[ignore = "needs the folder that the next tests give it"]
fn holds_the_folder_until_killed() {
    let folder = std::env::var_os(CHILD).map(PathBuf::from);
    let folder = AccountsFolder::open(folder, None).unwrap();
    let _held = folder.lock().unwrap();
    std::fs::write(folder.qwen_dir().join("held"), "").unwrap();
    std::thread::sleep(Duration::from_secs(60));
}

fn child(name: &str, folder: &AccountsFolder) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "--ignored",
            "--exact",
            &format!("credential::accounts::tests::processes::{name}"),
        ])
        .env(CHILD, folder.qwen_dir())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn processes_that_switch_at_once_lose_no_switch() {
    let (_place, folder) = folder(&[1, 2, 3]);
    let children: Vec<_> = (0..3)
        .map(|_| child("switches_a_hundred_times", &folder))
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let state = folder.state().unwrap();
    assert_eq!(state.switches_total, 300);
    let counted: u64 = state
        .accounts
        .values()
        .map(|stats| stats.switches_count)
        .sum();
    assert_eq!(counted, 300);
    let log = text(&folder.log_file());
    assert_eq!(log.lines().count(), 300);
    for line in log.lines() {
        serde_json::from_str::<Value>(line).unwrap();
    }
    for number in [1, 2, 3] {
        let name = number.to_string();
        assert_eq!(text(&folder.account_file(number)), token(&name, 1000));
    }
}

#[test]
fn a_holder_that_is_killed_gives_the_folder_free() {
    let (_place, folder) = folder(&[1, 2]);
    let mut holder = child("holds_the_folder_until_killed", &folder);
    while !folder.qwen_dir().join("held").exists() {
        assert!(holder.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::yield_now();
    }
    let hurried = folder.clone().with_lock_wait(Duration::ZERO);
    assert!(hurried.switch_to(2, SwitchReason::Test).is_err());
    holder.kill().unwrap();
    holder.wait().unwrap();
    folder.switch_to(2, SwitchReason::Test).unwrap();
}
