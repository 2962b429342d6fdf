//! What must be true of every job once the faults are over.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use credential_rotation::job::{Job, JobId, JobState, SharedJobs};

use crate::crew::Crew;
use crate::processes::attempts_of;
use crate::producer::Producer;
use crate::rival::Rival;
use crate::seconds;
use crate::told::Told;

/// How long everything may take to end once the faults are over.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long nothing may come to an end then.
const STANDSTILL: Duration = Duration::from_secs(30);
/// How long an event may take to be told.
const HEARING: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(200);

/// Everything has an answer, everything accepted has come to an end, and every end fits.
pub(crate) async fn check(
    jobs: &SharedJobs,
    mut producer: Producer,
    mut crew: Crew,
    mut rival: Rival,
    told: &Told,
) {
    crew.calm_down();
    let end = Instant::now() + PATIENCE;
    let in_time = |what: &str| assert!(Instant::now() < end, "{what}");
    while !producer.make_sure(jobs).await {
        in_time("the backend does not come back");
    }
    while !rival.settle_due(&mut fastrand::Rng::with_seed(1)).await {
        in_time("the backend does not come back");
        tokio::time::sleep(LOOK).await;
    }
    let mut last = (usize::MAX, Instant::now());
    let mut open: Vec<JobId> = producer.accepted.iter().cloned().collect();
    while !open.is_empty() {
        let found = jobs.get(&open).await.unwrap_or_default();
        let ended = |job: Option<&Option<Job>>| {
            let job = job.and_then(Option::as_ref);
            job.is_some_and(|job| job.status.state.is_finished())
        };
        let lost = open.iter().zip(&found).find(|(_, job)| job.is_none());
        assert!(lost.is_none(), "accepted and lost: {lost:?}");
        let mut looked_at = found.iter();
        open.retain(|_| !ended(looked_at.next()));
        let first: Vec<_> = found
            .iter()
            .filter(|job| !ended(Some(job)))
            .take(3)
            .collect();
        if open.len() < last.0 {
            last = (open.len(), Instant::now());
        }
        let moves = last.1.elapsed() < STANDSTILL;
        assert!(moves && Instant::now() < end, "not finished: {first:?}");
        crew.look_after();
        tokio::time::sleep(LOOK).await;
    }
    while !crew.have_left() {
        in_time("somebody does not end");
        crew.look_after();
        tokio::time::sleep(LOOK).await;
    }
    let ids: Vec<JobId> = producer.accepted.into_iter().collect();
    let found = jobs.get(&ids).await.unwrap();
    let found: BTreeMap<JobId, Job> = ids
        .into_iter()
        .zip(found)
        .map(|(id, job)| (id, job.unwrap()))
        .collect();

    let attempts = crew.attempts();
    let (completed, cancelled) = check_ends(&found, &attempts);
    let clear = check_told(&found, &attempts, told).await;
    let (counted, refused) = rival.check(&found);
    println!(
        "{completed} completed, {cancelled} cancelled, {} attempts; {clear} told of without a \
         gap ({} gaps); {counted} ends of the rival counted, {refused} were refused",
        attempts.len(),
        told.gaps(),
    );
    check_counts(jobs, completed, cancelled).await;
    assert!(completed >= seconds(), "{completed}");
    if seconds() >= 20 {
        assert!(clear > 0 && counted > 0 && refused > 0);
    }
}

fn check_ends(found: &BTreeMap<JobId, Job>, attempts: &[String]) -> (u64, u64) {
    let made: HashSet<&str> = attempts.iter().map(String::as_str).collect();
    assert_eq!(made.len(), attempts.len(), "an attempt was made twice");
    let (mut completed, mut cancelled) = (0, 0);
    for (id, job) in found {
        let status = &job.status;
        match status.state {
            JobState::Completed => {
                completed += 1;
                // The outcome is of an attempt that was made, the last one.
                let token: String = status.result.as_ref().unwrap().read().unwrap();
                assert!(made.contains(&*token), "{id}: {token}");
                assert_eq!(token, format!("{id}#{}", status.epoch));
                let n = job.spec.payload.read().unwrap();
                assert_eq!(status.attempt, attempts_of(n), "{id}: {status:?}");
            }
            JobState::Cancelled => cancelled += 1,
            other => panic!("{id} is {other:?}: {:?}", status.error),
        }
        let claims = u64::from(status.attempt + status.stalls);
        assert!(status.epoch >= claims, "{id}: {status:?}");
    }
    (completed, cancelled)
}

/// Each job was told to end once, and its claims add up, as far as nothing was missed. Tells
/// of how many jobs all was told.
async fn check_told(found: &BTreeMap<JobId, Job>, attempts: &[String], told: &Told) -> usize {
    let mut lines: HashMap<&str, u32> = HashMap::new();
    for (id, _) in attempts.iter().filter_map(|token| token.rsplit_once('#')) {
        *lines.entry(id).or_default() += 1;
    }
    let patience = Instant::now() + HEARING;
    let mut clear = 0;
    for (id, job) in found {
        let status = &job.status;
        let finished_at = status.finished_at.unwrap();
        let heard_of = || told.of(id).ends > 0 || told.missed(finished_at, finished_at);
        while !heard_of() && Instant::now() < patience {
            tokio::time::sleep(LOOK).await;
        }
        assert!(heard_of(), "{id} was not told to end: {status:?}");
        let story = told.of(id);
        assert!(story.ends <= 1, "{id} ends twice: {story:?}");
        if told.missed(status.created_at, finished_at) {
            continue;
        }
        clear += 1;
        let claims = status.attempt + status.stalls + story.given_back;
        let adds_up = (story.begun, story.stalled) == (claims, status.stalls);
        assert!(adds_up, "{id}: {story:?}, {status:?}");
        let made = lines.get(id.as_str()).copied().unwrap_or(0);
        assert!(made <= claims, "{id}: {made} attempts, {story:?}");
    }
    let wrong = told.wrong();
    assert!(wrong.is_empty(), "{wrong:?}");
    clear
}

async fn check_counts(jobs: &SharedJobs, completed: u64, cancelled: u64) {
    let counts = jobs.counts().await.unwrap().remove(0);
    assert_eq!((counts.completed, counts.cancelled), (completed, cancelled));
    let open = (
        counts.waiting,
        counts.delayed,
        counts.running,
        counts.failed,
    );
    assert_eq!(open, (0, 0, 0, 0));
    assert_eq!(counts.bytes, 0);
}
