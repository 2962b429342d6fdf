//! What every [`SessionManager`](crate::session::SessionManager) must do, as a suite that any
//! backend can run.
//!
//! A check gets its own store and panics where the backend does otherwise:
//!
//! ```
//! # use std::sync::Arc;
//! # use credential_rotation::session::memory::MemorySessions;
//! # use credential_rotation::testing::{ManualClock, sessions};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! for (name, check) in sessions::CHECKS {
//!     println!("{name}");
//!     let clock = Arc::new(ManualClock::new(sessions::START));
//!     let memory = Arc::new(MemorySessions::with(clock.clone(), 1 << 30));
//!     check(sessions::Store { one: memory.clone(), another: memory, clock }).await;
//! }
//! # }
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a check fails by a panic"
)]

mod fences;
mod identity;
mod incarnations;
mod limits;
mod listing;
mod messages;
mod upkeep;

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::ManualClock;
use crate::job::JobId;
use crate::provider::Message;
use crate::session::{
    Entry, Guard, NewSession, NewTurn, SessionError, SessionKey, SharedSessions, Written,
};

/// Where a check's clock is to stand at its start, in epoch milliseconds.
pub const START: u64 = 1_800_000_000_000;

/// An empty place for sessions, seen by two.
#[derive(Debug, Clone)]
pub struct Store {
    /// A manager.
    pub one: SharedSessions,
    /// Another one over the same sessions, as another process has it.
    pub another: SharedSessions,
    /// The clock of both, standing at [`START`].
    pub clock: Arc<ManualClock>,
}

/// One thing that a backend must do.
pub type Check = fn(Store) -> BoxFuture<'static, ()>;

macro_rules! checks {
    ($($file:ident: $($name:ident),+;)+) => {
        /// Every check, by the sentence that it holds the backend to.
        pub const CHECKS: &[(&str, Check)] = &[
            $($((stringify!($name), |store| Box::pin($file::$name(store)))),+),+
        ];
    };
}

checks! {
    identity:
        what_was_made_is_found_by_the_other,
        an_id_that_is_taken_is_refused_and_the_session_is_as_it_was,
        a_foreign_session_is_an_unknown_one,
        names_that_no_session_can_have_are_refused,
        a_deleted_session_is_gone_with_all_of_it,
        a_fork_goes_its_own_way,
        a_fork_keeps_the_credential_and_no_json_has_it,
        an_export_comes_back_as_it_was,
        an_import_that_is_none_is_refused_by_line,
        a_session_begins_with_no_message_that_could_not_be_added;
    incarnations:
        a_session_made_anew_is_not_what_was_seen_before,
        who_means_a_deleted_session_does_nothing_to_its_successor,
        a_fork_and_an_import_are_sessions_of_their_own;
    messages:
        messages_are_read_as_they_were_written,
        every_range_gives_its_messages,
        since_a_version_comes_what_is_new_and_all_behind_a_removal,
        a_window_has_what_trains_and_the_last,
        the_last_turn_goes_as_one,
        behind_a_removal_the_summary_before_it_holds_again,
        a_cleared_session_begins_anew,
        names_tags_and_settings_change,
        the_bytes_add_up;
    limits:
        what_is_over_a_limit_is_refused_and_changes_nothing,
        a_description_over_a_limit_is_refused,
        a_file_over_the_limit_is_refused,
        more_jobs_than_a_session_has_room_for_are_refused;
    fences:
        a_write_that_expects_another_version_changes_nothing,
        an_earlier_attempt_is_refused_while_and_behind_the_later_one,
        an_earlier_attempt_is_refused_by_every_verb,
        an_attempt_whose_time_is_up_is_not_forgotten,
        a_turn_of_the_same_name_is_added_once,
        a_turn_that_is_there_keeps_its_name,
        a_turn_is_found_by_its_name_wherever_it_is,
        eight_who_write_at_once_lose_and_double_nothing,
        of_many_who_expect_one_version_one_writes;
    listing:
        sessions_are_listed_by_last_use_and_page,
        sessions_of_one_moment_are_paged_without_gaps,
        a_page_goes_on_where_its_mark_was,
        a_mark_of_another_owners_list_is_none,
        owners_are_listed_while_they_have_sessions,
        owners_and_tags_narrow_a_list;
    upkeep:
        idle_sessions_go_but_none_with_a_job,
        files_are_kept_with_their_session;
}

fn key(owner: &str, id: &str) -> SessionKey {
    SessionKey::new(owner, id).unwrap()
}

/// A session of `ann`.
async fn made(store: &Store, id: &str) -> SessionKey {
    let made = store.one.create(NewSession::of("ann").with_id(id)).await;
    made.unwrap().key
}

fn turn(question: &str, answer: &str) -> NewTurn {
    NewTurn::of(vec![Message::user(question), Message::assistant(answer)])
}

async fn say(sessions: &SharedSessions, key: &SessionKey, text: &str) -> Written {
    let answer = format!("re {text}");
    let added = sessions.append(key, Guard::default(), turn(text, &answer));
    added.await.unwrap()
}

fn texts(entries: &[Entry]) -> Vec<String> {
    let text = |entry: &Entry| entry.message.content.text();
    entries.iter().map(text).collect()
}

fn job(id: &str) -> JobId {
    JobId::from_text(id).unwrap()
}

fn code<T: std::fmt::Debug>(result: Result<T, SessionError>) -> &'static str {
    result.unwrap_err().code()
}
