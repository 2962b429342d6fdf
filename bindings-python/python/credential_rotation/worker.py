"""A worker: runs jobs with handlers of yours."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

from credential_rotation import _desk, _native
from credential_rotation._attempts import Attempts
from credential_rotation.attempt import Cancelled, JobContext, Snooze, Unrecoverable
from credential_rotation.jobs import JobManager

if TYPE_CHECKING:
    from credential_rotation.conversation import Conversations

__all__ = [
    "Cancelled",
    "Handlers",
    "JobContext",
    "Lane",
    "Snooze",
    "Unrecoverable",
    "WebhookOptions",
    "Worker",
]

Handler = TypeVar("Handler", bound=Callable[..., Any])


class Handlers:
    """Which handler does which kind of job; ``--app MODULE`` looks for one in the module."""

    def __init__(self) -> None:
        self._handlers: dict[str | None, Callable[..., Any]] = {}

    def handler(self, kind: str | None = None) -> Callable[[Handler], Handler]:
        """Decorate the handler of a kind, or of all other kinds: it is called with a context."""

        def register(function: Handler) -> Handler:
            self._handlers[kind] = function
            return function

        return register


class WebhookOptions(TypedDict, total=False):
    """How a worker tells of the ends of jobs that have a webhook."""

    secret: str
    """What deliveries are signed with: ``whsec_`` and base64; two with a space between while
    one takes the other's place. Default: ``CREDENTIAL_ROTATION_WEBHOOK_SECRET``."""
    allow_private: bool
    """Whether they go to addresses that only this network can reach, too. Whoever adds jobs
    can then have requests made to all that the worker can reach."""


class _Lane(TypedDict):
    queues: Sequence[str]
    """Queues that share slots."""
    concurrency: int
    """How many jobs at once."""


class Lane(_Lane, total=False):
    """Queues that share a number of slots, with their members apart."""

    weights: Sequence[int]
    """Ask each as often as its weight says, in place of in strict order."""


class Worker(Handlers):
    """Takes jobs of queues and runs a handler for each.

    ``queues`` are as on the command line: ``text_processing:2`` has two slots,
    ``payments,webhooks:1`` takes a webhook only when there is no payment; or each is a
    :class:`Lane`. Functions run in threads, coroutines on the loop of :meth:`arun`; what they
    return is the job's result. Both see the context variables of whoever runs the worker.
    Leases are kept outside of Python: a handler that holds the GIL or the loop loses nothing.
    With ``conversations`` it does their training and generation, outside of Python too.
    """

    def __init__(
        self,
        jobs: JobManager,
        queues: Iterable[str | Lane],
        *,
        handlers: Handlers | None = None,
        conversations: Conversations | None = None,
        id: str | None = None,
        lease: float | None = None,
        timeout: float | None = None,
        grace: float | None = None,
        webhooks: WebhookOptions | None = None,
    ) -> None:
        def ms(seconds: float | None) -> float | None:
            return None if seconds is None else seconds * 1000

        super().__init__()
        if handlers is not None:
            self._handlers.update(handlers._handlers)
        self._jobs = jobs
        self._conversations = conversations._core if conversations is not None else None
        self._options = json.dumps(
            {
                "queues": list(queues),
                "id": id,
                "lease_ms": ms(lease),
                "timeout_ms": ms(timeout),
                "grace_ms": ms(grace),
                "webhooks": webhooks,
            }
        )
        self._core = _native.Worker(self._options)
        self._runs = False

    @property
    def id(self) -> str | None:
        """Its id, while it runs."""
        return self._core.id

    def run(self) -> dict[str, int]:
        """Run until SIGINT or SIGTERM, or :meth:`stop`; gives what was done.

        The first signal lets running jobs end within the grace, the second gives them back.
        """
        return asyncio.run(self._until_signalled())

    async def arun(self) -> dict[str, int]:
        """Run until :meth:`stop`; cancelling it gives back at once what runs."""
        if self._runs:
            raise RuntimeError("this worker runs already: make another one")
        core, attempts = self._core, Attempts(self._handlers, self._core)
        words = (self._jobs._core, attempts.deliver, self._conversations)
        ended = _desk.current().future(core.run, *words)
        self._runs = True
        try:
            told = await attempts.until(ended)
        except asyncio.CancelledError:
            core.stop(now=True)
            await asyncio.wait([ended])
            raise
        finally:
            self._runs = False
            # What this one was told is not for the next.
            self._core = _native.Worker(self._options)
        report: dict[str, int] = json.loads(told)
        return report

    async def _adrain(self) -> dict[str, int]:
        """Do what can be done now; for :mod:`credential_rotation.testing`."""
        core, attempts = self._core, Attempts(self._handlers, self._core)
        words = (self._jobs._core, attempts.deliver, self._conversations)
        report: dict[str, int] = json.loads(await _desk.current().result(core.drain, *words))
        return report

    def stop(self, *, now: bool = False) -> None:
        """Take no more jobs; with ``now`` give back those that run. Any thread may call it.

        One that does not run yet ends as soon as it does.
        """
        self._core.stop(now)

    def set_concurrency(self, lane: str, concurrency: int) -> None:
        """Set how many jobs a lane, named by its queues with commas between, has at once."""
        self._core.set_concurrency(lane, concurrency)

    async def _until_signalled(self) -> dict[str, int]:
        if threading.current_thread() is not threading.main_thread():
            return await self.arun()
        loop = asyncio.get_running_loop()
        signals = 0

        def told() -> None:
            nonlocal signals
            signals += 1
            words = "waiting for the jobs that run; once more gives them back now"
            if signals > 1:
                words = "giving back the jobs that run"
            print(f"stopping: {words}", file=sys.stderr, flush=True)
            self.stop(now=signals > 1)

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, told)
        try:
            return await self.arun()
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)
