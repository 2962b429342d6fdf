//! One connection pool per provider and process.
//!
//! It retries nothing, follows no redirect (a key must not travel to another
//! address) and sets no time limit of its own but the one for connecting.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use url::{Host, Url};

use super::super::{Fault, FaultReason};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const IDLE_CONNECTIONS: usize = 1024;
const IDLE_FOR: Duration = Duration::from_secs(60);
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Built at the first call, and again in a forked child: a child that used its
/// parent's sockets would mix its answers with the parent's.
///
/// Generations are chained, never replaced, so that reading takes no lock and a
/// child never drops (and so never writes to) what it inherited. Nothing is built
/// while a `OnceLock` is being set: a fork in that moment would hang the child.
#[derive(Default)]
pub(crate) struct HttpClient {
    first: OnceLock<Box<Generation>>,
}

struct Generation {
    pid: u32,
    through_proxy: reqwest::Client,
    direct: reqwest::Client,
    next: OnceLock<Box<Generation>>,
}

impl HttpClient {
    /// The client for this address in this process.
    pub(crate) fn for_url(&self, url: &Url) -> Result<&reqwest::Client, Fault> {
        let generation = self.generation(std::process::id())?;
        // A proxy's idea of "localhost" is the proxy itself.
        Ok(if is_loopback(url) {
            &generation.direct
        } else {
            &generation.through_proxy
        })
    }

    fn generation(&self, pid: u32) -> Result<&Generation, Fault> {
        let mut slot = &self.first;
        loop {
            match slot.get() {
                Some(generation) if generation.pid == pid => return Ok(generation),
                Some(older) => slot = &older.next,
                // Whoever loses this race uses the winner's in the next round.
                None => drop(slot.set(Box::new(Generation::build(pid)?))),
            }
        }
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").finish_non_exhaustive()
    }
}

impl Generation {
    fn build(pid: u32) -> Result<Self, Fault> {
        let tls = tls()?;
        let client = |builder: reqwest::ClientBuilder| {
            builder.build().map_err(|error| {
                Fault::new(
                    FaultReason::Connect,
                    format!("cannot set up the HTTP client: {}", error.without_url()),
                )
            })
        };
        Ok(Self {
            pid,
            through_proxy: client(builder(tls.clone()))?,
            direct: client(builder(tls).no_proxy())?,
            next: OnceLock::new(),
        })
    }
}

/// The start of a client that is not a provider's, tuned as these are.
pub(crate) fn http_client() -> Result<reqwest::ClientBuilder, Fault> {
    Ok(builder(tls()?))
}

/// HTTP/1.1 on purpose: over HTTP/2 all calls to a host would share a single
/// connection, wait behind its stream limit and break together.
fn builder(tls: rustls::ClientConfig) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .http1_only()
        .user_agent(concat!("credential-rotation/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .tcp_nodelay(true)
        .tcp_keepalive(KEEPALIVE)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .pool_idle_timeout(IDLE_FOR)
}

/// Ring does the cryptography, the platform says whom to trust.
fn tls() -> Result<rustls::ClientConfig, Fault> {
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let failed = |error: rustls::Error| {
        Fault::new(FaultReason::Connect, format!("cannot set up TLS: {error}"))
    };
    let versions = rustls::ClientConfig::builder_with_provider(Arc::clone(&ring))
        .with_safe_default_protocol_versions()
        .map_err(failed)?;
    let mut config = match rustls_platform_verifier::Verifier::new(ring) {
        Ok(verifier) => versions
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth(),
        // A container without certificates can still call plain http.
        Err(error) => {
            tracing::warn!(%error, "no trusted certificates on this machine: https calls will fail; install ca-certificates");
            versions
                .with_root_certificates(rustls::RootCertStore::empty())
                .with_no_client_auth()
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => {
            ip.is_loopback() || ip.to_ipv4_mapped().is_some_and(|ip| ip.is_loopback())
        }
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            name == "localhost" || name.ends_with(".localhost")
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::raw_peer::{RawPeer, answer};
    use super::*;

    #[test]
    fn a_forked_child_gets_a_client_of_its_own_and_the_parent_keeps_his() {
        let client = HttpClient::default();
        let parent: *const Generation = client.generation(1).unwrap();
        let child: *const Generation = client.generation(2).unwrap();
        assert!(!std::ptr::eq(parent, child));
        assert!(std::ptr::eq(parent, client.generation(1).unwrap()));
        assert!(std::ptr::eq(child, client.generation(2).unwrap()));
    }

    #[test]
    fn loopback_is_told_from_the_rest() {
        for (url, loopback) in [
            ("http://127.0.0.1:1/", true),
            ("http://127.8.9.1/", true),
            ("http://[::1]/", true),
            ("http://[::ffff:127.0.0.1]/", true),
            ("http://localhost:8000/", true),
            ("http://LocalHost./", true),
            ("http://a.localhost/", true),
            ("http://localhost.example.com/", false),
            ("http://10.0.0.1/", false),
            ("https://api.openai.com/v1", false),
        ] {
            assert_eq!(is_loopback(&Url::parse(url).unwrap()), loopback, "{url}");
        }
    }

    /// Run by the next test in a process of its own: the environment is read once.
    #[tokio::test]
    #[ignore = "needs the environment that the next test gives it"]
    async fn calls_in_an_environment_with_a_proxy() {
        for url in ["http://far.invalid/x", "http://localhost:1/x"] {
            let url = Url::parse(url).unwrap();
            let client = HttpClient::default();
            let sent = client.for_url(&url).unwrap().get(url.clone()).send().await;
            assert_eq!(sent.is_ok(), !is_loopback(&url), "{url}");
        }
    }

    #[tokio::test]
    async fn a_proxy_of_the_environment_is_used_but_for_loopback() {
        let mut peer = RawPeer::saying(&answer("200 OK", "", "")).await;
        let child = tokio::process::Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "calls_in_an_environment_with_a_proxy"])
            .env("http_proxy", peer.url.as_str())
            .env_remove("no_proxy")
            .env_remove("NO_PROXY")
            .output()
            .await
            .unwrap();
        let told = String::from_utf8_lossy(&child.stdout);
        assert!(child.status.success(), "{told}");
        let seen = peer.requests.recv().await.unwrap();
        assert!(seen.starts_with("GET http://far.invalid/x "), "{seen}");
        assert!(
            peer.requests.try_recv().is_err(),
            "loopback went through the proxy"
        );
    }
}
