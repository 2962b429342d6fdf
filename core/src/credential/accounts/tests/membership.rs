//! Setting up, adding, removing, loading.

use super::*;

#[test]
fn setting_up_takes_the_token_file_in_and_changes_nothing_the_second_time() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("qwen");
    std::fs::create_dir(&dir).unwrap();
    let folder = AccountsFolder::open(Some(dir), Some(3)).unwrap();
    private_file::write(&folder.creds_link(), token("mine", 9).as_bytes()).unwrap();
    let list = folder.setup().unwrap();
    assert_eq!(list.0.len(), 3);
    assert!(list.0[0].exists && list.0[0].active);
    assert_eq!(text(&folder.account_file(1)), token("mine", 9));
    assert!(folder.creds_link().is_symlink());
    let before = on_disk(&folder);
    folder.setup().unwrap();
    assert_eq!(on_disk(&folder), before);
    assert_eq!(mode(&folder.accounts_dir()), 0o700);
}

#[test]
fn setting_up_an_empty_place_makes_the_folders_and_no_link() {
    let place = tempfile::tempdir().unwrap();
    let folder = AccountsFolder::open(Some(place.path().join("new")), None).unwrap();
    assert!(folder.setup().unwrap().0.iter().all(|entry| !entry.exists));
    assert!(folder.state_file().exists() && !folder.creds_link().is_symlink());
}

#[test]
fn setting_up_names_a_token_file_that_cannot_be_used() {
    let (_place, folder) = folder(&[1]);
    private_file::write(&folder.account_file(3), b"{").unwrap();
    let before = on_disk(&folder);
    let error = folder.setup().unwrap_err();
    assert_eq!(error.code(), "credential_file_corrupt");
    assert!(error.to_string().contains("oauth_creds_3.json"), "{error}");
    assert_eq!(on_disk(&folder), before);
}

#[test]
fn adding_takes_the_lowest_free_number_and_grows_the_folder() {
    let (place, folder) = folder(&[1, 3, 4, 5]);
    folder.setup().unwrap();
    for (name, index) in [("x", 2), ("y", 6)] {
        let source = place.path().join(name);
        private_file::write(&source, token(name, 1).as_bytes()).unwrap();
        assert_eq!(folder.add(Some(&source)).unwrap(), index);
        assert_eq!(text(&folder.account_file(index)), token(name, 1));
        assert_eq!(mode(&folder.account_file(index)), 0o600);
        assert!(source.exists());
    }
    let state = folder.state().unwrap();
    assert_eq!((state.current_index, state.total_accounts), (1, 6));
}

#[test]
fn a_login_that_is_added_becomes_the_account_in_use() {
    let (_place, folder) = folder(&[1]);
    folder.setup().unwrap();
    private_file::write(&folder.creds_link(), token("login", 5000).as_bytes()).unwrap();
    assert_eq!(folder.add(None).unwrap(), 2);
    assert_eq!(folder.state().unwrap().current_index, 2);
    folder.switch_to(1, SwitchReason::Manual).unwrap();
    assert_eq!(text(&folder.account_file(1)), token("1", 1000));
    assert_eq!(text(&folder.account_file(2)), token("login", 5000));
}

#[test]
fn removing_leaves_a_gap_and_hands_over_to_the_next() {
    let (_place, folder) = folder(&[1, 2, 4]);
    folder.switch_to(2, SwitchReason::Manual).unwrap();
    private_file::write(&folder.creds_link(), token("2b", 2000).as_bytes()).unwrap();
    assert_eq!(folder.remove(2).unwrap().current_index, 4);
    assert!(!folder.account_file(2).exists());
    assert_eq!(text(&folder.creds_link()), token("4", 1000));
    assert_eq!(folder.remove(1).unwrap().current_index, 4);
    folder.remove(4).unwrap();
    assert!(!folder.creds_link().is_symlink());
    let left = on_disk(&folder);
    assert!(
        left.iter()
            .all(|(_, content)| !content.contains("tok-secret")),
        "{left:?}"
    );
}

#[test]
fn resetting_forgets_counts() {
    let (_place, folder) = folder(&[1, 2]);
    folder.switch_to(1, SwitchReason::Manual).unwrap();
    assert_eq!(folder.reset_state().unwrap(), RotationState::initial(5));
    assert_eq!(folder.state().unwrap().switches_total, 0);
}

#[test]
fn loading_takes_numbered_accounts_or_the_only_token_file() {
    let ids = |folder: &AccountsFolder| -> Vec<(String, String)> {
        let loaded = load(folder.qwen_dir()).unwrap();
        loaded
            .iter()
            .map(|c| (c.id().to_owned(), c.secret().expose().to_owned()))
            .collect()
    };
    let row = |id: &str, secret: &str| (id.to_owned(), secret.to_owned());
    let (_place, numbered) = folder(&[10, 2]);
    std::fs::write(numbered.accounts_dir().join("oauth_creds_01.json"), "{").unwrap();
    assert_eq!(
        ids(&numbered),
        [
            row("account2", "tok-secret-a2"),
            row("account10", "tok-secret-a10")
        ]
    );
    let (_place, alone) = folder(&[]);
    private_file::write(&alone.creds_link(), token("x", 1).as_bytes()).unwrap();
    assert_eq!(ids(&alone), [row("account1", "tok-secret-ax")]);
    assert!(!alone.creds_link().is_symlink(), "loading sets nothing up");
}

#[test]
fn loading_gives_a_refreshed_token_back_first() {
    let (_place, folder) = folder(&[1, 2]);
    folder.setup().unwrap();
    private_file::write(&folder.creds_link(), token("1b", 2000).as_bytes()).unwrap();
    let loaded = load(folder.qwen_dir()).unwrap();
    assert_eq!(loaded[0].secret().expose(), "tok-secret-a1b");
    assert!(folder.creds_link().is_symlink());
}
