//! Which jobs are asked for, and who works on them.

use serde::{Deserialize, Serialize};

use super::{Job, JobError, JobState};
use crate::clock::EpochMillis;

/// The most jobs of a page.
pub const PAGE_LIMIT: usize = 1_000;

/// Which jobs to list. What is left out does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JobFilter {
    /// Of this queue.
    pub queue: Option<String>,
    /// In this state.
    pub state: Option<JobState>,
    /// Of this kind.
    pub kind: Option<String>,
    /// Of this group.
    pub group: Option<String>,
    /// On this session.
    pub session: Option<String>,
    /// With this tag.
    pub tag: Option<String>,
    /// At most so many: 1 to 1,000. Default: 100.
    pub limit: Option<usize>,
    /// Behind this mark: the `next` of the page before.
    pub after: Option<String>,
}

impl JobFilter {
    /// How many a page has.
    #[must_use]
    pub fn page(&self) -> usize {
        self.limit.unwrap_or(100).clamp(1, PAGE_LIMIT)
    }

    /// Behind what the page begins, as the backend reads its marks.
    pub(super) fn mark<T>(
        &self,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, JobError> {
        let after = self.after.as_deref().map(|mark| {
            let problem = "it is not the `next` of a page";
            read(mark).ok_or_else(|| JobError::invalid("after", problem))
        });
        after.transpose()
    }

    /// Whether a job is one that is asked for.
    #[must_use]
    pub fn fits(&self, job: &Job) -> bool {
        let spec = &job.spec;
        let fits = |asked: &Option<String>, has: Option<&str>| {
            asked.as_deref().is_none_or(|asked| has == Some(asked))
        };
        fits(&self.queue, Some(&spec.queue))
            && self.state.is_none_or(|state| state == job.status.state)
            && fits(&self.kind, Some(spec.kind()))
            && fits(&self.group, spec.group.as_deref())
            && fits(&self.session, spec.session.as_deref())
            && self
                .tag
                .as_deref()
                .is_none_or(|tag| spec.tags.iter().any(|has| &**has == tag))
    }
}

/// A page of a list. The order is the backend's own, and the same on every page.
#[derive(Debug, Clone, Default)]
pub struct JobPage {
    /// The jobs.
    pub jobs: Vec<Job>,
    /// What to ask for to have the next page; none at the end.
    pub next: Option<String>,
}

/// A worker that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// Its id.
    pub worker: String,
    /// What tells it from others of the same id: unique to each run of a worker.
    #[serde(default)]
    pub instance: String,
    /// The host it runs on.
    pub host: String,
    /// Its process.
    pub pid: u32,
    /// Its queues, as on its command line.
    pub queues: Vec<String>,
    /// The jobs it has.
    pub running: Vec<String>,
    /// Its resident memory in bytes.
    pub rss: u64,
    /// When it began, in epoch milliseconds.
    pub started_at: EpochMillis,
    /// When it was last there, in epoch milliseconds.
    pub seen_at: EpochMillis,
}

impl Presence {
    /// Under what it is kept: two workers that were given the same id are both there.
    pub(super) fn key(&self) -> String {
        format!("{} {}", self.worker, self.instance)
    }
}
