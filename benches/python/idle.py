"""A worker with nothing to do, until its input ends. Usage: idle.py URL."""

import sys
import threading

from credential_rotation.jobs import JobManager
from credential_rotation.worker import Worker

worker = Worker(JobManager.connect(sys.argv[1]), ["idle:100"])


@worker.handler("idle")
async def handle(_: object) -> None:
    """Do nothing."""


def until_told() -> None:
    """Wait for the end of the input."""
    sys.stdin.read()
    worker.stop()


threading.Thread(target=until_told, daemon=True).start()
print("{}", flush=True)
worker.run()
