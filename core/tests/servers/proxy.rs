//! Stands between clients and a server, to cut and delay what they say to each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A proxy before a port of this machine.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    cuts: watch::Sender<u64>,
    delay: Arc<AtomicU64>,
}

impl Proxy {
    pub(crate) async fn before(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (cuts, cut) = watch::channel(0);
        let delay = Arc::new(AtomicU64::new(0));
        let slow = Arc::clone(&delay);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, target, cut.clone(), Arc::clone(&slow)));
            }
        });
        Self { port, cuts, delay }
    }

    /// Cuts all connections there are.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Holds back each piece for so long.
    pub(crate) fn delay(&self, by: Duration) {
        self.delay.store(by.as_millis() as u64, Ordering::Relaxed);
    }
}

async fn carry(
    client: TcpStream,
    target: u16,
    mut cut: watch::Receiver<u64>,
    delay: Arc<AtomicU64>,
) {
    cut.mark_unchanged();
    let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = pump(from_client, to_server, &delay) => {}
        () = pump(from_server, to_client, &delay) => {}
        _ = cut.changed() => {}
    }
}

async fn pump(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    delay: &AtomicU64,
) {
    let mut piece = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut piece).await {
        let held_back = delay.load(Ordering::Relaxed);
        if held_back > 0 {
            tokio::time::sleep(Duration::from_millis(held_back)).await;
        }
        if to.write_all(&piece[..count]).await.is_err() {
            return;
        }
    }
}
