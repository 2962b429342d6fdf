"""Attempts at jobs: what the core begins is given to handlers, their ends go back to it.

An attempt always has an end. Only when the worker is about to go it may have none: then the
core gives its job back.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from credential_rotation._hands import Hands
from credential_rotation.attempt import Cancelled, JobContext, Snooze, Unrecoverable, well_formed

if TYPE_CHECKING:
    from credential_rotation import _native

Handler = Callable[..., Any]

_CENTURY = 3.2e9


class Attempts:
    """Those of one run of a worker. All but the handlers' threads is on its loop."""

    def __init__(
        self,
        handlers: Mapping[str | None, Handler],
        core: _native.Worker | _native.AppWorker,
    ) -> None:
        self._handlers = handlers
        self._core = core
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._in_threads: set[int] = set()
        self._hands = Hands("credential-rotation-job")
        self._waited_for: asyncio.Future[str] | None = None
        # Handlers see the variables of whoever runs the worker.
        self.deliver: Callable[[], None] = partial(copy_context().run, self._deliver)

    async def until(self, ended: asyncio.Future[str]) -> str:
        """Wait for the worker's end. Cancelling this tells that the worker is to go."""
        self._waited_for = asyncio.shield(ended)
        return await self._waited_for

    def _is_leaving(self) -> bool:
        # A loop that ends cancels all its tasks before any of them hears of it.
        return self._waited_for is not None and self._waited_for.done()

    def _deliver(self) -> None:
        begun, called_off = self._core.take()
        for number, attempt in begun:
            task = asyncio.ensure_future(self._attempt(number, attempt))
            self._tasks[number] = task
            task.add_done_callback(partial(self._ended, number, attempt))
        for number in called_off:
            # A function in a thread cannot be interrupted: it looks at its context.
            if number in self._tasks and number not in self._in_threads:
                self._tasks[number].cancel()

    def _ended(self, number: int, attempt: _native.JobAttempt, task: asyncio.Task[None]) -> None:
        self._tasks.pop(number, None)
        if task.cancelled():
            # Before its first step.
            self._refuse(attempt, asyncio.CancelledError())
        elif (error := task.exception()) is not None:
            attempt.fail(*_failure(error), True)

    async def _attempt(self, number: int, attempt: _native.JobAttempt) -> None:
        handler = self._handlers.get(attempt.kind) or self._handlers.get(None)
        if handler is None:
            attempt.fail("unknown_kind", f"no handler for `{attempt.kind}`", None, False)
            return
        try:
            result = await self._result(number, handler, attempt)
            attempt.complete(json.dumps(result, ensure_ascii=False))
        except GeneratorExit:
            # The loop is closed: without an answer the job is given back.
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a handler raises is its job's end
            self._refuse(attempt, error)

    async def _result(self, number: int, handler: Handler, attempt: _native.JobAttempt) -> Any:
        context = JobContext(attempt)
        if _is_coroutine_function(handler):
            return await handler(context)
        result = await self._in_thread(number, handler, context)
        if not inspect.isawaitable(result):
            return result
        if attempt.cancelled and (task := asyncio.current_task()) is not None:
            # Called off while it was in the thread.
            task.cancel()
        return await result

    async def _in_thread(self, number: int, handler: Handler, context: JobContext) -> Any:
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()

        def tell(result: Any, error: BaseException | None) -> None:
            if not ended.done():
                ended.set_result((result, error))

        def work(context: JobContext) -> None:
            result, error = None, None
            try:
                result = handler(context)
            except BaseException as raised:  # noqa: BLE001 - the attempt's end, not the thread's
                error = raised
            # A loop that is closed has given the job back.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(tell, result, error)

        self._in_threads.add(number)
        try:
            self._hands.run(copy_context(), work, context)
            result, error = await ended
        finally:
            self._in_threads.discard(number)
        if error is not None:
            try:
                raise error
            finally:
                # Its trace has this frame: no circle of the two.
                del error
        return result

    def _refuse(self, attempt: _native.JobAttempt, error: BaseException) -> None:
        """Tell why there is no result, and what follows."""
        if isinstance(error, asyncio.CancelledError):
            if attempt.cancelled:
                attempt.cancel()
            elif not self._is_leaving():
                attempt.fail(*_failure(error, "it was interrupted, but not by its worker"), True)
        elif isinstance(error, KeyboardInterrupt):
            self._core.stop()
            # At no cost: it was not the job's doing.
            attempt.snooze(0)
        elif isinstance(error, Cancelled):
            attempt.cancel()
        elif isinstance(error, Snooze):
            attempt.snooze(int(min(max(0.0, error.seconds), _CENTURY) * 1000))
        elif isinstance(error, Unrecoverable):
            attempt.fail(*_failure(error.__cause__ or error), False)
        else:
            attempt.fail(*_failure(error), True)


def _is_coroutine_function(handler: Handler) -> bool:
    call = getattr(type(handler), "__call__", None)  # noqa: B004 - what it is, not whether
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(call)


def _failure(error: BaseException, words: str = "") -> tuple[str, str, str | None]:
    """Give an exception's name, words and trace; it may raise when it is looked at."""
    trace = None
    try:
        words = str(error) or words
        trace = well_formed("".join(traceback.format_exception(error)))
    except Exception:  # noqa: BLE001 - it says nothing, then
        words = words or "an error that cannot be read"
    return well_formed(type(error).__name__), well_formed(words), trace
