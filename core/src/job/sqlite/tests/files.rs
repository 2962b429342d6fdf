//! Files that cannot be used, break, fill up or are locked.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::job::JobError;
use crate::job::sqlite::{Durability, schema};

#[test]
fn claims_and_ends_find_their_rows_by_an_index() {
    let (_folder, path) = place();
    let db = schema::open(&path, Durability::Normal).unwrap();
    let table = [
        (
            "WHERE queue = 1 AND state = 0 AND parked = 0 ORDER BY rank, tag, number LIMIT 9",
            "job_ready",
        ),
        (
            "WHERE queue = 1 AND state = 1 AND run_at <= 5 ORDER BY run_at, number LIMIT 9",
            "job_due",
        ),
        (
            "WHERE queue = 1 AND state = 2 AND until < 5 ORDER BY until, number LIMIT 9",
            "job_lease",
        ),
        (
            "WHERE queue = 1 AND state < 2 AND deadline < 5 ORDER BY deadline LIMIT 9",
            "job_deadline",
        ),
        (
            "WHERE queue = 1 AND state = 4 AND until <= 5 ORDER BY until LIMIT 9",
            "job_failed",
        ),
        (
            "WHERE queue = 1 AND state IN (3, 5) AND until <= 5 ORDER BY until LIMIT 9",
            "job_finished",
        ),
        (
            "WHERE queue = 1 AND state IN (3, 5) ORDER BY until LIMIT 9",
            "job_finished",
        ),
        (
            "WHERE queue = 1 AND team = 'g' AND state = 0 AND parked = 1 ORDER BY rank, tag, number LIMIT 1",
            "job_parked",
        ),
        ("WHERE job.id = 'a' AND job.queue = 1", "job_by_id"),
        (
            "WHERE id = 'a' AND queue = 1 AND state = 2 AND epoch = 3",
            "job_by_id",
        ),
    ];
    for (which, index) in table {
        let mut query = db
            .prepare(&format!("EXPLAIN QUERY PLAN SELECT * FROM job {which}"))
            .unwrap();
        let plan: Vec<String> = query
            .query_map([], |row| row.get(3))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let found =
            plan.len() == 1 && plan[0].starts_with(&format!("SEARCH job USING INDEX {index} "));
        assert!(found, "{which}: {plan:?}");
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_named_and_left_as_it_is() {
    let (_folder, path) = place();
    let text = "this is not a database, it only looks like a file. ".repeat(100);
    std::fs::write(&path, &text).unwrap();
    let error = SqliteJobs::open(&path).unwrap_err();
    assert_eq!(error.code(), "backend_unsuitable");
    assert!(error.to_string().contains(path.to_str().unwrap()));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[tokio::test]
async fn a_file_that_breaks_while_it_is_used_is_named() {
    let (_folder, path) = place();
    let jobs = SqliteJobs::open(&path).unwrap();
    jobs.enqueue_one(spec("a")).await.unwrap();
    drop(jobs);
    let again = SqliteJobs::open(&path).unwrap();
    for name in ["jobs.db-wal", "jobs.db-shm"] {
        let _ = std::fs::remove_file(path.with_file_name(name));
    }
    let length = std::fs::metadata(&path).unwrap().len() as usize;
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[4096..length].fill(0xAB);
    std::fs::write(&path, bytes).unwrap();
    let error = again.enqueue_one(spec("b")).await.unwrap_err();
    assert_eq!(error.code(), "backend_unsuitable");
}

#[test]
fn folders_and_files_that_cannot_be_used_say_what_to_do() {
    let (folder, path) = place();
    std::fs::write(&path, "").unwrap();
    let table = [
        (folder.path().join("none/jobs.db"), "make the folder first"),
        (path.join("jobs.db"), "make the folder first"),
        (folder.path().to_owned(), "give the path of a file in it"),
    ];
    for (path, remedy) in table {
        let error = SqliteJobs::open(&path).unwrap_err();
        assert_eq!(error.code(), "backend_unavailable", "{error}");
        assert!(error.to_string().contains(remedy), "{error}");
    }
}

#[test]
fn a_folder_that_may_not_be_written_to_says_so() {
    let (folder, _) = place();
    let locked = folder.path().join("locked");
    std::fs::create_dir(&locked).unwrap();
    std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o500)).unwrap();
    // The superuser may write everywhere but to what the kernel alone makes.
    let root = std::fs::write(locked.join("probe"), "").is_ok();
    let path = if root {
        PathBuf::from("/proc/jobs.db")
    } else {
        locked.join("jobs.db")
    };
    let error = SqliteJobs::open(path).unwrap_err();
    assert_eq!(error.code(), "backend_unavailable", "{error}");
    let remedy = if root {
        "make the folder"
    } else {
        "let this user write"
    };
    assert!(error.to_string().contains(remedy), "{error}");
}

#[test]
fn later_layouts_and_other_programs_databases_are_refused() {
    let (_folder, path) = place();
    let db = schema::open(&path, Durability::Full).unwrap();
    db.pragma_update(None, "user_version", 99).unwrap();
    let error = SqliteJobs::open(&path).unwrap_err();
    assert!(error.to_string().contains("layout is 99"), "{error}");
    assert_eq!(error.code(), "backend_unsuitable");
    let (_folder, path) = place();
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute_batch("CREATE TABLE notes (text TEXT)").unwrap();
    let error = SqliteJobs::open(&path).unwrap_err();
    assert!(error.to_string().contains("another program"), "{error}");
}

#[tokio::test]
async fn a_file_of_an_earlier_layout_is_brought_up_to_date() {
    let (_folder, path) = place();
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute_batch(schema::SCHEMA).unwrap();
    db.execute_batch(
        "INSERT INTO queue (number, name, completed, waiting) VALUES (1, 'q', 1, 1);
         INSERT INTO job (queue, id, state, rank, tag, until, epoch, created_at, run_at,
            finished_at, size, payload, result)
         VALUES (1, 'done', 3, 0, 0, 9000000000000000, 5, 1, 1, 2, 4, CAST('null' AS BLOB),
            CAST('12345' AS BLOB));
         INSERT INTO job (queue, id, state, rank, tag, created_at, run_at, size, spec, payload)
         VALUES (1, 'late', 0, 0, 1, 1, 1, 4, '{\"deadline\":7}', CAST('null' AS BLOB));
         PRAGMA user_version = 1;",
    )
    .unwrap();
    let jobs = SqliteJobs::open(&path).unwrap();
    assert!(jobs.sweep().await.unwrap() > 0);
    let late = jobs.find(&id("late")).await.unwrap();
    assert_eq!(late.status.error.unwrap().kind, "expired");
    let kept: i64 = db
        .query_row("SELECT kept_bytes FROM queue", [], |row| row.get(0))
        .unwrap();
    assert_eq!(kept, 9 + 4);
    jobs.delete(&[id("done")]).await.unwrap();
    jobs.enqueue_one(spec("done")).await.unwrap();
    let claimed = jobs.claim("q", ask(1)).await.unwrap();
    assert_eq!(claimed[0].lease.epoch, 6);
}

#[test]
fn many_open_a_new_file_at_once() {
    for _ in 0..10 {
        let (_folder, path) = place();
        std::thread::scope(|scope| {
            let opened: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| SqliteJobs::open(&path)))
                .collect();
            for one in opened {
                one.join().unwrap().unwrap();
            }
        });
    }
}

#[tokio::test]
async fn urgent_works_go_before_those_that_wait() {
    let (_folder, path) = place();
    let jobs = SqliteJobs::open(&path).unwrap();
    let apart = jobs.apart().await.unwrap();
    jobs.enqueue_one(spec("a")).await.unwrap();
    let claimed = jobs.claim("q", ask(1)).await.unwrap();
    let writes = (0..500).map(|n| {
        let jobs = jobs.clone();
        tokio::spawn(async move {
            let batch = (0..10).map(|m| spec(&format!("{n}-{m}"))).collect();
            jobs.enqueue(batch).await.unwrap();
        })
    });
    let writes: Vec<_> = writes.collect();
    tokio::task::yield_now().await;
    apart
        .renew(&[claimed[0].lease.clone()], LEASE)
        .await
        .unwrap();
    assert!(!writes[499].is_finished());
    for write in writes {
        write.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_with_many_jobs_holds_up_neither_renewals_nor_others() {
    let (_folder, path) = place();
    let jobs = SqliteJobs::open(&path).unwrap();
    let (apart, other) = (
        jobs.apart().await.unwrap(),
        SqliteJobs::open(&path).unwrap(),
    );
    jobs.enqueue_one(spec("first")).await.unwrap();
    let lease = [jobs.claim("q", ask(1)).await.unwrap()[0].lease.clone()];
    let wide = format!("\"{}\"", "x".repeat(1_000));
    let batch: Vec<JobSpec> = (0..20_000)
        .map(|n| {
            spec(&format!("j{n}"))
                .with(|spec| spec.payload = Payload::from_json(wide.clone()).unwrap())
        })
        .collect();
    let ids: Vec<JobId> = (0..20_000).map(|n| id(&format!("j{n}"))).collect();
    let (within, deleting) = (jobs.clone(), jobs.clone());
    let long = tokio::spawn(async move { within.enqueue(batch).await.unwrap() });
    while jobs.counts().await.unwrap()[0].waiting == 0 {
        tokio::task::yield_now().await;
    }
    for manager in [&*apart, &other] {
        manager.renew(&lease, LEASE).await.unwrap();
        assert!(!long.is_finished());
    }
    let answers = long.await.unwrap();
    assert!(
        answers
            .iter()
            .zip(&ids)
            .all(|(answer, id)| *answer == Enqueued::Added(id.clone()))
    );
    let claimed = claimed_ids(&jobs, 2_000).await;
    assert_eq!((&*claimed[0], &*claimed[1_999]), ("j0", "j1999"));
    let long = tokio::spawn(async move { deleting.delete(&ids).await.unwrap() });
    while jobs.counts().await.unwrap()[0].waiting == 18_000 {
        tokio::task::yield_now().await;
    }
    other.renew(&lease, LEASE).await.unwrap();
    assert!(!long.is_finished());
    assert_eq!(long.await.unwrap(), [true; 20_000]);
}

#[tokio::test]
async fn a_full_disk_refuses_the_new_and_keeps_the_old() {
    let (_folder, path) = place();
    let jobs = SqliteJobs::open(&path).unwrap();
    jobs.enqueue_one(spec("kept")).await.unwrap();
    // As long as this page limit holds, the file cannot grow.
    let big = format!("\"{}\"", "x".repeat(10_000_000));
    jobs.write(|session| session.db.execute_batch("PRAGMA max_page_count = 500"))
        .await
        .unwrap();
    let over = spec("over").with(|spec| spec.payload = Payload::from_json(big.clone()).unwrap());
    let error = jobs.enqueue_one(over).await.unwrap_err();
    assert!(matches!(error, JobError::Unavailable { .. }), "{error}");
    assert!(error.to_string().contains("free some space"), "{error}");
    assert_eq!(claimed_ids(&jobs, 9).await, ["kept"]);
    assert_eq!(jobs.counts().await.unwrap()[0].bytes, 42);
}

#[tokio::test]
async fn a_file_that_another_keeps_locked_is_unavailable_after_a_while() {
    let (_folder, path) = place();
    let jobs = SqliteJobs::open(&path).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = jobs.enqueue_one(spec("a")).await.unwrap_err();
    assert!(error.to_string().contains("another process"), "{error}");
    other.execute_batch("ROLLBACK").unwrap();
    jobs.enqueue_one(spec("a")).await.unwrap();
}
