//! A client for the endpoint's own tests that shows every byte: no library
//! between a test and the socket that would smooth a fault over.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::SimulatedEndpoint;

const PATIENCE: Duration = Duration::from_secs(10);

/// What came back, up to its end or its break.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) raw: String,
    pub(super) status: u16,
    /// Without the chunk framing.
    pub(super) body: String,
    /// The sizes of the chunks.
    pub(super) chunks: Vec<usize>,
    /// Whether the body's end was sent.
    pub(super) whole: bool,
    pub(super) broken: Option<io::ErrorKind>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    OpenAi,
    Anthropic,
}

impl Wire {
    pub(super) const BOTH: [Self; 2] = [Self::OpenAi, Self::Anthropic];

    fn line(self) -> &'static str {
        match self {
            Self::OpenAi => "POST /v1/chat/completions",
            Self::Anthropic => "POST /v1/messages",
        }
    }

    fn auth(self, key: &str) -> String {
        match self {
            Self::OpenAi => format!("authorization: Bearer {key}"),
            Self::Anthropic => format!("x-api-key: {key}"),
        }
    }
}

pub(super) fn prompt(text: &str) -> Value {
    json!({"model": "sim-1", "messages": [{"role": "user", "content": text}]})
}

pub(super) fn streamed(text: &str) -> Value {
    let mut body = prompt(text);
    body["stream"] = true.into();
    body
}

/// Sends a request and leaves the answer to be read.
pub(super) fn send(
    endpoint: &SimulatedEndpoint,
    line: &str,
    header: &str,
    body: &str,
) -> TcpStream {
    let mut tcp = TcpStream::connect(endpoint.address()).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!(
        "{line} HTTP/1.1\r\nhost: x\r\n{header}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    tcp.write_all(format!("{head}{body}").as_bytes()).unwrap();
    tcp
}

pub(super) fn open(endpoint: &SimulatedEndpoint, wire: Wire, key: &str, body: &Value) -> TcpStream {
    send(endpoint, wire.line(), &wire.auth(key), &body.to_string())
}

/// Sends a request and reads the answer to its end.
pub(super) fn ask(endpoint: &SimulatedEndpoint, wire: Wire, key: &str, body: &Value) -> Received {
    receive(&mut open(endpoint, wire, key, body))
}

pub(super) fn receive(tcp: &mut TcpStream) -> Received {
    let mut bytes = Vec::new();
    let broken = tcp.read_to_end(&mut bytes).err().map(|error| error.kind());
    let head_end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let mut rest = head_end.map_or(&[][..], |end| &bytes[end + 4..]);
    let raw = String::from_utf8_lossy(&bytes).into_owned();
    let head = raw.split("\r\n\r\n").next().unwrap();
    let status = head.get(9..12).and_then(|s| s.parse().ok()).unwrap_or(0);
    let (mut body, mut chunks, mut whole) = (Vec::new(), Vec::new(), false);
    if head.contains("transfer-encoding: chunked") {
        while let Some(line) = rest.windows(2).position(|two| two == b"\r\n") {
            let size = std::str::from_utf8(&rest[..line]).unwrap();
            let size = usize::from_str_radix(size, 16).unwrap();
            if size == 0 {
                whole = true;
                break;
            }
            let chunk = &rest[line + 2..];
            body.extend_from_slice(&chunk[..size]);
            chunks.push(size);
            rest = &chunk[size + 2..];
        }
    } else {
        body.extend_from_slice(rest);
        whole = head.contains(&format!("content-length: {}", body.len()));
    }
    let body = String::from_utf8_lossy(&body).into_owned();
    Received {
        status,
        body,
        chunks,
        whole,
        broken,
        raw,
    }
}

impl Received {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("JSON in {}", self.raw))
    }

    /// All values of a header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let head = self.raw.split("\r\n\r\n").next().unwrap();
        head.lines()
            .find_map(|line| line.strip_prefix(&format!("{name}: ")))
    }

    /// The JSON of the stream's events.
    pub(super) fn events(&self) -> Vec<Value> {
        let data = self
            .body
            .lines()
            .filter_map(|line| line.strip_prefix("data: "));
        data.filter_map(|data| serde_json::from_str(data).ok())
            .collect()
    }

    /// The text of the stream, of either format.
    pub(super) fn text(&self) -> String {
        let piece = |event: &Value| {
            let text = match event.pointer("/choices/0/delta/content") {
                Some(text) => text,
                None => event.pointer("/delta/text")?,
            };
            Some(text.as_str()?.to_owned())
        };
        self.events().iter().filter_map(piece).collect()
    }

    pub(super) fn ends_with_terminator(&self) -> bool {
        self.body.ends_with("data: [DONE]\n\n")
            || self.body.ends_with("data: {\"type\":\"message_stop\"}\n\n")
    }
}

/// Waits for what another thread brings about.
pub(super) fn eventually(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "still not: {what}");
        std::thread::yield_now();
    }
}
