//! A prompt gets its answer although one key is out of quota and another is throttled; then
//! a session is trained on a PDF, and writes in its style, as jobs.
//!
//! Needs no network: the endpoint is simulated. Run by `make demo`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use credential_rotation::connect;
use credential_rotation::conversation::jobs::{self, Document, GENERATION, TRAINING, stage};
use credential_rotation::conversation::{Brief, Conversations};
use credential_rotation::credential::{Credential, CredentialPool};
use credential_rotation::job::worker::Worker;
use credential_rotation::job::{JobId, JobSpec, SharedJobs};
use credential_rotation::provider::openai::OpenAi;
use credential_rotation::session::NewSession;
use credential_rotation::testing::{Scenario, Script, SimulatedEndpoint};
use credential_rotation::wrapper::{Outcome, Wrapper};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let endpoint = SimulatedEndpoint::start(Scenario::from_json(
        r#"{"keys": {
            "sk-secret-spent":     [{"fault": "insufficient_quota"}],
            "sk-secret-throttled": [{"fault": "rate_limited", "retry_after": 30}],
            "sk-secret-good":      [{"text": "Bonjour! (asked: {prompt})"}]
        }}"#,
    )?)
    .await?;

    let pool = CredentialPool::new(vec![
        Credential::new("spent", "sk-secret-spent"),
        Credential::new("throttled", "sk-secret-throttled"),
        Credential::new("good", "sk-secret-good"),
    ])?;
    let wrapper = Wrapper::builder()
        .target(
            OpenAi::new().with_base_url(endpoint.openai_url().parse()?),
            pool,
        )
        .model("sim-1")
        .max_retries(5)
        .build()?;

    for prompt in ["Say hello in French", "And again"] {
        println!("> {prompt}");
        let outcome = wrapper.call(prompt).await;
        tell(&outcome);
    }

    println!("The pool now:");
    for row in wrapper.pool().list() {
        let reason = row.reason.unwrap_or_default();
        println!("  {:<10} {:<8} {reason}", row.id, row.state.as_str());
    }

    endpoint.script(
        "sk-secret-good",
        Script::from_json(
            r#"[{"text": "Short sentences, a dry wit, bread as a person.", "times": 1},
                {"text": "A sauce is a promise. Stir it, and do not look at the clock."}]"#,
        )?,
    );
    style(wrapper).await
}

/// Trains a session on the sample, and has a text written, on the embedded stores.
async fn style(wrapper: Wrapper) -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let place = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
    let jobs = connect::jobs(&place("jobs.db")).await?;
    let sessions = connect::sessions(&place("sessions.db")).await?;
    let session = sessions
        .create(NewSession::of("demo").with_id("bread"))
        .await?;
    let talks = Conversations::new(Arc::clone(&sessions), wrapper);
    let handler = jobs::handler(&talks);
    let worker = Worker::builder(Arc::clone(&jobs))
        .lane(jobs::QUEUE, 2)
        .handler(TRAINING, Arc::clone(&handler))
        .handler(GENERATION, handler)
        .build()?;
    let handle = worker.handle();
    let running = tokio::spawn(worker.run(std::future::pending()));

    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/sample.pdf");
    let document = Document::File("sample.pdf".to_owned(), std::fs::read(sample)?.into());
    println!("\nA session is trained on examples/sample.pdf and writes in its style:");
    let key = &session.key;
    let job = talks
        .submit_training(&*jobs, key, document, None, JobSpec::default())
        .await?;
    show(&jobs, &job).await?;
    let brief = Brief {
        topic: "sauces".to_owned(),
        words: 12,
        audience: "people in a hurry".to_owned(),
        fields: serde_json::Map::new(),
    };
    let job = talks
        .submit_generation(&*jobs, key, &brief, JobSpec::default())
        .await?;
    show(&jobs, &job).await?;
    let session = sessions.get(key).await?;
    println!(
        "The session has {} turns, {} messages.",
        session.turns, session.messages
    );
    handle.stop();
    running.await??;
    Ok(())
}

async fn show(jobs: &SharedJobs, id: &JobId) -> Result<(), Box<dyn std::error::Error>> {
    let job = jobs.wait(id, Duration::from_secs(60)).await?;
    let result: serde_json::Value = match &job.status.result {
        Some(result) => result.read()?,
        None => return Err(format!("the job failed: {:?}", job.status.error).into()),
    };
    let of = result["title"].as_str().or(result["topic"].as_str());
    println!(
        "  {:<10} {} ({}): {}",
        job.spec.kind(),
        stage(job.spec.kind(), job.status.state),
        of.unwrap_or_default(),
        result["text"].as_str().unwrap_or_default()
    );
    Ok(())
}

fn tell(outcome: &Outcome) {
    for (number, attempt) in outcome.trail.iter().enumerate() {
        let said = attempt
            .fault
            .as_ref()
            .map_or("answered", |fault| fault.reason.as_str());
        println!(
            "  attempt {}: {:<10} {said} ({} ms)",
            number + 1,
            attempt.credential,
            attempt.duration_ms
        );
    }
    match &outcome.result {
        Ok(response) => println!("< {}\n", response.text),
        Err(error) => println!("! {error}\n"),
    }
}
