//! `worker`: real processes that take jobs from a file, are told to stop, and are watched.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::io::ioctl_fionbio;
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::Value;

use crate::scene::{jobs, ran, shown, signal, started, until};

fn add(home: &Path, id: &str, payload: &str) {
    let (code, _, err) = ran(jobs(home, &["jobs", "add", "q", payload, "--id", id]));
    assert_eq!(code, 0, "{err}");
}

fn job(home: &Path, id: &str) -> Value {
    let (_, out, _) = ran(jobs(home, &["jobs", "show", id, "--json"]));
    serde_json::from_str(&out).unwrap()
}

/// A command that notes that it has begun, and ends when there is a file `go`.
const WAITS: &str = "touch begun-$JOB_ID; until [ -e go ]; do sleep 0.02; done; cat";

fn worker(home: &Path, slots: &str, command: &str, more: &[&str]) -> std::process::Command {
    let words = ["worker", "--queues", slots, "--command", command];
    jobs(home, &[&words, more].concat())
}

/// Reads what is said beside the results until those words are.
fn said(err: &mut impl BufRead, words: &str) {
    let mut line = String::new();
    while !line.contains(words) {
        line.clear();
        assert!(
            err.read_line(&mut line).unwrap() > 0,
            "`{words}` is not said"
        );
    }
}

fn stderr(child: &mut Child) -> BufReader<std::process::ChildStderr> {
    BufReader::new(child.stderr.take().unwrap())
}

#[test]
fn the_first_signal_lets_running_jobs_end_and_says_so() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    add(home, "a", "7");
    let mut child = started(worker(home, "q:1", WAITS, &[]));
    until("the begin of the job", || home.join("begun-a").exists());
    signal(&child, Signal::TERM);
    let mut err = stderr(&mut child);
    said(&mut err, "stopping: waiting for the jobs that run");
    add(home, "b", "8");
    File::create(home.join("go")).unwrap();
    let (code, out, _) = shown(&child.wait_with_output().unwrap());
    assert_eq!(code, 0);
    assert!(out.contains("q a ") && out.contains(" ms done\n"), "{out}");
    assert!(
        out.ends_with("stopped: 1 completed, 0 failed, 0 given back\n"),
        "{out}"
    );
    assert_eq!(
        (&job(home, "a")["result"], &job(home, "b")["state"]),
        (&7.into(), &"waiting".into())
    );
}

#[test]
fn the_second_signal_gives_them_back_at_once() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    add(home, "a", "7");
    let mut child = started(worker(home, "q:1", WAITS, &[]));
    until("the begin of the job", || home.join("begun-a").exists());
    let mut err = stderr(&mut child);
    signal(&child, Signal::INT);
    said(&mut err, "stopping: waiting for the jobs that run");
    signal(&child, Signal::INT);
    said(&mut err, "giving back the jobs that run");
    let (code, out, _) = shown(&child.wait_with_output().unwrap());
    assert_eq!(code, 0);
    assert!(out.contains("given back\n"), "{out}");
    assert!(
        out.ends_with("stopped: 0 completed, 0 failed, 1 given back\n"),
        "{out}"
    );
    let job = job(home, "a");
    assert_eq!(
        (&job["state"], &job["attempt"]),
        (&"waiting".into(), &0.into())
    );
    // It has left.
    let (_, out, _) = ran(jobs(home, &["status", "--json"]));
    let status: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(status["workers"], serde_json::json!([]));
}

#[test]
fn a_worker_whose_reader_goes_away_ends_its_jobs_and_stops() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    add(home, "quick", "1");
    add(home, "slow", "2");
    let command = format!("if [ $JOB_ID = quick ]; then cat; else {WAITS}; fi");
    let mut child = started(worker(home, "q:2", &command, &[]));
    // As `head -1` does: the first line, and no more.
    let mut first = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut first).unwrap();
    assert!(first.starts_with("worker "), "{first}");
    drop(out);
    let mut err = stderr(&mut child);
    add(home, "next", "3");
    // Whichever ends first finds that nobody reads.
    until("the begin of the job", || home.join("begun-slow").exists());
    said(
        &mut err,
        "stopping: what it says cannot be written any more",
    );
    File::create(home.join("go")).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(job(home, "slow")["state"], "completed");
}

#[test]
fn a_worker_whose_output_is_not_read_hears_signals_and_ends() {
    // Programs like Node make a pipe non-blocking; most do not.
    for non_blocking in [false, true] {
        let home = tempfile::tempdir().unwrap();
        let home = home.path();
        let (reader, mut writer) = std::io::pipe().unwrap();
        // Full before its first word.
        ioctl_fionbio(&writer, true).unwrap();
        while writer.write(&[b'.'; 4096]).is_ok() {}
        ioctl_fionbio(&writer, non_blocking).unwrap();
        let command = format!("if [ $JOB_ID = slow ]; then {WAITS}; else cat; fi");
        let mut command = worker(home, "q:2", &command, &["--grace", "0.2"]);
        let mut child = command
            .stdout(writer)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        for id in ["quick", "slow", "next"] {
            add(home, id, "1");
        }
        until("the begin of the job", || home.join("begun-slow").exists());
        until("the end of the others", || {
            ["quick", "next"]
                .iter()
                .all(|id| job(home, id)["state"] == "completed")
        });
        signal(&child, Signal::TERM);
        let told = Instant::now();
        assert_eq!(child.wait().unwrap().code(), Some(0));
        assert!(
            told.elapsed() < Duration::from_secs(15),
            "{:?}",
            told.elapsed()
        );
        let slow = job(home, "slow");
        assert_eq!(
            (&slow["state"], &slow["attempt"]),
            (&"waiting".into(), &0.into())
        );
        drop(reader);
    }
}

#[test]
fn a_command_that_prints_without_end_fails_its_job_and_not_its_worker() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    add(home, "endless", "1");
    add(home, "next", "2");
    let command = "if [ $JOB_ID = endless ]; then yes; else cat; fi";
    let child = started(worker(home, "q:1", command, &[]));
    until("the end of the next job", || {
        job(home, "next")["state"] == "completed"
    });
    let endless = job(home, "endless");
    assert_eq!(endless["state"], "failed");
    assert_eq!(endless["error"]["kind"], "result_too_large");
    if let Ok(status) = std::fs::read_to_string(format!("/proc/{}/status", child.id())) {
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.unwrap().trim().trim_end_matches(" kB");
        assert!(peak.parse::<u64>().unwrap() < 256 * 1024, "{peak} kB");
    }
    signal(&child, Signal::TERM);
    let (code, out, _) = shown(&child.wait_with_output().unwrap());
    assert_eq!(code, 0);
    assert!(out.contains("failed: the command printed over"), "{out}");
}

#[test]
fn in_json_each_attempt_is_a_line_and_the_report_the_last() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    add(home, "a", "7");
    let more = ["--json", "--timeout", "0.05", "--grace", "0"];
    let mut child = started(worker(home, "q:1", WAITS, &more));
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    let late: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (&late["id"], &late["outcome"]),
        (&"a".into(), &"retried".into())
    );
    assert_eq!(late["failure"], "it took longer than 50 ms");
    signal(&child, Signal::TERM);
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    let report: Value = serde_json::from_str(rest.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&report["success"], &report["report"]["failed"]),
        (&true.into(), &0.into())
    );
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn on_a_terminal_it_shows_what_runs_below_what_ended() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    add(home, "a", "7");
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let open = || {
        File::options()
            .read(true)
            .write(true)
            .open(name.to_str().unwrap())
    };
    let mut command = worker(home, "q:1", WAITS, &[]);
    command.env("TERM", "xterm").env("COLUMNS", "100");
    command
        .stdout(open().unwrap())
        .stderr(open().unwrap())
        .stdin(Stdio::null());
    let mut child = command.spawn().unwrap();
    // What is kept open here would keep the terminal from its end.
    drop(command);
    let (tell, told) = std::sync::mpsc::channel();
    let mut terminal = File::from(terminal);
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = terminal.read(&mut bytes) {
            let _ = tell.send(String::from_utf8_lossy(&bytes[..count]).into_owned());
        }
    });
    let mut screen = String::new();
    let mut shows = |words: &str| {
        while !screen.contains(words) {
            screen += &told.recv_timeout(crate::scene::PATIENCE).expect(words);
        }
    };
    shows("1 running  0 done  0 failed");
    File::create(home.join("go")).unwrap();
    shows("0 running  1 done  0 failed");
    shows("q a ");
    signal(&child, Signal::INT);
    shows("stopped: 1 completed");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
