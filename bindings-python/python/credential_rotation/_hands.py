"""Threads for providers' plain code: Python's own, so that they may end with the process."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from threading import Condition, Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contextvars import Context

_MOST = 512
_IDLE_SECONDS = 10

_Work = tuple["Context", Callable[[Any], None], Any]


class _Hands:
    """As many threads as there is work at once, up to a limit; idle ones go."""

    def __init__(self) -> None:
        self._work: deque[_Work] = deque()
        self._changed = Condition()
        self._idle = 0
        self._threads = 0

    def run(self, work: _Work) -> None:
        with self._changed:
            self._work.append(work)
            self._changed.notify()
            needed = self._idle < len(self._work) and self._threads < _MOST
            self._threads += needed
        if needed:
            Thread(target=self._serve, name="credential-rotation-provider", daemon=True).start()

    def _serve(self) -> None:
        while (work := self._next()) is not None:
            context, function, argument = work
            context.run(function, argument)
            del work, context, function, argument

    def _next(self) -> _Work | None:
        with self._changed:
            self._idle += 1
            if not self._work:
                self._changed.wait_for(lambda: self._work, timeout=_IDLE_SECONDS)
            self._idle -= 1
            if self._work:
                return self._work.popleft()
            self._threads -= 1
            return None


_hands = _Hands()


def run(context: Context, function: Callable[[Any], None], argument: Any) -> None:
    """Call this in a context, on a thread where it may take its time."""
    _hands.run((context, function, argument))


def _start_anew() -> None:
    global _hands
    _hands = _Hands()


# A forked child has none of its parent's threads.
os.register_at_fork(after_in_child=_start_anew)
