//! Clean-up, a step at a time: each begins where the one before it ended, so that all of them
//! together look at a session once.

use rusqlite::{Connection, Params, params};

use super::rows::{self, parse};
use crate::clock::EpochMillis;
use crate::job::sqlite::trouble::number;
use crate::session::rules::Head;

/// A place in the order of a clean-up: last use, then row. One moment may have many rows.
pub(super) type Place = (i64, i64);

/// Before all.
pub(super) const FIRST: Place = (-1, 0);

/// Sessions that one step looks at.
const STEP: usize = 500;

const OF_THE_SAME_MOMENT: &str =
    "SELECT active_at, number, head FROM session INDEXED BY session_idle
     WHERE active_at = ?1 AND number > ?2 ORDER BY number";
const OF_LATER_MOMENTS: &str = "SELECT active_at, number, head FROM session INDEXED BY session_idle
     WHERE active_at > ?1 AND active_at <= ?2 ORDER BY active_at, number";

/// Removes those behind a place that were not used since then and on which no job works. Tells
/// where to go on, if there may be more, and how many went.
pub(super) fn remove(
    db: &Connection,
    since: EpochMillis,
    now: EpochMillis,
    after: Place,
) -> rusqlite::Result<(Option<Place>, usize)> {
    let found = behind(db, number(since), after)?;
    let mut gone = 0;
    for ((_, row), head) in &found {
        if head.is_idle(since, now) {
            rows::delete(db, *row)?;
            gone += 1;
        }
    }
    let last = found.last().map(|(place, _)| *place);
    Ok((last.filter(|_| found.len() == STEP), gone))
}

/// The first of those behind a place that were not used since then.
fn behind(
    db: &Connection,
    since: i64,
    (moment, row): Place,
) -> rusqlite::Result<Vec<(Place, Head)>> {
    let mut found = Vec::new();
    take(db, OF_THE_SAME_MOMENT, [moment, row], &mut found)?;
    take(db, OF_LATER_MOMENTS, params![moment, since], &mut found)?;
    Ok(found)
}

/// Takes as many as there is room for.
fn take(
    db: &Connection,
    statement: &str,
    params: impl Params,
    found: &mut Vec<(Place, Head)>,
) -> rusqlite::Result<()> {
    let mut query = db.prepare_cached(statement)?;
    let mut rows = query.query(params)?;
    while found.len() < STEP
        && let Some(row) = rows.next()?
    {
        let place = (row.get(0)?, row.get(1)?);
        found.push((place, parse(row.get_ref(2)?.as_str()?)?));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::super::schema;
    use super::*;
    use crate::job::JobId;
    use crate::session::{Guard, NewSession, Verb, Write};

    /// The steps that SQLite takes to look through so many sessions, of which each tenth is
    /// kept by a job, and which were used at so many moments.
    fn steps(sessions: u64, moments: u64) -> i64 {
        let folder = tempfile::tempdir().unwrap();
        let db = schema::open(&folder.path().join("sessions.db")).unwrap();
        let all = db.unchecked_transaction().unwrap();
        for n in 0..sessions {
            let new = NewSession::of("ann").with_id(n.to_string());
            let (mut head, _) = Head::create(new, n * 7 % moments).unwrap();
            if n % 10 == 0 {
                let guard = Guard::fenced(JobId::from_text("j").unwrap(), 1);
                let verb = Verb::Attach { for_ms: 1_000_000 };
                head.apply(Write { guard, verb }, None, 0).unwrap();
            }
            rows::insert(&db, &head).unwrap();
        }
        let (mut after, mut removed) = (Some(FIRST), 0);
        while let Some(place) = after {
            let (next, gone) = remove(&db, 100_000, 100_000, place).unwrap();
            (after, removed) = (next, removed + gone);
        }
        assert_eq!(removed as u64, sessions / 10 * 9);
        all.rollback().unwrap();
        let steps = [OF_THE_SAME_MOMENT, OF_LATER_MOMENTS].map(|statement| {
            let query = db.prepare_cached(statement).unwrap();
            assert_eq!(query.get_status(StatementStatus::Sort), 0, "{statement}");
            i64::from(query.get_status(StatementStatus::VmStep))
        });
        steps.iter().sum()
    }

    #[test]
    fn a_clean_up_looks_at_each_session_once() {
        for moments in [1, 40, 100_000] {
            let (few, many) = (steps(4_000, moments), steps(16_000, moments));
            assert!(
                many < few * 5,
                "{moments} moments: {few} steps, then {many}"
            );
        }
    }
}
