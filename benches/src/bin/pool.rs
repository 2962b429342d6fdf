//! What one call costs the pool: pick, classify and settle with 1,000 credentials,
//! by each strategy, and with all but one of them cooling.

use std::time::{Duration, Instant};

use credential_rotation::credential::pool::{Settlement, Want};
use credential_rotation::credential::{Credential, CredentialPool, PoolOptions, Strategy};
use credential_rotation::provider::http::{ErrorFacts, classify};
use credential_rotation_benches::{percentile, print};
use serde_json::json;

const CREDENTIALS: usize = 1_000;
const ROUNDS: usize = 100_000;
const HOUR: Duration = Duration::from_secs(3_600);
const BODY: &str = r#"{"error":{"message":"The server had an error","type":"server_error"}}"#;

type Failure = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    for (strategy, name) in [
        (Strategy::RoundRobin, "round_robin"),
        (Strategy::Weighted, "weighted"),
        (Strategy::LeastBusy, "least_busy"),
        (Strategy::FillFirst, "fill_first"),
        (Strategy::Sticky, "sticky"),
    ] {
        measure(name, strategy, &pool(strategy)?).await?;
    }
    let pool = pool(Strategy::RoundRobin)?;
    for number in 1..CREDENTIALS {
        pool.cool(&format!("k{number}"), HOUR, "rate_limited")
            .await?;
    }
    measure("999 cooling", Strategy::RoundRobin, &pool).await
}

fn pool(strategy: Strategy) -> Result<CredentialPool, Failure> {
    let credentials =
        (0..CREDENTIALS).map(|n| Credential::new(format!("k{n}"), format!("sk-secret-{n}")));
    let options = PoolOptions {
        strategy,
        ..PoolOptions::default()
    };
    Ok(CredentialPool::with_options(
        credentials.collect(),
        options,
    )?)
}

async fn measure(name: &str, strategy: Strategy, pool: &CredentialPool) -> Result<(), Failure> {
    let facts = ErrorFacts {
        status: Some(500),
        body: Some(BODY.to_owned()),
        ..ErrorFacts::default()
    };
    let mut times = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS {
        // Many conversations: one alone would find the same credential each time.
        let session = (strategy == Strategy::Sticky).then(|| format!("s{}", round % 997));
        let want = Want {
            session: session.as_deref(),
            ..Want::default()
        };
        let started = Instant::now();
        let lease = pool.try_acquire(&want)?;
        let fault = classify(&facts, pool.now());
        let settlement = Settlement {
            fault: fault.map(|fault| fault.class()),
            ..Settlement::default()
        };
        lease.settle(settlement).await;
        times.push(started.elapsed());
    }
    times.sort();
    let micros = |share| percentile(&times, share).as_secs_f64() * 1e6;
    let more = json!({ "p50": micros(0.5) });
    print(&format!("pool {name}"), micros(0.99), "µs p99", more);
    Ok(())
}
