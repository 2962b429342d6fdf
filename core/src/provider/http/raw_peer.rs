//! A TCP peer that answers by script: stalls, resets and cuts that no server makes.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use url::Url;

/// What the peer does after it has read a request.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// Sends bytes as they are.
    Send(Vec<u8>),
    /// Is silent for a while.
    Pause(Duration),
    /// Says and closes nothing until the caller closes.
    Hang,
    /// Ends the connection with a reset.
    Reset,
}

/// A listening peer. A connection gets its script, then is closed.
pub(crate) struct RawPeer {
    /// Its address.
    pub(crate) url: Url,
    /// Requests as they came.
    pub(crate) requests: mpsc::UnboundedReceiver<String>,
    /// A signal for every connection that the caller closed while the peer hung.
    pub(crate) closed: mpsc::UnboundedReceiver<()>,
}

impl RawPeer {
    /// One that treats all connections alike.
    pub(crate) async fn acting(script: Vec<Act>) -> Self {
        Self::in_turn(vec![script]).await
    }

    /// One with a script for each connection; the last one is for all that follow.
    pub(crate) async fn in_turn(mut scripts: Vec<Vec<Act>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (seen, requests) = mpsc::unbounded_channel();
        let (gone, closed) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let script = match scripts.len() {
                    0 => Vec::new(),
                    1 => scripts[0].clone(),
                    _ => scripts.remove(0),
                };
                let (seen, gone) = (seen.clone(), gone.clone());
                tokio::spawn(serve(socket, script, seen, gone));
            }
        });
        Self {
            url: url.parse().unwrap(),
            requests,
            closed,
        }
    }

    /// One that sends this text and closes.
    pub(crate) async fn saying(text: &str) -> Self {
        Self::acting(vec![Act::Send(text.into())]).await
    }
}

/// A whole answer.
pub(crate) fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n{body}")
}

/// The head of an event stream that ends when the connection is closed properly.
pub(crate) const EVENTS: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
/// The proper end of a chunked body.
pub(crate) const END: &str = "0\r\n\r\n";

/// One chunk of a chunked body.
pub(crate) fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend_from_slice(bytes);
    chunk.extend_from_slice(b"\r\n");
    chunk
}

async fn serve(
    mut socket: TcpStream,
    script: Vec<Act>,
    seen: mpsc::UnboundedSender<String>,
    gone: mpsc::UnboundedSender<()>,
) {
    let _ = socket.set_nodelay(true);
    let _ = seen.send(request(&mut socket).await);
    for act in script {
        match act {
            Act::Send(bytes) => {
                if socket.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            Act::Pause(time) => tokio::time::sleep(time).await,
            Act::Hang => {
                let mut rest = [0; 64];
                while socket.read(&mut rest).await.is_ok_and(|read| read > 0) {}
                let _ = gone.send(());
            }
            Act::Reset => {
                let _ = socket.set_zero_linger();
                return;
            }
        }
    }
}

async fn request(socket: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())
                .unwrap_or(0);
            if body.len() >= length {
                return text;
            }
        }
        let mut piece = [0; 4096];
        match socket.read(&mut piece).await {
            Ok(read) if read > 0 => bytes.extend_from_slice(&piece[..read]),
            _ => return text,
        }
    }
}
