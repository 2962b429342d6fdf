//! Who is told of a job's end.

use url::{Host, Url};

use super::JobError;

/// The longest URL, in bytes.
const URL_LIMIT: usize = 2_000;

/// # Errors
/// [`JobError::Invalid`] for what is no `http` or `https` URL, or has a user in it.
pub(super) fn check_url(url: &str) -> Result<(), JobError> {
    let refused = |problem: &str| Err(JobError::invalid("webhook", problem));
    if url.len() > URL_LIMIT {
        return refused("it is over 2,000 bytes");
    }
    let Ok(url) = Url::parse(url) else {
        return refused("it is no URL: give one as `https://example.com/hooks`");
    };
    if !matches!(url.scheme(), "http" | "https") {
        return refused("it is neither http nor https");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return refused("it has a user or password in it: deliveries are signed instead");
    }
    match url.host() {
        Some(Host::Domain(_) | Host::Ipv4(_) | Host::Ipv6(_)) => Ok(()),
        None => refused("it has no host"),
    }
}
