//! Refreshing, against a token endpoint that redeems each refresh token once.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::*;
use crate::credential::private_file;
use crate::testing::{Scenario, ScriptedFault, SimulatedEndpoint, Step};

async fn endpoint() -> (SimulatedEndpoint, TokenEndpoint) {
    let scenario =
        Scenario::from_json(r#"{"oauth": {"refresh_tokens": ["tok-secret-r1"]}}"#).unwrap();
    let simulated = SimulatedEndpoint::start(scenario).await.unwrap();
    let url = format!("{}/api/v1/oauth2/token", simulated.url());
    (
        simulated,
        TokenEndpoint {
            url,
            client_id: "tests".to_owned(),
        },
    )
}

fn token_file(refresh_token: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("oauth_creds_1.json");
    let content = json!({
        "access_token": "tok-secret-a1", "token_type": "Bearer", "refresh_token": refresh_token,
        "resource_url": "portal.qwen.ai", "expiry_date": 1_000, "scope": "kept as it is"
    });
    private_file::write(&file, content.to_string().as_bytes()).unwrap();
    (folder, file)
}

fn content(file: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

#[tokio::test]
async fn fifty_callers_make_one_refresh_that_keeps_unknown_fields_and_mode() {
    let (simulated, endpoint) = endpoint().await;
    let (_folder, file) = token_file("tok-secret-r1");
    let account = Arc::new(OAuthAccount::open_with(&file, endpoint).unwrap());
    assert!(account.needs_refresh(2_000));
    let stale = account.secret();
    let callers = (0..50).map(|_| {
        let (account, stale) = (Arc::clone(&account), stale.clone());
        tokio::spawn(async move { account.refresh(&stale).await })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap().unwrap();
    }
    assert_eq!(simulated.redemptions().granted, 1);
    assert_ne!(account.secret(), stale);
    let written = content(&file);
    assert_eq!(written["scope"], "kept as it is");
    assert_eq!(written["access_token"], account.secret().expose());
    assert_eq!(
        std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

#[tokio::test]
async fn of_two_over_one_file_one_redeems_and_the_other_adopts() {
    let (simulated, endpoint) = endpoint().await;
    let (_folder, file) = token_file("tok-secret-r1");
    let open = || Arc::new(OAuthAccount::open_with(&file, endpoint.clone()).unwrap());
    let (one, other) = (open(), open());
    let stale = one.secret();
    let (first, second) = tokio::join!(one.refresh(&stale), other.refresh(&stale));
    first.unwrap();
    second.unwrap();
    assert_eq!(simulated.redemptions().granted, 1);
    assert_eq!(one.secret(), other.secret());
}

#[tokio::test]
async fn a_token_spent_by_a_program_without_our_lock_is_adopted_from_the_file() {
    let (simulated, endpoint) = endpoint().await;
    let (_folder, file) = token_file("tok-secret-r1");
    let account = Arc::new(OAuthAccount::open_with(&file, endpoint).unwrap());
    let stale = account.secret();
    let mut newer = content(&file);
    newer["access_token"] = json!("tok-secret-a2");
    newer["expiry_date"] = json!(9_000_000_000_000_u64);
    private_file::write(&file, newer.to_string().as_bytes()).unwrap();
    account.refresh(&stale).await.unwrap();
    assert_eq!(account.secret().expose(), "tok-secret-a2");
    assert_eq!(simulated.redemptions().granted, 0);
}

#[tokio::test]
async fn a_refresh_token_that_is_not_valid_wants_a_login_and_leaves_the_file() {
    let (_simulated, endpoint) = endpoint().await;
    let (_folder, file) = token_file("tok-secret-spent");
    let before = std::fs::read(&file).unwrap();
    let account = Arc::new(OAuthAccount::open_with(&file, endpoint).unwrap());
    let fault = account.refresh(&account.secret()).await.unwrap_err();
    assert_eq!(fault.reason, FaultReason::LoginRequired);
    assert!(!fault.message.contains("tok-secret"), "{}", fault.message);
    assert_eq!(std::fs::read(&file).unwrap(), before);
}

#[tokio::test]
async fn an_endpoint_out_of_reach_does_not_condemn_the_account() {
    let (_folder, file) = token_file("tok-secret-r1");
    let nowhere = TokenEndpoint {
        url: "http://127.0.0.1:1/token".to_owned(),
        client_id: String::new(),
    };
    let account = Arc::new(OAuthAccount::open_with(&file, nowhere).unwrap());
    let fault = account.refresh(&account.secret()).await.unwrap_err();
    assert_eq!(fault.reason, FaultReason::Connect);
}

/// An endpoint that answers long after it has redeemed.
async fn slow_endpoint() -> (SimulatedEndpoint, TokenEndpoint) {
    let scenario =
        r#"{"oauth": {"refresh_tokens": ["tok-secret-r1"], "script": [{"delay_ms": 300}]}}"#;
    let simulated = SimulatedEndpoint::start(Scenario::from_json(scenario).unwrap())
        .await
        .unwrap();
    let url = format!("{}/api/v1/oauth2/token", simulated.url());
    (
        simulated,
        TokenEndpoint {
            url,
            client_id: "tests".to_owned(),
        },
    )
}

async fn redeemed(simulated: &SimulatedEndpoint) {
    while simulated.redemptions().granted == 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_caller_that_is_cancelled_does_not_lose_the_token_that_was_redeemed() {
    let (simulated, endpoint) = slow_endpoint().await;
    let (_folder, file) = token_file("tok-secret-r1");
    let account = Arc::new(OAuthAccount::open_with(&file, endpoint).unwrap());
    let stale = account.secret();
    let caller = {
        let (account, stale) = (Arc::clone(&account), stale.clone());
        tokio::spawn(async move { account.refresh(&stale).await })
    };
    redeemed(&simulated).await;
    caller.abort();
    account.refresh(&stale).await.unwrap();
    assert_eq!(simulated.redemptions().granted, 1);
    assert_eq!(content(&file)["refresh_token"], "tok-secret-r1.1");
}

#[tokio::test]
async fn a_token_that_the_disk_does_not_take_is_used_from_memory() {
    let (simulated, endpoint) = slow_endpoint().await;
    let (_folder, file) = token_file("tok-secret-r1");
    let account = Arc::new(OAuthAccount::open_with(&file, endpoint).unwrap());
    let stale = account.secret();
    let caller = {
        let (account, stale) = (Arc::clone(&account), stale.clone());
        tokio::spawn(async move { account.refresh(&stale).await })
    };
    redeemed(&simulated).await;
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    caller.await.unwrap().unwrap();
    let renewed = account.secret();
    assert_ne!(renewed, stale);
    // What was there before comes back: it is older than what is held.
    std::fs::remove_dir(&file).unwrap();
    let old =
        json!({"access_token": stale.expose(), "refresh_token": "tok-secret-r1", "expiry_date": 1});
    private_file::write(&file, old.to_string().as_bytes()).unwrap();
    assert!(!account.needs_refresh(SystemClock.now()));
    assert_eq!(account.secret(), renewed);
    account.refresh(&renewed).await.unwrap();
    assert_eq!(simulated.redemptions().granted, 2);
    assert_eq!(content(&file)["refresh_token"], "tok-secret-r1.2");
}

#[tokio::test]
async fn an_expired_token_of_another_is_refreshed_not_adopted() {
    let (simulated, endpoint) = endpoint().await;
    let (_folder, file) = token_file("tok-secret-spent");
    let account = Arc::new(OAuthAccount::open_with(&file, endpoint).unwrap());
    let stale = account.secret();
    let mut other = content(&file);
    other["access_token"] = json!("tok-secret-a2");
    other["refresh_token"] = json!("tok-secret-r1");
    private_file::write(&file, other.to_string().as_bytes()).unwrap();
    account.refresh(&stale).await.unwrap();
    assert_eq!(simulated.redemptions().granted, 1);
}

#[tokio::test]
async fn a_condemned_refresh_token_is_not_shown_again_and_a_new_login_is_noticed() {
    let (simulated, endpoint) = endpoint().await;
    let (_folder, file) = token_file("tok-secret-spent");
    let account = Arc::new(OAuthAccount::open_with(&file, endpoint).unwrap());
    for _ in 0..3 {
        let fault = account.refresh(&account.secret()).await.unwrap_err();
        assert_eq!(fault.reason, FaultReason::LoginRequired);
        assert!(fault.message.contains("log in again"), "{}", fault.message);
    }
    assert_eq!(simulated.redemptions().refused, 1);
    let login = json!({"access_token": "tok-secret-login", "refresh_token": "tok-secret-r1", "expiry_date": 9_000_000_000_000_u64});
    private_file::write(&file, login.to_string().as_bytes()).unwrap();
    assert!(!account.needs_refresh(SystemClock.now()));
    assert_eq!(account.secret().expose(), "tok-secret-login");
}

#[tokio::test]
async fn a_file_that_turns_bad_keeps_the_token_held_but_is_not_written_over() {
    let (_simulated, endpoint) = endpoint().await;
    let (_folder, file) = token_file("tok-secret-r1");
    let account = Arc::new(OAuthAccount::open_with(&file, endpoint).unwrap());
    private_file::write(&file, b"{").unwrap();
    assert!(account.needs_refresh(2_000));
    assert_eq!(account.secret().expose(), "tok-secret-a1");
    let fault = account.refresh(&account.secret()).await.unwrap_err();
    assert_eq!(fault.reason, FaultReason::LoginRequired);
    assert!(fault.message.contains("corrupt"), "{}", fault.message);
    assert_eq!(std::fs::read(&file).unwrap(), b"{");
}

#[tokio::test]
async fn a_file_that_another_holds_is_busy_not_blamed() {
    let (simulated, endpoint) = endpoint().await;
    let (_folder, file) = token_file("tok-secret-r1");
    let account = OAuthAccount::open_with(&file, endpoint).unwrap();
    let account = Arc::new(account.with_lock_wait(Duration::from_millis(20)));
    let _held = Lock::take(&account.lock_file(), Duration::ZERO).unwrap();
    let fault = account.refresh(&account.secret()).await.unwrap_err();
    assert_eq!(fault.reason, FaultReason::AccountBusy);
    assert_eq!(simulated.redemptions().granted, 0);
}

#[tokio::test]
async fn a_refresh_through_a_link_writes_the_file_behind_it() {
    let (_simulated, endpoint) = endpoint().await;
    let (folder, file) = token_file("tok-secret-r1");
    let link = folder.path().join("oauth_creds.json");
    std::os::unix::fs::symlink("oauth_creds_1.json", &link).unwrap();
    let account = Arc::new(OAuthAccount::open_with(&link, endpoint).unwrap());
    account.refresh(&account.secret()).await.unwrap();
    assert!(link.is_symlink());
    assert_eq!(content(&file)["refresh_token"], "tok-secret-r1.1");
}

#[tokio::test]
async fn fifty_calls_refused_at_once_with_one_token_make_one_refresh() {
    use crate::credential::{Credential, CredentialPool};
    let (simulated, endpoint) = endpoint().await;
    let (_folder, file) = token_file("tok-secret-r1");
    let mut valid = content(&file);
    valid["expiry_date"] = json!(9_000_000_000_000_u64);
    valid["resource_url"] = json!(simulated.url());
    private_file::write(&file, valid.to_string().as_bytes()).unwrap();
    let account = Arc::new(OAuthAccount::open_with(&file, endpoint).unwrap());
    let pool = CredentialPool::new(vec![Credential::oauth_account("account1", account)]).unwrap();
    let wrapper = crate::wrapper::Wrapper::builder()
        .target(crate::provider::openai::OpenAi::new(), pool)
        .model("m")
        .build()
        .unwrap();
    // An account known to be good is lent to many calls at once.
    assert!(wrapper.call("proves the token").await.success());
    let refused = Step::fault(ScriptedFault::Unauthorized);
    // The others hear of it when the first has long refreshed.
    let late = Step {
        delay_ms: 200,
        ..refused.clone()
    };
    simulated.script("tok-secret-a1", [refused, late]);
    let calls = (0..50).map(|_| wrapper.call("hello"));
    for outcome in futures_util::future::join_all(calls).await {
        assert!(outcome.success(), "{outcome:?}");
    }
    let redemptions = simulated.redemptions();
    assert_eq!((redemptions.granted, redemptions.refused), (1, 0));
}

/// Run by the next test in processes of their own.
#[tokio::test]
#[ignore = "needs the file and the endpoint that the next test gives it"]
async fn refreshes_the_first_token() {
    let var = |name: &str| std::env::var(name).unwrap();
    let endpoint = TokenEndpoint {
        url: var("OAUTH_TEST_URL"),
        client_id: "tests".to_owned(),
    };
    let account = Arc::new(OAuthAccount::open_with(var("OAUTH_TEST_FILE"), endpoint).unwrap());
    let stale = Secret::new("tok-secret-a1");
    let callers = (0..5).map(|_| {
        let (account, stale) = (Arc::clone(&account), stale.clone());
        tokio::spawn(async move { account.refresh(&stale).await })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap().unwrap();
    }
    assert_eq!(account.secret().expose(), "access-tok-secret-r1.1");
}

#[tokio::test]
async fn processes_over_one_file_redeem_its_token_once() {
    let (simulated, endpoint) = slow_endpoint().await;
    let (_folder, file) = token_file("tok-secret-r1");
    let name = "credential::oauth::tests::refreshes_the_first_token";
    let children = (0..3).map(|_| {
        tokio::process::Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", name])
            .env("OAUTH_TEST_URL", &endpoint.url)
            .env("OAUTH_TEST_FILE", &file)
            .kill_on_drop(true)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap()
    });
    for child in children.collect::<Vec<_>>() {
        let ended = child.wait_with_output().await.unwrap();
        let told = String::from_utf8_lossy(&ended.stdout);
        assert!(
            ended.status.success() && told.contains("1 passed"),
            "{told}"
        );
    }
    let redemptions = simulated.redemptions();
    assert_eq!((redemptions.granted, redemptions.refused), (1, 0));
}

#[test]
fn the_resource_url_becomes_a_base_url() {
    let rows = [
        (json!("portal.qwen.ai"), "https://portal.qwen.ai/v1"),
        (
            json!("https://portal.qwen.ai/"),
            "https://portal.qwen.ai/v1",
        ),
        (json!("http://127.0.0.1:9/v1"), "http://127.0.0.1:9/v1"),
        (
            Value::Null,
            "https://dashscope.aliyuncs.com/compatible-mode/v1",
        ),
    ];
    for (given, expected) in rows {
        let text = json!({"access_token": "tok-secret-a", "resource_url": given}).to_string();
        let url = Tokens::parse(&text).unwrap().base_url().unwrap();
        assert_eq!(url.as_str(), expected, "{given}");
    }
}

#[test]
fn a_file_without_a_token_is_corrupt_and_told_without_its_content() {
    for text in [
        "",
        "{",
        "[1]",
        r#"{"refresh_token":"tok-secret-9"}"#,
        r#"{"access_token":" "}"#,
    ] {
        let problem = Tokens::parse(text).err().unwrap();
        assert!(!problem.contains("tok-secret-9"), "{problem}");
    }
}

/// The files of other programs, as those write them.
fn foreign() -> [(&'static str, Value); 3] {
    [
        (
            "gemini",
            json!({"access_token": "tok-secret-a1", "refresh_token": "tok-secret-r1", "expiry_date": 1_000,
                   "scope": "https://www.googleapis.com/auth/cloud-platform openid", "token_type": "Bearer"}),
        ),
        (
            "codex",
            json!({"OPENAI_API_KEY": null, "last_refresh": "1970-01-01T00:00:01Z",
                   "tokens": {"id_token": "tok-secret-i", "access_token": "tok-secret-a1", "refresh_token": "tok-secret-r1", "account_id": "a"}}),
        ),
        (
            "claude",
            json!({"claudeAiOauth": {"accessToken": "tok-secret-a1", "refreshToken": "tok-secret-r1", "expiresAt": 1_000, "scopes": ["user:inference"]}}),
        ),
    ]
}

#[tokio::test]
async fn the_refresh_token_of_another_program_is_never_sent_to_the_endpoint() {
    for (program, content) in foreign() {
        let (simulated, endpoint) = endpoint().await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("oauth_creds_1.json");
        private_file::write(&file, content.to_string().as_bytes()).unwrap();
        let account = Arc::new(OAuthAccount::open_with(&file, endpoint).unwrap());
        assert_eq!(account.secret().expose(), "tok-secret-a1");
        assert_eq!(account.base_url(), None, "{program}");
        assert!(!account.needs_refresh(2_000), "{program}");
        let fault = account.refresh(&account.secret()).await.unwrap_err();
        assert_eq!(fault.reason, FaultReason::LoginRequired);
        assert!(fault.message.contains(program), "{}", fault.message);
        assert_eq!(simulated.redemptions().granted, 0, "{program}");
        assert_eq!(simulated.redemptions().refused, 0, "{program}");

        // What the program has refreshed is adopted.
        let newer = content
            .to_string()
            .replace("tok-secret-a1", "tok-secret-newer");
        let newer = newer.replace("1000", "99999999999999");
        private_file::write(&file, newer.as_bytes()).unwrap();
        account
            .refresh(&Secret::new("tok-secret-a1"))
            .await
            .unwrap();
        assert_eq!(account.secret().expose(), "tok-secret-newer", "{program}");
    }
}

#[test]
fn of_two_files_of_one_program_the_later_is_known() {
    for (program, content) in foreign() {
        let text = content.to_string();
        let later = text
            .replace("1000", "2000")
            .replace("00:00:01Z", "00:00:02Z");
        let (one, two) = (
            Tokens::parse(&text).unwrap(),
            Tokens::parse(&later).unwrap(),
        );
        assert!(two.outlives(&one) && !one.outlives(&two), "{program}");
    }
}

#[test]
fn a_file_without_a_token_names_the_field_that_is_missing() {
    let rows = [
        ("{}", "`access_token`"),
        (
            r#"{"tokens": {"refresh_token": "r"}}"#,
            "`tokens.access_token`",
        ),
        (
            r#"{"claudeAiOauth": {"accessToken": " "}}"#,
            "`claudeAiOauth.accessToken`",
        ),
    ];
    for (text, field) in rows {
        let problem = Tokens::parse(text).err().unwrap();
        assert!(problem.contains(field), "{problem}");
    }
}
