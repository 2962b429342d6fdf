//! Jobs: one verb a call, its arguments and its answer as JSON. Names and forms are
//! the core's; Python's own names are given in `jobs.py`.

use std::sync::Arc;
use std::time::Duration;

use credential_rotation::job::memory::MemoryJobs;
use credential_rotation::job::{
    Enqueued, EventStream, JobError, JobFilter, JobId, JobManager as Core, JobSpec, JobState,
    QueueLimits, Schedule, SharedJobs, metrics,
};
use credential_rotation::{Error, connect};
use futures_util::StreamExt;
use parking_lot::Mutex;
use pyo3::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::desk::{Desk, Reply, Task};
use crate::errors::raised;
use crate::runtime::runtime;
use crate::wait::block_on;

/// Where jobs are kept.
#[pyclass(frozen, module = "credential_rotation._native")]
pub(crate) struct JobManager {
    url: String,
    /// A connection must not be used on the other side of a fork.
    held: Arc<Mutex<(u32, SharedJobs)>>,
}

#[pymethods]
impl JobManager {
    /// Opens the jobs at a URL.
    #[staticmethod]
    fn connect(py: Python<'_>, url: String) -> PyResult<Self> {
        let connected = block_on(py, connect::jobs(&url))?;
        let jobs = connected.map_err(|error| raised(py, &error.into()))?;
        Ok(Self {
            url,
            held: Arc::new(Mutex::new((std::process::id(), jobs))),
        })
    }

    /// Does what the verb says; gives JSON.
    fn ask(&self, py: Python<'_>, verb: &str, words: &str) -> PyResult<String> {
        let answer = block_on(py, self.answer(verb.to_owned(), words.to_owned()))?;
        answer.map_err(|error| raised(py, &error))
    }

    /// The same from a coroutine.
    fn aask(
        &self,
        py: Python<'_>,
        desk: &Desk,
        number: u64,
        verb: &str,
        words: &str,
    ) -> PyResult<Task> {
        let answer = self.answer(verb.to_owned(), words.to_owned());
        desk.submit(py, number, async { reply(answer.await) })
    }

    /// What happens from now on.
    fn events(&self, py: Python<'_>) -> PyResult<JobEvents> {
        let jobs = self.current();
        let events = block_on(py, async { jobs.await?.events().await })?;
        let events = events.map_err(|error| raised(py, &error.into()))?;
        Ok(JobEvents::new(events))
    }
}

impl JobManager {
    /// Jobs of this process that somebody else has made.
    pub(crate) fn in_memory(jobs: MemoryJobs) -> Self {
        Self {
            url: "memory:".to_owned(),
            held: Arc::new(Mutex::new((std::process::id(), Arc::new(jobs)))),
        }
    }

    /// The jobs, through a connection of this process.
    pub(crate) fn current(
        &self,
    ) -> impl Future<Output = Result<SharedJobs, JobError>> + Send + use<> {
        let (url, held) = (self.url.clone(), Arc::clone(&self.held));
        async move {
            let (process, jobs) = held.lock().clone();
            // Jobs in memory are copied by a fork: there is nothing to connect to.
            if process == std::process::id() || url.starts_with("memory:") {
                return Ok(jobs);
            }
            let jobs = connect::jobs(&url).await?;
            let fresh = (std::process::id(), Arc::clone(&jobs));
            let inherited = std::mem::replace(&mut *held.lock(), fresh);
            // Closing it here would end the parent's.
            std::mem::forget(inherited);
            Ok(jobs)
        }
    }

    fn answer(
        &self,
        verb: String,
        words: String,
    ) -> impl Future<Output = Result<String, Error>> + Send + use<> {
        let jobs = self.current();
        async move { Ok(perform(&*jobs.await?, &verb, &words).await?) }
    }
}

fn reply(answer: Result<String, Error>) -> Reply {
    match answer {
        Ok(json) => Reply::Json(json),
        Err(error) => Reply::Error(error),
    }
}

#[derive(Deserialize)]
struct Wait {
    id: JobId,
    at_most_ms: u64,
}

#[derive(Deserialize)]
struct Pause {
    queue: String,
    paused: bool,
}

#[derive(Deserialize)]
struct Limit {
    queue: String,
    limits: QueueLimits,
}

#[derive(Deserialize)]
struct Purge {
    queue: String,
    states: Vec<JobState>,
    older_than_ms: u64,
}

async fn perform(jobs: &dyn Core, verb: &str, words: &str) -> Result<String, JobError> {
    match verb {
        "backend" => write(&jobs.backend()),
        "enqueue" => {
            let mut specs = Vec::new();
            let mut refused = Vec::new();
            for spec in read_each(words)? {
                match spec {
                    Ok(spec) => {
                        specs.push(spec);
                        refused.push(None);
                    }
                    Err(error) => refused.push(Some(error)),
                }
            }
            let mut answers = jobs.enqueue(specs).await?.into_iter();
            let told = refused.into_iter().map(|refused| {
                let next = refused.map(Enqueued::Refused).or_else(|| answers.next());
                enqueued(next.unwrap_or(Enqueued::Refused(JobError::Closed)))
            });
            write(&told.collect::<Vec<Value>>())
        }
        "get" => write(&jobs.get(&read::<Vec<JobId>>(words)?).await?),
        "find" => write(&jobs.find(&read(words)?).await?),
        "list" => {
            let page = jobs.list(&read::<JobFilter>(words)?).await?;
            write(&(page.jobs, page.next))
        }
        "counts" => write(&jobs.counts().await?),
        "cancel" => write(&jobs.cancel(&read::<Vec<JobId>>(words)?).await?),
        "delete" => write(&jobs.delete(&read::<Vec<JobId>>(words)?).await?),
        "retry" => {
            let answers = jobs.revive(&read::<Vec<JobId>>(words)?).await?;
            let told = |answer: Result<(), JobError>| answer.err().map(Error::from);
            let errors = answers.into_iter().map(told);
            write(
                &errors
                    .map(|error| error.map(|error| error.to_json()))
                    .collect::<Vec<_>>(),
            )
        }
        "wait" => {
            let Wait { id, at_most_ms } = read(words)?;
            write(&jobs.wait(&id, Duration::from_millis(at_most_ms)).await?)
        }
        "log" => write(&jobs.log(&read(words)?).await?),
        "pause" => {
            let Pause { queue, paused } = read(words)?;
            write(&jobs.set_paused(&queue, paused).await?)
        }
        "set_limits" => {
            let Limit { queue, limits } = read(words)?;
            write(&jobs.set_limits(&queue, limits).await?)
        }
        "limits" => write(&jobs.limits(&read::<String>(words)?).await?),
        "sweep" => write(&jobs.sweep().await?),
        "purge" => {
            let Purge {
                queue,
                states,
                older_than_ms,
            } = read(words)?;
            let older_than = Duration::from_millis(older_than_ms);
            write(&jobs.purge(&queue, &states, older_than).await?)
        }
        "put_schedule" => write(&jobs.put_schedule(read::<Schedule>(words)?).await?),
        "delete_schedule" => write(&jobs.delete_schedule(&read::<String>(words)?).await?),
        "schedules" => write(&jobs.schedules().await?),
        "metrics" => write(&metrics::render(jobs).await?),
        "workers" => write(&jobs.workers().await?),
        "close" => {
            jobs.close().await;
            write(&())
        }
        _ => Err(unreadable(&format!("there is no verb `{verb}`"))),
    }
}

fn enqueued(answer: Enqueued) -> Value {
    match answer {
        Enqueued::Added(id) => json!([id, true]),
        Enqueued::Duplicate(id) => json!([id, false]),
        Enqueued::Refused(error) => Error::from(error).to_json(),
    }
}

/// Jobs that are asked for, each by itself: one that cannot be read keeps out no others.
fn read_each(words: &str) -> Result<Vec<Result<JobSpec, JobError>>, JobError> {
    if let Ok(specs) = serde_json::from_str::<Vec<JobSpec>>(words) {
        return Ok(specs.into_iter().map(Ok).collect());
    }
    let texts: Vec<Box<RawValue>> = read(words)?;
    Ok(texts.iter().map(|text| read(text.get())).collect())
}

fn read<T: DeserializeOwned>(words: &str) -> Result<T, JobError> {
    serde_json::from_str(words).map_err(|problem| unreadable(&problem))
}

fn write(answer: &impl Serialize) -> Result<String, JobError> {
    serde_json::to_string(answer).map_err(|problem| unreadable(&problem))
}

fn unreadable(problem: &dyn std::fmt::Display) -> JobError {
    JobError::Invalid {
        field: "arguments",
        problem: problem.to_string(),
    }
}

/// What happens to jobs, as it comes.
#[pyclass(frozen, module = "credential_rotation._native")]
pub(crate) struct JobEvents {
    /// `None` when it is closed.
    events: Arc<tokio::sync::Mutex<Option<EventStream>>>,
    closed: watch::Sender<bool>,
}

impl JobEvents {
    fn new(events: EventStream) -> Self {
        Self {
            events: Arc::new(tokio::sync::Mutex::new(Some(events))),
            closed: watch::Sender::new(false),
        }
    }

    fn step(&self) -> impl Future<Output = Reply> + Send + use<> {
        let events = Arc::clone(&self.events);
        let mut closed = self.closed.subscribe();
        async move {
            let mut events = events.lock().await;
            let Some(open) = events.as_mut() else {
                return Reply::Nothing;
            };
            let event = tokio::select! {
                biased;
                _ = closed.wait_for(|closed| *closed) => None,
                event = open.next() => event,
            };
            match event {
                Some(event) => Reply::Json(json!(event).to_string()),
                None => {
                    *events = None;
                    Reply::Nothing
                }
            }
        }
    }
}

#[pymethods]
impl JobEvents {
    /// The next event as JSON; `None` at the end.
    fn next(&self, py: Python<'_>) -> PyResult<Option<String>> {
        match block_on(py, self.step())? {
            Reply::Json(event) => Ok(Some(event)),
            _ => Ok(None),
        }
    }

    /// The same from a coroutine.
    fn anext(&self, py: Python<'_>, desk: &Desk, number: u64) -> PyResult<Task> {
        desk.submit(py, number, self.step())
    }

    /// Follows no longer; whoever waits is told that it is the end.
    fn close(&self) -> PyResult<()> {
        self.closed.send_replace(true);
        let events = Arc::clone(&self.events);
        runtime()?.spawn(async move { events.lock().await.take() });
        Ok(())
    }
}
