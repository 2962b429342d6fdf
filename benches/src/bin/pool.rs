//! What one call costs the pool: pick, classify and settle with 1,000 credentials.

use std::collections::BTreeMap;
use std::time::Instant;

use credential_rotation::credential::pool::{Settlement, Want};
use credential_rotation::credential::{Credential, CredentialPool, PoolOptions, Strategy};
use credential_rotation::provider::http::{ErrorFacts, classify};
use credential_rotation_benches::{percentile, print};
use serde_json::json;

const CREDENTIALS: usize = 1_000;
const ROUNDS: usize = 200_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let strategies = [
        (Strategy::RoundRobin, "round_robin"),
        (Strategy::Weighted, "weighted"),
        (Strategy::LeastBusy, "least_busy"),
        (Strategy::FillFirst, "fill_first"),
        (Strategy::Sticky, "sticky"),
    ];
    for (strategy, name) in strategies {
        let credentials =
            (0..CREDENTIALS).map(|n| Credential::new(format!("k{n}"), format!("sk-secret-{n}")));
        let options = PoolOptions {
            strategy,
            ..PoolOptions::default()
        };
        let pool = CredentialPool::with_options(credentials.collect(), options)?;
        let facts = ErrorFacts {
            status: Some(500),
            headers: BTreeMap::new(),
            body: Some(
                r#"{"error":{"message":"The server had an error","type":"server_error"}}"#
                    .to_owned(),
            ),
            ..ErrorFacts::default()
        };
        let want = Want {
            session: (strategy == Strategy::Sticky).then_some("s"),
            ..Want::default()
        };
        let mut times = Vec::with_capacity(ROUNDS);
        for _ in 0..ROUNDS {
            let started = Instant::now();
            let lease = pool.try_acquire(&want)?;
            let fault = classify(&facts, pool.now());
            let settlement = Settlement {
                fault: fault.map(|f| f.class()),
                ..Settlement::default()
            };
            lease.settle(settlement).await;
            times.push(started.elapsed());
        }
        times.sort();
        let micros = |share| percentile(&times, share).as_secs_f64() * 1e6;
        print(
            &format!("pool {name}"),
            micros(0.99),
            "µs p99",
            json!({ "p50": micros(0.5) }),
        );
    }
    Ok(())
}
