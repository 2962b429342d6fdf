//! The conformance suite over every backend.

use std::sync::Arc;

use credential_rotation::job::memory::MemoryJobs;
use credential_rotation::testing::ManualClock;
use credential_rotation::testing::jobs::{CHECKS, START, Store};

#[tokio::test]
async fn memory_does_all_that_a_manager_must() {
    for (name, check) in CHECKS {
        println!("memory: {name}");
        let clock = Arc::new(ManualClock::new(START));
        let memory = Arc::new(MemoryJobs::with_clock(clock.clone()));
        let another = memory.clone();
        check(Store {
            one: memory,
            another,
            clock,
        })
        .await;
    }
}
