//! The handle of a running simulated endpoint.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio_util::sync::CancellationToken;

use super::ledger::SeenRequest;
use super::oauth::Redemptions;
use super::scenario::{Scenario, Script};
use super::serve::{Site, serve};

/// An LLM endpoint on loopback that does what its [`Scenario`] says.
///
/// It speaks HTTP/1.1: `POST /v1/chat/completions` (also without `/v1`),
/// `POST /v1/messages`, `GET /v1/models` and `POST /api/v1/oauth2/token`.
/// Dropping it closes the port and every connection.
///
/// ```
/// use credential_rotation::testing::{Scenario, ScriptedFault, SimulatedEndpoint, Step};
///
/// let scenario = Scenario::default()
///     .key("sk-a", [Step::fault(ScriptedFault::RateLimited).retry_after(30)])
///     .key("sk-b", [Step::text("hello")]);
/// let endpoint = SimulatedEndpoint::start_blocking(scenario)?;
/// assert!(endpoint.url().starts_with("http://127.0.0.1:"));
/// assert_eq!(endpoint.hits("sk-a"), 0);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct SimulatedEndpoint {
    address: SocketAddr,
    site: Arc<Site>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl SimulatedEndpoint {
    /// Starts one on the current tokio runtime.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(scenario: Scenario) -> io::Result<Self> {
        Self::start_at(scenario, 0).await
    }

    /// Starts one on a port of the caller's choice; 0 is one that is free.
    ///
    /// # Errors
    /// When the port cannot be had.
    pub async fn start_at(scenario: Scenario, port: u16) -> io::Result<Self> {
        let (listener, mut endpoint) = Self::bind(&scenario, port)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let (site, stop) = (Arc::clone(&endpoint.site), endpoint.stop.clone());
        tokio::spawn(serve(listener, site, stop));
        endpoint.thread = None;
        Ok(endpoint)
    }

    /// Starts one on a thread of its own, for callers without a tokio runtime.
    ///
    /// # Errors
    /// When no port or no thread can be had.
    pub fn start_blocking(scenario: Scenario) -> io::Result<Self> {
        let (listener, mut endpoint) = Self::bind(&scenario, 0)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (site, stop) = (Arc::clone(&endpoint.site), endpoint.stop.clone());
        let listener = {
            let _context = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        let thread = thread::Builder::new()
            .name("simulated-endpoint".to_owned())
            .spawn(move || runtime.block_on(serve(listener, site, stop)))?;
        endpoint.thread = Some(thread);
        Ok(endpoint)
    }

    fn bind(scenario: &Scenario, port: u16) -> io::Result<(TcpListener, Self)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let endpoint = Self {
            address,
            site: Arc::new(Site::new(scenario, &format!("http://{address}"))),
            stop: CancellationToken::new(),
            thread: None,
        };
        Ok((listener, endpoint))
    }

    /// `http://127.0.0.1:PORT`: the base URL of Anthropic clients.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// `http://127.0.0.1:PORT/v1`: the base URL of OpenAI clients.
    #[must_use]
    pub fn openai_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Gives a key another script, from its start. Counts stay.
    pub fn script(&self, key: &str, script: impl Into<Script>) {
        self.site.ledger.script(key, &script.into());
    }

    /// Completion requests that came with this key.
    #[must_use]
    pub fn hits(&self, key: &str) -> u64 {
        self.site.ledger.hits(key)
    }

    /// Completion requests in all.
    #[must_use]
    pub fn hits_total(&self) -> u64 {
        self.site.ledger.hits_total()
    }

    /// The latest requests, oldest first: up to 4,096 and 32 MiB of bodies.
    /// Empty with `record: false`.
    #[must_use]
    pub fn requests(&self) -> Vec<SeenRequest> {
        self.site.ledger.requests()
    }

    /// Answers of this key that the client did not wait for or read to the end.
    #[must_use]
    pub fn closed_early(&self, key: &str) -> u64 {
        self.site.ledger.closed_early(key)
    }

    /// Requests being answered now, streams included.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.site.ledger.in_flight()
    }

    /// Connections open now, idle ones included.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.site.ledger.open_connections()
    }

    /// What became of the refresh tokens that were shown.
    #[must_use]
    pub fn redemptions(&self) -> Redemptions {
        self.site.tokens.redemptions()
    }
}

impl Drop for SimulatedEndpoint {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // It only waits on sockets and timers, so this is immediate.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for SimulatedEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatedEndpoint")
            .field("address", &self.address)
            .field("hits", &self.hits_total())
            .finish_non_exhaustive()
    }
}
