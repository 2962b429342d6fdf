"""Jobs a second through dramatiq on Redis. Usage: dramatiq_peer.py URL [JOBS]."""

import os
import sys

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from sizes import drained, payload

url = os.environ.get("BENCH_URL") or sys.argv[1]
# Without what it puts around each job by itself: prometheus and such.
dramatiq.set_broker(RedisBroker(url=url, middleware=[]))


@dramatiq.actor
def nothing(_: dict[str, str]) -> None:
    """Do nothing."""


def fill(jobs: int) -> None:
    """Take so many in."""
    for _ in range(jobs):
        nothing.send(payload())


if __name__ == "__main__":
    # A module of this name is what its worker imports: the task is to have one name.
    import dramatiq_peer

    dramatiq_peer.fill(int(sys.argv[2]) if len(sys.argv) > 2 else 20_000)
    command = ["dramatiq", "dramatiq_peer", "-p", str(os.cpu_count()), "-t", "8"]
    drained("jobs dramatiq drain", url, "dramatiq:default", command)
