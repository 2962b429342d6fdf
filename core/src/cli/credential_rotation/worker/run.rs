//! A worker from its first word to its last, over the process's streams: what it does is
//! shown, and signals tell it to stop.

use super::output::{Done, Output};
use super::plan::Plan;
use super::running::Shown;
use super::screen::{Ended, Told};
use super::signals::Signals;
use crate::cli::exit;
use crate::cli::shell::Shell;
use crate::job::worker::{Handlers, Worker as Runtime, WorkerReport};
use crate::provider::cli::wait_for_groups;

/// Runs jobs until it is told to stop, and gives the exit code. `begun` gets the worker
/// before its first job. Without `signals` it listens to them itself.
pub(super) fn run(
    plan: Plan,
    handlers: Handlers,
    begun: impl FnOnce(&Runtime),
    as_json: bool,
    signals: Option<Signals>,
) -> u8 {
    let (output, said) = match Output::start(as_json) {
        Ok(started) => started,
        Err(problem) => {
            return Shell::of_process(|shell| shell.end(Err(problem.into()), as_json));
        }
    };
    let done = work(plan, handlers, begun, &output, signals);
    output.end(done, &said)
}

fn work(
    plan: Plan,
    handlers: Handlers,
    begun: impl FnOnce(&Runtime),
    output: &Output,
    signals: Option<Signals>,
) -> Done {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let done = runtime.block_on(work_until_stopped(plan, handlers, begun, output, signals));
    drop(runtime);
    wait_for_groups();
    done
}

async fn work_until_stopped(
    plan: Plan,
    handlers: Handlers,
    begun: impl FnOnce(&Runtime),
    output: &Output,
    signals: Option<Signals>,
) -> Done {
    // Before anything is said: who reads it may send a signal at once.
    let mut signals = match signals {
        Some(signals) => signals,
        None => Signals::listen()?,
    };
    let jobs = tokio::select! {
        jobs = plan.connect() => jobs?,
        code = signals.next() => return Ok((WorkerReport::default(), code)),
    };
    let (lanes, backend) = (plan.lanes(), jobs.backend());
    let handlers = handlers.each(|handler| Shown {
        handler,
        output: output.clone(),
    });
    let ends = output.clone();
    let worker = plan
        .builder(jobs, handlers)
        .on_end(move |end| ends.tell(Told::Ended(Ended::of(end))));
    let worker = worker.build()?;
    let handle = worker.handle();
    output.begin(worker.id(), &lanes, &backend);
    begun(&worker);
    let running = worker.run(std::future::pending());
    tokio::pin!(running);
    let mut stopping = false;
    let report = loop {
        // Nothing here waits for who reads what it says.
        tokio::select! {
            report = &mut running => break report?,
            () = output.broken() => handle.stop(),
            _ = signals.next() => {
                if stopping {
                    output.note("giving back the jobs that run");
                    handle.stop_now();
                } else {
                    stopping = true;
                    output.note("stopping: waiting for the jobs that run; once more gives them back now");
                    handle.stop();
                }
            }
        }
    };
    // Told to stop and stopped: its usual end.
    Ok((report, exit::OK))
}
