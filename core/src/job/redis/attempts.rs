//! Jobs on their way: taken in, claimed, renewed, ended.

use std::sync::Arc;
use std::time::Duration;

use redis::Value;

use super::decode::{Parts, Taken, garbled};
use super::encode::over_all_limits;
use super::scripts::{Args, EXCHANGE, RENEW, REPORT};
use super::{RedisJobs, STEP, decode, encode, gather};
use crate::clock::term;
use crate::job::attempt::fit_a_trip;
use crate::job::{
    Enqueued, Exchange, Exchanged, Failure, JobError, JobSpec, Lease, Outcome, Renewal, Report,
    Settlement, failure_kind, metrics,
};

/// The most jobs of one claim: a number that Redis's own commands take.
const MOST: usize = 1_000_000;
/// The most ends that one trip records.
const SETTLED: usize = 1_024;
/// So many jobs of a queue are sent while the next ones are written.
const PIECE: usize = 125;
/// Or so many bytes.
const PIECE_BYTES: usize = 1 << 20;

/// Jobs of one queue that are written, and their places among all.
struct Piece {
    queue: Arc<str>,
    numbers: Vec<usize>,
    packed: Vec<encode::Packed>,
    bytes: usize,
}

impl Piece {
    fn of(queue: Arc<str>) -> Self {
        Self {
            queue,
            numbers: Vec::new(),
            packed: Vec::new(),
            bytes: 0,
        }
    }

    fn push(&mut self, number: usize, packed: encode::Packed) {
        self.bytes += packed.bytes();
        self.numbers.push(number);
        self.packed.push(packed);
    }

    fn is_full(&self) -> bool {
        self.packed.len() == PIECE || self.bytes >= PIECE_BYTES
    }

    /// Gives the numbers of the jobs that were sent, and what to await.
    fn hand_over(&mut self, jobs: &RedisJobs) -> (Vec<usize>, gather::Answer) {
        self.bytes = 0;
        let packed = std::mem::take(&mut self.packed);
        let answer = gather::hand_over(&jobs.shared, &self.queue, packed);
        (std::mem::take(&mut self.numbers), answer)
    }
}

impl RedisJobs {
    pub(super) async fn take_in(&self, jobs: Vec<JobSpec>) -> Result<Vec<Enqueued>, JobError> {
        let mut answers: Vec<Option<Enqueued>> = Vec::with_capacity(jobs.len());
        let mut handed: Vec<(Vec<usize>, gather::Answer)> = Vec::new();
        let mut pieces: Vec<Piece> = Vec::new();
        for (n, job) in jobs.into_iter().enumerate() {
            let address = self.shared.link.address();
            let checked = job.check().and_then(|()| address.check_queue(&job.queue));
            if let Some(refusal) = checked.err().or_else(|| over_all_limits(&job.payload)) {
                answers.push(Some(Enqueued::Refused(refusal)));
                continue;
            }
            answers.push(None);
            let known = pieces.iter().position(|piece| piece.queue == job.queue);
            let nth = match known {
                Some(nth) => nth,
                None => {
                    self.enter(&job.queue).await?;
                    pieces.push(Piece::of(Arc::clone(&job.queue)));
                    pieces.len() - 1
                }
            };
            let piece = &mut pieces[nth];
            match encode::pack(job) {
                Ok(packed) => piece.push(n, packed),
                Err(refusal) => answers[n] = Some(Enqueued::Refused(refusal)),
            }
            if piece.is_full() {
                handed.push(piece.hand_over(self));
            }
        }
        let begun = pieces.iter_mut().filter(|piece| !piece.packed.is_empty());
        handed.extend(begun.map(|piece| piece.hand_over(self)));
        for (numbers, answer) in handed {
            let came = answer.await.unwrap_or(Err(JobError::Closed))?;
            for (n, enqueued) in numbers.into_iter().zip(came) {
                answers[n] = Some(enqueued);
            }
        }
        Ok(answers.into_iter().flatten().collect())
    }

    pub(super) async fn settle_and_claim(
        &self,
        mut exchange: Exchange,
    ) -> Result<Exchanged, JobError> {
        self.enter(&exchange.queue).await?;
        let mut settled = Vec::with_capacity(exchange.settle.len());
        // What is too much for one trip goes before, and the claim with the rest.
        loop {
            let outcomes = exchange.settle.iter().map(|one| &one.outcome);
            let fitting = fit_a_trip(outcomes.take(SETTLED));
            if fitting >= exchange.settle.len() {
                break;
            }
            let rest = exchange.settle.split_off(fitting);
            let part = std::mem::replace(&mut exchange.settle, rest);
            let part = Exchange::settling(Arc::clone(&exchange.queue), part);
            settled.extend(self.trip(part).await?.settled);
        }
        let mut exchanged = self.trip(exchange).await?;
        settled.append(&mut exchanged.settled);
        exchanged.settled = settled;
        Ok(exchanged)
    }

    async fn trip(&self, exchange: Exchange) -> Result<Exchanged, JobError> {
        let leases: Vec<Lease> = exchange
            .settle
            .iter()
            .map(|one| one.lease.clone())
            .collect();
        let (args, queue) = exchange_args(exchange)?;
        let answer = self.run(&EXCHANGE, &queue, &args).await?;
        self.exchanged(&queue, leases, answer).await
    }

    /// What the answer to an exchange says.
    pub(super) async fn exchanged(
        &self,
        queue: &Arc<str>,
        leases: Vec<Lease>,
        answer: Value,
    ) -> Result<Exchanged, JobError> {
        let mut parts = Parts::of(answer)?;
        let mut states = Parts::of(parts.next()?)?;
        let mut settled = Vec::with_capacity(leases.len());
        for lease in leases {
            let state = decode::state(states.number()?);
            let stale = || JobError::StaleAttempt {
                id: lease.id.clone(),
                epoch: lease.epoch,
            };
            settled.push(state.ok_or_else(stale));
        }
        let (mut claimed, mut bad) = (Vec::new(), Vec::new());
        let mut taken = Parts::of(parts.next()?)?;
        while !taken.is_empty() {
            match decode::claimed(queue, &mut taken)? {
                Taken::Job(job) => claimed.push(job),
                Taken::Bad(lease, why) => bad.push((lease, why)),
            }
        }
        self.give_up(queue, bad).await;
        let again = u64::try_from(parts.signed()?).ok();
        metrics::stalled(queue, parts.number()?);
        Ok(Exchanged {
            settled,
            claimed,
            again_in: again.map(Duration::from_millis),
        })
    }

    pub(super) async fn renew_leases(
        &self,
        leases: &[Lease],
        lease: Duration,
    ) -> Result<Vec<Renewal>, JobError> {
        if leases.is_empty() {
            // In a cluster any key leads to a server.
            let look = self.global("EXISTS", "queues");
            return self.shared.link.ask(&look).await.map(|_| Vec::new());
        }
        let mut renewals = vec![Renewal::Lost; leases.len()];
        let mut queues: Vec<(&Arc<str>, Vec<usize>)> = Vec::new();
        for (n, held) in leases.iter().enumerate() {
            match queues.iter_mut().find(|(queue, _)| **queue == held.queue) {
                Some((_, numbers)) => numbers.push(n),
                None => queues.push((&held.queue, vec![n])),
            }
        }
        for (queue, numbers) in queues {
            for some in numbers.chunks(STEP) {
                let mut args = Args::default().with(term(lease));
                for n in some {
                    args.push(leases[*n].id.as_str());
                    args.push(leases[*n].epoch);
                }
                let mut parts = Parts::of(self.run(&RENEW, queue, &args).await?)?;
                for n in some {
                    renewals[*n] = match parts.number()? {
                        1 => Renewal::Kept,
                        2 => Renewal::CancelRequested,
                        _ => Renewal::Lost,
                    };
                }
            }
        }
        Ok(renewals)
    }

    pub(super) async fn record_news(
        &self,
        reports: Vec<Report>,
    ) -> Result<Vec<Result<(), JobError>>, JobError> {
        let mut answers = Vec::with_capacity(reports.len());
        for report in reports {
            if let Err(refusal) = report.check() {
                answers.push(Err(refusal));
                continue;
            }
            let Lease { queue, id, epoch } = report.lease;
            let progress = report
                .progress
                .map(|progress| serde_json::to_string(&progress));
            let progress = progress
                .transpose()
                .map_err(|_| garbled())?
                .unwrap_or_default();
            let args = Args::default()
                .with(id.as_str())
                .with(epoch)
                .with(progress.as_str());
            let args = report
                .log
                .iter()
                .fold(args, |args, line| args.with(line.as_str()));
            let taken = self.run(&REPORT, &queue, &args).await? == Value::Int(1);
            answers.push(if taken {
                Ok(())
            } else {
                Err(JobError::StaleAttempt { id, epoch })
            });
        }
        Ok(answers)
    }

    /// What was claimed and cannot be run is given up at once.
    async fn give_up(&self, queue: &Arc<str>, bad: Vec<(Lease, &'static str)>) {
        if bad.is_empty() {
            return;
        }
        let settle = bad.into_iter().map(|(lease, why)| {
            let error = Failure::new(failure_kind::BAD_PAYLOAD, why);
            let outcome = Outcome::Fail { error };
            Settlement { lease, outcome }
        });
        let exchange = Exchange::settling(Arc::clone(queue), settle.collect());
        let given_up = match exchange_args(exchange) {
            Ok((args, queue)) => self.run(&EXCHANGE, &queue, &args).await.map(drop),
            Err(error) => Err(error),
        };
        if let Err(error) = given_up {
            // The jobs that were claimed along are worth more: these come again.
            tracing::warn!(%error, %queue, "jobs that cannot be run are given up later");
        }
    }
}

pub(super) fn exchange_args(exchange: Exchange) -> Result<(Args, Arc<str>), JobError> {
    let claim = exchange.claim;
    let mut args = Args::default()
        .with(&*claim.worker)
        .with(claim.max.min(MOST) as u64)
        .with(term(claim.lease));
    for settlement in exchange.settle {
        encode::push_settlement(&mut args, settlement)?;
    }
    Ok((args, exchange.queue))
}
