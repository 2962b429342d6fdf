//! A page of a list of jobs, over all queues.

use parking_lot::Mutex;

use super::book::Book;
use crate::clock::EpochMillis;
use crate::job::{Job, JobError, JobFilter, JobPage};

/// The jobs of a page, in the order in which they came.
pub(super) fn page(
    book: &Mutex<Book>,
    filter: &JobFilter,
    now: EpochMillis,
) -> Result<JobPage, JobError> {
    let page = filter.page();
    let after = filter.mark(|mark| {
        let (sequence, queue) = mark.split_once('|')?;
        Some((sequence.parse::<u64>().ok()?, queue.to_owned()))
    })?;
    let is_behind = |sequence: u64, job: &Job| {
        let place = (sequence, &*job.spec.queue);
        let after = after.as_ref();
        after.is_none_or(|(sequence, queue)| place > (*sequence, queue))
    };
    let book = book.lock();
    let mut jobs: Vec<(u64, Job)> = book
        .lines
        .values()
        .flat_map(|line| line.jobs(now))
        .filter(|(sequence, job)| is_behind(*sequence, job) && filter.fits(job))
        .collect();
    drop(book);
    jobs.sort_by(|(a, one), (b, another)| (a, &one.spec.queue).cmp(&(b, &another.spec.queue)));
    let more = jobs.len() > page;
    jobs.truncate(page);
    let mark = |(sequence, job): &(u64, Job)| format!("{sequence}|{}", job.spec.queue);
    let next = jobs.last().filter(|_| more).map(mark);
    let jobs = jobs.into_iter().map(|(_, job)| job).collect();
    Ok(JobPage { jobs, next })
}
