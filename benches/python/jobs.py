"""Jobs a second through our Python package.

They are taken in 1,000 at a time, then run by one worker of 100 slots whose handler does
nothing.

Usage: jobs.py URL [JOBS]. Prints JSON objects.
"""

import asyncio
import sys
import time

from credential_rotation.jobs import JobManager
from credential_rotation.worker import Worker
from sizes import BATCH, SLOTS, payload, told


async def main(url: str, count: int) -> None:
    """Take in, run, and tell how fast."""
    jobs = await JobManager.aconnect(url)
    began = time.perf_counter()
    for _ in range(count // BATCH):
        batch = [{"queue": "bench", "payload": payload(), "result_ttl_ms": 0} for _ in range(BATCH)]
        answers = await jobs.aenqueue_many(batch)
        assert all(answer.added for answer in answers)
    told("jobs python bulk add", count, began)

    worker = Worker(jobs, [f"bench:{SLOTS}"])
    left = count

    @worker.handler("bench")
    async def handle(_: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            worker.stop()

    began = time.perf_counter()
    report = await worker.arun()
    # Until the last end is recorded.
    told("jobs python drain", count, began)
    assert report["completed"] == count, report


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 100_000))
