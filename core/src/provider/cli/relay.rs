//! Stands between a program and the endpoint, on loopback, for one run.
//!
//! Programs are silent while they retry a refused call, for minutes. The relay
//! sees the endpoint's own refusal and tells it at once; and as it adds the key
//! itself, the program never has it. It retries nothing and changes nothing else.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt;
use http_body_util::{
    BodyExt, Full, LengthLimitError, Limited, StreamBody, combinators::UnsyncBoxBody,
};
use hyper::body::{Frame, Incoming};
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};
use url::Url;

use super::super::http::{ErrorFacts, HttpClient, classify, secret_header};
use super::super::{Fault, FaultReason};
use crate::clock::{Clock, SystemClock};
use crate::credential::Secret;

/// The largest request that a program may send, in bytes.
const REQUEST_LIMIT: usize = 32 * 1024 * 1024;

/// How much of a refusal is read, in bytes.
const REFUSAL_LIMIT: usize = 64 * 1024;

/// How the paths end that ask a model: what is refused elsewhere does not end a run.
const MODEL_CALLS: [&str; 2] = ["/chat/completions", "/v1/messages"];

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Headers that belong to one connection and are not passed on.
const HOP: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A relay for one run. Dropping it closes its port and its connections.
pub(super) struct Relay {
    shared: Arc<Shared>,
    url: String,
    serving: AbortHandle,
}

/// Where a program puts its key.
#[derive(Clone, Copy)]
enum Place {
    Bearer,
    XApiKey,
}

struct Shared {
    client: Arc<HttpClient>,
    base: Url,
    key: Secret,
    /// What the program has for a key: only it may use the relay.
    pass: String,
    first: Mutex<Option<Fault>>,
    told: Notify,
}

impl Relay {
    /// Opens a relay to the endpoint at `base`.
    pub(super) async fn open(client: Arc<HttpClient>, base: Url, key: Secret) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!(
            "http://{}{}",
            listener.local_addr()?,
            base.path().trim_end_matches('/')
        );
        let pass = pass()?;
        let shared = Arc::new(Shared {
            client,
            base,
            key,
            pass,
            first: Mutex::new(None),
            told: Notify::new(),
        });
        let serving = tokio::spawn(serve(listener, Arc::clone(&shared))).abort_handle();
        Ok(Self {
            shared,
            url,
            serving,
        })
    }

    /// What the program takes for the endpoint.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// What the program takes for its key.
    pub(super) fn pass(&self) -> &str {
        &self.shared.pass
    }

    /// Waits until the endpoint has refused a call.
    pub(super) async fn refusal(&self) -> Fault {
        loop {
            let told = self.shared.told.notified();
            if let Some(fault) = self.shared.first.lock().clone() {
                return fault;
            }
            told.await;
        }
    }

    /// The endpoint's first refusal, if there was one.
    pub(super) fn first_refusal(&self) -> Option<Fault> {
        self.shared.first.lock().clone()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

// Nobody else on this host may guess it: it stands for the key.
fn pass() -> io::Result<String> {
    let mut bytes = [0; 16];
    rustls::crypto::ring::default_provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| io::Error::other("no random numbers"))?;
    Ok(format!("relay-{:032x}", u128::from_ne_bytes(bytes)))
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        let service = service_fn(move |request| {
            let shared = Arc::clone(&shared);
            async move { Ok::<_, Infallible>(shared.pass_on(request).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new();
        connections.spawn(async move {
            // How a program closes its connections is its own affair.
            let _ = connection
                .serve_connection(TokioIo::new(socket), service)
                .await;
        });
        while connections.try_join_next().is_some() {}
    }
}

impl Shared {
    async fn pass_on(&self, request: Request<Incoming>) -> Response<Body> {
        let Some(place) = self.place_of_pass(request.headers()) else {
            return plain(StatusCode::UNAUTHORIZED, "this relay is not yours");
        };
        let asks_model = MODEL_CALLS
            .iter()
            .any(|verb| request.uri().path().ends_with(verb));
        match self.forward(request, place).await {
            Ok(answer) if answer.status().is_success() || !asks_model => streamed(answer),
            Ok(answer) => self.refused(answer).await,
            Err(fault) => {
                let words = fault.message.clone();
                self.tell(fault);
                plain(StatusCode::BAD_GATEWAY, &words)
            }
        }
    }

    // The key goes where the program has put what it takes for it.
    fn place_of_pass(&self, headers: &HeaderMap) -> Option<Place> {
        let has = |name: &HeaderName, expected: &str| {
            headers
                .get(name)
                .is_some_and(|value| value.as_bytes() == expected.as_bytes())
        };
        if has(&AUTHORIZATION, &format!("Bearer {}", self.pass)) {
            Some(Place::Bearer)
        } else {
            has(&X_API_KEY, &self.pass).then_some(Place::XApiKey)
        }
    }

    async fn forward(
        &self,
        request: Request<Incoming>,
        place: Place,
    ) -> Result<reqwest::Response, Fault> {
        let connect = |problem: String| Fault::new(FaultReason::Connect, problem);
        let (head, body) = request.into_parts();
        let body = Limited::new(body, REQUEST_LIMIT)
            .collect()
            .await
            .map_err(|problem| {
                let words = format!("the program's request: {problem}");
                let over = problem.is::<LengthLimitError>();
                // Else the program hung up on us.
                let reason = if over {
                    FaultReason::TooLarge
                } else {
                    FaultReason::Crashed
                };
                Fault::new(reason, words)
            })?
            .to_bytes();
        let mut url = self.base.clone();
        url.set_path(head.uri.path());
        url.set_query(head.uri.query());
        let mut headers = passed(&head.headers);
        for name in [AUTHORIZATION, X_API_KEY, HOST] {
            headers.remove(name);
        }
        let (name, value) = match place {
            Place::Bearer => (AUTHORIZATION, secret_header("Bearer ", &self.key)?),
            Place::XApiKey => (X_API_KEY, secret_header("", &self.key)?),
        };
        headers.insert(name, value);
        let client = self.client.for_url(&url)?;
        let sent = client.request(head.method, url).headers(headers);
        sent.body(body)
            .send()
            .await
            .map_err(|e| connect(e.without_url().to_string()))
    }

    async fn refused(&self, answer: reqwest::Response) -> Response<Body> {
        let status = answer.status();
        let headers = answer.headers().clone();
        let body = bounded(answer).await;
        let text =
            |value: &hyper::header::HeaderValue| value.to_str().unwrap_or_default().to_owned();
        let facts = ErrorFacts {
            status: Some(status.as_u16()),
            headers: headers
                .iter()
                .map(|(name, value)| (name.to_string(), text(value)))
                .collect(),
            body: Some(String::from_utf8_lossy(&body).into_owned()),
            ..ErrorFacts::default()
        }
        .without(&self.key);
        let unknown = || {
            Fault::new(
                FaultReason::MalformedResponse,
                format!("the endpoint said {status}"),
            )
        };
        self.tell(classify(&facts, SystemClock.now()).unwrap_or_else(unknown));
        let mut response = Response::new(full(body));
        *response.status_mut() = status;
        *response.headers_mut() = passed(&headers);
        response
    }

    fn tell(&self, fault: Fault) {
        self.first.lock().get_or_insert(fault);
        self.told.notify_waiters();
    }
}

async fn bounded(mut answer: reqwest::Response) -> Bytes {
    let mut body = Vec::new();
    while let Ok(Some(piece)) = answer.chunk().await {
        let room = REFUSAL_LIMIT - body.len();
        body.extend_from_slice(piece.get(..room.min(piece.len())).unwrap_or_default());
        if body.len() >= REFUSAL_LIMIT {
            break;
        }
    }
    body.into()
}

fn streamed(answer: reqwest::Response) -> Response<Body> {
    let status = answer.status();
    let headers = passed(answer.headers());
    let pieces = answer
        .bytes_stream()
        .map_ok(Frame::data)
        .map_err(io::Error::other);
    let mut response = Response::new(StreamBody::new(pieces).boxed_unsync());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn plain(status: StatusCode, words: &str) -> Response<Body> {
    let mut response = Response::new(full(Bytes::copy_from_slice(words.as_bytes())));
    *response.status_mut() = status;
    response
}

fn full(body: Bytes) -> Body {
    Full::new(body)
        .map_err(|never| match never {})
        .boxed_unsync()
}

fn passed(headers: &HeaderMap) -> HeaderMap {
    let stays =
        |name: &HeaderName| !HOP.contains(&name.as_str()) && name.as_str() != "content-length";
    headers
        .iter()
        .filter(|(name, _)| stays(name))
        .map(|(n, v)| (n.clone(), v.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Scenario, SimulatedEndpoint};

    const ASK: &str =
        r#"{"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}"#;

    #[tokio::test]
    async fn the_key_goes_where_the_program_has_put_its_pass() {
        let scenario = r#"{"keys": {"sk-secret-a": [{"text": "yes"}]}, "unknown": "401"}"#;
        let scenario = Scenario::from_json(scenario).unwrap();
        let endpoint = SimulatedEndpoint::start(scenario).await.unwrap();
        let rows = [
            ("/v1/chat/completions", "authorization", "Bearer "),
            ("/v1/messages", "x-api-key", ""),
        ];
        for (path, header, prefix) in rows {
            let base = endpoint.url().parse().unwrap();
            let key = Secret::new("sk-secret-a");
            let relay = Relay::open(Arc::default(), base, key).await.unwrap();
            let url: Url = format!("{}{path}", relay.url()).parse().unwrap();
            let http = HttpClient::default();
            let client = http.for_url(&url).unwrap();
            let ask = |pass: String| {
                let request = client.post(url.clone()).header(header, pass).body(ASK);
                async { request.send().await.unwrap().status().as_u16() }
            };
            assert_eq!(ask(format!("{prefix}relay-guessed")).await, 401, "{path}");
            assert_eq!(
                ask(format!("{prefix}{}", relay.pass())).await,
                200,
                "{path}"
            );
            assert!(relay.first_refusal().is_none());
        }
        assert_eq!(endpoint.hits("sk-secret-a"), 2);
    }
}
