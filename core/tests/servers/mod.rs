//! Real servers for tests: started on free ports, ended with the test.
#![allow(dead_code, clippy::unwrap_used, clippy::panic)]

pub(crate) mod fleet;
pub(crate) mod proxy;

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Where `make test` puts the servers that it installs.
fn program(name: &str) -> Option<PathBuf> {
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../tools/servers")
        .join(name);
    let path = std::env::var_os("PATH")?;
    let on_path = std::env::split_paths(&path).map(|folder| folder.join(name));
    std::iter::once(own)
        .chain(on_path)
        .find(|program| program.exists())
}

/// Whether there is a Redis to test with. Without one the tests have nothing to drive;
/// `REQUIRE_REDIS=1`, as `make test` sets it, makes that a failure.
pub(crate) fn redis_is_there() -> bool {
    if program("redis-server").is_some() {
        return true;
    }
    let missing = "no redis-server on PATH: run `make test`, which installs one";
    assert!(std::env::var_os("REQUIRE_REDIS").is_none(), "{missing}");
    eprintln!("skipped: {missing}");
    false
}

/// A server of a test's own.
pub(crate) struct Redis {
    child: Child,
    pub(crate) port: u16,
    folder: tempfile::TempDir,
    options: Vec<String>,
}

impl Redis {
    pub(crate) fn start(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        let (child, port) = at_a_free_port(|port| launch(port, folder.path(), &options));
        Self {
            child,
            port,
            folder,
            options,
        }
    }

    /// At a port that was asked for.
    pub(crate) fn start_at(port: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let child = launch(port, folder.path(), &[]);
        let options = Vec::new();
        Self {
            child,
            port,
            folder,
            options,
        }
    }

    /// The same, unless the server does not know one of the options.
    pub(crate) fn try_start(options: &[&str]) -> Option<Self> {
        let known = Command::new(program("redis-server").unwrap())
            .args(options)
            .args(["--port", "0", "--unixsocket", "/nonexistent/folder/socket"])
            .output()
            .unwrap();
        // It ends either way: what it says tells why.
        let said = String::from_utf8_lossy(&known.stdout).into_owned()
            + &String::from_utf8_lossy(&known.stderr);
        let unknown = [
            "Bad directive",
            "wrong number of arguments",
            "Failed finding TLS support",
        ];
        let knows = !unknown.iter().any(|words| said.contains(words));
        knows.then(|| Self::start(options))
    }

    /// A sentinel with that configuration.
    pub(crate) fn sentinel(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sentinel.conf");
        let (child, port) = at_a_free_port(|port| {
            std::fs::write(&file, config).unwrap();
            let child = Command::new(program("redis-server").unwrap())
                .arg(&file)
                .args(["--sentinel", "--bind", "127.0.0.1"])
                .args(["--port", &port.to_string()])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            await_port(port);
            child
        });
        let options = Vec::new();
        Self {
            child,
            port,
            folder,
            options,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Waits until so many clients are blocked at it.
    pub(crate) async fn blocked(&self, clients: usize) {
        let told = format!("blocked_clients:{clients}");
        let patience = Instant::now() + Duration::from_secs(20);
        while !self
            .cli(&["INFO", "clients"])
            .lines()
            .any(|line| line.trim() == told)
        {
            assert!(
                Instant::now() < patience,
                "not {clients} clients are blocked"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The commands that clients send within a time; not those that scripts make of them.
    pub(crate) async fn monitored(&self, time: Duration) -> Vec<String> {
        let mut monitor = Command::new(program("redis-cli").unwrap())
            .args(["-p", &self.port.to_string(), "MONITOR"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        tokio::time::sleep(time).await;
        let _ = monitor.kill();
        let told = monitor.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&told.stdout).into_owned();
        let sent = told.lines().filter(|line| !line.contains(" lua]"));
        // The first line says OK.
        sent.skip(1).map(str::to_owned).collect()
    }

    /// Takes its folder away: it can write no more there.
    pub(crate) fn lose_folder(&self) {
        std::fs::remove_dir_all(self.folder.path()).unwrap();
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again where it was, with what it had written.
    pub(crate) fn restart(&mut self) {
        self.kill();
        self.child = launch(self.port, self.folder.path(), &self.options);
    }

    /// Runs `redis-cli` and gives what it prints.
    pub(crate) fn cli(&self, args: &[&str]) -> String {
        cli(self.port, args)
    }
}

fn cli(port: u16, args: &[&str]) -> String {
    let output = Command::new(program("redis-cli").unwrap())
        .args(["-p", &port.to_string()])
        .args(args)
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that was free a moment ago: below those that the system gives to connections,
/// as is the one ten thousand above, where a cluster's nodes speak to each other.
pub(crate) fn free_port() -> u16 {
    const FIRST: u32 = 10_000;
    const COUNT: u32 = 12_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Processes that run beside each other begin at different places.
    let here = std::process::id().wrapping_mul(97);
    loop {
        let nth = here.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let port = u16::try_from(FIRST + nth).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Starts a server. Another one may have taken its port in between: then at a new one.
fn at_a_free_port(start: impl Fn(u16) -> Child) -> (Child, u16) {
    loop {
        let port = free_port();
        let mut child = start(port);
        let told = cli(port, &["INFO", "server"]);
        let mut lines = told.lines();
        let by = lines.find_map(|line| line.trim().strip_prefix("process_id:"));
        // One with a password does not tell.
        if by.is_none_or(|by| by == child.id().to_string()) {
            return (child, port);
        }
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn launch(port: u16, folder: &std::path::Path, options: &[String]) -> Child {
    let mut command = Command::new(program("redis-server").unwrap());
    command.args([
        "--port",
        &port.to_string(),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
    ]);
    command.arg("--dir").arg(folder).args(options);
    let child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    await_port(port);
    child
}

pub(crate) fn await_port(port: u16) {
    let patience = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < patience, "no server came up at {port}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
