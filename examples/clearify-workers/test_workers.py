"""The three workers on a real Redis with a password, fed with redis-cli."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PASSWORD = "sk-secret-of-redis"


def program(name: str) -> str:
    own = ROOT / "tools/servers" / name
    found = str(own) if own.exists() else shutil.which(name)
    assert found, f"no {name}: run `make test`, which installs one"
    return found


class Fleet:
    def __init__(self, port: int) -> None:
        self.port = port
        binaries = ROOT / ".venv/bin"
        self.env = os.environ | {
            "CREDENTIAL_ROTATION_URL": f"redis://:{PASSWORD}@127.0.0.1:{port}",
            "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
            "REDISCLI_AUTH": PASSWORD,
        }

    def push(self, queue: str, *jobs: str) -> None:
        self.run([program("redis-cli"), "-p", str(self.port), "LPUSH", queue, *jobs])

    def run(self, command: list[str]) -> str:
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def job(self, name: str) -> dict[str, Any] | None:
        command = ["credential-rotation", "jobs", "show", name, "--json"]
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=60)
        shown: dict[str, Any] = json.loads(done.stdout)
        return shown if done.returncode == 0 else None

    def ended(self, name: str) -> dict[str, Any]:
        patience = time.monotonic() + 30
        while time.monotonic() < patience:
            job = self.job(name)
            if job and job["state"] in ("completed", "failed"):
                return job
            time.sleep(0.05)
        raise AssertionError(f"{name} did not end: {self.job(name)}")

    def start(self, *args: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(HERE / "workers.sh"), *args],
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    redis = subprocess.Popen(
        [
            program("redis-server"),
            "--port",
            str(port),
            "--requirepass",
            PASSWORD,
            "--dir",
            str(tmp_path),
        ],
        stdout=subprocess.DEVNULL,
    )
    patience = time.monotonic() + 20
    while time.monotonic() < patience:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.02)
    try:
        yield Fleet(port)
    finally:
        redis.kill()
        redis.wait()


def test_what_is_pushed_is_worked_on_and_found_by_its_id(fleet: Fleet) -> None:
    # Some is there before any worker is.
    fleet.push(
        "text_processing", '{"id":"t1","text":"ciao — 日本","template":"email","userId":"u"}'
    )
    workers = fleet.start()
    try:
        fleet.push("payments", '{"id":"p1","text":"pay","userId":"u"}')
        fleet.push("webhooks", '{"id":"w1","text":"hook"}')
        fleet.push("emails", '{"id":"e1","text":"mail"}', '{"id":"e2"}')
        result = fleet.ended("t1")["result"]
        assert result == {
            "id": "t1",
            "queue": "text_processing",
            "userId": "u",
            "text": "[email] Ciao — 日本",
            "words": 3,
        }
        for name, queue in [("p1", "payments"), ("w1", "webhooks"), ("e1", "emails")]:
            assert fleet.ended(name)["result"]["queue"] == queue
        # What fails is tried again; the reason is there at once.
        patience = time.monotonic() + 30
        while not (job := fleet.job("e2")) or not job["error"]:
            assert time.monotonic() < patience, job
            time.sleep(0.05)
        assert "KeyError: 'text'" in job["error"]["message"]
        status = json.loads(fleet.run(["credential-rotation", "status", "--json"]))
        device = os.uname().nodename
        assert [worker["worker"] for worker in status["workers"]] == [
            f"{device}-worker-1",
            f"{device}-worker-2",
            f"{device}-worker-3",
        ]
        queues = {worker["worker"]: worker["queues"] for worker in status["workers"]}
        assert queues[f"{device}-worker-2"] == ["payments,webhooks:1"]
    finally:
        os.killpg(workers.pid, signal.SIGINT)
        said, _ = workers.communicate(timeout=60)
    assert said.count("stopping: waiting for the jobs that run") == 3, said
    assert said.count("stopped: ") == 3, said
    assert "text_processing t1" in said
    assert PASSWORD not in said


def test_a_worker_that_is_killed_loses_nothing(fleet: Fleet, tmp_path: Path) -> None:
    slow = 'if [ "$JOB_ATTEMPT" = 1 ] && [ ! -e taken ]; then touch taken; sleep 60; fi; cat'
    command = [
        "credential-rotation",
        "worker",
        "--queues",
        "text_processing:1",
        "--lease",
        "1",
        "--command",
        slow,
    ]
    fleet.push("text_processing", '{"id":"t1"}')
    first = subprocess.Popen(
        command, env=fleet.env, cwd=tmp_path, start_new_session=True, stdout=subprocess.DEVNULL
    )
    patience = time.monotonic() + 30
    while not (tmp_path / "taken").exists():
        assert time.monotonic() < patience
        time.sleep(0.02)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    second = subprocess.Popen(command, env=fleet.env, cwd=tmp_path, stdout=subprocess.DEVNULL)
    try:
        job = fleet.ended("t1")
        assert (job["result"], job["stalls"]) == ({"id": "t1"}, 1)
    finally:
        second.terminate()
        assert second.wait(timeout=60) == 0
