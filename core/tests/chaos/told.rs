//! One who follows all that is told of the jobs, and knows when it missed something.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use credential_rotation::clock::{Clock, EpochMillis, SystemClock, millis};
use credential_rotation::job::{JobEvent, JobId, SharedJobs, What};
use futures_util::StreamExt;

/// What was told of one job.
#[derive(Debug, Default, Clone)]
pub(crate) struct Story {
    pub(crate) begun: u32,
    pub(crate) stalled: u32,
    pub(crate) given_back: u32,
    pub(crate) ends: u32,
    runs: bool,
}

#[derive(Default)]
struct Heard {
    of: HashMap<JobId, Story>,
    /// From and until when something may have been missed.
    gaps: Vec<(EpochMillis, EpochMillis)>,
    last: EpochMillis,
    wrong: Vec<String>,
}

pub(crate) struct Told {
    heard: Arc<Mutex<Heard>>,
    slack: Duration,
}

impl Told {
    /// Follows from now on. The clocks that jobs go by are at most so far from ours.
    pub(crate) async fn follow(jobs: &SharedJobs, slack: Duration) -> Self {
        let mut events = jobs.events().await.unwrap();
        let heard = Arc::new(Mutex::new(Heard {
            last: SystemClock.now(),
            ..Heard::default()
        }));
        let told = Self {
            heard: Arc::clone(&heard),
            slack,
        };
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                heard.lock().unwrap().hear(event);
            }
        });
        told
    }

    pub(crate) fn of(&self, id: &JobId) -> Story {
        self.heard().of.get(id).cloned().unwrap_or_default()
    }

    pub(crate) fn gaps(&self) -> usize {
        self.heard().gaps.len()
    }

    /// What was told and cannot be.
    pub(crate) fn wrong(&self) -> Vec<String> {
        self.heard().wrong.clone()
    }

    /// Whether something may have been missed in that time.
    pub(crate) fn missed(&self, from: EpochMillis, until: EpochMillis) -> bool {
        let slack = millis(self.slack);
        let within =
            |gap: &(EpochMillis, EpochMillis)| from <= gap.1 + slack && until + slack >= gap.0;
        self.heard().gaps.iter().any(within)
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Heard {
    fn hear(&mut self, event: JobEvent) {
        let now = SystemClock.now();
        if event.what == What::Gap {
            self.gaps.push((self.last, now));
            self.of.values_mut().for_each(|story| story.runs = false);
            return;
        }
        // Some clocks go before.
        self.last = event.at.min(now);
        let Some(id) = event.id else { return };
        let story = self.of.entry(id.clone()).or_default();
        match event.what {
            What::Running => {
                story.begun += 1;
                if std::mem::replace(&mut story.runs, true) {
                    self.wrong.push(format!("{id} begins while it runs"));
                }
            }
            What::Stalled => {
                story.runs = false;
                story.stalled += 1;
            }
            What::Waiting => {
                let given_back = std::mem::take(&mut story.runs);
                story.given_back += u32::from(given_back);
            }
            What::Delayed => story.runs = false,
            ended if ended.is_end() => {
                story.runs = false;
                story.ends += 1;
            }
            _ => {}
        }
    }
}
