//! `jobs`: looks at jobs; adds one, tries one again, calls one off, removes one.

use clap::{Args, Subcommand, ValueHint};
use serde_json::{Value, json};

use crate::cli::pending::{Waited, wait_for};
use crate::cli::shell::{Ended, Shell, Stop};
use crate::cli::{exit, table};
use crate::config::invalid;
use crate::connect;
use crate::error::Error;
use crate::job::{Job, JobError, JobFilter, JobId, JobSpec, JobState, Payload, SharedJobs};

/// Where the jobs are, when the command line does not say.
const URL_VARIABLE: &str = "CREDENTIAL_ROTATION_URL";

#[derive(Debug, Args)]
pub(super) struct Place {
    /// Where the jobs are: `redis://…`, `sqlite:PATH` [default: CREDENTIAL_ROTATION_URL]
    #[arg(long, global = true, value_name = "URL", value_hint = ValueHint::Url)]
    url: Option<String>,
}

impl Place {
    pub(super) async fn connect(&self) -> Result<SharedJobs, Stop> {
        Ok(connect::jobs(&self.url()?).await?)
    }

    pub(super) fn url(&self) -> Result<String, Stop> {
        let variable = || {
            std::env::var(URL_VARIABLE)
                .ok()
                .filter(|url| !url.is_empty())
        };
        self.url.clone().or_else(variable).ok_or_else(|| {
            let problem = format!("say where the jobs are, or set {URL_VARIABLE}");
            invalid("--url", &problem).into()
        })
    }
}

#[derive(Debug, Args)]
pub(super) struct Jobs {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List jobs
    List(List),
    /// Show a job with its result or error, and its log
    Show(One),
    /// Let jobs that have ended wait again, with all their attempts
    Retry(One),
    /// Call jobs off: those that wait at once, running ones by a sign to their worker
    Cancel(One),
    /// Remove jobs with all that is known of them
    Delete(One),
    /// Take a job in
    Add(Add),
}

#[derive(Debug, Args)]
struct List {
    /// Of this queue
    #[arg(long, value_name = "Q")]
    queue: Option<String>,
    /// In this state: waiting, delayed, running, completed, failed, cancelled
    #[arg(long, value_name = "STATE", value_parser = state)]
    state: Option<JobState>,
    /// Of this kind
    #[arg(long, value_name = "K")]
    kind: Option<String>,
    /// Of this group
    #[arg(long, value_name = "G")]
    group: Option<String>,
    /// On this session
    #[arg(long, value_name = "S")]
    session: Option<String>,
    /// With this tag
    #[arg(long, value_name = "T")]
    tag: Option<String>,
    /// At most so many [default: 100]
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Behind this mark, which the page before gave
    #[arg(long, value_name = "MARK")]
    after: Option<String>,
}

#[derive(Debug, Args)]
struct One {
    /// The job's id; more than one where that makes sense
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
}

#[derive(Debug, Args)]
struct Add {
    /// The queue
    #[arg(value_name = "QUEUE")]
    queue: String,
    /// The payload, as JSON
    #[arg(value_name = "JSON", default_value = "null")]
    payload: String,
    /// The job's id [default: a new one]
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// What is to be done [default: the queue's name]
    #[arg(long, value_name = "K")]
    kind: Option<String>,
    /// Higher goes first, -500 to 500
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        allow_hyphen_values = true
    )]
    priority: i16,
}

fn state(text: &str) -> Result<JobState, String> {
    let known = JobState::ALL.map(JobState::as_str).join(", ");
    JobState::from_name(text).ok_or_else(|| format!("use one of {known}"))
}

impl Jobs {
    pub(super) fn run(self, as_json: bool, shell: &mut Shell<'_>) -> Ended {
        let place = &self.place;
        let done = wait_for(async {
            match self.action {
                Action::List(list) => list.run(place, as_json, shell).await,
                Action::Show(one) => one.show(place, as_json, shell).await,
                Action::Retry(one) => one.retry(place, as_json, shell).await,
                Action::Cancel(one) => one.cancel(place, as_json, shell).await,
                Action::Delete(one) => one.delete(place, as_json, shell).await,
                Action::Add(add) => add.run(place, as_json, shell).await,
            }
        });
        match done? {
            Waited::Done(ended) => ended,
            Waited::Signalled(code) => Ok(code),
        }
    }
}

impl List {
    async fn run(self, place: &Place, as_json: bool, shell: &mut Shell<'_>) -> Ended {
        let jobs = place.connect().await?;
        let filter = JobFilter {
            queue: self.queue,
            state: self.state,
            kind: self.kind,
            group: self.group,
            session: self.session,
            tag: self.tag,
            limit: self.limit,
            after: self.after,
        };
        let page = jobs.list(&filter).await?;
        if as_json {
            let listed: Vec<String> = page.jobs.iter().map(text_of).collect::<Result<_, _>>()?;
            let next = json!(page.next);
            let line = format!("{{\"jobs\":[{}],\"next\":{next}}}", listed.join(","));
            shell.say(&line)?;
            return Ok(exit::OK);
        }
        let rows: Vec<_> = page.jobs.iter().map(row).collect();
        table::print(
            [
                "ID", "QUEUE", "KIND", "STATE", "ATTEMPT", "PROGRESS", "ERROR",
            ],
            &rows,
            shell,
        )?;
        if let Some(next) = page.next {
            shell.note(&format!("there are more: --after '{next}'"));
        }
        Ok(exit::OK)
    }
}

fn row(job: &Job) -> [table::Cell; 7] {
    let (spec, status) = (&job.spec, &job.status);
    let progress = status
        .progress
        .as_ref()
        .map(|progress| format!("{} %", progress.percent));
    let error = status
        .error
        .as_ref()
        .map(|error| format!("{}: {}", error.kind, error.message));
    [
        job.id.as_str().into(),
        (&*spec.queue).into(),
        spec.kind().into(),
        table::Cell::of_state(status.state.as_str()),
        format!("{}/{}", status.attempt, spec.max_attempts).into(),
        progress.unwrap_or_default().into(),
        error.unwrap_or_default().into(),
    ]
}

/// A job as JSON text: its payload and result as they were written.
fn text_of(job: &Job) -> Result<String, Stop> {
    serde_json::to_string(job).map_err(|problem| Stop::Error(invalid("the job", &problem)))
}

impl One {
    fn ids(&self) -> Result<Vec<JobId>, Stop> {
        let ids = self.ids.iter().map(|id| JobId::from_text(id.as_str()));
        Ok(ids.collect::<Result<_, _>>().map_err(Error::from)?)
    }

    async fn show(self, place: &Place, as_json: bool, shell: &mut Shell<'_>) -> Ended {
        let jobs = place.connect().await?;
        for id in self.ids()? {
            let job = jobs.find(&id).await?;
            if as_json {
                shell.say(&text_of(&job)?)?;
                continue;
            }
            let text = text_of(&job)?;
            let pretty: Value = serde_json::from_str(&text).unwrap_or(Value::String(text));
            shell.say(&format!("{pretty:#}"))?;
            for line in jobs.log(&id).await? {
                shell.say(&format!("{}  {}", line.at, line.text))?;
            }
        }
        Ok(exit::OK)
    }

    async fn retry(self, place: &Place, as_json: bool, shell: &mut Shell<'_>) -> Ended {
        let jobs = place.connect().await?;
        let ids = self.ids()?;
        let answers = jobs.revive(&ids).await?.into_iter();
        let answers = answers.map(|answer| answer.map(|()| "waiting"));
        tell_all(&ids, answers, as_json, shell)
    }

    async fn cancel(self, place: &Place, as_json: bool, shell: &mut Shell<'_>) -> Ended {
        let jobs = place.connect().await?;
        let ids = self.ids()?;
        let answers = jobs.cancel(&ids).await?.into_iter().zip(&ids);
        let answers = answers.map(|(state, id)| {
            let unknown = || JobError::UnknownJob { id: id.clone() };
            state.map(JobState::as_str).ok_or_else(unknown)
        });
        tell_all(&ids, answers, as_json, shell)
    }

    async fn delete(self, place: &Place, as_json: bool, shell: &mut Shell<'_>) -> Ended {
        let jobs = place.connect().await?;
        let ids = self.ids()?;
        for (id, there) in ids.iter().zip(jobs.delete(&ids).await?) {
            let state = if there { "deleted" } else { "unknown" };
            told(id, state, as_json, shell)?;
        }
        Ok(exit::OK)
    }
}

impl Add {
    async fn run(self, place: &Place, as_json: bool, shell: &mut Shell<'_>) -> Ended {
        let payload = Payload::from_json(self.payload)?;
        let id = self.id.map(JobId::from_text).transpose()?;
        let spec = JobSpec::new(&self.queue, payload).with(|job| {
            job.id = id;
            job.kind = self.kind.map(Into::into);
            job.priority = self.priority;
        });
        let jobs = place.connect().await?;
        let added = jobs.enqueue_one(spec).await?;
        let state = match added {
            crate::job::Enqueued::Duplicate(_) => "was there",
            _ => "added",
        };
        told(&added.id()?, state, as_json, shell)?;
        Ok(exit::OK)
    }
}

/// Tells what became of each. With a refusal among them it fails, once all are told.
fn tell_all(
    ids: &[JobId],
    answers: impl Iterator<Item = Result<&'static str, JobError>>,
    as_json: bool,
    shell: &mut Shell<'_>,
) -> Ended {
    let mut first = None;
    for (id, answer) in ids.iter().zip(answers) {
        match answer {
            Ok(state) => told(id, state, as_json, shell)?,
            Err(refusal) => {
                if ids.len() > 1 {
                    refused(id, &refusal, as_json, shell)?;
                }
                first.get_or_insert(refusal);
            }
        }
    }
    first.map_or(Ok(exit::OK), |refusal| Err(refusal.into()))
}

fn refused(
    id: &JobId,
    refusal: &JobError,
    as_json: bool,
    shell: &mut Shell<'_>,
) -> Result<(), Stop> {
    if as_json {
        shell.say_json(&json!({ "id": id, "error": refusal.to_json() }))
    } else {
        shell.say(&format!("{id} refused: {refusal}"))
    }
}

fn told(id: &JobId, state: &str, as_json: bool, shell: &mut Shell<'_>) -> Result<(), Stop> {
    if as_json {
        shell.say_json(&json!({ "id": id, "state": state }))
    } else {
        shell.say(&format!("{id} {state}"))
    }
}
