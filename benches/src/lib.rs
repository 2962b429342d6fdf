//! What the measuring programs share: rates, percentiles and the lines they print.
//!
//! Each program prints one JSON object a line; `benches/report.py` makes the table.

pub mod queue;
pub mod server;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Runs `calls` calls, `in_flight` at a time, and gives calls a second.
///
/// A tenth more go before, uncounted: they make the connections and try the keys.
pub async fn rate<F, Fut>(calls: usize, in_flight: usize, call: F) -> f64
where
    F: Fn() -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + Send,
{
    all(calls / 10, in_flight, &call).await;
    let started = Instant::now();
    all(calls, in_flight, &call).await;
    calls as f64 / started.elapsed().as_secs_f64()
}

async fn all<F, Fut>(calls: usize, in_flight: usize, call: &F)
where
    F: Fn() -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + Send,
{
    let taken = Arc::new(AtomicUsize::new(0));
    let mut workers = Vec::with_capacity(in_flight);
    for _ in 0..in_flight {
        let (call, taken) = (call.clone(), Arc::clone(&taken));
        workers.push(tokio::spawn(async move {
            while taken.fetch_add(1, Ordering::Relaxed) < calls {
                call().await;
            }
        }));
    }
    for worker in workers {
        worker.await.expect("a call panicked");
    }
}

/// The value that a share of the measurements does not exceed.
#[must_use]
pub fn percentile(sorted: &[Duration], share: f64) -> Duration {
    sorted[((sorted.len() - 1) as f64 * share) as usize]
}

/// Prints one measurement.
pub fn print(name: &str, value: f64, unit: &str, more: Value) {
    let mut line = json!({ "name": name, "value": value, "unit": unit });
    if let (Some(line), Value::Object(more)) = (line.as_object_mut(), more) {
        line.extend(more);
    }
    println!("{line}");
}

/// The resident memory of this process in bytes.
#[must_use]
pub fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
