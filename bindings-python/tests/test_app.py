"""``credential-rotation worker --app``: the handlers of a module, in a process of their own."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from credential_rotation import JobManager

SOON = 20.0

PROGRAM = [sys.executable, "-m", "credential_rotation"]
VECTORS = json.loads((ROOT / "core" / "vectors" / "programs.json").read_text())["cases"]

TASKS = """
import asyncio
import threading
from pathlib import Path

from credential_rotation import Handlers, JobContext, Unrecoverable

handlers = tasks = Handlers()

@handlers.handler("shout")
async def shout(job: JobContext) -> str:
    assert threading.current_thread() is threading.main_thread()
    return job.payload.upper()

@handlers.handler("whisper")
def whisper(job: JobContext) -> str:
    assert threading.current_thread() is not threading.main_thread()
    return job.payload.lower()

@handlers.handler("fails")
def fails(job: JobContext) -> None:
    raise Unrecoverable("for good")

@handlers.handler("waits")
async def waits(job: JobContext) -> str:
    print("began", job.id, flush=True)
    while not Path("go").exists():
        await asyncio.sleep(0.01)
    return "done"
"""

TWO = """
from credential_rotation import Handlers

first, second = Handlers(), Handlers()

@first.handler()
def one(job):
    return "first"

@second.handler()
def two(job):
    return "second"
"""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start the program with the words that follow `worker`, in a folder with modules."""
    (tmp_path / "tasks.py").write_text(TASKS)
    (tmp_path / "two.py").write_text(TWO)
    (tmp_path / "broken.py").write_text(
        "def load():\n    raise OverflowError('not today')\n\nload()"
    )
    (tmp_path / "needy.py").write_text("import nothing_of_that_name")
    started: list[subprocess.Popen[str]] = []

    def start(*words: str, **options: Any) -> "subprocess.Popen[str]":
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        command = [*PROGRAM, "worker", *words]
        started.append(subprocess.Popen(command, cwd=tmp_path, text=True, **streams))
        return started[-1]

    yield start
    for process in started:
        # Its pipes are closed as well.
        with process:
            process.kill()


def said(lines: Any, words: str) -> str:
    """Read until a line with these words."""
    for line in lines:
        if words in line:
            return str(line)
    raise AssertionError(f"`{words}` is not said")


def test_a_module_does_jobs_until_a_signal_and_what_it_did_is_told(
    shared_url: str, queue: str, start: Start
) -> None:
    jobs = JobManager.connect(shared_url)
    wanted = [("shout", "completed"), ("whisper", "completed"), ("fails", "failed")]
    for kind, _ in [*wanted, ("nobody", "")]:
        jobs.enqueue(queue, "Ciao", id=f"{queue}-{kind}", kind=kind)
    environment = {**os.environ, "CREDENTIAL_ROTATION_URL": shared_url}
    words = ["--queues", f"{queue}:2", "--app", "tasks", "--id", "w", "--json"]
    worker = start(*words, env=environment)
    ended = {kind: jobs.wait(f"{queue}-{kind}", timeout=SOON) for kind, _ in wanted}
    assert [ended[kind].state for kind, _ in wanted] == [state for _, state in wanted]
    assert (ended["shout"].result, ended["whisper"].result) == ("CIAO", "ciao")
    assert ended["shout"].worker == "w"
    unknown = jobs.wait(f"{queue}-nobody", timeout=SOON).error
    assert unknown is not None
    assert unknown["kind"] == "unknown_kind"
    worker.terminate()
    out, err = worker.communicate(timeout=SOON)
    *attempts, last = [json.loads(line) for line in out.splitlines()]
    assert {line["id"]: line["outcome"] for line in attempts} == {
        f"{queue}-{kind}": state for kind, state in [*wanted, ("nobody", "failed")]
    }
    assert last["success"]
    assert (last["report"]["completed"], last["report"]["failed"]) == (2, 2)
    assert (worker.returncode, err.count("stopping: ")) == (0, 1)


def test_ctrl_c_lets_what_runs_end_and_says_so(
    shared_url: str, queue: str, start: Start, tmp_path: Path
) -> None:
    jobs = JobManager.connect(shared_url)
    for name in ["one", "two"]:
        jobs.enqueue(queue, id=f"{queue}-{name}", kind="waits")
    worker = start("--url", shared_url, "--queues", queue, "--app", "tasks:tasks")
    assert worker.stdout is not None
    assert worker.stderr is not None
    first = said(worker.stdout, "began").split()[1]
    worker.send_signal(signal.SIGINT)
    assert said(worker.stderr, "stopping: ") == (
        "stopping: waiting for the jobs that run; once more gives them back now\n"
    )
    (tmp_path / "go").touch()
    out, err = worker.communicate(timeout=SOON)
    line, last = out.splitlines()
    assert line.startswith(f"{queue} {first} ")
    assert line.endswith(" ms done")
    assert (last, err) == ("stopped: 1 completed, 0 failed, 0 given back", "")
    assert worker.returncode == 0
    states = sorted(str(jobs.find(f"{queue}-{name}").state) for name in ["one", "two"])
    assert states == ["completed", "waiting"]


def test_a_second_ctrl_c_gives_back_what_runs(shared_url: str, queue: str, start: Start) -> None:
    jobs = JobManager.connect(shared_url)
    name = jobs.enqueue(queue, kind="waits")
    worker = start("--url", shared_url, "--queues", queue, "--app", "tasks")
    assert worker.stdout is not None
    assert worker.stderr is not None
    said(worker.stdout, "began")
    worker.send_signal(signal.SIGINT)
    said(worker.stderr, "stopping: waiting for the jobs that run")
    worker.send_signal(signal.SIGINT)
    out, err = worker.communicate(timeout=SOON)
    assert err == "giving back the jobs that run\n"
    assert out.endswith("given back\nstopped: 0 completed, 0 failed, 1 given back\n")
    job = jobs.find(name)
    assert (str(job.state), job.attempt, worker.returncode) == ("waiting", 0, 0)


def test_on_a_terminal_it_shows_what_runs_below_what_ended(start: Start, tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path}/jobs.db"
    jobs = JobManager.connect(url)
    jobs.enqueue("q", id="a", kind="waits")
    terminal, end = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    words = ["--url", url, "--queues", "q", "--app", "tasks"]
    streams = {"stdin": end, "stdout": end, "stderr": end}
    worker = start(*words, env=environment, start_new_session=True, **streams)
    os.close(end)
    screen = ""

    def shows(words: str) -> None:
        nonlocal screen
        give_up = time.monotonic() + SOON
        while words not in screen:
            # It goes on turning whatever it shows.
            assert time.monotonic() < give_up, screen
            screen += os.read(terminal, 4096).decode(errors="replace")

    shows("1 running  0 done  0 failed")
    (tmp_path / "go").touch()
    shows("0 running  1 done  0 failed")
    shows("q a ")
    worker.send_signal(signal.SIGINT)
    shows("stopping: waiting for the jobs that run")
    shows("stopped: 1 completed")
    assert worker.wait(SOON) == 0
    os.close(terminal)


def test_the_program_and_a_queue_and_a_module_may_share_a_name(
    start: Start, tmp_path: Path
) -> None:
    url = f"sqlite:{tmp_path}/jobs.db"
    jobs = JobManager.connect(url)
    name = jobs.enqueue("worker", "ciao")
    (tmp_path / "worker.py").write_text(TWO)
    worker = start("--queues", "worker", "--app", "worker:second", "--url", url)
    assert jobs.wait(name, timeout=SOON).result == "second"
    worker.terminate()
    worker.communicate(timeout=SOON)
    assert worker.returncode == 0


@pytest.mark.parametrize(
    ("app", "words", "trace"),
    [
        ("nowhere", "ModuleNotFoundError: No module named 'nowhere'", ""),
        ("two", "it has 2 `Handlers`: let it have one, or name one as MODULE:NAME", ""),
        ("tasks:shout", "it has 0 `Handlers`", ""),
        ("broken", "OverflowError: not today", 'broken.py", line 2, in load'),
        ("needy", "No module named 'nothing_of_that_name'", 'needy.py", line 1'),
    ],
)
def test_what_is_wrong_with_the_module_is_told(
    app: str, words: str, trace: str, start: Start, tmp_path: Path
) -> None:
    worker = start("--url", "sqlite:jobs.db", "--queues", "q", "--app", app, "--json")
    out, err = worker.communicate(timeout=SOON)
    *before, last = err.splitlines()
    assert last.startswith(f"error: invalid configuration in --app {app}: ")
    assert words in last
    assert trace in "\n".join(before)
    assert (trace == "") == (before == [])
    told = json.loads(out)
    assert (told["success"], told["error"]["code"]) == (False, "invalid_config")
    assert words in told["error"]["message"]
    assert worker.returncode == 4
    assert not (tmp_path / "jobs.db").exists()


def test_a_place_that_does_not_answer_is_told(start: Start) -> None:
    worker = start("--url", "redis://127.0.0.1:1", "--queues", "q", "--app", "tasks")
    out, err = worker.communicate(timeout=SOON)
    assert "check that it runs" in err
    assert (out, worker.returncode) == ("", 5)


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in VECTORS])
def test_what_is_said_is_what_all_programs_say(case: dict[str, Any], tmp_path: Path) -> None:
    kept = {name: os.environ[name] for name in ["PATH"] if name in os.environ}
    ran = subprocess.run(
        [*PROGRAM, *case["words"]],
        cwd=tmp_path,
        env={**kept, "HOME": str(tmp_path), "COLUMNS": "100"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert (ran.returncode, ran.stdout.splitlines(), ran.stderr.splitlines()) == (
        case["code"],
        case["out"],
        case["err"],
    )
