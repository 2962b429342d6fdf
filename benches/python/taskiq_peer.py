"""Jobs a second through taskiq-redis. Usage: taskiq_peer.py URL [JOBS].

Its list broker, which acknowledges nothing, is its fastest.
"""

import asyncio
import os
import sys

from sizes import SLOTS, drained, payload
from taskiq_redis import ListQueueBroker

url = os.environ.get("BENCH_URL") or sys.argv[1]
broker = ListQueueBroker(url)


@broker.task
async def nothing(_: dict[str, str]) -> None:
    """Do nothing."""


async def fill(jobs: int) -> None:
    """Take so many in."""
    await broker.startup()
    for _ in range(0, jobs, SLOTS):
        await asyncio.gather(*(nothing.kiq(payload()) for _ in range(SLOTS)))
    await broker.shutdown()


if __name__ == "__main__":
    # A module of this name is what its worker imports: the task is to have one name.
    import taskiq_peer

    asyncio.run(taskiq_peer.fill(int(sys.argv[2]) if len(sys.argv) > 2 else 20_000))
    command = [
        "taskiq", "worker", "taskiq_peer:broker", "--workers", str(os.cpu_count()),
        "--max-async-tasks", str(SLOTS), "--no-parse", "--log-level", "ERROR",
    ]  # fmt: skip
    drained("jobs taskiq-redis drain", url, broker.queue_name, command)
