//! The program tells of ends: signed by the variable's secret, and past every proxy.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use credential_rotation::connect;
use credential_rotation::job::{Job, JobId, JobSpec, JobState, Payload};

const LONG: Duration = Duration::from_secs(20);

struct Worker(Child);

impl Worker {
    fn start(url: &str, options: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_credential-rotation"));
        command
            .args(["worker", "--queues", "q", "--command", "cat", "--url", url])
            .args(options)
            .env(
                "CREDENTIAL_ROTATION_WEBHOOK_SECRET",
                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            )
            .stdout(Stdio::null());
        // Nobody listens there.
        for proxy in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
            command.env(proxy, "http://127.0.0.1:1");
        }
        for direct in ["NO_PROXY", "no_proxy"] {
            command.env_remove(direct);
        }
        Self(command.spawn().unwrap())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Answers the first request by 204 and gives it.
fn receive(listener: &TcpListener) -> String {
    let (mut peer, _) = listener.accept().unwrap();
    peer.set_read_timeout(Some(LONG)).unwrap();
    let mut request = String::new();
    while !request.ends_with("}}") {
        let mut piece = [0; 4_096];
        let read = peer.read(&mut piece).unwrap();
        assert!(read > 0, "{request}");
        request.push_str(std::str::from_utf8(&piece[..read]).unwrap());
    }
    peer.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
        .unwrap();
    request
}

async fn told(options: &[&str], hook: &str) -> Job {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("jobs.db").display());
    let jobs = connect::jobs(&url).await.unwrap();
    let spec = JobSpec::new("q", Payload::of(&"ciao").unwrap())
        .with_id(JobId::from_text("a").unwrap())
        .with(|job| job.webhook = Some(hook.into()));
    jobs.enqueue_one(spec).await.unwrap();
    let _worker = Worker::start(&url, options);
    jobs.wait(&JobId::from_text("a").unwrap(), LONG)
        .await
        .unwrap();
    let delivery = JobId::from_text("webhook:a").unwrap();
    jobs.wait(&delivery, LONG).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_tells_of_ends_and_private_addresses_only_if_it_may() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let hook = format!("http://{}/hooks", listener.local_addr().unwrap());
    let refused = told(&[], &hook).await.status;
    assert_eq!(refused.state, JobState::Failed);
    assert_eq!(refused.error.unwrap().kind, "webhook_refused");

    let receiving = std::thread::spawn(move || receive(&listener));
    let done = told(&["--allow-private-webhooks"], &hook).await.status;
    assert_eq!(done.state, JobState::Completed, "{:?}", done.error);
    let request = receiving.join().unwrap();
    assert!(request.starts_with("POST /hooks HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("webhook-id: a\r\n"), "{request}");
    assert!(request.contains("webhook-signature: v1,"), "{request}");
    assert!(request.contains(r#""result":"ciao""#), "{request}");
}
