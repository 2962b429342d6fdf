//! Keys in a file of this user's alone: JSON, TOML, or one key a line.

use std::path::Path;

use serde::Deserialize;

use crate::credential::private_file;
use crate::credential::{Credential, CredentialSpec, Secret};
use crate::error::Error;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    credentials: Vec<CredentialSpec>,
}

pub(super) fn load(path: &Path) -> Result<Vec<Credential>, Error> {
    let text = private_file::read(path)?;
    let specs = parse(path, &text).map_err(|problem| private_file::corrupt(path, problem))?;
    let stem = path
        .file_stem()
        .map_or_else(|| "key".into(), |stem| stem.to_string_lossy());
    let build = |(index, mut spec): (usize, CredentialSpec)| {
        spec.id
            .get_or_insert_with(|| format!("{stem}-{}", index + 1));
        spec.build(index + 1)
    };
    specs.into_iter().enumerate().map(build).collect()
}

// Problems are told without the content: it is keys.
fn parse(path: &Path, text: &str) -> Result<Vec<CredentialSpec>, String> {
    let extension = path.extension().and_then(|extension| extension.to_str());
    let start = text.trim_start().chars().next();
    match (extension, start) {
        (_, None) => Err("it is empty".to_owned()),
        (Some("toml"), _) => {
            let document: Document = toml::from_str(text).map_err(|e| at_line(&e, text))?;
            Ok(document.credentials)
        }
        (Some("json"), _) | (_, Some('[' | '{')) => {
            let told = |e: serde_json::Error| format!("line {}, column {}", e.line(), e.column());
            if start == Some('[') {
                serde_json::from_str(text).map_err(told)
            } else {
                let document: Document = serde_json::from_str(text).map_err(told)?;
                Ok(document.credentials)
            }
        }
        _ => Ok(lines(text)),
    }
}

fn at_line(problem: &toml::de::Error, text: &str) -> String {
    let before = problem.span().and_then(|span| text.get(..span.start));
    let line = before.map_or(1, |before| before.matches('\n').count() + 1);
    format!("line {line}")
}

fn lines(text: &str) -> Vec<CredentialSpec> {
    let keys = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    keys.map(|key| CredentialSpec {
        id: None,
        secret: Secret::new(key),
        base_url: None,
        model: None,
        weight: 1,
        quota_group: None,
        concurrency: None,
        rpm: None,
        tpm: None,
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn written(name: &str, text: &str, mode: u32) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        (folder, path)
    }

    #[test]
    fn json_toml_and_lines_hold_the_same() {
        let rows = [
            (
                "keys.json",
                r#"[{"id": "a", "secret": "sk-secret-1"}, {"secret": "sk-secret-2"}]"#,
                "a",
            ),
            (
                "keys.json",
                r#"{"credentials": [{"id": "a", "secret": "sk-secret-1"}, {"secret": "sk-secret-2"}]}"#,
                "a",
            ),
            (
                "keys.toml",
                "[[credentials]]\nid = \"a\"\nsecret = \"sk-secret-1\"\n[[credentials]]\nsecret = \"sk-secret-2\"",
                "a",
            ),
            ("keys.txt", "# mine\nsk-secret-1\n\nsk-secret-2\n", "keys-1"),
        ];
        for (name, text, first) in rows {
            let (_folder, path) = written(name, text, 0o600);
            let loaded = load(&path).unwrap();
            let ids: Vec<_> = loaded.iter().map(Credential::id).collect();
            assert_eq!(ids, [first, "keys-2"], "{text}");
            assert_eq!(loaded[1].secret().expose(), "sk-secret-2");
        }
    }

    #[test]
    fn a_file_that_cannot_be_used_is_told_without_its_content() {
        let rows = [
            (
                "k.json",
                r#"[{"secret": "sk-secret-9", "colour": 1}]"#,
                0o600,
                "credential_file_corrupt",
            ),
            (
                "k.json",
                "[{\"secret\": \"sk-secret-9\"",
                0o600,
                "credential_file_corrupt",
            ),
            (
                "k.toml",
                "credentials = \"sk-secret-9\"",
                0o600,
                "credential_file_corrupt",
            ),
            ("k.txt", "", 0o600, "credential_file_corrupt"),
            ("k.txt", "sk-secret-9", 0o644, "credential_file_permissions"),
            ("k.txt", "sk-secret-9", 0o660, "credential_file_permissions"),
        ];
        for (name, text, mode, code) in rows {
            let (_folder, path) = written(name, text, mode);
            let error = load(&path).unwrap_err();
            assert_eq!(error.code(), code, "{text}");
            assert!(!error.to_string().contains("sk-secret-9"), "{error}");
        }
        assert_eq!(
            load(Path::new("/nonexistent/k")).unwrap_err().code(),
            "credential_file_unreadable"
        );
    }
}
