"""For tests: an endpoint that fails as it is told to, and jobs that go by a clock set by hand.

The JSON form of scenarios is in ``docs/testing.md``.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from credential_rotation import _native

if TYPE_CHECKING:
    from credential_rotation.conversation import Conversations
    from credential_rotation.jobs import JobManager
    from credential_rotation.worker import Handlers

__all__ = ["ManualClock", "SimulatedEndpoint", "adrain_until_idle", "drain_until_idle"]


class SimulatedEndpoint:
    """An HTTP server on loopback that speaks OpenAI's and Anthropic's wire formats."""

    def __init__(self, scenario: Mapping[str, Any] | None = None) -> None:
        self._core = _native.SimulatedEndpoint.start(json.dumps(scenario or {}))
        self.url: str = self._core.url

    @property
    def openai_url(self) -> str:
        """The base URL for OpenAI-compatible clients."""
        return f"{self.url}/v1"

    def script(self, key: str, script: Iterable[Mapping[str, Any]]) -> None:
        """Give a key another script."""
        self._core.script(key, json.dumps(list(script)))

    def hits(self, key: str) -> int:
        """Count the requests with a key."""
        return self._core.hits(key)

    def hits_total(self) -> int:
        """Count all requests."""
        return self._core.hits_total()

    def closed_early(self, key: str) -> int:
        """Count the answers whose client went away."""
        return self._core.closed_early(key)

    def in_flight(self) -> int:
        """Count the requests that are being answered."""
        return self._core.in_flight()

    def requests(self) -> list[dict[str, Any]]:
        """List the last requests: ``path``, ``body``, ``at``; never a key."""
        requests: list[dict[str, Any]] = self._core.requests()
        return requests

    def stop(self) -> None:
        """Stop the server."""
        self._core.stop()

    def __enter__(self) -> SimulatedEndpoint:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


class ManualClock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: int | None = None) -> None:
        """Let it show a time in epoch milliseconds; without one, 2026 begins, UTC."""
        self._core = _native.ManualClock(now)

    @property
    def now(self) -> int:
        """What it shows, in epoch milliseconds."""
        return self._core.now

    def advance(self, ms: int) -> None:
        """Move it forward."""
        self._core.advance(ms)

    def set(self, now: int) -> None:
        """Set it. An earlier time than it shows is ignored: it never goes back."""
        self._core.set(now)

    def jobs(self) -> JobManager:
        """Make new jobs in memory that go by it."""
        from credential_rotation.jobs import JobManager

        return JobManager(self._core.jobs())


def drain_until_idle(
    jobs: JobManager, handlers: Handlers, *, conversations: Conversations | None = None
) -> int:
    """Do jobs of all queues until none is ready or due; tell how many attempts were made.

    One after the other, also those that come about meanwhile. Nothing is waited for: jobs
    whose time is to come, and paused queues, are left. Move the clock on and call again to
    see what follows. ``handlers`` may be a worker that never runs. With ``conversations``
    their training and generation is done too.
    """
    return asyncio.run(adrain_until_idle(jobs, handlers, conversations=conversations))


async def adrain_until_idle(
    jobs: JobManager, handlers: Handlers, *, conversations: Conversations | None = None
) -> int:
    """Do the same from a coroutine."""
    from credential_rotation.worker import Worker

    report = await Worker(jobs, [], handlers=handlers, conversations=conversations)._adrain()
    return sum(report.values())
