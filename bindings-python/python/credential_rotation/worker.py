"""A worker: runs jobs with handlers of yours."""

from __future__ import annotations

import asyncio
import inspect
import json
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

from credential_rotation import _desk, _native
from credential_rotation.jobs import JobManager

if TYPE_CHECKING:
    from credential_rotation.conversation import Conversations

__all__ = ["Handlers", "JobContext", "Snooze", "Unrecoverable", "WebhookOptions", "Worker"]

Handler = TypeVar("Handler", bound=Callable[..., Any])


class Snooze(Exception):  # noqa: N818 - the same name in all languages
    """Raised by a handler: not now, but after so many seconds, at no cost."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class Unrecoverable(Exception):  # noqa: N818 - the same name in all languages
    """Raised by a handler: it failed, and would fail again."""


class JobContext:
    """What a handler knows of its job, and what it can say about it."""

    def __init__(self, native: _native.JobAttempt) -> None:
        self._core = native
        self.payload: Any = json.loads(native.payload)

    @property
    def id(self) -> str:
        """The job's id."""
        return self._core.id

    @property
    def queue(self) -> str:
        """Its queue."""
        return self._core.queue

    @property
    def kind(self) -> str:
        """What is to be done."""
        return self._core.kind

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1."""
        return self._core.attempt

    @property
    def session(self) -> str | None:
        """The session it works on."""
        return self._core.session

    @property
    def group(self) -> str | None:
        """The tenant or session it belongs to."""
        return self._core.group

    @property
    def deadline(self) -> int | None:
        """When the attempt times out, in epoch milliseconds."""
        return self._core.deadline

    @property
    def cancelled(self) -> bool:
        """Whether the attempt is to end. A coroutine gets a ``CancelledError`` besides."""
        return self._core.cancelled

    def progress(self, percent: float, message: str = "") -> None:
        """Say how far it is, 0 to 100. Of many in a short time the last one is recorded."""
        self._core.progress(percent, message)

    def log(self, text: str) -> None:
        """Add a line to the job's log."""
        self._core.log(text)


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


class Worker(Handlers):
    """Takes jobs of queues and runs a handler for each.

    ``queues`` are as on the command line: ``text_processing:2`` has two slots,
    ``payments,webhooks:1`` takes a webhook only when there is no payment. Functions run in
    threads, coroutines on the loop of :meth:`arun`; what they return is the job's result.
    Leases are kept outside of Python: a handler that holds the GIL or the loop loses nothing.
    With ``conversations`` it does their training and generation, outside of Python too.
    """

    def __init__(
        self,
        jobs: JobManager,
        queues: Iterable[str],
        *,
        handlers: Handlers | None = None,
        conversations: Conversations | None = None,
        id: str | None = None,
        lease: float | None = None,
        timeout: float | None = None,
        grace: float | None = None,
        webhooks: WebhookOptions | None = None,
    ) -> None:
        def ms(seconds: float | None) -> int | None:
            return None if seconds is None else max(0, int(seconds * 1000))

        options = {
            "queues": list(queues),
            "id": id,
            "lease_ms": ms(lease),
            "timeout_ms": ms(timeout),
            "grace_ms": ms(grace),
            "webhooks": webhooks,
        }
        super().__init__()
        if handlers is not None:
            self._handlers.update(handlers._handlers)
        self._jobs = jobs
        self._conversations = conversations._core if conversations is not None else None
        self._core = _native.Worker(json.dumps(options))
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._coroutines: set[int] = set()
        self._threads: ThreadPoolExecutor | None = None

    def run(self) -> dict[str, int]:
        """Run until SIGINT or SIGTERM, or :meth:`stop`; gives what was done.

        The first signal lets running jobs end within the grace, the second gives them back.
        """
        return asyncio.run(self._until_signalled())

    async def arun(self) -> dict[str, int]:
        """Run until :meth:`stop`; cancelling it gives back at once what runs."""
        return await self._run(self._core.run)

    async def _adrain(self) -> dict[str, int]:
        """Do what can be done now; for :mod:`credential_rotation.testing`."""
        return await self._run(self._core.drain)

    async def _run(self, run: Callable[..., _native.Task]) -> dict[str, int]:
        self._threads = ThreadPoolExecutor(max_workers=1024, thread_name_prefix="job")
        running = asyncio.ensure_future(
            _desk.current().result(run, self._jobs._core, self._deliver, self._conversations)
        )
        try:
            told = await asyncio.shield(running)
        except asyncio.CancelledError:
            self._core.stop(now=True)
            await running
            raise
        finally:
            self._threads.shutdown(wait=False, cancel_futures=True)
        report: dict[str, int] = json.loads(told)
        return report

    def stop(self, *, now: bool = False) -> None:
        """Take no more jobs; with ``now`` give back those that run. Any thread may call it."""
        self._core.stop(now)

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

    def _deliver(self) -> None:
        begun, cancelled = self._core.take()
        for number, attempt in begun:
            handler = self._handlers.get(attempt.kind) or self._handlers.get(None)
            task = asyncio.ensure_future(self._attempt(handler, attempt))
            self._tasks[number] = task
            task.add_done_callback(partial(self._forget, number))
            if inspect.iscoroutinefunction(handler):
                self._coroutines.add(number)
        for number in cancelled:
            # A function in a thread cannot be interrupted: it looks at its context.
            if number in self._coroutines:
                self._tasks[number].cancel()

    def _forget(self, number: int, _: asyncio.Task[None]) -> None:
        self._tasks.pop(number, None)
        self._coroutines.discard(number)

    async def _attempt(
        self, handler: Callable[..., Any] | None, attempt: _native.JobAttempt
    ) -> None:
        try:
            if handler is None:
                attempt.fail("unknown_kind", f"no handler for `{attempt.kind}`", None, False)
                return
            context = JobContext(attempt)
            if inspect.iscoroutinefunction(handler):
                result = await handler(context)
            else:
                loop = asyncio.get_running_loop()
                result = await loop.run_in_executor(self._threads, handler, context)
            attempt.complete(json.dumps(result, ensure_ascii=False))
        except asyncio.CancelledError:
            attempt.cancel()
        except Snooze as snooze:
            attempt.snooze(max(0, int(snooze.seconds * 1000)))
        except Unrecoverable as error:
            attempt.fail(*_failure(error.__cause__ or error), False)
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is its job's failure
            attempt.fail(*_failure(error), True)
        except BaseException:
            # SystemExit and KeyboardInterrupt end more than this job.
            attempt.cancel()
            raise


def _failure(error: BaseException) -> tuple[str, str, str]:
    trace = "".join(traceback.format_exception(error))
    return type(error).__name__, str(error), trace
