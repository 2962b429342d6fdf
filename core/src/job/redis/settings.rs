//! What is set for queues, and what is swept from them.

use std::time::Duration;

use redis::{Cmd, Value, cmd};

use super::decode::{Parts, garbled};
use super::scripts::{Args, PURGE, SETTINGS, SWEEP};
use super::{RedisJobs, STEP, text};
use crate::clock::millis;
use crate::job::queue::RateState;
use crate::job::{JobError, JobState, QueueLimits, Rate, check_queue, metrics};

impl RedisJobs {
    pub(super) async fn write_limits(
        &self,
        queue: &str,
        limits: QueueLimits,
    ) -> Result<(), JobError> {
        check_queue(queue)?;
        limits.check()?;
        let some = |limit: Option<u32>| limit.map_or_else(String::new, |limit| limit.to_string());
        let (gap, window) = limits.rate.map_or_else(Default::default, |rate| {
            let (gap, window) = RateState::gap_and_window(rate);
            (gap.to_string(), window.to_string())
        });
        let rate = limits.rate.map(|rate| serde_json::to_string(&rate));
        let rate = rate.transpose().map_err(|_| garbled())?.unwrap_or_default();
        let settings = [
            ("concurrency", some(limits.concurrency)),
            ("group_concurrency", some(limits.group_concurrency)),
            ("rate", rate),
            ("rate_gap", gap),
            ("rate_window", window),
            ("max_bytes", limits.max_bytes.to_string()),
            ("max_payload", limits.max_payload.to_string()),
            ("keep_failed", limits.keep_failed.to_string()),
            ("failed_ttl", limits.failed_ttl_ms.to_string()),
            ("keep_finished", limits.keep_finished.to_string()),
            ("keep_bytes", limits.keep_bytes.to_string()),
        ];
        self.settings(queue, &settings).await
    }

    pub(super) async fn read_limits(&self, queue: &str) -> Result<QueueLimits, JobError> {
        check_queue(queue)?;
        let fields = [
            "concurrency",
            "group_concurrency",
            "rate",
            "max_bytes",
            "max_payload",
            "keep_failed",
            "failed_ttl",
            "keep_finished",
            "keep_bytes",
        ];
        let mut ask = self.meta(queue, "HMGET");
        let answer = self.shared.link.ask(ask.arg(&fields)).await?;
        let mut values = Parts::of(answer)?.map(text);
        let mut next = || values.next().flatten();
        let usual = QueueLimits::default();
        let number = |text: Option<String>, usual: u64| {
            text.and_then(|text| text.parse().ok()).unwrap_or(usual)
        };
        let small = |text: Option<String>| text.and_then(|text| text.parse().ok());
        Ok(QueueLimits {
            concurrency: small(next()),
            group_concurrency: small(next()),
            rate: next().and_then(|text| serde_json::from_str::<Rate>(&text).ok()),
            max_bytes: number(next(), usual.max_bytes),
            max_payload: number(next(), usual.max_payload),
            keep_failed: small(next()).unwrap_or(usual.keep_failed),
            failed_ttl_ms: number(next(), usual.failed_ttl_ms),
            keep_finished: small(next()).unwrap_or(usual.keep_finished),
            keep_bytes: number(next(), usual.keep_bytes),
        })
    }

    pub(super) async fn sweep_all(&self) -> Result<usize, JobError> {
        let mut moved = 0;
        for queue in self.queues().await? {
            let args = Args::default().with(STEP as u64);
            let mut swept = Parts::of(self.run(&SWEEP, &queue, &args).await?)?;
            moved += usize::try_from(swept.number()?).unwrap_or(usize::MAX);
            metrics::stalled(&queue, swept.number()?);
        }
        Ok(moved)
    }

    pub(super) async fn purge_ended(
        &self,
        queue: &str,
        states: &[JobState],
        older_than: Duration,
    ) -> Result<usize, JobError> {
        check_queue(queue)?;
        let mut known = self.global("SISMEMBER", "queues");
        if self.shared.link.ask(known.arg(queue)).await? != Value::Int(1) {
            return Err(JobError::UnknownQueue {
                queue: queue.to_owned(),
            });
        }
        let before = self.now().await?.saturating_sub(millis(older_than));
        let mut dropped = 0;
        for state in states.iter().filter(|state| state.is_finished()) {
            let mut at = 0;
            loop {
                let args = Args::default()
                    .with(state.as_str())
                    .with(before)
                    .with(at)
                    .with(STEP as u64);
                let mut parts = Parts::of(self.run(&PURGE, queue, &args).await?)?;
                let (seen, gone) = (parts.number()?, parts.number()?);
                dropped += gone;
                at += seen - gone;
                if seen < STEP as u64 {
                    break;
                }
            }
        }
        Ok(usize::try_from(dropped).unwrap_or(usize::MAX))
    }

    pub(super) async fn settings(
        &self,
        queue: &str,
        settings: &[(&str, String)],
    ) -> Result<(), JobError> {
        self.enter(&queue.into()).await?;
        let args = settings
            .iter()
            .fold(Args::default(), |args, (name, value)| {
                args.with(*name).with(value.as_str())
            });
        self.run(&SETTINGS, queue, &args).await.map(drop)
    }

    fn meta(&self, queue: &str, verb: &str) -> Cmd {
        let mut command = cmd(verb);
        command.arg(format!(
            "{}meta",
            self.shared.link.address().queue_prefix(queue)
        ));
        command
    }
}
