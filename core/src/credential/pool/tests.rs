//! What the pool promises, on a clock set by hand.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::credential::store::SqliteStore;
use crate::credential::{CredentialState, Limits};
use crate::provider::FaultClass;

#[derive(Debug, Default)]
struct HandClock(AtomicU64);

impl Clock for HandClock {
    fn now(&self) -> EpochMillis {
        self.0.load(Ordering::SeqCst)
    }
}

fn keys(count: usize) -> Vec<Credential> {
    (0..count)
        .map(|n| Credential::new(format!("k{n}"), format!("sk-secret-{n}")))
        .collect()
}

fn pool_of(credentials: Vec<Credential>, strategy: Strategy) -> (CredentialPool, Arc<HandClock>) {
    let clock = Arc::new(HandClock(AtomicU64::new(1_000_000)));
    let options = PoolOptions {
        strategy,
        ..PoolOptions::default()
    };
    let pool = CredentialPool::assemble(credentials, &options, None, clock.clone()).unwrap();
    (pool, clock)
}

async fn succeed(pool: &CredentialPool, want: &Want<'_>) -> String {
    let lease = pool.try_acquire(want).unwrap();
    let id = lease.credential().id().to_owned();
    lease.settle(Settlement::default()).await;
    id
}

fn parked(until: u64) -> Settlement {
    let mark = Mark {
        kind: MarkKind::Parked,
        reason: "unauthorized".into(),
        until: Some(until),
    };
    Settlement {
        fault: Some(FaultClass::Credential),
        tokens: None,
        marks: vec![(Marked::Credential, mark)],
    }
}

#[tokio::test]
async fn round_robin_goes_through_all_in_turn() {
    let (pool, _) = pool_of(keys(3), Strategy::RoundRobin);
    let mut order = Vec::new();
    for _ in 0..6 {
        order.push(succeed(&pool, &Want::default()).await);
    }
    assert_eq!(order, ["k0", "k1", "k2", "k0", "k1", "k2"]);
}

#[tokio::test]
async fn weights_of_3_to_1_hold_within_two_percent() {
    let [a, b] = [
        Credential::new("a", "x").with_weight(3),
        Credential::new("b", "y"),
    ];
    let (pool, _) = pool_of(vec![a, b], Strategy::Weighted);
    let mut counts = HashMap::<String, u32>::new();
    for _ in 0..4_000 {
        *counts
            .entry(succeed(&pool, &Want::default()).await)
            .or_default() += 1;
    }
    assert!((2_920..=3_080).contains(&counts["a"]), "{counts:?}");
}

#[tokio::test]
async fn least_busy_takes_the_idle_one() {
    let (pool, _) = pool_of(keys(2), Strategy::LeastBusy);
    for _ in 0..2 {
        succeed(&pool, &Want::default()).await;
    }
    let first = pool.try_acquire(&Want::default()).unwrap();
    for _ in 0..5 {
        assert_ne!(
            succeed(&pool, &Want::default()).await,
            first.credential().id()
        );
    }
}

#[tokio::test]
async fn fill_first_stays_until_it_is_out() {
    let (pool, clock) = pool_of(keys(2), Strategy::FillFirst);
    assert_eq!(succeed(&pool, &Want::default()).await, "k0");
    let lease = pool.try_acquire(&Want::default()).unwrap();
    lease.settle(parked(clock.now() + 100)).await;
    assert_eq!(succeed(&pool, &Want::default()).await, "k1");
    clock.0.fetch_add(100, Ordering::SeqCst);
    assert_eq!(succeed(&pool, &Want::default()).await, "k0");
}

#[tokio::test]
async fn a_session_sticks_detours_and_returns() {
    let (pool, clock) = pool_of(keys(5), Strategy::Sticky);
    let want = Want {
        session: Some("conversation-7"),
        ..Want::default()
    };
    let home = succeed(&pool, &want).await;
    for _ in 0..5 {
        assert_eq!(succeed(&pool, &want).await, home);
    }
    pool.cool(&home, Duration::from_millis(50), "rate_limited")
        .await
        .unwrap();
    let detour = succeed(&pool, &want).await;
    assert_ne!(detour, home);
    assert_eq!(succeed(&pool, &want).await, detour);
    clock.0.fetch_add(50, Ordering::SeqCst);
    assert_eq!(succeed(&pool, &want).await, home);
}

#[tokio::test]
async fn who_wants_a_credential_gets_it_while_it_can_be_used_whatever_the_strategy() {
    for strategy in Strategy::ALL {
        let (pool, clock) = pool_of(keys(3), strategy);
        let want = |credential| Want {
            session: Some("conversation-7"),
            credential: Some(credential),
            ..Want::default()
        };
        for _ in 0..3 {
            assert_eq!(succeed(&pool, &want("k2")).await, "k2", "{strategy:?}");
        }
        let rest = Duration::from_millis(50);
        pool.cool("k2", rest, "rate_limited").await.unwrap();
        assert_ne!(succeed(&pool, &want("k2")).await, "k2", "{strategy:?}");
        clock.0.fetch_add(50, Ordering::SeqCst);
        assert_eq!(succeed(&pool, &want("k2")).await, "k2", "{strategy:?}");
        // One of another pool is no reason to refuse.
        succeed(&pool, &want("elsewhere")).await;
    }
    let (pool, _) = pool_of(keys(3), Strategy::RoundRobin);
    let want = Want {
        credential: Some("k0"),
        ..Want::default()
    };
    let mut order = Vec::new();
    for want in [
        Want::default(),
        want,
        Want::default(),
        want,
        Want::default(),
    ] {
        order.push(succeed(&pool, &want).await);
    }
    assert_eq!(
        order,
        ["k0", "k0", "k1", "k0", "k2"],
        "others keep their turns"
    );
}

#[tokio::test]
async fn sessions_spread_over_the_pool() {
    let (pool, _) = pool_of(keys(4), Strategy::Sticky);
    let mut counts = HashMap::<String, u32>::new();
    for n in 0..400 {
        let session = format!("s{n}");
        let want = Want {
            session: Some(&session),
            ..Want::default()
        };
        *counts.entry(succeed(&pool, &want).await).or_default() += 1;
    }
    assert!(
        counts.len() == 4 && counts.values().all(|n| *n > 50),
        "{counts:?}"
    );
}

#[tokio::test]
async fn an_unproven_credential_is_lent_to_one_call_at_a_time_for_a_while() {
    let (pool, clock) = pool_of(keys(1), Strategy::RoundRobin);
    let probe = pool.try_acquire(&Want::default()).unwrap();
    assert_eq!(
        pool.try_acquire(&Want::default()).unwrap_err().code(),
        "pool_saturated"
    );
    clock.0.fetch_add(2_000, Ordering::SeqCst);
    let second = pool.try_acquire(&Want::default()).unwrap();
    probe.settle(Settlement::default()).await;
    let _third = pool.try_acquire(&Want::default()).unwrap();
    drop(second);
}

#[tokio::test]
async fn a_readmitted_credential_is_probed_again() {
    let (pool, clock) = pool_of(keys(1), Strategy::RoundRobin);
    succeed(&pool, &Want::default()).await;
    pool.try_acquire(&Want::default())
        .unwrap()
        .settle(parked(clock.now() + 10))
        .await;
    assert_eq!(
        pool.try_acquire(&Want::default()).unwrap_err().code(),
        "all_cooling"
    );
    clock.0.fetch_add(10, Ordering::SeqCst);
    let _probe = pool.try_acquire(&Want::default()).unwrap();
    assert_eq!(
        pool.try_acquire(&Want::default()).unwrap_err().code(),
        "pool_saturated"
    );
}

#[tokio::test]
async fn concurrency_is_capped_and_a_dropped_lease_frees_its_slot() {
    let limits = Limits {
        concurrency: Some(2),
        ..Limits::default()
    };
    let (pool, _) = pool_of(
        vec![Credential::new("a", "x").with_limits(limits)],
        Strategy::RoundRobin,
    );
    succeed(&pool, &Want::default()).await;
    let (one, _two) = (
        pool.try_acquire(&Want::default()).unwrap(),
        pool.try_acquire(&Want::default()).unwrap(),
    );
    assert_eq!(
        pool.try_acquire(&Want::default()).unwrap_err().code(),
        "pool_saturated"
    );
    drop(one);
    pool.try_acquire(&Want::default()).unwrap();
}

#[tokio::test]
async fn a_panic_in_the_borrower_frees_the_slot() {
    let (pool, _) = pool_of(keys(1), Strategy::RoundRobin);
    let lent = pool.try_acquire(&Want::default()).unwrap();
    let crashed = tokio::spawn(async move {
        let _lent = lent;
        panic!("on purpose");
    });
    assert!(crashed.await.is_err());
    pool.try_acquire(&Want::default()).unwrap();
}

#[tokio::test]
async fn rpm_admits_exactly_n_and_the_error_names_when() {
    let limits = Limits {
        rpm: Some(3),
        ..Limits::default()
    };
    let (pool, clock) = pool_of(
        vec![Credential::new("a", "x").with_limits(limits)],
        Strategy::RoundRobin,
    );
    for _ in 0..3 {
        succeed(&pool, &Want::default()).await;
    }
    let Error::AllCooling {
        earliest,
        credentials,
    } = pool.try_acquire(&Want::default()).unwrap_err()
    else {
        panic!("not out");
    };
    assert_eq!(earliest, Some(clock.now() + MINUTE));
    assert_eq!(
        credentials[0].reason.as_deref(),
        Some("limit_of_the_minute")
    );
    clock.0.fetch_add(MINUTE, Ordering::SeqCst);
    succeed(&pool, &Want::default()).await;
}

#[tokio::test]
async fn a_quota_group_rests_as_one_and_others_do_not() {
    let grouped = |id: &str| Credential::new(id, id).with_quota_group("org");
    let (pool, clock) = pool_of(
        vec![grouped("a"), grouped("b"), Credential::new("c", "c")],
        Strategy::FillFirst,
    );
    let mark = Mark {
        kind: MarkKind::Cooling,
        reason: "rate_limited".into(),
        until: Some(clock.now() + 9),
    };
    let settlement = Settlement {
        fault: Some(FaultClass::Throttle),
        tokens: None,
        marks: vec![(Marked::Group, mark)],
    };
    pool.try_acquire(&Want::default())
        .unwrap()
        .settle(settlement)
        .await;
    assert_eq!(succeed(&pool, &Want::default()).await, "c");
    pool.admit("b").await.unwrap();
    assert_eq!(succeed(&pool, &Want::default()).await, "a");
}

#[tokio::test]
async fn a_model_that_one_lacks_is_asked_of_another_and_other_models_still_of_it() {
    let (pool, clock) = pool_of(keys(2), Strategy::FillFirst);
    let mark = Mark {
        kind: MarkKind::Cooling,
        reason: "model_not_found".into(),
        until: Some(clock.now() + 9),
    };
    let settlement = Settlement {
        fault: Some(FaultClass::Model),
        tokens: None,
        marks: vec![(Marked::Model("big".into()), mark)],
    };
    let want = Want {
        model: Some("big"),
        ..Want::default()
    };
    pool.try_acquire(&want).unwrap().settle(settlement).await;
    assert_eq!(succeed(&pool, &want).await, "k1");
    assert_eq!(
        succeed(
            &pool,
            &Want {
                model: Some("small"),
                ..want
            }
        )
        .await,
        "k0"
    );
}

#[tokio::test]
async fn marks_by_hand_are_listed_and_taken_off_by_hand() {
    let (pool, clock) = pool_of(keys(4), Strategy::RoundRobin);
    pool.cool("k1", Duration::from_secs(5), "asked")
        .await
        .unwrap();
    pool.park("k2", None, "no money").await.unwrap();
    pool.disable("k3", "by hand").await.unwrap();
    let states: Vec<_> = pool
        .list()
        .into_iter()
        .map(|row| (row.state, row.until))
        .collect();
    assert_eq!(
        states,
        [
            (CredentialState::Ready, None),
            (CredentialState::Cooling, Some(clock.now() + 5_000)),
            (CredentialState::Parked, None),
            (CredentialState::Disabled, None),
        ]
    );
    for id in ["k1", "k2", "k3"] {
        pool.admit(id).await.unwrap();
    }
    assert!(
        pool.list()
            .iter()
            .all(|row| row.state == CredentialState::Ready)
    );
    assert_eq!(
        pool.admit("k9").await.unwrap_err().code(),
        "unknown_credential"
    );
}

#[tokio::test]
async fn a_refusal_never_extends_a_cooldown() {
    let (pool, clock) = pool_of(keys(1), Strategy::RoundRobin);
    pool.cool("k0", Duration::from_secs(5), "asked")
        .await
        .unwrap();
    for _ in 0..10 {
        assert!(pool.try_acquire(&Want::default()).is_err());
    }
    assert_eq!(pool.list()[0].until, Some(clock.now() + 5_000));
}

#[tokio::test]
async fn a_waiting_call_is_woken_by_the_one_before_it() {
    let (pool, _) = pool_of(keys(1), Strategy::RoundRobin);
    let lent = pool.try_acquire(&Want::default()).unwrap();
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move {
            pool.acquire(&Want::default(), Duration::from_secs(30))
                .await
                .map(|_| ())
        }
    });
    tokio::task::yield_now().await;
    drop(lent);
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn too_many_waiting_calls_are_refused() {
    let options = PoolOptions {
        max_waiting: 0,
        ..PoolOptions::default()
    };
    let pool = CredentialPool::with_options(keys(1), options).unwrap();
    let _lent = pool.try_acquire(&Want::default()).unwrap();
    let refused = pool
        .acquire(&Want::default(), Duration::from_secs(1))
        .await
        .unwrap_err();
    assert_eq!(refused, Error::PoolSaturated { waiting: 0 });
}

#[tokio::test]
async fn two_pools_over_one_file_share_marks_and_minutes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pool.db");
    let clock = Arc::new(HandClock(AtomicU64::new(1_000_000)));
    let limits = Limits {
        rpm: Some(4),
        ..Limits::default()
    };
    let open = || {
        let store: Arc<dyn PoolStore> = Arc::new(SqliteStore::open(&path).unwrap());
        let credentials = vec![
            Credential::new("a", "x").with_limits(limits),
            Credential::new("b", "y"),
        ];
        CredentialPool::assemble(
            credentials,
            &PoolOptions::default(),
            Some(store),
            clock.clone(),
        )
        .unwrap()
    };
    let (one, other) = (open(), open());
    one.park("b", None, "no money").await.unwrap();
    clock.0.fetch_add(STORE_CHECK, Ordering::SeqCst);
    let patience = Duration::from_secs(5);
    for pool in [&one, &other, &one, &other] {
        let lease = pool.acquire(&Want::default(), patience).await.unwrap();
        assert_eq!(lease.credential().id(), "a");
        lease.settle(Settlement::default()).await;
    }
    for pool in [&one, &other] {
        let refused = pool.acquire(&Want::default(), patience).await.unwrap_err();
        assert_eq!(refused.code(), "all_cooling");
    }
    other.admit("b").await.unwrap();
    clock.0.fetch_add(STORE_CHECK, Ordering::SeqCst);
    assert_eq!(
        one.acquire(&Want::default(), patience)
            .await
            .unwrap()
            .credential()
            .id(),
        "b"
    );
}

#[test]
fn a_pool_needs_a_credential_and_each_id_once() {
    assert_eq!(
        CredentialPool::new(Vec::new()).unwrap_err().code(),
        "no_credentials"
    );
    let twice = vec![Credential::new("a", "x"), Credential::new("a", "y")];
    assert_eq!(
        CredentialPool::new(twice).unwrap_err().code(),
        "duplicate_credential"
    );
}
