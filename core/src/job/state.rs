//! The states of a job and every move between them: the table of `docs/job-states.md`.
//!
//! Pure. Backends ask [`JobState::after`] what a move leads to; a move that is not
//! in the table is refused.

use serde::{Deserialize, Serialize};

/// Where a job is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Ready for a worker.
    Waiting,
    /// Not before its time: scheduled, snoozed, or resting before a retry.
    Delayed,
    /// A worker has it.
    Running,
    /// Done, with a result.
    Completed,
    /// Given up, with an error.
    Failed,
    /// Called off.
    Cancelled,
}

/// What can happen to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Move {
    /// Its time has come.
    Promote,
    /// A worker takes it.
    Claim,
    /// The handler is done.
    Complete,
    /// The attempt failed; another one comes, at once or after a rest.
    Retry,
    /// The attempt failed, and it was the last.
    Fail,
    /// Put off by its handler, at no cost.
    Snooze,
    /// Given back unfinished, at no cost.
    Release,
    /// Its lease ran out.
    Stall,
    /// Its lease ran out once too often.
    StallOut,
    /// Its deadline passed before a worker took it.
    Expire,
    /// Called off before, or without, an end of its own.
    Cancel,
    /// An operator tries it again.
    Revive,
}

impl JobState {
    /// All states, in the order of the documentation.
    pub const ALL: [Self; 6] = [
        Self::Waiting,
        Self::Delayed,
        Self::Running,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
    ];

    /// Its name, the same in every language.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delayed => "delayed",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// Whether nothing happens to it any more by itself.
    #[must_use]
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    /// Where a move leads from here, or `None` if it may not be made.
    #[must_use]
    pub fn after(self, made: Move) -> Option<Self> {
        TABLE
            .iter()
            .find(|(from, by, _)| *from == self && *by == made)
            .map(|(_, _, to)| *to)
    }
}

/// Every move that may be made: from, by, to.
///
/// [`Move::Retry`] leads to `delayed`; with no rest the job is promoted at once.
pub const TABLE: [(JobState, Move, JobState); 17] = {
    use JobState::{Cancelled, Completed, Delayed, Failed, Running, Waiting};
    [
        (Delayed, Move::Promote, Waiting),
        (Delayed, Move::Expire, Failed),
        (Delayed, Move::Cancel, Cancelled),
        (Waiting, Move::Claim, Running),
        (Waiting, Move::Expire, Failed),
        (Waiting, Move::Cancel, Cancelled),
        (Running, Move::Complete, Completed),
        (Running, Move::Retry, Delayed),
        (Running, Move::Fail, Failed),
        (Running, Move::Snooze, Delayed),
        (Running, Move::Release, Waiting),
        (Running, Move::Stall, Waiting),
        (Running, Move::StallOut, Failed),
        (Running, Move::Cancel, Cancelled),
        (Completed, Move::Revive, Waiting),
        (Failed, Move::Revive, Waiting),
        (Cancelled, Move::Revive, Waiting),
    ]
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_the_same_table() {
        let page = include_str!("../../../docs/job-states.md");
        let rows: Vec<Vec<&str>> = page
            .lines()
            .filter_map(|line| line.strip_prefix("| "))
            .skip(1)
            .map(|line| line.split(" | ").take(3).collect())
            .collect();
        let ours: Vec<Vec<String>> = TABLE
            .iter()
            .map(|(from, by, to)| {
                let by = serde_json::to_value(by).unwrap();
                vec![
                    from.as_str().to_owned(),
                    by.as_str().unwrap().to_owned(),
                    to.as_str().to_owned(),
                ]
            })
            .collect();
        assert_eq!(rows, ours);
    }

    #[test]
    fn names_go_there_and_back_and_what_is_not_in_the_table_is_no_move() {
        for state in JobState::ALL {
            assert_eq!(JobState::from_name(state.as_str()), Some(state));
        }
        assert_eq!(JobState::from_name("paused"), None);
        assert_eq!(JobState::Completed.after(Move::Claim), None);
        assert_eq!(JobState::Waiting.after(Move::Complete), None);
    }
}
