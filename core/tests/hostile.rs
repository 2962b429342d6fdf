//! Hostile files, each read in a process of its own, which must live to tell how it ended.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr
)]
#![cfg(target_os = "linux")]

#[path = "documents/mod.rs"]
mod made;

use std::process::Command;
use std::time::{Duration, Instant};

use credential_rotation::document::{Limits, read_path};
use made::{crowds, hostile};
use rustix::process::{Resource, Rlimit, setrlimit};

/// Names the file that a process of this test is to read.
const FILE: &str = "CREDENTIAL_ROTATION_HOSTILE_FILE";
/// What a process may have at all: whoever asks for more is ended by it.
const ADDRESSES: u64 = 1 << 30;
/// What it may use, in kilobytes.
const MEMORY: u64 = 512 << 10;

/// How long a file may take. A debug build is some twenty times slower, so that the clock ends
/// what the counters would.
fn patience() -> (Duration, Duration) {
    match cfg!(debug_assertions) {
        true => (Duration::from_secs(4), Duration::from_secs(30)),
        false => (Limits::default().time, Duration::from_secs(3)),
    }
}

fn read_it(path: &str) {
    let limit = Rlimit {
        current: Some(ADDRESSES),
        maximum: Some(ADDRESSES),
    };
    setrlimit(Resource::As, limit).unwrap();
    let limits = Limits {
        time: patience().0,
        ..Limits::default()
    };
    let began = Instant::now();
    let ended = match read_path(path.as_ref(), &limits) {
        Ok(document) => format!("{} words", document.words()),
        Err(error) => error.code().to_owned(),
    };
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak
        .and_then(|peak| peak.split_whitespace().next())
        .unwrap();
    println!("ended {} {peak} {ended}", began.elapsed().as_millis());
}

#[test]
fn hostile_files_end_in_text_or_an_error_within_their_limits() {
    if let Ok(path) = std::env::var(FILE) {
        return read_it(&path);
    }
    let folder = tempfile::tempdir().unwrap();
    let mut faults = Vec::new();
    for (name, make) in hostile::ALL.iter().chain(crowds::ALL) {
        let path = folder.path().join("hostile.pdf");
        std::fs::write(&path, make()).unwrap();
        let told = Command::new(std::env::current_exe().unwrap())
            .args(["--nocapture", "--test-threads", "1"])
            .env(FILE, &path)
            .output()
            .unwrap();
        let output = String::from_utf8_lossy(&told.stdout).into_owned();
        let Some((_, ended)) = output.split_once("ended ") else {
            let errors = String::from_utf8_lossy(&told.stderr);
            faults.push(format!("{name}: {} {output} {errors}", told.status));
            continue;
        };
        let mut words = ended.splitn(3, ' ');
        let mut number = || words.next().and_then(|word| word.parse::<u64>().ok());
        let (took, peak) = (number().unwrap(), number().unwrap());
        let ended = words.next().and_then(|ended| ended.lines().next());
        eprintln!("{took:>6} ms {peak:>7} kB  {name}: {}", ended.unwrap());
        if Duration::from_millis(took) > patience().1 || peak > MEMORY {
            faults.push(format!("{name}: {took} ms, {peak} kB"));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}
