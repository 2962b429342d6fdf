"""What a handler knows of its job, what it can say about it, and what it can raise."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from credential_rotation import _native

__all__ = ["Cancelled", "JobContext", "Snooze", "Unrecoverable"]


class Snooze(Exception):  # noqa: N818 - the same name in all languages
    """Raised by a handler: not now, but after so many seconds, at no cost."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        if not math.isfinite(seconds):
            raise ValueError(f"`seconds` is a finite number, not {seconds}")
        self.seconds = seconds


class Unrecoverable(Exception):  # noqa: N818 - the same name in all languages
    """Raised by a handler: it failed, and would fail again."""


class Cancelled(Exception):  # noqa: N818 - the same name in all languages
    """Raised by a handler: it calls its job off. There is no other attempt."""


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
    def max_attempts(self) -> int:
        """How many attempts there are at most."""
        return self._core.max_attempts

    @property
    def priority(self) -> int:
        """Its priority: those of higher go first."""
        return self._core.priority

    @property
    def tags(self) -> list[str]:
        """Its tags."""
        return self._core.tags

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
        self._core.progress(percent, well_formed(message))

    def log(self, text: str) -> None:
        """Add a line to the job's log."""
        self._core.log(well_formed(text))


def well_formed(text: str) -> str:
    """Replace lone surrogates, which no text in UTF-8 can have."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
