"""What ours and its peers have in common, and how a peer's own worker is timed.

A peer runs as its documentation says: by its own command, with as many processes as
there are cores. The clock runs from the first job taken to the last one taken, seen in
the length of its list: neither its start nor its last handlers are held against it.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from redis import Redis

BATCH = 1_000
SLOTS = 100
PATIENCE = 120
GLANCE = 0.002


def payload() -> dict[str, str]:
    """Two hundred bytes as JSON, made anew for each job."""
    return {"text": "x" * 189}


def told(name: str, jobs: int, began: float) -> None:
    """Print a rate."""
    value = jobs / (time.perf_counter() - began)
    print(json.dumps({"name": name, "value": value, "unit": "jobs/s"}), flush=True)


def drained(name: str, url: str, waiting: str, command: Sequence[str]) -> None:
    """Run a peer's command until its list is empty, and tell how fast that went."""
    redis = Redis.from_url(url)
    jobs = redis.llen(waiting)
    assert jobs, f"nothing waits in {waiting}"
    environment = os.environ | {"BENCH_URL": url}
    folder = os.path.dirname(os.path.abspath(__file__))
    process = subprocess.Popen(
        [os.path.join(os.path.dirname(sys.executable), command[0]), *command[1:]],
        cwd=folder, env=environment, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        late = time.monotonic() + PATIENCE
        first = None
        while left := redis.llen(waiting):
            if first is None and left < jobs:
                first = (left, time.perf_counter())
            assert process.poll() is None, f"{command[0]} ended by itself"
            assert time.monotonic() < late, f"{command[0]} is not done: {left} left"
            time.sleep(GLANCE)
        assert first is not None, "all was taken at once: too few jobs to time"
        told(name, first[0], first[1])
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
