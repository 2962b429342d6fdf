"""Workers are killed, and a server restarted, in the middle of work: all ends, and ends once."""

import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest
from conftest import RedisServer
from credential_rotation import BackendUnavailableError, JobManager

T = TypeVar("T")

JOBS = 400
PATIENCE = 120.0

# Each attempt is written down before it ends: one write, so that lines are whole.
WORKER = """
import asyncio, os, random, sys, time
from credential_rotation import JobManager, Worker

url, queue, ledger = sys.argv[1:]
book = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
worker = Worker(JobManager.connect(url), [f"{queue}:8"], lease=0.8)

@worker.handler()
async def busy(job):
    if job.payload % 100 == 0:
        time.sleep(1.2)  # longer than its lease, and the loop stands still
    await asyncio.sleep(random.uniform(0, 0.02))
    token = random.randbytes(8).hex()
    os.write(book, f"{job.id} {token}\\n".encode())
    return [job.payload, token]

worker.run()
"""


@pytest.fixture(params=["sqlite", "redis"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Callable[[], None]]:
    """Where the jobs are, and what happens there now and then."""
    if request.param == "sqlite":
        return f"sqlite:{tmp_path}/jobs.db", lambda: None
    server: RedisServer = request.getfixturevalue("own_redis")

    def restart() -> None:
        server.kill()
        assert server.begin(), "its port was taken meanwhile"

    return server.url, restart


@contextmanager
def crew(url: str, queue: str, ledger: Path) -> Iterator[Callable[[], None]]:
    """Keep two workers; what this gives kills one of them and begins another."""

    def begin() -> "subprocess.Popen[bytes]":
        return subprocess.Popen([sys.executable, "-c", WORKER, url, queue, str(ledger)])

    def replace() -> None:
        oldest = workers.pop(0)
        oldest.kill()
        oldest.wait()
        workers.append(begin())

    workers = [begin(), begin()]
    try:
        yield replace
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


def patiently(ask: Callable[[], T], until: float) -> T:
    """Ask again while the server is not there."""
    while True:
        try:
            return ask()
        except BackendUnavailableError:
            assert time.monotonic() < until, "the server does not come back"
            time.sleep(0.02)


def test_jobs_neither_vanish_nor_end_twice(
    place: tuple[str, Callable[[], None]], queue: str, tmp_path: Path
) -> None:
    seed = int(os.environ.get("SEED", random.randrange(2**32)))
    print(f"SEED={seed}")
    chance = random.Random(seed)
    ledger = tmp_path / "ledger"
    url, disturb = place
    jobs = JobManager.connect(url)
    taken = jobs.enqueue_many(
        [{"queue": queue, "payload": number, "max_stalls": 50} for number in range(JOBS)]
    )
    names = [one.id for one in taken if one.id is not None]

    def lines() -> list[str]:
        return ledger.read_text().splitlines() if ledger.exists() else []

    until = time.monotonic() + PATIENCE
    with crew(url, queue, ledger) as replace:
        for share in (0.2, 0.4, 0.6):
            while len(lines()) < JOBS * share:
                assert time.monotonic() < until, "the workers do nothing"
                time.sleep(0.01)
            some = chance.sample(names, 5)
            cancelled = patiently(lambda some=some: jobs.cancel(*some), until)
            assert set(cancelled) <= set(names)
            replace()
            disturb()
        while any(
            job is None or job.state not in ENDED
            for job in patiently(lambda: jobs.get(*names), until)
        ):
            assert time.monotonic() < until, jobs.counts()
            time.sleep(0.02)
    ends = Counter(job.state for job in jobs.get(*names) if job is not None)
    assert ends["completed"] + ends["cancelled"] == JOBS, ends
    attempts = lines()
    runs = Counter(line.split()[0] for line in attempts)
    for number, job in enumerate(jobs.get(*names)):
        assert job is not None
        # Run again only when its worker was lost, and the outcome is of a run that was made.
        assert runs[job.id] <= 1 + job.stalls
        if job.state == "completed":
            payload, token = job.result
            assert payload == number
            assert f"{job.id} {token}" in attempts
    jobs.close()


ENDED = ("completed", "failed", "cancelled")
