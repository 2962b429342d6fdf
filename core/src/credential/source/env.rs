//! Keys in the environment. Pure: the look-up is given.

use crate::credential::{Credential, CredentialSpec, Secret};
use crate::error::Error;

/// The highest number looked for: `X_API_KEY_64`.
const MOST: usize = 64;

/// `X_API_KEY`, `X_API_KEY_2`… up to 64, gaps allowed; a value may be a comma list,
/// as `X_API_KEYS` always is. Ids are the variables' names.
pub(super) fn load(
    prefix: &str,
    get: impl Fn(&str) -> Option<String>,
) -> Result<Vec<Credential>, Error> {
    let base_url = get(&format!("{prefix}_BASE_URL")).filter(|url| !url.trim().is_empty());
    let model = get(&format!("{prefix}_MODEL")).filter(|model| !model.trim().is_empty());
    let numbered = (2..=MOST).map(|number| format!("{prefix}_API_KEY_{number}"));
    let names = [format!("{prefix}_API_KEY"), format!("{prefix}_API_KEYS")];
    let mut credentials = Vec::new();
    for name in names.into_iter().chain(numbered) {
        let Some(value) = get(&name) else { continue };
        let keys: Vec<_> = value
            .split(',')
            .map(str::trim)
            .filter(|key| !key.is_empty())
            .collect();
        for (index, key) in keys.iter().enumerate() {
            let id = if keys.len() == 1 {
                name.clone()
            } else {
                format!("{name}#{}", index + 1)
            };
            let spec = CredentialSpec {
                id: Some(id),
                secret: Secret::new(*key),
                base_url: base_url.clone(),
                model: model.clone(),
                weight: 1,
                quota_group: None,
                concurrency: None,
                rpm: None,
                tpm: None,
            };
            credentials.push(spec.build(index + 1)?);
        }
    }
    Ok(credentials)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(variables: &[(&str, &str)]) -> Vec<(String, String)> {
        let get = |name: &str| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let loaded = load("X", get).unwrap();
        let pair = |c: &Credential| (c.id().to_owned(), c.secret().expose().to_owned());
        loaded.iter().map(pair).collect()
    }

    fn pairs(rows: &[(&str, &str)]) -> Vec<(String, String)> {
        rows.iter()
            .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
            .collect()
    }

    #[test]
    fn numbered_variables_may_have_gaps() {
        let found = ids(&[
            ("X_API_KEY", "a"),
            ("X_API_KEY_2", "b"),
            ("X_API_KEY_7", "c"),
            ("X_API_KEY_3", " "),
        ]);
        assert_eq!(
            found,
            pairs(&[
                ("X_API_KEY", "a"),
                ("X_API_KEY_2", "b"),
                ("X_API_KEY_7", "c")
            ])
        );
    }

    #[test]
    fn a_comma_list_is_several_keys() {
        let found = ids(&[("X_API_KEYS", "a, b,,c")]);
        assert_eq!(
            found,
            pairs(&[
                ("X_API_KEYS#1", "a"),
                ("X_API_KEYS#2", "b"),
                ("X_API_KEYS#3", "c")
            ])
        );
    }

    #[test]
    fn base_url_and_model_go_with_all() {
        let get = |name: &str| match name {
            "X_API_KEY" => Some("a".to_owned()),
            "X_BASE_URL" => Some("http://127.0.0.1:9/v1".to_owned()),
            "X_MODEL" => Some("m".to_owned()),
            _ => None,
        };
        let loaded = load("X", get).unwrap();
        assert_eq!(
            loaded[0].base_url().unwrap().as_str(),
            "http://127.0.0.1:9/v1"
        );
        assert_eq!(loaded[0].model(), Some("m"));
    }
}
