//! One run of a program: its own process group, bounded output, and nothing left behind.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Notify;

/// The most that a program may print on stdout, in bytes.
pub(crate) const STDOUT_LIMIT: usize = 32 * 1024 * 1024;

/// What is kept of stderr, in bytes: its end.
const STDERR_KEPT: usize = 64 * 1024;

/// From TERM to KILL.
const GRACE: Duration = Duration::from_secs(2);

/// From KILL until the group must be gone: the kernel's part, and init's.
const DYING: Duration = Duration::from_millis(500);

/// How long pipes that a left-over child keeps open are read after the end.
const LINGER: Duration = Duration::from_millis(300);

/// What a child inherits of the environment: enough to find programs and the network.
const INHERITED: [&str; 8] = [
    "PATH",
    "LANG",
    "LC_ALL",
    "TZ",
    "TERM",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
];

/// What it inherits too when it reaches the network by itself.
const PROXIES: [&str; 6] = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

/// A run to make.
pub(crate) struct Run {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
    /// Added to what it inherits.
    pub(crate) env: Vec<(String, String)>,
    pub(crate) inherits: Inherits,
    /// Where it runs; here if none is given.
    pub(crate) folder: Option<PathBuf>,
    pub(crate) stdin: Vec<u8>,
}

/// What of the environment a child inherits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inherits {
    /// Enough to find programs. It calls loopback alone, and some programs would look
    /// for that behind the proxy, whatever `NO_PROXY` says.
    Little,
    /// Enough to find programs and the network.
    Network,
    /// All of it.
    All,
}

/// How a run ended.
pub(crate) struct Finished {
    /// `None` when it was ended early.
    pub(crate) status: Option<ExitStatus>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
    /// Whether stdout went over its limit.
    pub(crate) overflowed: bool,
}

/// Runs a program to its end, or until a line on stderr is hopeless.
///
/// Dropping the future ends the whole group; `kept` is dropped when the group is gone.
pub(crate) async fn run(
    run: Run,
    hopeless: impl Fn(&str) -> bool + Send,
    kept: Box<dyn Send>,
) -> io::Result<Finished> {
    let mut child = spawn(&run)?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let mut group = Group::of(child, kept);
    let captured = Captured::default();
    let enough = Notify::new();

    let feed = async {
        if let Some(mut stdin) = stdin {
            // A program that does not read to the end is no failure of ours.
            let _ = stdin.write_all(&run.stdin).await;
        }
    };
    let hear = async {
        if let Some(stdout) = stdout {
            captured.read_stdout(stdout, &enough).await;
        }
    };
    let listen = async {
        if let Some(stderr) = stderr {
            captured.read_stderr(stderr, &hopeless, &enough).await;
        }
    };
    let pipes = async { tokio::join!(feed, hear, listen) };
    tokio::pin!(pipes);
    let mut piped = false;
    let status = loop {
        tokio::select! {
            biased;
            () = enough.notified() => break None,
            status = group.leader_ends() => break Some(status?),
            _ = &mut pipes, if !piped => piped = true,
        }
    };
    if status.is_some() && !piped {
        // A left-over grandchild may hold the pipes for ever.
        let _ = tokio::time::timeout(LINGER, &mut pipes).await;
    }
    drop(group);
    Ok(captured.finished(status))
}

/// The program on PATH, or the path itself.
pub(super) fn find(program: &Path) -> Option<PathBuf> {
    if program.components().count() > 1 {
        return is_program(program).then(|| program.to_owned());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(file).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

fn spawn(run: &Run) -> io::Result<Child> {
    let mut command = Command::new(&run.program);
    if run.inherits != Inherits::All {
        let proxies = PROXIES.iter().filter(|_| run.inherits == Inherits::Network);
        let inherited = INHERITED
            .iter()
            .chain(proxies)
            .filter_map(|name| Some((*name, std::env::var_os(name)?)));
        command.env_clear().envs(inherited).env("NO_COLOR", "1");
    }
    if let Some(folder) = &run.folder {
        command.current_dir(folder);
    }
    command
        .args(&run.args)
        .envs(run.env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
}

/// The group of a child. Dropping it ends whoever is left in it, and reaps the child.
struct Group {
    leader: Option<Pid>,
    child: Option<Child>,
    kept: Option<Box<dyn Send>>,
}

impl Group {
    fn of(child: Child, kept: Box<dyn Send>) -> Self {
        let leader = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        Self {
            leader,
            child: Some(child),
            kept: Some(kept),
        }
    }

    async fn leader_ends(&mut self) -> io::Result<ExitStatus> {
        match &mut self.child {
            Some(child) => child.wait().await,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let Some(leader) = self.leader else { return };
        let (child, kept) = (self.child.take(), self.kept.take());
        if kill_process_group(leader, Signal::TERM).is_err() {
            return;
        }
        *ENDING.lock() += 1;
        // A thread, not a task: the runtime may be shutting down.
        let ending = std::thread::Builder::new()
            .name("end-process-group".to_owned())
            .spawn(move || {
                end(leader, child);
                drop(kept);
                ended();
            });
        if ending.is_err() {
            let _ = kill_process_group(leader, Signal::KILL);
            ended();
        }
    }
}

/// Groups that are being ended on threads of their own.
static ENDING: Mutex<usize> = Mutex::new(0);
static ALL_ENDED: Condvar = Condvar::new();

fn ended() {
    let mut ending = ENDING.lock();
    *ending = ending.saturating_sub(1);
    if *ending == 0 {
        ALL_ENDED.notify_all();
    }
}

/// Waits until the groups of calls that were given up are gone, and their homes with
/// them: a process that exits before takes the threads that see to it along. Blocks.
#[cfg(feature = "cli")]
pub(crate) fn wait_for_groups() {
    let mut ending = ENDING.lock();
    let latest = std::time::Instant::now() + GRACE + 2 * DYING;
    while *ending > 0 && !ALL_ENDED.wait_until(&mut ending, latest).timed_out() {}
}

fn end(leader: Pid, mut child: Option<Child>) {
    if !is_gone_within(GRACE, leader, &mut child) {
        let _ = kill_process_group(leader, Signal::KILL);
        is_gone_within(DYING, leader, &mut child);
    }
}

// The child is reaped here: of a runtime that has ended, nobody else would.
fn is_gone_within(limit: Duration, leader: Pid, child: &mut Option<Child>) -> bool {
    const LOOK: Duration = Duration::from_millis(20);
    let mut waited = Duration::ZERO;
    loop {
        let _ = child.as_mut().map(Child::try_wait);
        if test_kill_process_group(leader).is_err() {
            return true;
        }
        if waited >= limit {
            return false;
        }
        std::thread::sleep(LOOK);
        waited += LOOK;
    }
}

#[derive(Default)]
struct Captured(Arc<Mutex<Texts>>);

#[derive(Default)]
struct Texts {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    overflowed: bool,
}

impl Captured {
    async fn read_stdout(&self, mut pipe: impl tokio::io::AsyncRead + Unpin, enough: &Notify) {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
            let mut texts = self.0.lock();
            if texts.stdout.len() + count > STDOUT_LIMIT {
                texts.overflowed = true;
                enough.notify_one();
                return;
            }
            texts
                .stdout
                .extend_from_slice(buffer.get(..count).unwrap_or_default());
        }
    }

    async fn read_stderr(
        &self,
        pipe: impl tokio::io::AsyncRead + Unpin,
        hopeless: &(impl Fn(&str) -> bool + Send),
        enough: &Notify,
    ) {
        let mut lines = BufReader::new(pipe);
        loop {
            let mut line = Vec::new();
            // A line without an end must not grow for ever.
            let read = (&mut lines)
                .take(STDERR_KEPT as u64)
                .read_until(b'\n', &mut line)
                .await;
            if !matches!(read, Ok(1..)) {
                return;
            }
            self.0.lock().keep_stderr(&line);
            if hopeless(&String::from_utf8_lossy(&line)) {
                enough.notify_one();
                return;
            }
        }
    }

    fn finished(&self, status: Option<ExitStatus>) -> Finished {
        let mut texts = self.0.lock();
        Finished {
            status,
            stdout: std::mem::take(&mut texts.stdout),
            stderr: String::from_utf8_lossy(&texts.stderr).into_owned(),
            overflowed: texts.overflowed,
        }
    }
}

impl Texts {
    fn keep_stderr(&mut self, line: &[u8]) {
        self.stderr.extend_from_slice(line);
        if self.stderr.len() > 2 * STDERR_KEPT {
            let cut = self.stderr.len() - STDERR_KEPT;
            self.stderr.drain(..cut);
        }
    }
}
