"""Conversations: sessions that speak with a model, and learn from documents."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from credential_rotation import _desk, _native
from credential_rotation._native import stage
from credential_rotation.documents import Source, content_of, read_document
from credential_rotation.jobs import JobManager
from credential_rotation.outcome import Attempt, Usage, attempt_from_wire
from credential_rotation.sessions import OWNER, Session, SessionManager, session_of
from credential_rotation.wrapper import Wrapper

__all__ = [
    "AsyncTurnStream",
    "Conversation",
    "Conversations",
    "Reply",
    "TurnStream",
    "session_name",
    "stage",
]

Piece = dict[str, Any]
"""A piece: ``{"type": "text", "text"}``, and at the end ``{"type": "done"}`` with all of the
reply."""


@dataclass(frozen=True)
class Reply:
    """What a turn came to."""

    text: str
    session: Session
    """The session behind it."""
    model: str | None
    usage: Usage | None
    trail: list[Attempt]
    """Each attempt of the call."""
    repeated: bool
    """Whether the same job had taken the turn before, so that no call was made."""
    finish_reason: str | None = None
    """Why the answer ended, as the endpoint says it."""
    truncated: bool = False
    """Whether it was cut at a limit of tokens: it lacks its end."""


class Conversations:
    """Sessions and those who answer in them.

    ``language`` ("en" or "it") is that of the shipped prompts; ``templates`` are prompts in place
    of those, by name; ``window`` has ``last`` messages (40), a ``token_budget`` (none) and
    ``summarise`` (False); ``wrappers`` are those that a session's settings may name as
    ``provider``. At most ``max_waiting`` (100) turns wait for one of the same session, each at
    most ``wait_ms`` (10 minutes).
    """

    def __init__(
        self,
        sessions: SessionManager,
        wrapper: Wrapper,
        *,
        wrappers: Mapping[str, Wrapper] | None = None,
        **options: Any,
    ) -> None:
        others = [(name, other._core) for name, other in (wrappers or {}).items()]
        given = {name: value for name, value in options.items() if value is not None}
        self.sessions = sessions
        self._core = _native.Conversations(sessions._core, wrapper._core, others, json.dumps(given))

    def open(self, id: str, *, owner: str = OWNER) -> Conversation:
        """Open a session to speak in. Whether it is there shows at its first use."""
        return Conversation(self, {"key": {"owner": owner, "id": id}})

    def submit_training(
        self,
        jobs: JobManager,
        id: str,
        document: Source | None = None,
        *,
        owner: str = OWNER,
        name: str | None = None,
        title: str | None = None,
        text: str | None = None,
        max_pages: int | None = None,
        job_id: str | None = None,
        **job: Any,
    ) -> str:
        """Ask for a session to be trained, on a document or on a ``text``; give the job's id.

        ``name`` is the document's, by which its kind is told where its content does not.
        Further names are the job's: ``queue`` ("conversations"), ``max_attempts``, ….
        """
        body, found = (None, None) if document is None else content_of(document)
        work: dict[str, Any] = {"max_pages": max_pages}
        if text is not None:
            work["text"] = {"title": title or "", "text": text}
        if body is not None:
            work["name"] = name or found or ""
        job = {**job, "id": job_id}
        return self._submit(jobs, owner, id, {"training": work}, job, body)

    async def asubmit_training(
        self, jobs: JobManager, id: str, document: Source | None = None, **more: Any
    ) -> str:
        """Do the same from a coroutine."""
        return await asyncio.to_thread(self.submit_training, jobs, id, document, **more)

    def submit_generation(
        self,
        jobs: JobManager,
        id: str,
        *,
        topic: str,
        words: int,
        audience: str,
        owner: str = OWNER,
        fields: Mapping[str, Any] | None = None,
        job_id: str | None = None,
        **job: Any,
    ) -> str:
        """Ask for a text to be written; give the job's id. Further names are the job's."""
        brief = _brief(topic, words, audience, fields)
        job = {**job, "id": job_id}
        return self._submit(jobs, owner, id, {"generation": brief}, job, None)

    async def asubmit_generation(self, jobs: JobManager, id: str, **more: Any) -> str:
        """Do the same from a coroutine."""
        return await asyncio.to_thread(self.submit_generation, jobs, id, **more)

    def _submit(
        self,
        jobs: JobManager,
        owner: str,
        id: str,
        work: dict[str, Any],
        job: dict[str, Any],
        body: bytes | None,
    ) -> str:
        order = {"key": {"owner": owner, "id": id}, "job": job, **work}
        return self._core.submit(jobs._core, json.dumps(order), body)


def session_name(id: str, *, owner: str = OWNER) -> str:
    """Tell what a session is called among jobs, as their ``session`` and ``group``."""
    return _native.session_name(owner, id)


class Conversation:
    """A session that can be spoken in. Each verb has a form for coroutines, with an ``a``."""

    def __init__(self, host: Conversations, place: dict[str, Any]) -> None:
        self._host = host
        self._place = place

    @property
    def id(self) -> str:
        """The session's id."""
        return str(self._place["key"]["id"])

    @property
    def owner(self) -> str:
        """The session's owner."""
        return str(self._place["key"]["owner"])

    def fenced(self, job: str, epoch: int) -> Conversation:
        """Speak as an attempt of a job: late ones write nothing, and a job its turn once."""
        return Conversation(self._host, {**self._place, "fence": {"job": job, "epoch": epoch}})

    def train(self, text: str, *, title: str = "") -> Reply:
        """Learn from a text, and give what the model says of it."""
        return self.train_stream(text, title=title).reply()

    async def atrain(self, text: str, *, title: str = "") -> Reply:
        """Do the same from a coroutine."""
        return await self.atrain_stream(text, title=title).reply()

    def train_document(
        self, document: Source, *, name: str | None = None, max_pages: int | None = None
    ) -> Reply:
        """Learn from a PDF, Markdown or plain text document."""
        return self.train_document_stream(document, name=name, max_pages=max_pages).reply()

    async def atrain_document(
        self, document: Source, *, name: str | None = None, max_pages: int | None = None
    ) -> Reply:
        """Do the same from a coroutine."""
        stream = await self.atrain_document_stream(document, name=name, max_pages=max_pages)
        return await stream.reply()

    def train_document_stream(
        self, document: Source, *, name: str | None = None, max_pages: int | None = None
    ) -> TurnStream:
        """Do the same, as it comes, once the document is read."""
        read, title = _read(document, name, max_pages)
        return self.train_stream(read, title=title)

    async def atrain_document_stream(
        self, document: Source, *, name: str | None = None, max_pages: int | None = None
    ) -> AsyncTurnStream:
        """Do the same, as it comes, from a coroutine."""
        read, title = await asyncio.to_thread(_read, document, name, max_pages)
        return self.atrain_stream(read, title=title)

    def train_stream(self, text: str, *, title: str = "") -> TurnStream:
        """Do the same, as it comes."""
        return TurnStream(self._say({"train": {"title": title, "text": text}}))

    def atrain_stream(self, text: str, *, title: str = "") -> AsyncTurnStream:
        """Do the same, as it comes, from a coroutine."""
        return AsyncTurnStream(self._say({"train": {"title": title, "text": text}}))

    def generate(self, topic: str, words: int, audience: str, **fields: Any) -> Reply:
        """Write a text in the style of what it was trained on."""
        return self.generate_stream(topic, words, audience, **fields).reply()

    async def agenerate(self, topic: str, words: int, audience: str, **fields: Any) -> Reply:
        """Do the same from a coroutine."""
        return await self.agenerate_stream(topic, words, audience, **fields).reply()

    def generate_stream(self, topic: str, words: int, audience: str, **fields: Any) -> TurnStream:
        """Do the same, as it comes."""
        return TurnStream(self._say({"generate": _brief(topic, words, audience, fields)}))

    def agenerate_stream(
        self, topic: str, words: int, audience: str, **fields: Any
    ) -> AsyncTurnStream:
        """Do the same, as it comes, from a coroutine."""
        return AsyncTurnStream(self._say({"generate": _brief(topic, words, audience, fields)}))

    def send(self, prompt: str) -> Reply:
        """Say something, and give the answer."""
        return self.send_stream(prompt).reply()

    async def asend(self, prompt: str) -> Reply:
        """Do the same from a coroutine."""
        return await self.asend_stream(prompt).reply()

    def send_stream(self, prompt: str) -> TurnStream:
        """Do the same, as it comes."""
        return TurnStream(self._say({"send": prompt}))

    def asend_stream(self, prompt: str) -> AsyncTurnStream:
        """Do the same, as it comes, from a coroutine."""
        return AsyncTurnStream(self._say({"send": prompt}))

    def _say(self, say: dict[str, Any]) -> _native.TurnStream:
        return self._host._core.say(json.dumps({**self._place, "say": say}))


class TurnStream:
    """A turn as it goes on. Closed before its end, it leaves the session as it was."""

    def __init__(self, native: _native.TurnStream) -> None:
        self._core = native

    def reply(self) -> Reply:
        """Go on to its end."""
        for piece in self:
            if piece["type"] == "done":
                return _reply(piece)
        raise RuntimeError("the turn was closed")

    def text(self) -> Iterator[str]:
        """Give the pieces of text alone. Leaving the loop over it stops the turn."""
        try:
            for piece in self:
                if piece["type"] == "text":
                    yield piece["text"]
        finally:
            self.close()

    def close(self) -> None:
        """Stop the turn: the session is as it was."""
        self._core.close()

    def __iter__(self) -> TurnStream:
        return self

    def __next__(self) -> Piece:
        told = self._core.next()
        if told is None:
            raise StopIteration
        piece: Piece = json.loads(told)
        return piece

    def __enter__(self) -> TurnStream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class AsyncTurnStream:
    """The same for coroutines. Cancelling a wait for a piece stops the turn."""

    def __init__(self, native: _native.TurnStream) -> None:
        self._core = native

    async def reply(self) -> Reply:
        """Go on to its end."""
        async for piece in self:
            if piece["type"] == "done":
                return _reply(piece)
        raise RuntimeError("the turn was closed")

    async def text(self) -> AsyncIterator[str]:
        """Give the pieces of text alone. Closing the iterator over it stops the turn."""
        try:
            async for piece in self:
                if piece["type"] == "text":
                    yield piece["text"]
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """Stop the turn: the session is as it was."""
        self._core.close()

    def __aiter__(self) -> AsyncTurnStream:
        return self

    async def __anext__(self) -> Piece:
        try:
            told = await _desk.current().result(self._core.anext)
        except BaseException:
            self._core.close()
            raise
        if told is None:
            raise StopAsyncIteration
        piece: Piece = json.loads(told)
        return piece

    async def __aenter__(self) -> AsyncTurnStream:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()


def _read(document: Source, name: str | None, max_pages: int | None) -> tuple[str, str]:
    """Read a document, and find its title: else its name."""
    body, found = content_of(document)
    read = read_document(body, name=name or found, max_pages=max_pages)
    return read.text, read.title or name or found or ""


def _brief(
    topic: str, words: int, audience: str, fields: Mapping[str, Any] | None
) -> dict[str, Any]:
    return {**(fields or {}), "topic": topic, "words": words, "audience": audience}


def _reply(told: Piece) -> Reply:
    usage = told.get("usage")
    return Reply(
        text=told["text"],
        session=session_of(told["session"]),
        model=told.get("model"),
        usage=Usage(**usage) if usage else None,
        trail=[attempt_from_wire(attempt) for attempt in told["trail"]],
        repeated=told["repeated"],
        finish_reason=told.get("finish_reason"),
        truncated=told["truncated"],
    )
