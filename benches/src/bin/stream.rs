//! Memory while 100 MB of streamed text pass. Usage: `stream URL`.

use std::time::Instant;

use credential_rotation::credential::{Credential, CredentialPool};
use credential_rotation::provider::openai::OpenAi;
use credential_rotation::provider::{Chunk, Request};
use credential_rotation::wrapper::Wrapper;
use credential_rotation_benches::{print, resident};
use futures_util::StreamExt;
use serde_json::json;

const WHOLE: usize = 100 << 20;
/// Buffers and allocators have taken what they need by then.
const SETTLED: usize = 10 << 20;
const LOOK_EVERY: usize = 256;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).ok_or("usage: stream URL")?;
    let pool = CredentialPool::new(vec![Credential::new("stream", "sk-secret-stream")])?;
    let provider = OpenAi::new().with_base_url(format!("{url}/v1").parse()?);
    let wrapper = Wrapper::builder()
        .target(provider, pool)
        .model("sim-1")
        .build()?;
    let started = Instant::now();
    let mut answer = wrapper.stream(Request::prompt("a long story"));
    let (mut chunks, mut bytes, mut settled, mut most) = (0_usize, 0_usize, 0, 0);
    while let Some(chunk) = answer.next().await {
        if let Chunk::Text { text } = chunk? {
            bytes += text.len();
        }
        chunks += 1;
        if chunks.is_multiple_of(LOOK_EVERY) {
            most = most.max(resident());
            if bytes < SETTLED {
                settled = most;
            }
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    assert_eq!(bytes, WHOLE, "the stream was cut");
    assert!(settled > 0, "memory cannot be read on this system");
    let megabytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    print(
        "rust stream",
        megabytes(most - settled),
        "MB grown",
        json!({ "chunks": chunks, "MB/s": megabytes(bytes as u64) / seconds }),
    );
    Ok(())
}
