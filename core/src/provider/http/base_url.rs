//! What may serve as the address of an endpoint.

use url::Url;

use crate::Error;

/// Reads a base URL: `http` or `https`, with a host, and nothing secret in it.
///
/// # Errors
/// [`Error::InvalidUrl`], which shows the URL without user information and query.
pub fn parse_base_url(text: &str) -> Result<Url, Error> {
    let text = text.trim();
    let refuse = |problem: &str| Error::InvalidUrl {
        url: shown(text),
        problem: problem.to_owned(),
    };
    let url = Url::parse(text).map_err(|error| {
        refuse(&format!(
            "{error}; write it like `https://api.example.com/v1`"
        ))
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refuse("only http and https can be called"));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(refuse("it names no host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse(
            "it holds a user name or password: give the key as the credential's secret",
        ));
    }
    // A query is where keys end up (`?key=…`), and nothing could be appended to it.
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refuse(
            "a base URL has no query and no fragment: give the key as the credential's secret",
        ));
    }
    Ok(url)
}

/// `base` with `tail` at the end of its path, unless it ends so already.
pub(super) fn appended(base: &Url, tail: &str) -> Url {
    let path = base.path().trim_end_matches('/');
    let mut url = base.clone();
    if path.ends_with(tail) {
        url.set_path(path);
    } else {
        url.set_path(&[path, tail].concat());
    }
    url
}

fn shown(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), text),
    };
    let host = rest.split('/').next().unwrap_or_default();
    // Up to the last `@` anywhere: a password may hold a `/` that ends the host early.
    let kept = rest.rsplit('@').next().unwrap_or(host);
    format!("{scheme}{kept}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_cannot_be_called_is_refused_without_showing_what_is_secret() {
        for (text, shown, problem) in [
            ("", "", "relative URL"),
            ("api.example.com/v1", "api.example.com/v1", "relative URL"),
            ("ftp://example.com", "ftp://example.com", "only http"),
            ("file:///etc/passwd", "file:///etc/passwd", "only http"),
            ("https://", "https://", "empty host"),
            (
                "https://me:hush@example.com/v1",
                "https://example.com/v1",
                "user name",
            ),
            ("https://me:hu/sh@example.com", "https://example.com", ""),
            (
                "https://example.com/v1?key=hush",
                "https://example.com/v1",
                "no query",
            ),
            (
                "https://example.com/v1#hush",
                "https://example.com/v1",
                "no query",
            ),
            ("https://[::1?key=hush", "https://[::1", "IPv6"),
        ] {
            let Err(Error::InvalidUrl { url, problem: said }) = parse_base_url(text) else {
                panic!("{text} was accepted");
            };
            assert_eq!(url, shown, "{text}");
            assert!(said.contains(problem), "{text}: {said}");
            assert!(!format!("{url}{said}").contains("hush"), "{text}");
        }
    }

    #[test]
    fn a_path_is_appended_once() {
        for (base, expected) in [
            ("http://h", "http://h/chat/completions"),
            ("http://h/", "http://h/chat/completions"),
            ("http://h/v1/", "http://h/v1/chat/completions"),
            (
                "http://h/v1/chat/completions",
                "http://h/v1/chat/completions",
            ),
        ] {
            let base = parse_base_url(base).unwrap();
            assert_eq!(appended(&base, "/chat/completions").as_str(), expected);
        }
    }
}
