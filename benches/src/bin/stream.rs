//! Memory while 100 MB of streamed text pass. Usage: `stream URL`.

use credential_rotation::credential::{Credential, CredentialPool};
use credential_rotation::provider::openai::OpenAi;
use credential_rotation::provider::{Chunk, Request};
use credential_rotation::wrapper::Wrapper;
use credential_rotation_benches::{print, resident};
use futures_util::StreamExt;
use serde_json::json;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).ok_or("usage: stream URL")?;
    let pool = CredentialPool::new(vec![Credential::new("stream", "sk-secret-stream")])?;
    let wrapper = Wrapper::builder()
        .target(
            OpenAi::new().with_base_url(format!("{url}/v1").parse()?),
            pool,
        )
        .model("sim-1")
        .build()?;
    let mut answer = wrapper.stream(Request::prompt("a long story"));
    let (mut bytes, mut after_first_mb, mut most) = (0_usize, 0, 0);
    while let Some(chunk) = answer.next().await {
        if let Chunk::Text { text } = chunk? {
            bytes += text.len();
        }
        if bytes > 2 << 20 && after_first_mb == 0 {
            after_first_mb = resident();
        }
        most = most.max(resident());
    }
    let grown = most.saturating_sub(after_first_mb) as f64 / (1 << 20) as f64;
    print(
        "stream 100 MB",
        grown,
        "MB grown",
        json!({ "bytes": bytes }),
    );
    Ok(())
}
