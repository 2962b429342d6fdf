//! Stands between clients and a server, to cut, delay and swallow what they say to each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A proxy before a port of this machine.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    cuts: watch::Sender<u64>,
    line: Arc<Line>,
}

/// How the line is, for all connections.
#[derive(Default)]
struct Line {
    delay: AtomicU64,
    /// Nothing gets through.
    black: AtomicBool,
    /// How often that was so: connections from before stay dead.
    holes: AtomicU64,
}

impl Line {
    /// Whether a connection that was made after so many holes still carries anything.
    fn carries(&self, since: u64) -> bool {
        !self.black.load(Ordering::Relaxed) && self.holes.load(Ordering::Relaxed) == since
    }
}

impl Proxy {
    pub(crate) async fn before(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (cuts, cut) = watch::channel(0);
        let line = Arc::new(Line::default());
        let held = Arc::clone(&line);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, target, cut.clone(), Arc::clone(&held)));
            }
        });
        Self { port, cuts, line }
    }

    /// Cuts all connections there are.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Holds back each piece for so long.
    pub(crate) fn delay(&self, by: Duration) {
        let by = by.as_millis() as u64;
        self.line.delay.store(by, Ordering::Relaxed);
    }

    /// From now on connections are made, and nothing comes through any.
    pub(crate) fn black_hole(&self) {
        self.line.black.store(true, Ordering::Relaxed);
        self.line.holes.fetch_add(1, Ordering::Relaxed);
    }

    /// What connects from now on comes through; what was there hears nothing for ever.
    pub(crate) fn heal(&self) {
        self.line.black.store(false, Ordering::Relaxed);
    }
}

async fn carry(client: TcpStream, target: u16, mut cut: watch::Receiver<u64>, line: Arc<Line>) {
    cut.mark_unchanged();
    let since = line.holes.load(Ordering::Relaxed);
    if !line.carries(since) {
        let _ = cut.changed().await;
        return;
    }
    let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = pump(from_client, to_server, &line, since) => {}
        () = pump(from_server, to_client, &line, since) => {}
        _ = cut.changed() => {}
    }
}

async fn pump(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    line: &Line,
    since: u64,
) {
    let mut piece = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut piece).await {
        if !line.carries(since) {
            // Neither a byte nor an end.
            std::future::pending::<()>().await;
        }
        let held_back = line.delay.load(Ordering::Relaxed);
        if held_back > 0 {
            tokio::time::sleep(Duration::from_millis(held_back)).await;
        }
        if to.write_all(&piece[..count]).await.is_err() {
            return;
        }
    }
}
