"""One desk for each event loop: work is left under a number, its result sets a future."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from credential_rotation import _native

if TYPE_CHECKING:
    import asyncio

# The desks of closed loops are put away when the next loop gets its own.
_desks: dict[asyncio.AbstractEventLoop, LoopDesk] = {}


class LoopDesk:
    """The desk of one loop. Everything here happens on that loop's thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._create_future = loop.create_future
        self._futures: dict[int, asyncio.Future[Any]] = {}
        self._next_number = itertools.count().__next__
        # Weak, since nothing could collect a circle through the native desk.
        me = weakref.ref(self)

        def deliver() -> None:
            if (desk := me()) is not None:
                desk._deliver()

        self._core = _native.Desk(loop, deliver)

    async def result(self, submit: Callable[..., _native.Task], *words: Any) -> Any:
        """Hand work in and wait for its result; cancelling the wait ends the work."""
        number = self._next_number()
        future = self._futures[number] = self._create_future()
        try:
            task = submit(self._core, number, *words)
            try:
                return await future
            except BaseException:
                if not future.done() or future.cancelled():
                    task.cancel()
                raise
        finally:
            self._futures.pop(number, None)

    def future(self, submit: Callable[..., _native.Task], *words: Any) -> asyncio.Future[Any]:
        """Hand work in that goes on to its end, whoever waits for its result."""
        number = self._next_number()
        future = self._futures[number] = self._create_future()
        future.add_done_callback(lambda _: self._futures.pop(number, None))
        try:
            submit(self._core, number, *words)
        except BaseException:
            future.cancel()
            raise
        return future

    def _deliver(self) -> None:
        for number, succeeded, value in self._core.take():
            future = self._futures.get(number)
            if future is None or future.done():
                continue
            if succeeded:
                future.set_result(value)
            else:
                future.set_exception(value)


def current() -> LoopDesk:
    """Find the desk of the running loop."""
    from asyncio import get_running_loop

    loop = get_running_loop()
    desk = _desks.get(loop)
    if desk is None:
        for other in list(_desks):
            if other.is_closed():
                _desks.pop(other, None)
        desk = _desks[loop] = LoopDesk(loop)
    return desk
