//! A worker from its first word to its last, over a shell: what it does is shown, and
//! signals tell it to stop.

use tokio::sync::mpsc;

use super::plan::Plan;
use super::running::Shown;
use super::screen::{Ended as AttemptEnded, Screen, Told};
use super::signals::Signals;
use crate::cli::exit;
use crate::cli::shell::{Ended, Shell, Stop};
use crate::job::worker::{Handlers, Worker as Runtime, WorkerReport};
use crate::provider::cli::wait_for_groups;

/// Runs jobs until it is told to stop. `begun` gets the worker before its first job.
pub(super) fn run(
    plan: Plan,
    handlers: Handlers,
    begun: impl FnOnce(&Runtime),
    as_json: bool,
    shell: &mut Shell<'_>,
) -> Ended {
    let mut screen = Screen::new(as_json, shell);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let ended = runtime.block_on(work(plan, handlers, begun, &mut screen, shell));
    drop(runtime);
    wait_for_groups();
    let (report, code) = ended?;
    screen.end(&report, shell)?;
    Ok(code)
}

async fn work(
    plan: Plan,
    handlers: Handlers,
    begun: impl FnOnce(&Runtime),
    screen: &mut Screen,
    shell: &mut Shell<'_>,
) -> Result<(WorkerReport, u8), Stop> {
    // Before anything is said: who reads it may send a signal at once.
    let mut signals = Signals::listen()?;
    let jobs = tokio::select! {
        jobs = plan.connect() => jobs?,
        code = signals.next() => return Ok((WorkerReport::default(), code)),
    };
    let (lanes, backend) = (plan.lanes(), jobs.backend());
    let (told, mut telling) = mpsc::unbounded_channel();
    let handlers = handlers.each(|handler| Shown {
        handler,
        told: told.clone(),
    });
    let worker = plan.builder(jobs, handlers).on_end(move |end| {
        // Who shows it may be gone already.
        let _ = told.send(Told::Ended(AttemptEnded::of(end)));
    });
    let worker = worker.build()?;
    let handle = worker.handle();
    screen.begin(worker.id(), &lanes, &backend, shell)?;
    begun(&worker);
    let running = worker.run(std::future::pending());
    tokio::pin!(running);
    let (mut stopping, mut mute) = (false, false);
    let report = loop {
        tokio::select! {
            report = &mut running => break report?,
            Some(told) = telling.recv() => if !screen.show(&told, shell) && !mute {
                mute = true;
                screen.note("stopping: what it says cannot be written any more", shell);
                handle.stop();
            },
            _ = signals.next() => {
                if stopping {
                    screen.note("giving back the jobs that run", shell);
                    handle.stop_now();
                } else {
                    stopping = true;
                    let words = "stopping: waiting for the jobs that run; once more gives them back now";
                    screen.note(words, shell);
                    handle.stop();
                }
            }
        }
    };
    while let Ok(told) = telling.try_recv() {
        screen.show(&told, shell);
    }
    // Told to stop and stopped: its usual end.
    Ok((report, exit::OK))
}
