"""What the tests share: a simulated endpoint and wrappers over it."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from credential_rotation import Credential, JobManager, Wrapper
from credential_rotation.testing import SimulatedEndpoint

SCENARIO = {
    "keys": {
        "sk-secret-spent": [{"fault": "insufficient_quota"}],
        "sk-secret-refused": [{"fault": "unauthorized", "echo_key": True}],
        "sk-secret-throttled": [{"fault": "rate_limited", "retry_after": 60}],
        "sk-secret-bad": [{"fault": "bad_request"}],
        "sk-secret-down": [{"fault": "server_error"}],
        "sk-secret-stall": [{"fault": "stall"}],
        "sk-secret-cut": [{"fault": "truncated", "after": 1, "pieces": ["one ", "two"]}],
        "sk-secret-slow": [{"piece_ms": 50, "bytes": 1_000_000}],
        "sk-secret-good": [{"text": "answer to {prompt}"}],
    },
    "unknown": "401",
}

ROOT = Path(__file__).resolve().parents[2]

# A `make` in the background ignores it, and so would the programs that the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

Make = Callable[..., Wrapper]


@pytest.fixture
def endpoint() -> Iterator[SimulatedEndpoint]:
    with SimulatedEndpoint(SCENARIO) as simulated:
        yield simulated


@pytest.fixture
def make(endpoint: SimulatedEndpoint) -> Make:
    """Build a wrapper over keys of the scenario, named as they are."""

    def wrapper(*names: str, **options: Any) -> Wrapper:
        credentials = [Credential(name, f"sk-secret-{name}") for name in names]
        usual = {"base_url": endpoint.openai_url, "model": "sim-1", "credentials": credentials}
        return Wrapper(**{**usual, **options})

    return wrapper


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


class RedisServer:
    """A Redis of our own, which can be killed and begin again with what it has kept."""

    def __init__(self, *options: str) -> None:
        own = ROOT / "tools/servers/redis-server"
        program = str(own) if own.exists() else shutil.which("redis-server")
        if program is None:
            pytest.skip("no redis-server: `make test` installs one")
        self._command = [program, "--bind", "127.0.0.1", "--save", "", *options]
        self.port = free_port()
        # The port may have been taken meanwhile.
        while not self.begin():
            self.port = free_port()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def begin(self) -> bool:
        """Begin; tells whether it is this server that answers at the port."""
        self.process = subprocess.Popen(
            [*self._command, "--port", str(self.port)], stdout=subprocess.DEVNULL
        )
        patience = time.monotonic() + 20
        while self.process.poll() is None:
            if f"process_id:{self.process.pid}\r" in self._info():
                return True
            assert time.monotonic() < patience, "the redis-server does not answer"
            time.sleep(0.02)
        return False

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def _info(self) -> str:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as server:
                server.sendall(b"INFO server\r\nQUIT\r\n")
                with server.makefile("rb") as answer:
                    return answer.read().decode()
        except OSError:
            return ""


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    server = RedisServer()
    yield server.url
    server.kill()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that a test may stop and kill; what it has taken is on the disk."""
    server = RedisServer("--appendonly", "yes", "--appendfsync", "always", "--dir", str(tmp_path))
    yield server
    server.kill()


# In a process of its own it sees what no lease of a moment outlives: a machine that stands
# still, a clock that is set, a disk that takes its time.
WATCH = """
import os, select, sys, time
PAUSE, worst = 0.05, 0.0
with open(sys.argv[1], "wb") as file:
    while True:
        before = (time.monotonic(), time.time())
        over = select.select([sys.stdin], [], [], PAUSE)[0]
        file.write(b"x")
        file.flush()
        os.fsync(file.fileno())
        after = (time.monotonic(), time.time())
        worst = max(worst, *(abs(b - a) for a, b in zip(before, after)))
        if over:
            break
print(worst - PAUSE)
"""


class MachineWatch:
    """Tells how many seconds late it was itself, at the worst: each worker may be as late."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-c", WATCH, str(folder / "watch")]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)

    def end(self) -> float:
        return float(self._process.communicate(timeout=60)[0])


@pytest.fixture(params=["sqlite", "redis"])
def shared_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where several processes have the same jobs."""
    if request.param == "redis":
        url: str = request.getfixturevalue("redis_url")
        return url
    return f"sqlite:{tmp_path}/jobs.db"


@pytest.fixture(params=["memory", "sqlite", "redis"])
def jobs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[JobManager]:
    if request.param == "redis":
        # A prefix does not keep lists apart: each test has queues of its own name.
        url = request.getfixturevalue("redis_url")
    else:
        url = {"memory": "memory:", "sqlite": f"sqlite:{tmp_path}/jobs.db"}[request.param]
    with JobManager.connect(url) as manager:
        yield manager


@pytest.fixture
def queue(request: pytest.FixtureRequest) -> str:
    return f"q-{os.getpid()}-{abs(hash(request.node.nodeid))}"
