//! Lists and counts. Each question has a statement of its own, so that an owner's list costs
//! what that owner's sessions cost, and tells nothing of others by its time.

use rusqlite::{Connection, Params, params};

use super::rows::parse;
use crate::job::sqlite::trouble::number;
use crate::session::query::Mark;
use crate::session::rules::Head;
use crate::session::{Session, SessionFilter};

const ALL: &str = "SELECT head FROM session ORDER BY owner, active_at DESC, id DESC";
const OWNERS_BEHIND: &str = "SELECT head FROM session WHERE owner > ?1
     ORDER BY owner, active_at DESC, id DESC";
const OF_OWNER: &str = "SELECT head FROM session WHERE owner = ?1
     ORDER BY active_at DESC, id DESC";
const OF_OWNER_BEHIND: &str = "SELECT head FROM session
     WHERE owner = ?1 AND (active_at, id) < (?2, ?3)
     ORDER BY active_at DESC, id DESC";
const COUNT: &str = "SELECT count(*) FROM session";
const COUNT_OF_OWNER: &str = "SELECT count(*) FROM session WHERE owner = ?1";

/// The sessions of a page, and one more if there are more.
pub(super) fn list(
    db: &Connection,
    filter: &SessionFilter,
    mark: Option<&Mark>,
) -> rusqlite::Result<Vec<Session>> {
    let mut page = Page {
        filter,
        found: Vec::new(),
    };
    match (mark, &filter.owner) {
        (None, None) => page.fill(db, ALL, [])?,
        (None, Some(owner)) => page.fill(db, OF_OWNER, [owner])?,
        (Some(mark), owner) => {
            let behind = params![&*mark.owner, number(mark.active_at), &*mark.id];
            page.fill(db, OF_OWNER_BEHIND, behind)?;
            if owner.is_none() {
                page.fill(db, OWNERS_BEHIND, [&*mark.owner])?;
            }
        }
    }
    Ok(page.found)
}

/// How many sessions an owner has, or all have.
pub(super) fn count_of(db: &Connection, owner: Option<&str>) -> rusqlite::Result<i64> {
    match owner {
        Some(owner) => db
            .prepare_cached(COUNT_OF_OWNER)?
            .query_row([owner], |row| row.get(0)),
        None => db.prepare_cached(COUNT)?.query_row([], |row| row.get(0)),
    }
}

struct Page<'a> {
    filter: &'a SessionFilter,
    found: Vec<Session>,
}

impl Page<'_> {
    fn fill(
        &mut self,
        db: &Connection,
        statement: &str,
        params: impl Params,
    ) -> rusqlite::Result<()> {
        let mut query = db.prepare_cached(statement)?;
        let mut rows = query.query(params)?;
        while self.found.len() <= self.filter.room()
            && let Some(row) = rows.next()?
        {
            let session = parse::<Head>(row.get_ref(0)?.as_str()?)?.session;
            if self.filter.wants(&session) {
                self.found.push(session);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::schema;
    use super::*;

    #[test]
    fn every_question_reads_only_the_rows_that_it_asks_for() {
        let folder = tempfile::tempdir().unwrap();
        let db = schema::open(&folder.path().join("sessions.db")).unwrap();
        let rows = [
            (ALL, "SCAN session USING INDEX session_by_activity"),
            (
                OWNERS_BEHIND,
                "SEARCH session USING INDEX session_by_activity (owner>?)",
            ),
            (
                OF_OWNER,
                "SEARCH session USING INDEX session_by_activity (owner=?)",
            ),
            (
                OF_OWNER_BEHIND,
                "SEARCH session USING INDEX session_by_activity (owner=? AND (active_at,id)<(?,?))",
            ),
            (
                COUNT_OF_OWNER,
                "SEARCH session USING COVERING INDEX session_by_key (owner=?)",
            ),
        ];
        for (statement, wanted) in rows {
            let mut query = db
                .prepare(&format!("EXPLAIN QUERY PLAN {statement}"))
                .unwrap();
            let none = vec![rusqlite::types::Null; query.parameter_count()];
            let steps = query
                .query_map(rusqlite::params_from_iter(none), |row| row.get(3))
                .unwrap();
            let steps: Vec<String> = steps.map(Result::unwrap).collect();
            assert_eq!(steps, [wanted], "{statement}");
        }
    }
}
