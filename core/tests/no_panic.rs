//! No input makes a reader panic: files, options, answers of endpoints.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use credential_rotation::credential::{CredentialSource, OAuthAccount};
use credential_rotation::provider::http::{ErrorFacts, classify, parse_base_url};
use credential_rotation::testing::{Scenario, Script};
use credential_rotation::wrapper::{Ask, Report, WrapperOptions};
use proptest::prelude::*;

/// Text that looks like what is read here, and text that does not.
fn text() -> impl Strategy<Value = String> {
    let token = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "\\",
        "\n",
        "429",
        "1e999",
        "-1",
        "null",
        "true",
        "credentials",
        "secret",
        "access_token",
        "expiry_date",
        "keys",
        "fault",
        "times",
        "error",
        "code",
        "retry-after",
        "è",
        "\u{0}",
        "[wrapper]",
        "=",
        "insufficient_quota",
        "max_retries",
        "https://",
        "http://[",
        "@",
        "%zz",
        " ",
        "\u{202e}",
    ]);
    prop_oneof![
        ".*",
        prop::collection::vec(token, 0..30).prop_map(|parts| parts.concat()),
    ]
}

fn file(name: &str, content: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    (folder, path)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn data_from_hosts_and_files(content in text(), name in prop::sample::select(vec!["k.json", "k.toml", "k.txt"])) {
        let _ = WrapperOptions::from_json(&content);
        let _ = Ask::from_json(&content);
        let _ = Report::from_json(&content);
        let _ = Scenario::from_json(&content);
        let _ = Script::from_json(&content);
        let _ = parse_base_url(&content);
        let (_folder, path) = file(name, &content);
        let _ = CredentialSource::File(path.clone()).load();
        let _ = OAuthAccount::open(&path);
        let _ = WrapperOptions::from_file(&path);
    }

    #[test]
    fn what_endpoints_and_exceptions_say(
        status in proptest::option::of(any::<u16>()),
        header in text(), body in proptest::option::of(text()), kind in proptest::option::of(text()),
        message in proptest::option::of(text()), now in any::<u64>(),
    ) {
        let names = ["retry-after", "retry-after-ms", "x-ratelimit-reset-requests", "x-ratelimit-remaining-requests",
            "anthropic-ratelimit-requests-reset", "anthropic-ratelimit-requests-remaining"];
        let headers: BTreeMap<_, _> = names.iter().map(|name| ((*name).to_owned(), header.clone())).collect();
        let facts = ErrorFacts { kind: kind.clone(), status, headers, body, type_name: kind, message };
        let _ = classify(&facts, now);
    }
}
