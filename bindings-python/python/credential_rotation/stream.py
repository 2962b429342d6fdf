"""A streamed answer: an iterator, or an asynchronous one."""

from __future__ import annotations

import json
from types import TracebackType
from typing import Any

from credential_rotation import _desk, _native
from credential_rotation.outcome import Attempt

__all__ = ["AnswerStream", "AsyncAnswerStream"]

Chunk = dict[str, Any]
"""A piece: ``{"type": "text", "text"}``, ``{"type": "tool_call", "delta"}``, and at
the end ``{"type": "done"}`` with ``model``, ``usage`` and ``finish_reason``."""


class AnswerStream:
    """An answer as it comes. Closing it, or leaving its ``with`` block, stops the work upstream."""

    def __init__(self, native: _native.AnswerStream) -> None:
        self._core = native

    @property
    def trail(self) -> list[Attempt]:
        """Each attempt so far."""
        trail: list[Attempt] = self._core.trail
        return trail

    def close(self) -> None:
        """Stop the work upstream."""
        self._core.close()

    def __iter__(self) -> AnswerStream:
        return self

    def __next__(self) -> Chunk:
        piece = self._core.next()
        if piece is None:
            raise StopIteration
        chunk: Chunk = json.loads(piece)
        return chunk

    def __enter__(self) -> AnswerStream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class AsyncAnswerStream:
    """The same for coroutines. Cancelling a wait for a piece stops the work upstream."""

    def __init__(self, native: _native.AnswerStream) -> None:
        self._core = native

    @property
    def trail(self) -> list[Attempt]:
        """Each attempt so far."""
        trail: list[Attempt] = self._core.trail
        return trail

    async def aclose(self) -> None:
        """Stop the work upstream."""
        self._core.close()

    def __aiter__(self) -> AsyncAnswerStream:
        return self

    async def __anext__(self) -> Chunk:
        try:
            piece = await _desk.current().result(self._core.anext)
        except BaseException:
            self._core.close()
            raise
        if piece is None:
            raise StopAsyncIteration
        chunk: Chunk = json.loads(piece)
        return chunk

    async def __aenter__(self) -> AsyncAnswerStream:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()
