"""Threads for the user's plain code: Python's own, so that they may end with the process."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from threading import Condition, Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contextvars import Context

_MOST_PROVIDERS = 512
_IDLE_SECONDS = 10

_Work = tuple["Context", Callable[[Any], None], Any]


class Hands:
    """As many threads as there is work at once, up to a limit if there is one; idle ones go."""

    def __init__(self, name: str, most: int | None = None) -> None:
        self._name = name
        self._most = most
        self._work: deque[_Work] = deque()
        self._changed = Condition()
        self._idle = 0
        self._threads = 0

    def run(self, context: Context, function: Callable[[Any], None], argument: Any) -> None:
        """Call this in a context, on a thread where it may take its time."""
        work = (context, function, argument)
        with self._changed:
            self._work.append(work)
            self._changed.notify()
            free = self._most is None or self._threads < self._most
            needed = free and self._idle < len(self._work)
            self._threads += needed
        if needed:
            try:
                Thread(target=self._serve, name=self._name, daemon=True).start()
            except RuntimeError:
                if self._take_back(work):
                    raise

    def _take_back(self, work: _Work) -> bool:
        """There is no thread for this: tell whether no other one has taken it either."""
        with self._changed:
            self._threads -= 1
            waits = work in self._work
            if waits:
                self._work.remove(work)
            return waits

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


def _for_providers() -> Hands:
    return Hands("credential-rotation-provider", _MOST_PROVIDERS)


_hands = _for_providers()


def run(context: Context, function: Callable[[Any], None], argument: Any) -> None:
    """Call this part of a provider in a context, on a thread where it may take its time."""
    _hands.run(context, function, argument)


def _start_anew() -> None:
    global _hands
    _hands = _for_providers()


# A forked child has none of its parent's threads.
os.register_at_fork(after_in_child=_start_anew)
