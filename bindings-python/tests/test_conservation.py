"""Workers are killed in the middle of their work: what was taken in ends, and ends once."""

import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from credential_rotation import JobManager

JOBS = 400
PATIENCE = 60.0

# Each attempt is written down before it ends: one write, so that lines are whole.
WORKER = """
import asyncio, os, random, sys
from credential_rotation import JobManager, Worker

url, queue, ledger = sys.argv[1:]
book = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
worker = Worker(JobManager.connect(url), [f"{queue}:8"], lease=0.8)

@worker.handler()
async def busy(job):
    await asyncio.sleep(random.uniform(0, 0.02))
    token = random.randbytes(8).hex()
    os.write(book, f"{job.id} {token}\\n".encode())
    return [job.payload, token]

worker.run()
"""


@pytest.fixture(params=["sqlite", "redis"])
def shared_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "redis":
        url: str = request.getfixturevalue("redis_url")
        return url
    return f"sqlite:{tmp_path}/jobs.db"


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


def test_jobs_neither_vanish_nor_end_twice(shared_url: str, queue: str, tmp_path: Path) -> None:
    seed = int(os.environ.get("SEED", random.randrange(2**32)))
    print(f"SEED={seed}")
    chance = random.Random(seed)
    ledger = tmp_path / "ledger"
    jobs = JobManager.connect(shared_url)
    taken = jobs.enqueue_many(
        [{"queue": queue, "payload": number, "max_stalls": 50} for number in range(JOBS)]
    )
    names = [one.id for one in taken if one.id is not None]

    def lines() -> list[str]:
        return ledger.read_text().splitlines() if ledger.exists() else []

    until = time.monotonic() + PATIENCE
    with crew(shared_url, queue, ledger) as replace:
        for share in (0.2, 0.4, 0.6):
            while len(lines()) < JOBS * share:
                assert time.monotonic() < until, "the workers do nothing"
                time.sleep(0.01)
            cancelled = jobs.cancel(*chance.sample(names, 5))
            assert set(cancelled) <= set(names)
            replace()
        while any(job is None or job.state not in ENDED for job in jobs.get(*names)):
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
