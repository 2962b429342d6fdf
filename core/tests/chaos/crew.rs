//! The workers' processes, and what is done to them.

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::LEASE;

pub(crate) const WORKERS: usize = 3;
pub(crate) const URL: &str = "CHAOS_URL";
pub(crate) const LEDGER: &str = "CHAOS_LEDGER";
pub(crate) const WORKER_SEED: &str = "CHAOS_WORKER_SEED";
pub(crate) const HOLD_MS: &str = "CHAOS_HOLD_MS";
/// The file, beside the ledger, that says that the faults are over.
pub(crate) const CALM: &str = "calm";

pub(crate) struct Crew {
    url: String,
    folder: PathBuf,
    chance: fastrand::Rng,
    started: u32,
    workers: Vec<Hand>,
    /// Those that are to end by themselves.
    leaving: Vec<Hand>,
}

struct Hand {
    process: Child,
    said: PathBuf,
    frozen_until: Option<Instant>,
}

impl Hand {
    fn send(&self, signal: Signal) {
        let _ = kill_process(Pid::from_child(&self.process), signal);
    }

    fn thaw(&mut self) {
        if self.frozen_until.take().is_some() {
            self.send(Signal::CONT);
        }
    }

    fn words(&self) -> String {
        std::fs::read_to_string(&self.said).unwrap_or_default()
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Crew {
    pub(crate) fn new(url: String, folder: &Path, chance: fastrand::Rng) -> Self {
        let mut crew = Self {
            url,
            folder: folder.to_owned(),
            chance,
            started: 0,
            workers: Vec::new(),
            leaving: Vec::new(),
        };
        for _ in 0..WORKERS {
            crew.start();
        }
        crew
    }

    pub(crate) fn ledger(&self) -> PathBuf {
        self.folder.join("ledger")
    }

    fn start(&mut self) {
        let seed = self.chance.u64(..).to_string();
        let worker = self.process("processes::works", (WORKER_SEED, seed));
        self.workers.push(worker);
    }

    fn process(&mut self, test: &str, (name, value): (&str, String)) -> Hand {
        self.started += 1;
        let said = self.folder.join(format!("said-{}", self.started));
        let words = File::create(&said).unwrap();
        let process = Command::new(std::env::current_exe().unwrap())
            .args([test, "--ignored", "--exact", "--nocapture"])
            .env(URL, &self.url)
            .env(LEDGER, self.ledger())
            .env(name, value)
            .stdout(words.try_clone().unwrap())
            .stderr(words)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Hand {
            process,
            said,
            frozen_until: None,
        }
    }

    /// It is gone from one moment to the next.
    pub(crate) fn kill(&mut self, nth: usize) {
        drop(self.workers.swap_remove(nth));
        self.start();
    }

    /// It stands still, for one and a half to three leases, and then goes on.
    pub(crate) fn freeze(&mut self, nth: usize, chance: &mut fastrand::Rng) {
        let hand = &mut self.workers[nth];
        hand.send(Signal::STOP);
        let still = LEASE.mul_f64(1.5 + 1.5 * chance.f64());
        hand.frozen_until = Some(Instant::now() + still);
    }

    /// It is asked to stop; asked twice, at once. Another one comes in its place.
    pub(crate) fn dismiss(&mut self, nth: usize, twice: bool) {
        let hand = self.workers.swap_remove(nth);
        hand.send(Signal::TERM);
        if twice {
            hand.send(Signal::TERM);
        }
        self.leaving.push(hand);
        self.start();
    }

    /// Another program has the file for so long.
    pub(crate) fn hold_the_file(&mut self, hold: Duration) {
        let millis = hold.as_millis().to_string();
        let holder = self.process("processes::holds_the_file", (HOLD_MS, millis));
        self.leaving.push(holder);
    }

    /// Wakes those whose time it is. Nobody may have ended that was not told to, or in
    /// another way than it was told to.
    pub(crate) fn look_after(&mut self) {
        let now = Instant::now();
        for hand in self.workers.iter_mut().chain(&mut self.leaving) {
            if hand.frozen_until.is_some_and(|until| until <= now) {
                hand.thaw();
            }
        }
        for hand in &mut self.workers {
            let ended = hand.process.try_wait().unwrap();
            assert!(ended.is_none(), "a worker ended: {}", hand.words());
        }
        self.leaving.retain_mut(|hand| {
            let ended = hand.process.try_wait().unwrap();
            let well = |status: ExitStatus| {
                // One that was just being started does not listen yet.
                status.success() || status.signal() == Some(Signal::TERM.as_raw())
            };
            assert!(ended.is_none_or(well), "{ended:?}: {}", hand.words());
            ended.is_none()
        });
    }

    /// The faults are over.
    pub(crate) fn calm_down(&mut self) {
        std::fs::write(self.folder.join(CALM), "").unwrap();
        for hand in self.workers.iter_mut().chain(&mut self.leaving) {
            hand.thaw();
        }
    }

    /// Whether all have ended that were to.
    pub(crate) fn have_left(&self) -> bool {
        self.leaving.is_empty()
    }

    /// The attempts that were written down, in their order.
    pub(crate) fn attempts(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.ledger()).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}
