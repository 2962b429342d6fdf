//! Ends that are told of: each makes one delivery, in the same step.

use serde_json::{Value, json};

use super::*;
use crate::job::{JobFilter, QueueLimits, WEBHOOK_KIND};

const URL: &str = "https://example.com/hooks?a=\"\u{e9}/";

pub(super) async fn every_end_of_a_job_with_a_webhook_makes_one_delivery(store: Store) {
    let limits = QueueLimits {
        max_payload: 5_000,
        ..QueueLimits::default()
    };
    store.one.set_limits(QUEUE, limits).await.unwrap();
    let rows = [
        ("done", JobState::Completed),
        ("done and dropped", JobState::Completed),
        ("failed", JobState::Failed),
        ("failed after a retry", JobState::Failed),
        ("too large", JobState::Failed),
        ("too late for a retry", JobState::Failed),
        ("cancelled by its handler", JobState::Cancelled),
        ("cancelled while it ran", JobState::Cancelled),
    ];
    for (name, _) in rows {
        store.add(hooked(name)).await;
    }
    for claimed in store.claim(20).await {
        let outcome = match claimed.lease.id.as_str() {
            "done" | "done and dropped" => done(),
            "failed" => failed(),
            "too large" => Outcome::Complete {
                result: Payload::of(&"x".repeat(5_000)).unwrap(),
            },
            "cancelled by its handler" => Outcome::Cancel,
            "cancelled while it ran" => {
                let ids = [claimed.lease.id.clone()];
                store.another.cancel(&ids).await.unwrap();
                assert_eq!(store.another.cancel(&ids).await.unwrap().len(), 1);
                retried(1)
            }
            _ => retried(20_000),
        };
        store.settle(&claimed, outcome).await.unwrap();
    }
    store.pass(ms(20_000));
    let again = others(store.claim(20).await);
    assert_eq!(ids(&again), ["failed after a retry"]);
    store.settle(&again[0], failed()).await.unwrap();
    expect(&store, &rows).await;
}

pub(super) async fn ends_that_no_worker_makes_are_delivered_too(store: Store) {
    let rows = [
        ("cancelled while it waits", JobState::Cancelled),
        ("cancelled while it is delayed", JobState::Cancelled),
        ("expired", JobState::Failed),
        ("stalled", JobState::Failed),
        ("stalled and cancelled", JobState::Cancelled),
    ];
    for name in ["stalled", "stalled and cancelled"] {
        store.add(hooked(name)).await;
    }
    assert_eq!(store.claim(2).await.len(), 2);
    let cancelled = [
        id("cancelled while it waits"),
        id("cancelled while it is delayed"),
        id("stalled and cancelled"),
    ];
    store.add(hooked("cancelled while it waits")).await;
    store
        .add(hooked("cancelled while it is delayed").after(ms(500)))
        .await;
    store.add(hooked("expired")).await;
    store.one.cancel(&cancelled).await.unwrap();
    store.pass(LEASE + ms(1));
    store.claim(20).await;
    expect(&store, &rows).await;
}

pub(super) async fn what_is_no_end_makes_no_delivery(store: Store) {
    store.add_named(&["no webhook", "no webhook 2"]).await;
    for claimed in store.claim(2).await {
        store.settle(&claimed, done()).await.unwrap();
        assert!(is_stale(store.settle(&claimed, failed()).await));
    }
    let made: Vec<JobId> = ["deleted", "released", "snoozed", "retried", "lapsed"]
        .map(id)
        .to_vec();
    for name in &made {
        store.add(hooked(name.as_str())).await;
    }
    let claimed = store.claim(9).await;
    for (one, outcome) in claimed.iter().zip([
        Outcome::Release,
        Outcome::Release,
        Outcome::Snooze { after: ms(1) },
        retried(1),
    ]) {
        store.settle(one, outcome).await.unwrap();
    }
    store.one.delete(&[id("deleted")]).await.unwrap();
    store.pass(LEASE + ms(1));
    let again = store.claim(9).await;
    assert_eq!(again.len(), 4);
    // All their first attempts are over.
    for one in &claimed {
        assert!(is_stale(store.settle(one, done()).await));
    }
    expect(&store, &[]).await;
    store.one.delete(&made).await.unwrap();
    expect(&store, &[]).await;
}

pub(super) async fn a_job_that_ends_again_is_told_of_again(store: Store) {
    store.add(hooked("again")).await;
    let claimed = store.claim_one().await;
    store.settle(&claimed, failed()).await.unwrap();
    store.one.revive(&[id("again")]).await.unwrap();
    let claimed = store.claim(9).await;
    let again = claimed.iter().find(|one| one.lease.id == id("again"));
    store.settle(again.unwrap(), done()).await.unwrap();
    // Twice without an attempt between.
    for _ in 0..2 {
        store.pass(ms(1));
        store.one.revive(&[id("again")]).await.unwrap();
        store.one.cancel(&[id("again")]).await.unwrap();
    }
    let mut names: Vec<String> = deliveries(&store)
        .await
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    names.sort();
    let last = format!("webhook:again:2:{}", START + 1);
    let one_more = format!("webhook:again:2:{}", START + 2);
    assert_eq!(
        names,
        ["webhook:again", "webhook:again:2", &last, &one_more]
    );
}

pub(super) async fn a_delivery_is_a_job_that_makes_no_other(store: Store) {
    store.add(hooked("done")).await;
    let claimed = store.claim_one().await;
    let exchanged = store
        .exchange(vec![settlement(&claimed.lease, done())], 9)
        .await;
    let delivery = &exchanged.claimed[0];
    assert_eq!(delivery.lease.id, id("webhook:done"));
    let spec = &delivery.spec;
    assert_eq!((spec.kind(), spec.max_attempts), (WEBHOOK_KIND, 8));
    assert_eq!(
        (spec.priority, &spec.group, &spec.webhook),
        (0, &None, &None)
    );
    assert_eq!(spec.timeout_ms, Some(20_000));
    for (failures, seconds) in [(1, 5), (2, 300), (3, 1_800), (7, 36_000)] {
        let rest = spec.retry.rest(failures, 0.0);
        assert_eq!(rest, Duration::from_secs(seconds));
    }
    store.settle(delivery, failed()).await.unwrap();
    assert_eq!(deliveries(&store).await.len(), 1);
    let forged = job().with(|job| job.kind = Some(WEBHOOK_KIND.into()));
    let refused = store.one.enqueue_one(forged).await;
    assert!(matches!(
        refused,
        Err(JobError::Invalid { field: "kind", .. })
    ));
}

fn hooked(name: &str) -> JobSpec {
    job().with_id(id(name)).with(|job| {
        job.webhook = Some(URL.into());
        job.kind = Some("k\"\u{e9}".into());
        job.max_stalls = 0;
        match name {
            "done and dropped" => job.result_ttl_ms = 0,
            "too late for a retry" => job.deadline = Some(START + 5_000),
            "expired" => job.deadline = Some(START + 1),
            "lapsed" => job.max_stalls = 1,
            _ => {}
        }
    })
}

fn others(claimed: Vec<Claimed>) -> Vec<Claimed> {
    let mut claimed = claimed;
    claimed.retain(|one| one.spec.kind() != WEBHOOK_KIND);
    claimed
}

/// Each job has one delivery, that says how it ended, and no other job has one.
async fn expect(store: &Store, rows: &[(&str, JobState)]) {
    let mut made = deliveries(store).await;
    made.sort_by(|one, other| one.0.cmp(&other.0));
    let mut wanted: Vec<(String, Value)> = rows
        .iter()
        .map(|(name, state)| {
            let payload = json!({
                "id": name, "queue": QUEUE, "kind": "k\"\u{e9}", "state": state.as_str(),
                "ended_at": 0, "url": URL,
            });
            (format!("webhook:{name}"), payload)
        })
        .collect();
    wanted.sort_by(|one, other| one.0.cmp(&other.0));
    for ((_, payload), (_, wanted)) in made.iter().zip(&mut wanted) {
        let at = payload["ended_at"].as_u64().unwrap();
        assert!((START..=START + 60_000).contains(&at), "{payload}");
        wanted["ended_at"] = json!(at);
    }
    assert_eq!(made, wanted);
}

async fn deliveries(store: &Store) -> Vec<(String, Value)> {
    let filter = JobFilter {
        queue: Some(QUEUE.to_owned()),
        kind: Some(WEBHOOK_KIND.to_owned()),
        ..JobFilter::default()
    };
    let page = store.another.list(&filter).await.unwrap();
    let read = |job: Job| (job.id.to_string(), job.spec.payload.read().unwrap());
    page.jobs.into_iter().map(read).collect()
}
