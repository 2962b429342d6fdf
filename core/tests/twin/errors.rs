//! Errors as they come back from their JSON.

use credential_rotation::job::{JobError, JobId};
use credential_rotation::session::SessionError;
use serde_json::Value;

pub(super) fn read(told: &Value) -> SessionError {
    let text = |name: &str| told[name].as_str().unwrap().to_owned();
    let number = |name: &str| told[name].as_u64().unwrap();
    match told["code"].as_str().unwrap() {
        "unknown_session" => SessionError::UnknownSession { id: text("id") },
        "session_taken" => SessionError::SessionTaken { id: text("id") },
        "stale_version" => SessionError::StaleVersion {
            id: text("id"),
            expected: number("expected"),
            actual: number("actual"),
        },
        "session_too_large" => SessionError::TooLarge {
            what: text("what").leak(),
            size: number("size"),
            limit: number("limit"),
            remedy: "as the other process says",
        },
        "unknown_file" => SessionError::UnknownFile {
            id: text("id"),
            name: text("name"),
        },
        "invalid_session" => SessionError::Invalid {
            field: text("field").leak(),
            problem: text("message"),
        },
        "invalid_import" => SessionError::InvalidImport {
            line: usize::try_from(number("line")).unwrap(),
            problem: text("message"),
        },
        "stale_attempt" => SessionError::Job(JobError::StaleAttempt {
            id: JobId::from_text(text("id")).unwrap(),
            epoch: number("epoch"),
        }),
        other => panic!("{other}: {told}"),
    }
}
