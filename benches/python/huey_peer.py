"""Jobs a second through huey on Redis. Usage: huey_peer.py URL [JOBS]."""

import os
import sys

from huey import RedisHuey
from sizes import drained, payload

url = os.environ.get("BENCH_URL") or sys.argv[1]
huey = RedisHuey("bench", url=url, results=False)


@huey.task()
def nothing(_: dict[str, str]) -> None:
    """Do nothing."""


def fill(jobs: int) -> None:
    """Take so many in."""
    for _ in range(jobs):
        nothing(payload())


if __name__ == "__main__":
    # A module of this name is what its worker imports: the task is to have one name.
    import huey_peer

    huey_peer.fill(int(sys.argv[2]) if len(sys.argv) > 2 else 20_000)
    # A process for each core was faster than any number of threads.
    command = ["huey_consumer", "huey_peer.huey", "-k", "process", "-w", str(os.cpu_count()), "-n"]
    drained("jobs huey drain", url, "huey.redis.bench", command)
