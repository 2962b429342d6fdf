"""A streamed answer: an iterator, or an asynchronous one."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
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

    def text(self) -> Iterator[str]:
        """Give the pieces of text alone. Leaving the loop over it stops the work upstream."""
        try:
            for chunk in self:
                if chunk["type"] == "text":
                    yield chunk["text"]
        finally:
            self.close()

    def close(self) -> None:
        """Stop the work upstream; whoever waits for a piece is told that it is the end."""
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

    def text(self) -> AsyncIterator[str]:
        """Give the pieces of text alone. Leaving the loop over it stops the work upstream."""
        return _AsyncText(self)

    async def aclose(self) -> None:
        """Stop the work upstream; whoever waits for a piece is told that it is the end."""
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


class _AsyncText(AsyncIterator[str]):
    """Not a generator: those are ended by their loop, some time after they are let go."""

    def __init__(self, answer: AsyncAnswerStream) -> None:
        self._answer = answer

    async def __anext__(self) -> str:
        while (chunk := await self._answer.__anext__())["type"] != "text":
            pass
        text: str = chunk["text"]
        return text
