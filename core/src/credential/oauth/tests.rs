//! Refreshing, against a token endpoint that redeems each refresh token once.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::*;
use crate::credential::private_file;
use crate::testing::{Scenario, SimulatedEndpoint};

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
    let (_simulated, endpoint) = endpoint().await;
    let (_folder, file) = token_file("tok-secret-r1");
    let account = Arc::new(OAuthAccount::open_with(&file, endpoint).unwrap());
    let stale = account.secret();
    let mut newer = content(&file);
    newer["access_token"] = json!("tok-secret-a2");
    private_file::write(&file, newer.to_string().as_bytes()).unwrap();
    account.refresh(&stale).await.unwrap();
    assert_eq!(account.secret().expose(), "tok-secret-a2");
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
