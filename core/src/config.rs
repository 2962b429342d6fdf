//! `credential-rotation.toml`: one file, overridden by the environment, checked at start.
//!
//! A table of the file is one program's or object's options; what they mean is
//! said where they are defined.

use std::path::Path;

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::error::Error;

/// The name that programs look for in the working directory.
pub const FILE_NAME: &str = "credential-rotation.toml";

/// What the names of overriding variables begin with:
/// `CREDENTIAL_ROTATION_WRAPPER_MAX_RETRIES=3` sets `max_retries` in `[wrapper]`.
pub const PREFIX: &str = "CREDENTIAL_ROTATION_";

/// The largest file that is read, in bytes.
pub const FILE_LIMIT: u64 = 1024 * 1024;

/// Reads one table of a file, with the process's environment over it.
///
/// # Errors
/// [`Error::InvalidConfig`] naming the file or variable and what is wrong with it.
pub fn load_table<T: DeserializeOwned>(path: &Path, table: &str) -> Result<T, Error> {
    load_table_with(path, table, overrides())
}

/// The same with an environment of the caller's.
///
/// # Errors
/// As [`load_table`].
pub fn load_table_with<T: DeserializeOwned>(
    path: &Path,
    table: &str,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<T, Error> {
    let place = path.display().to_string();
    let size = std::fs::metadata(path)
        .map_err(|problem| invalid(&place, &problem))?
        .len();
    if size > FILE_LIMIT {
        return Err(invalid(
            &place,
            &format!("it has {size} bytes, the limit is {FILE_LIMIT}"),
        ));
    }
    let text = std::fs::read_to_string(path).map_err(|problem| invalid(&place, &problem))?;
    let mut file: Table =
        toml::from_str(&text).map_err(|problem| invalid(&place, &located(&problem, &text)))?;
    let mut chosen = match file.remove(table) {
        Some(Value::Table(chosen)) => chosen,
        None => Table::new(),
        Some(_) => {
            return Err(invalid(
                &place,
                &format!("`{table}` is not a table: write [{table}]"),
            ));
        }
    };
    override_with(&mut chosen, table, environment);
    chosen.try_into().map_err(|problem: toml::de::Error| {
        invalid(
            &format!("{place}, [{table}]"),
            &without_values(problem.message()),
        )
    })
}

/// Reads one table from the process's environment alone, where there is no file.
///
/// # Errors
/// [`Error::InvalidConfig`] naming the variables and what is wrong with one.
pub fn from_environment<T: DeserializeOwned>(table: &str) -> Result<T, Error> {
    let mut chosen = Table::new();
    override_with(&mut chosen, table, overrides());
    let place = format!("the environment ({PREFIX}{}_…)", table.to_uppercase());
    chosen
        .try_into()
        .map_err(|problem: toml::de::Error| invalid(&place, &without_values(problem.message())))
}

/// Reads options from JSON, as host languages hand them over. `place` names them in errors.
///
/// # Errors
/// [`Error::InvalidConfig`], which repeats none of the values: one may be a key.
pub fn from_json<T: DeserializeOwned>(json: &str, place: &str) -> Result<T, Error> {
    serde_json::from_str(json)
        .map_err(|problem| invalid(place, &without_values(&problem.to_string())))
}

/// An [`Error::InvalidConfig`].
pub(crate) fn invalid(place: &str, problem: &dyn std::fmt::Display) -> Error {
    Error::InvalidConfig {
        place: place.to_owned(),
        problem: problem.to_string(),
    }
}

/// A parser's message without the texts that it quotes: one of them may be a key.
fn without_values(message: &str) -> String {
    let mut told = String::with_capacity(message.len());
    for (index, part) in message.split('"').enumerate() {
        if index > 0 {
            told.push('"');
        }
        told.push_str(if index % 2 == 0 { part } else { "…" });
    }
    told
}

// Other programs' variables need not be text, and concern nobody here.
fn overrides() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok()?;
        let ours = name.starts_with(PREFIX);
        ours.then(|| (name, value.to_string_lossy().into_owned()))
    })
}

fn override_with(
    table: &mut Table,
    name: &str,
    environment: impl IntoIterator<Item = (String, String)>,
) {
    let prefix = format!("{PREFIX}{}_", name.to_uppercase());
    for (variable, value) in environment {
        if let Some(field) = variable.strip_prefix(&prefix) {
            table.insert(field.to_lowercase(), scalar(value));
        }
    }
}

// A number or truth value where it reads as one, else text.
fn scalar(text: String) -> Value {
    if let Ok(number) = text.parse::<i64>() {
        return Value::Integer(number);
    }
    match text.as_str() {
        "true" => Value::Boolean(true),
        "false" => Value::Boolean(false),
        _ => Value::String(text),
    }
}

// The parser's own message quotes the line, which may hold a key.
fn located(problem: &toml::de::Error, text: &str) -> String {
    let line = problem
        .span()
        .and_then(|span| text.get(..span.start))
        .map(|before| before.matches('\n').count() + 1);
    match line {
        Some(line) => format!("line {line}: {}", without_values(problem.message())),
        None => without_values(problem.message()),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        name: String,
        retries: u32,
    }

    fn load(text: &str, environment: &[(&str, &str)]) -> Result<Sample, Error> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        std::fs::write(&path, text).unwrap();
        let environment = environment
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        load_table_with(&path, "sample", environment)
    }

    #[test]
    fn the_environment_overrides_the_file() {
        let file = "[sample]\nname = \"x\"\nretries = 2\n[other]\nz = 1";
        let plain = load(file, &[]).unwrap();
        assert_eq!(
            plain,
            Sample {
                name: "x".into(),
                retries: 2
            }
        );
        let changed = load(file, &[("CREDENTIAL_ROTATION_SAMPLE_RETRIES", "7")]).unwrap();
        assert_eq!(changed.retries, 7);
    }

    #[test]
    fn bad_toml_is_told_by_line_without_quoting_it() {
        let error = load("[sample]\nname = \"x\"\nkey = sk-secret-1 oops\n", &[]).unwrap_err();
        assert_eq!(error.code(), "invalid_config");
        let message = error.to_string();
        assert!(
            message.contains("line 3") && !message.contains("sk-secret"),
            "{message}"
        );
    }

    #[test]
    fn a_key_in_the_wrong_place_is_not_quoted() {
        let error = load("[sample]\nname = \"x\"\nretries = \"sk-secret-1\"", &[]).unwrap_err();
        assert!(!error.to_string().contains("sk-secret"), "{error}");
    }

    #[test]
    fn an_unknown_name_and_a_wrong_type_are_refused_by_name() {
        let unknown = load("[sample]\nname = \"x\"\nretries = 2\nretrys = 3", &[]).unwrap_err();
        assert!(unknown.to_string().contains("retrys"), "{unknown}");
        let wrong = load("[sample]\nname = 5\nretries = 2", &[]).unwrap_err();
        assert!(wrong.to_string().contains("[sample]"), "{wrong}");
    }
}
