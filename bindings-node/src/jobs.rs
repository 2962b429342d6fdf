//! Jobs: taken in, looked up and ordered about from JavaScript.

use std::sync::Arc;
use std::time::Duration;

use credential_rotation::connect;
use credential_rotation::job::memory::MemoryJobs;
use credential_rotation::job::{
    Enqueued, Job, JobError, JobFilter, JobId, JobSpec, JobState, Payload, QueueLimits, Schedule,
    SharedJobs, metrics,
};
use napi_derive::napi;
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::desk::Desk;
use crate::errors::{Thrown, job_thrown};
use crate::job_events::JobEvents;
use crate::runtime;

/// The jobs at a URL.
#[napi]
pub struct JobManager {
    url: String,
    /// None until it is connected, and once it is closed.
    jobs: Arc<Mutex<Option<SharedJobs>>>,
}

/// A wish as JSON.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Step {
    Find {
        id: JobId,
    },
    Get {
        ids: Vec<JobId>,
    },
    Wait {
        id: JobId,
        timeout_ms: u64,
    },
    List(JobFilter),
    Log {
        id: JobId,
    },
    Counts,
    Cancel {
        ids: Vec<JobId>,
    },
    Delete {
        ids: Vec<JobId>,
    },
    Revive {
        ids: Vec<JobId>,
    },
    SetPaused {
        queue: String,
        paused: bool,
    },
    SetLimits {
        queue: String,
        limits: QueueLimits,
    },
    Limits {
        queue: String,
    },
    Purge(Purge),
    Sweep,
    PutSchedule {
        schedule: Box<Schedule>,
        payload_json: Option<String>,
    },
    DeleteSchedule {
        name: String,
    },
    Schedules,
    Workers,
    Metrics,
}

#[derive(Deserialize)]
struct Purge {
    queue: String,
    states: Vec<JobState>,
    older_than_ms: u64,
}

#[derive(Serialize)]
struct Listed {
    jobs: Vec<Job>,
    next: Option<String>,
}

#[napi]
impl JobManager {
    /// Touches nothing.
    #[napi(factory)]
    pub fn at(url: String) -> Self {
        Self {
            url,
            jobs: Arc::default(),
        }
    }

    /// Opens the jobs; where they are comes under `number`.
    #[napi]
    pub fn connect(&self, desk: &Desk, number: u32) -> napi::Result<()> {
        let (url, place) = (self.url.clone(), Arc::clone(&self.jobs));
        desk.shared().submit_job(number, async move {
            let jobs = connect::jobs(&url).await?;
            let backend = jobs.backend();
            *place.lock() = Some(jobs);
            Ok(json!(backend).to_string())
        })
    }

    /// Takes jobs in: a list of specifications, and a list of `[index, text]` for payloads
    /// that are given as text. Under `number` comes for each its id, `[id]` of the one
    /// that was there before, or the error.
    #[napi]
    pub fn enqueue(
        &self,
        desk: &Desk,
        number: u32,
        jobs: String,
        payloads: String,
    ) -> napi::Result<()> {
        let manager = self.connected();
        desk.shared().submit_job(number, async move {
            let manager = manager?;
            let mut refused = Vec::new();
            let mut accepted = Vec::new();
            for spec in specifications(&jobs, &payloads)? {
                match spec {
                    Ok(spec) => {
                        accepted.push(spec);
                        refused.push(None);
                    }
                    Err(error) => refused.push(Some(error)),
                }
            }
            let mut taken = manager.enqueue(accepted).await?.into_iter();
            let told = refused.into_iter().map(|refused| {
                let next = refused.map(Enqueued::Refused).or_else(|| taken.next());
                told(next.unwrap_or(Enqueued::Refused(JobError::Closed)))
            });
            Ok(Value::Array(told.collect()).to_string())
        })
    }

    /// Takes a step as JSON; what came of it comes under `number`.
    #[napi]
    pub fn take(&self, desk: &Desk, number: u32, step: String) -> napi::Result<()> {
        let manager = self.connected();
        desk.shared().submit_job(number, async move {
            perform(&manager?, from_json(&step, "arguments")?).await
        })
    }

    /// Ends waits and events, and refuses what comes after.
    #[napi]
    pub fn close(&self, desk: &Desk, number: u32) -> napi::Result<()> {
        let closed = self.jobs.lock().take();
        desk.shared().submit_job(number, async move {
            if let Some(jobs) = closed {
                jobs.close().await;
            }
            Ok("null".to_owned())
        })
    }

    /// What happens from now on.
    #[napi]
    pub fn events(&self) -> Result<JobEvents, Thrown> {
        let jobs = self.connected().map_err(|error| job_thrown(&error))?;
        Ok(JobEvents::of(jobs))
    }
}

impl JobManager {
    /// Jobs of this process that somebody else has made.
    pub(crate) fn in_memory(jobs: MemoryJobs) -> Self {
        let jobs: SharedJobs = Arc::new(jobs);
        Self {
            url: "memory:".to_owned(),
            jobs: Arc::new(Mutex::new(Some(jobs))),
        }
    }

    /// The core's, once it is connected.
    pub(crate) fn connected(&self) -> Result<SharedJobs, JobError> {
        self.jobs.lock().clone().ok_or(JobError::Closed)
    }
}

impl Drop for JobManager {
    fn drop(&mut self) {
        runtime::drop_inside(self.jobs.lock().take());
    }
}

/// Reads what JavaScript wrote.
pub(crate) fn from_json<T: DeserializeOwned>(
    json: &str,
    field: &'static str,
) -> Result<T, JobError> {
    serde_json::from_str(json).map_err(|problem| JobError::Invalid {
        field,
        problem: problem.to_string(),
    })
}

async fn perform(jobs: &SharedJobs, step: Step) -> Result<String, JobError> {
    let told = match step {
        Step::Get { ids } => {
            let found = jobs.get(&ids).await?.into_iter();
            return written(&found.map(|job| job.map(as_text)).collect::<Vec<_>>());
        }
        Step::Find { id } => return written(&as_text(jobs.find(&id).await?)),
        Step::Wait { id, timeout_ms } => {
            let at_most = Duration::from_millis(timeout_ms);
            return written(&as_text(jobs.wait(&id, at_most).await?));
        }
        Step::List(filter) => {
            let page = jobs.list(&filter).await?;
            return written(&Listed {
                jobs: page.jobs.into_iter().map(as_text).collect(),
                next: page.next,
            });
        }
        Step::Schedules => {
            let mut schedules = jobs.schedules().await?;
            for schedule in &mut schedules {
                schedule.job.payload = text_of(&schedule.job.payload);
            }
            json!(schedules)
        }
        Step::Log { id } => json!(jobs.log(&id).await?),
        Step::Counts => json!(jobs.counts().await?),
        Step::Cancel { ids } => json!(jobs.cancel(&ids).await?),
        Step::Delete { ids } => json!(jobs.delete(&ids).await?),
        Step::Revive { ids } => {
            let revived = jobs.revive(&ids).await?.into_iter();
            Value::Array(revived.map(refusal).collect())
        }
        Step::SetPaused { queue, paused } => json!(jobs.set_paused(&queue, paused).await?),
        Step::SetLimits { queue, limits } => json!(jobs.set_limits(&queue, limits).await?),
        Step::Limits { queue } => json!(jobs.limits(&queue).await?),
        Step::Purge(asked) => {
            let age = Duration::from_millis(asked.older_than_ms);
            json!(jobs.purge(&asked.queue, &asked.states, age).await?)
        }
        Step::Sweep => json!(jobs.sweep().await?),
        Step::PutSchedule {
            mut schedule,
            payload_json,
        } => {
            if let Some(text) = payload_json {
                schedule.job.payload = Payload::from_json(text)?;
            }
            json!(jobs.put_schedule(*schedule).await?)
        }
        Step::DeleteSchedule { name } => json!(jobs.delete_schedule(&name).await?),
        Step::Workers => json!(jobs.workers().await?),
        Step::Metrics => json!(metrics::render(&**jobs).await?),
    };
    Ok(told.to_string())
}

fn specifications(jobs: &str, payloads: &str) -> Result<Vec<Result<JobSpec, JobError>>, JobError> {
    let mut read: Vec<Result<JobSpec, JobError>> = match serde_json::from_str(jobs) {
        Ok(specs) => Vec::<JobSpec>::into_iter(specs).map(Ok).collect(),
        // Each by itself: a bad one does not keep out the others.
        Err(_) => from_json::<Vec<Box<RawValue>>>(jobs, "jobs")?
            .iter()
            .map(|spec| from_json(spec.get(), "job"))
            .collect(),
    };
    for (nth, text) in from_json::<Vec<(usize, String)>>(payloads, "payloads")? {
        if let Some(spec) = read.get_mut(nth) {
            match (Payload::from_json(text), &mut *spec) {
                (Ok(payload), Ok(spec)) => spec.payload = payload,
                (Err(error), Ok(_)) => *spec = Err(error),
                (_, Err(_)) => {}
            }
        }
    }
    Ok(read)
}

fn told(taken: Enqueued) -> Value {
    match taken {
        Enqueued::Added(id) => json!(id),
        Enqueued::Duplicate(id) => json!([id]),
        Enqueued::Refused(error) => error.to_json(),
    }
}

fn refusal(made: Result<(), JobError>) -> Value {
    made.map_or_else(|error| error.to_json(), |()| Value::Null)
}

/// A job whose payload and result are their texts: JavaScript has both, the text and
/// the value.
fn as_text(mut job: Job) -> Job {
    let mut spec = Arc::unwrap_or_clone(job.spec);
    spec.payload = text_of(&spec.payload);
    job.spec = Arc::new(spec);
    job.status.result = job.status.result.as_ref().map(text_of);
    job
}

/// A JSON text as the JSON of a string. It can be written: it is a string.
fn text_of(json: &Payload) -> Payload {
    let text = serde_json::to_string(json).unwrap_or_default();
    Payload::of(&text).unwrap_or_default()
}

fn written(told: &impl Serialize) -> Result<String, JobError> {
    serde_json::to_string(told).map_err(|problem| JobError::Invalid {
        field: "job",
        problem: problem.to_string(),
    })
}
