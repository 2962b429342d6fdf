//! Connections and routes of the simulated endpoint.

use std::borrow::Cow;
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::answer::{Answer, JSON, Visit, answer, before, error_answer, headers, whole};
use super::anthropic::Anthropic;
use super::body::{Act, Content, ScriptedBody, broken_off};
use super::catalogue::ScriptedFault;
use super::dialect::{Asked, Dialect};
use super::ledger::{Ledger, Serving};
use super::oauth::{TokenDesk, refusal};
use super::openai::OpenAi;
use super::scenario::{Scenario, Step};
use super::socket::{ResetSwitch, Socket};

/// The largest request body.
const BODY_LIMIT: usize = 64 << 20;

/// What all connections share.
pub(super) struct Site {
    pub(super) ledger: Arc<Ledger>,
    pub(super) tokens: TokenDesk,
    models: Bytes,
}

enum Route {
    Chat(&'static dyn Dialect),
    Models,
    Tokens,
}

impl Site {
    pub(super) fn new(scenario: &Scenario, url: &str) -> Self {
        let models: Vec<_> = (scenario.models.iter())
            .map(|id| json!({"id": id, "object": "model", "type": "model", "display_name": id, "created": 0, "owned_by": "simulated"}))
            .collect();
        let models = json!({"object": "list", "data": models, "has_more": false});
        Self {
            ledger: Arc::new(Ledger::new(scenario)),
            tokens: TokenDesk::new(&scenario.oauth, url),
            models: Bytes::from(models.to_string()),
        }
    }
}

/// Serves until told to stop; open connections are dropped then.
pub(super) async fn serve(listener: TcpListener, site: Arc<Site>, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((tcp, _)) => {
                    connections.spawn(connection(tcp, Arc::clone(&site)));
                }
                // Out of file descriptors, as a rule: some will be closed soon.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
        }
    }
}

async fn connection(tcp: TcpStream, site: Arc<Site>) {
    let _connected = site.ledger.connect();
    let _ = tcp.set_nodelay(true);
    let socket = Socket::new(tcp);
    let reset = socket.reset_switch();
    let service = service_fn(move |request| respond(Arc::clone(&site), reset.clone(), request));
    let mut http = http1::Builder::new();
    http.header_read_timeout(None);
    // An error here is a client gone away, or the end that the script wants.
    let _ = http.serve_connection(TokioIo::new(socket), service).await;
}

async fn respond(
    site: Arc<Site>,
    reset: ResetSwitch,
    request: Request<Incoming>,
) -> io::Result<Response<ScriptedBody>> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    let route = route(&parts.method, path);
    let key = match route {
        Some(Route::Tokens) => Cow::Borrowed("oauth"),
        _ => key(&parts.headers),
    };
    let record = match route {
        Some(Route::Chat(_)) => Some(site.ledger.key(&key)),
        _ => None,
    };
    let body = match Limited::new(body, BODY_LIMIT).collect().await {
        Ok(body) => Some(body.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => None,
        Err(error) => return Err(io::Error::other(error)),
    };
    let too_large = body.is_none();
    let body = body.unwrap_or_default();
    site.ledger.record(&key, path, &body);
    let now = SystemTime::now();
    match (route, record) {
        (Some(Route::Chat(dialect)), Some(record)) => {
            let hit = record.hit();
            let serving = site.ledger.attend(Some(record.clone()));
            let visit = Visit {
                key: &key,
                hit,
                now,
            };
            let (asked, step) = match Asked::read(&body) {
                Ok(asked) => (asked, record.next_step()),
                Err(_) if too_large => refused(ScriptedFault::TooLarge, None),
                Err(error) => {
                    let problem = format!("The body is not a request: {error}");
                    refused(ScriptedFault::BadRequest, Some(problem))
                }
            };
            let answer = answer(dialect, &asked, &step, visit);
            send(answer, serving, reset).await
        }
        (Some(Route::Tokens), _) => {
            let answer = token_answer(&site, &body, now);
            send(answer, site.ledger.attend(None), reset).await
        }
        (Some(Route::Models), _) => {
            // Asking for the models is how keys are checked: it costs no step.
            let step = site.ledger.key(&key).current_step();
            let checked = Step::fault(match step.meant() {
                Some(fault @ (ScriptedFault::Unauthorized | ScriptedFault::Forbidden)) => fault,
                _ => return Ok(plain(&site, 200, site.models.clone(), reset)),
            });
            Ok(plain_error(&site, &checked, reset))
        }
        _ => {
            let mut step = Step::fault(ScriptedFault::ModelNotFound);
            step.message = Some(format!("No route for {} {path}.", parts.method));
            step.code = Some("unknown_url".to_owned());
            Ok(plain_error(&site, &step, reset))
        }
    }
}

/// A request that no script is asked about.
fn refused(fault: ScriptedFault, message: Option<String>) -> (Asked, Arc<Step>) {
    let step = Step {
        message,
        ..Step::fault(fault)
    };
    (Asked::default(), Arc::new(step))
}

fn plain_error(site: &Site, step: &Step, reset: ResetSwitch) -> Response<ScriptedBody> {
    let error = step
        .meant()
        .and_then(|fault| error_answer(&OpenAi, step, fault, ""));
    let (status, body) = error.map_or((500, Bytes::new()), |error| {
        (error.status, OpenAi.error(&error))
    });
    plain(site, status, body, reset)
}

fn plain(site: &Site, status: u16, body: Bytes, reset: ResetSwitch) -> Response<ScriptedBody> {
    let body = ScriptedBody::new(Content::Whole(body), reset, site.ledger.attend(None));
    head(status, JSON, body)
}

fn head(status: u16, content_type: &'static str, body: ScriptedBody) -> Response<ScriptedBody> {
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let content_type = HeaderValue::from_static(content_type);
    (response.headers_mut()).insert(header::CONTENT_TYPE, content_type);
    response
}

fn route(method: &Method, path: &str) -> Option<Route> {
    let path = path.strip_prefix("/compatible-mode").unwrap_or(path);
    match (method.as_str(), path) {
        ("POST", "/v1/chat/completions" | "/chat/completions") => Some(Route::Chat(&OpenAi)),
        ("POST", "/v1/messages" | "/messages") => Some(Route::Chat(&Anthropic)),
        ("GET", "/v1/models" | "/models") => Some(Route::Models),
        ("POST", "/api/v1/oauth2/token") => Some(Route::Tokens),
        _ => None,
    }
}

fn key(headers: &HeaderMap) -> Cow<'_, str> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let own = text(HeaderName::from_static("x-api-key"));
    let bearer = text(header::AUTHORIZATION)
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    own.or(bearer).unwrap_or_default().into()
}

fn token_answer(site: &Site, body: &[u8], now: SystemTime) -> Answer {
    let step = site.tokens.next_step();
    let mut answer = Answer {
        before: before(&step),
        status: 200,
        content_type: JSON,
        headers: headers(&OpenAi, &step, now),
        content: Content::Whole(Bytes::new()),
    };
    let breaks_off = answer.before.iter().any(|act| !matches!(act, Act::Wait(_)));
    let error = step
        .meant()
        .and_then(|fault| error_answer(&OpenAi, &step, fault, ""));
    if let Some(error) = error {
        answer.status = step.status.unwrap_or(error.status);
        answer.content = Content::Whole(refusal(&error.code, &error.message));
    } else if !breaks_off {
        let content = match site.tokens.redeem(body) {
            Ok(grant) => {
                site.ledger.admit(&grant.access_token);
                grant.body
            }
            Err(refusal) => {
                answer.status = 400;
                refusal
            }
        };
        answer.content = whole(content, &step).split(step.split);
    }
    answer
}

async fn send(
    answer: Answer,
    mut serving: Serving,
    reset: ResetSwitch,
) -> io::Result<Response<ScriptedBody>> {
    for act in answer.before {
        match act {
            Act::Wait(time) => tokio::time::sleep(time).await,
            Act::Stall => pending::<()>().await,
            Act::Reset => {
                serving.finish();
                reset.arm();
                return Err(broken_off());
            }
            Act::Close => {
                serving.finish();
                return Err(broken_off());
            }
            Act::Send(_) | Act::Flush => {}
        }
    }
    let body = ScriptedBody::new(answer.content, reset, serving);
    let mut response = head(answer.status, answer.content_type, body);
    for (name, value) in answer.headers {
        // Names and values were checked with the scenario; Rust callers may skip that.
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(&*name), HeaderValue::try_from(value))
        {
            response.headers_mut().append(name, value);
        }
    }
    Ok(response)
}
