//! What the measuring programs share: rounds, rates and the lines they print.
//!
//! Each program prints one JSON object a line; `benches/report.py` makes the table.

use std::future::Future;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Runs `calls` calls, `in_flight` at a time, and gives calls a second.
pub async fn rate<F, Fut>(calls: usize, in_flight: usize, call: F) -> f64
where
    F: Fn(usize) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + Send,
{
    let started = Instant::now();
    let mut workers = Vec::with_capacity(in_flight);
    for worker in 0..in_flight {
        let call = call.clone();
        workers.push(tokio::spawn(async move {
            let mut number = worker;
            while number < calls {
                call(number).await;
                number += in_flight;
            }
        }));
    }
    for worker in workers {
        worker.await.expect("a call panicked");
    }
    calls as f64 / started.elapsed().as_secs_f64()
}

/// The middle one of some measurements.
#[must_use]
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
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
