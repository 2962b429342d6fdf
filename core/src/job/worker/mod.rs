//! Workers: they claim jobs, run handlers and record what came of them.
//!
//! ```no_run
//! # use credential_rotation::job::worker::{Context, HandlerError, Worker};
//! # use credential_rotation::job::{Payload, SharedJobs};
//! # async fn main_(jobs: SharedJobs) -> Result<(), Box<dyn std::error::Error>> {
//! async fn summarise(job: Context) -> Result<Payload, HandlerError> {
//!     let text: String = job.payload().read()?;
//!     Ok(Payload::of(&text.len())?)
//! }
//!
//! let worker = Worker::builder(jobs)
//!     .lane("text_processing", 2)
//!     .handler("summarise", summarise)
//!     .build()?;
//! let report = worker.run_until_signalled().await?;
//! println!("{} done", report.completed);
//! # Ok(())
//! # }
//! ```
//!
//! What may happen to the backend, or to the host's event loop, loses no work: leases
//! are kept by a thread of its own, ends are sent until they are recorded, and what a
//! dead worker had comes again.

mod attempt;
mod attempt_run;
mod backoff;
mod builder;
mod context;
mod control;
mod crew;
mod desk;
mod handler;
mod hold;
mod lane;
mod lane_options;
mod lane_run;
mod pace;
mod presence;
mod renewal;
mod report;
mod schedules;
mod shutdown;
mod side;
mod slots;
#[cfg(feature = "testing")]
mod solo;
mod upkeep;
mod verdict;
mod watch;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use builder::WorkerBuilder;
pub use context::Context;
pub use control::WorkerHandle;
pub use handler::{Blocking, Handler, HandlerError, Handlers, blocking};
pub use hold::SlotHold;
pub use lane::{CONCURRENCY_LIMIT, Lane};
pub use lane_options::LaneOptions;
pub use report::WorkerReport;
#[cfg(feature = "testing")]
pub(crate) use solo::Solo;
pub use watch::AttemptEnd;

use self::control::{Control, Mode};
use self::crew::Crew;
use self::lane_run::LaneRun;
use self::renewal::Renewals;
use crate::job::{JobError, SharedJobs};

/// How long a worker that is done waits to hand over.
const FAREWELL: Duration = Duration::from_secs(1);

/// Runs jobs until it is told to stop.
#[derive(Debug)]
pub struct Worker {
    crew: Arc<Crew>,
    lanes: Vec<Lane>,
    grace: Duration,
    control: Control,
}

impl Worker {
    /// Sets up a worker for these jobs.
    pub fn builder(jobs: SharedJobs) -> WorkerBuilder {
        WorkerBuilder::new(jobs)
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.crew.id
    }

    /// What to tell it by while it runs.
    #[must_use]
    pub fn handle(&self) -> WorkerHandle {
        WorkerHandle(self.control.clone())
    }

    /// Runs jobs until `shutdown` ends or its handle says stop; then waits for those that
    /// run, at most the grace, and gives back the rest.
    ///
    /// A backend in trouble does not end it: it goes on when the backend does.
    ///
    /// # Errors
    /// [`JobError::Closed`] when the manager was closed under it, or
    /// [`JobError::Unavailable`] when there is no thread for renewals.
    pub async fn run(
        self,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<WorkerReport, JobError> {
        let (crew, control) = (self.crew, self.control);
        let _renewals = Renewals::start(
            Arc::clone(&crew.jobs),
            Arc::clone(&crew.ledger),
            control.clone(),
            crew.lease,
        )?;
        let mut rest = JoinSet::new();
        rest.spawn({
            let crew = Arc::clone(&crew);
            async move { crew.desk.serve(&*crew.jobs).await }
        });
        rest.spawn(upkeep::sweep(Arc::clone(&crew)));
        // Those who have something to hand over.
        let (mut parting, gone) = (JoinSet::new(), CancellationToken::new());
        parting.spawn(schedules::fire(Arc::clone(&crew), control.clone()));
        let names = self.lanes.iter().map(ToString::to_string).collect();
        parting.spawn(presence::announce(Arc::clone(&crew), names, gone.clone()));

        let mut lanes = JoinSet::new();
        for (nth, lane) in self.lanes.into_iter().enumerate() {
            let notices = crew.ledger.add_lane();
            let lane = LaneRun::new(Arc::clone(&crew), lane, nth, control.follow(), notices);
            lanes.spawn(lane.run());
        }
        let stop = stop(&control, self.grace, shutdown);
        let done = gather(&mut lanes, &control);
        let done = tokio::select! {
            done = done => done,
            never = stop => match never {},
        };
        // The role of firing schedules is given up, and its name, if the backend answers.
        gone.cancel();
        let parted = async { while parting.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(FAREWELL, parted).await;
        done
    }
}

/// Sees to it that stopping goes its way.
async fn stop(
    control: &Control,
    grace: Duration,
    shutdown: impl Future<Output = ()> + Send,
) -> std::convert::Infallible {
    tokio::select! {
        () = shutdown => control.stop(Mode::Drain),
        () = control.stopped(Mode::Drain) => {}
    }
    match Instant::now().checked_add(grace) {
        Some(end) => tokio::time::sleep_until(end).await,
        None => std::future::pending().await,
    }
    control.stop(Mode::Now);
    std::future::pending().await
}

/// Waits for the lanes. One that cannot go on takes the others with it.
async fn gather(
    lanes: &mut JoinSet<Result<WorkerReport, JobError>>,
    control: &Control,
) -> Result<WorkerReport, JobError> {
    let mut report = WorkerReport::default();
    let mut trouble = None;
    while let Some(lane) = lanes.join_next().await {
        match lane {
            Ok(Ok(lane)) => report.add(&lane),
            Ok(Err(error)) => {
                control.stop(Mode::Now);
                trouble.get_or_insert(error);
            }
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // The runtime ends under it.
            Err(_) => trouble = Some(JobError::Closed),
        }
    }
    trouble.map_or(Ok(report), Err)
}
