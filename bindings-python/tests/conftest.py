"""What the tests share: a simulated endpoint and wrappers over it."""

import os
import shutil
import socket
import subprocess
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


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    own = ROOT / "tools/servers/redis-server"
    program = str(own) if own.exists() else shutil.which("redis-server")
    if program is None:
        pytest.skip("no redis-server: `make test` installs one")
    port = free_port()
    server = subprocess.Popen(
        [program, "--port", str(port), "--save", "", "--bind", "127.0.0.1"],
        stdout=subprocess.DEVNULL,
    )
    patience = time.monotonic() + 20
    while time.monotonic() < patience:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.02)
    yield f"redis://127.0.0.1:{port}"
    server.kill()
    server.wait()


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
