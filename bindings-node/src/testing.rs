//! The simulated endpoint and the clock set by hand, for users' tests and ours.

use std::sync::Arc;

use credential_rotation::Error;
use credential_rotation::clock::Clock;
use credential_rotation::job::memory::MemoryJobs;
use credential_rotation::testing::{self, Scenario, Script};
use napi_derive::napi;
use parking_lot::Mutex;
use serde_json::json;

use crate::errors::{Thrown, thrown};
use crate::jobs::JobManager;
use crate::pool::duration;

/// An LLM endpoint on loopback that does what its scenario says.
#[napi]
pub struct SimulatedEndpoint(Mutex<Option<testing::SimulatedEndpoint>>);

#[napi]
impl SimulatedEndpoint {
    /// Starts one on a thread of its own; the scenario as JSON.
    #[napi(factory)]
    pub fn start(scenario: String) -> Result<Self, Thrown> {
        let scenario = Scenario::from_json(&scenario).map_err(|error| thrown(&error))?;
        let endpoint = testing::SimulatedEndpoint::start_blocking(scenario).map_err(|problem| {
            thrown(&Error::InvalidConfig {
                place: "the simulated endpoint".to_owned(),
                problem: problem.to_string(),
            })
        })?;
        Ok(Self(Mutex::new(Some(endpoint))))
    }

    /// The base URL of Anthropic clients; empty once it is closed.
    #[napi(getter)]
    pub fn url(&self) -> String {
        self.ask(testing::SimulatedEndpoint::url)
    }

    /// The base URL of OpenAI clients; empty once it is closed.
    #[napi(getter)]
    pub fn openai_url(&self) -> String {
        self.ask(testing::SimulatedEndpoint::openai_url)
    }

    /// Gives a key another script, as JSON, from its start.
    #[napi]
    pub fn script(&self, key: String, script: String) -> Result<(), Thrown> {
        let script = Script::from_json(&script).map_err(|error| thrown(&error))?;
        self.ask(|endpoint| endpoint.script(&key, script));
        Ok(())
    }

    /// Requests that came with this key, or in all.
    #[napi]
    pub fn hits(&self, key: Option<String>) -> f64 {
        self.ask(|endpoint| match key {
            Some(key) => endpoint.hits(&key),
            None => endpoint.hits_total(),
        }) as f64
    }

    /// Answers of this key that the client did not read to the end.
    #[napi]
    pub fn closed_early(&self, key: String) -> f64 {
        self.ask(|endpoint| endpoint.closed_early(&key)) as f64
    }

    /// Requests being answered now.
    #[napi(getter)]
    pub fn in_flight(&self) -> f64 {
        self.ask(testing::SimulatedEndpoint::in_flight) as f64
    }

    /// Connections open now.
    #[napi(getter)]
    pub fn open_connections(&self) -> f64 {
        self.ask(testing::SimulatedEndpoint::open_connections) as f64
    }

    /// The latest requests as JSON, oldest first, without their keys.
    #[napi]
    pub fn requests(&self) -> String {
        let seen = self.ask(testing::SimulatedEndpoint::requests);
        let told: Vec<_> = seen
            .iter()
            .map(|request| json!({"path": request.path, "body": request.body, "at": request.at}))
            .collect();
        json!(told).to_string()
    }

    /// Closes the port and every connection.
    #[napi]
    pub fn close(&self) {
        let endpoint = self.0.lock().take();
        drop(endpoint);
    }
}

impl SimulatedEndpoint {
    fn ask<T: Default>(&self, question: impl FnOnce(&testing::SimulatedEndpoint) -> T) -> T {
        self.0.lock().as_ref().map_or_else(T::default, question)
    }
}

/// A clock that stands still until it is moved, and jobs in memory that go by it.
#[napi]
pub struct ManualClock(testing::ManualClock);

#[napi]
impl ManualClock {
    /// One that shows this time, or the first of January 2026.
    #[napi(factory)]
    pub fn at(now: Option<f64>) -> Self {
        // A time before 1970 is 1970.
        Self(now.map_or_else(testing::ManualClock::default, |now| {
            testing::ManualClock::new(now as u64)
        }))
    }

    /// What it shows, in milliseconds since the epoch.
    #[napi(getter)]
    pub fn now(&self) -> f64 {
        self.0.now() as f64
    }

    /// Moves it forward.
    #[napi]
    pub fn advance(&self, ms: f64) {
        self.0.advance(duration(ms));
    }

    /// Sets it. An earlier time than it shows is ignored.
    #[napi]
    pub fn set(&self, now: f64) {
        self.0.set(now as u64);
    }

    /// New jobs in memory that go by it.
    #[napi]
    pub fn jobs(&self) -> JobManager {
        JobManager::in_memory(MemoryJobs::with_clock(Arc::new(self.0.clone())))
    }
}
