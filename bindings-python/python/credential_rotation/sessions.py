"""Sessions: conversations that are kept, shared by processes and isolated by owner.

What a session and its messages are is in ``docs/sessions.md``.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypedDict

from credential_rotation import _desk, _native

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["Entry", "Guard", "Session", "SessionManager", "SessionPage", "Transcript"]

OWNER = "default"
"""The owner of sessions where there is only one."""

Message = Mapping[str, Any]
"""A message: ``role`` and ``content``, and where wanted ``kind`` ("talk", "training",
"summary") and ``tokens``."""


class Guard(TypedDict, total=False):
    """On what conditions something is written; what does not hold is refused, changing nothing."""

    version: int | None
    """The version that the session must have."""
    fence: tuple[str, int] | None
    """The job's attempt that writes, as its id and epoch: an earlier one is refused."""
    incarnation: int | None
    """The incarnation that it must be, so that one made anew under its id is left alone."""


@dataclass(frozen=True)
class Session:
    """A session without its messages. Times are in epoch milliseconds."""

    owner: str
    id: str
    version: int
    """Grows by one with each change of messages, name, tags or settings."""
    messages: int
    bytes: int
    turns: int
    created_at: int
    active_at: int
    name: str | None = None
    tags: list[str] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    removed_at: int = 0
    """The version of the last removal of messages."""
    incarnation: int = 0
    """Tells it from others that had this id before it or will behind it."""
    training: list[int] = field(default_factory=list)
    """The places of messages that trained it."""
    summary: int | None = None
    jobs: list[dict[str, Any]] = field(default_factory=list)
    """``id``, ``epoch`` and ``until`` of jobs that work on it."""

    @property
    def trained(self) -> bool:
        """Whether it was trained on something."""
        return bool(self.training)


@dataclass(frozen=True)
class Entry:
    """A message in its place."""

    place: int
    turn: int
    """The place of its turn's first message."""
    version: int
    at: int
    message: dict[str, Any]
    kind: str = "talk"
    tokens: int | None = None
    key: str | None = None

    @property
    def text(self) -> str:
        """What was said, where that is plain text."""
        content = self.message.get("content")
        return content if isinstance(content, str) else ""


Entries = list[Entry]
Names = list[str]


@dataclass(frozen=True)
class Transcript:
    """Messages, with the session as it was when they were read."""

    session: Session
    entries: list[Entry]
    reset: bool
    """Whether messages were removed behind the version asked from: forget what was read."""


@dataclass(frozen=True)
class SessionPage:
    """A page of a list."""

    sessions: list[Session]
    next: str | None
    """What to give as ``after`` for the next page."""


class SessionManager:
    """Sessions at a URL: ``memory:``, ``sqlite:PATH``, ``redis://…`` and more.

    Each verb has a form for coroutines, with an ``a`` before its name. A write may be given
    the members of a `Guard`; one that comes too late is refused and changes nothing.
    """

    def __init__(self, native: _native.SessionManager) -> None:
        self._core = native

    @classmethod
    def connect(cls, url: str) -> SessionManager:
        """Open the sessions at a URL."""
        return cls(_native.SessionManager.connect(url))

    @classmethod
    async def aconnect(cls, url: str) -> SessionManager:
        """Do the same from a coroutine."""
        return await asyncio.to_thread(cls.connect, url)

    @property
    def backend(self) -> str:
        """Where the sessions are, without user and password."""
        return str(self._ask("backend"))

    def create(self, /, id: str | None = None, *, owner: str = OWNER, **new: Any) -> Session:
        """Make a session; without an ``id`` one is made. ``name``, ``tags`` and ``settings``."""
        return _session(self._ask("create", session={"owner": owner, "id": id, **new}))

    async def acreate(self, /, id: str | None = None, *, owner: str = OWNER, **new: Any) -> Session:
        """Do the same from a coroutine."""
        return _session(await self._aask("create", session={"owner": owner, "id": id, **new}))

    def get(self, id: str, *, owner: str = OWNER) -> Session:
        """Look a session up; one that is not there or another's is an ``UnknownSessionError``."""
        return _session(self._ask("get", key=_key(owner, id)))

    async def aget(self, id: str, *, owner: str = OWNER) -> Session:
        """Do the same from a coroutine."""
        return _session(await self._aask("get", key=_key(owner, id)))

    def list(self, **wanted: Any) -> SessionPage:
        """List sessions by ``owner`` and ``tag``, those used last first.

        A page has ``limit`` sessions (100) and begins behind the mark ``after``.
        """
        return _page(self._ask("list", filter=wanted))

    async def alist(self, **wanted: Any) -> SessionPage:
        """Do the same from a coroutine."""
        return _page(await self._aask("list", filter=wanted))

    def count(self, *, owner: str | None = None) -> int:
        """Count an owner's sessions, or all."""
        return int(self._ask("count", owner=owner))

    async def acount(self, *, owner: str | None = None) -> int:
        """Do the same from a coroutine."""
        return int(await self._aask("count", owner=owner))

    def append(
        self,
        id: str,
        *messages: Message,
        owner: str = OWNER,
        key: str | None = None,
        **guard: Unpack[Guard],
    ) -> Session:
        """Add messages as one turn. A second turn of the same ``key`` is not added again."""
        return _written(self._ask("append", **_turn(owner, id, messages, key, guard)))

    async def aappend(
        self,
        id: str,
        *messages: Message,
        owner: str = OWNER,
        key: str | None = None,
        **guard: Unpack[Guard],
    ) -> Session:
        """Do the same from a coroutine."""
        words = _turn(owner, id, messages, key, guard)
        return _written(await self._aask("append", **words))

    def last(self, id: str, count: int, *, owner: str = OWNER) -> Entries:
        """Give the last messages, oldest first."""
        return self._read(owner, id, {"last": count}).entries

    async def alast(self, id: str, count: int, *, owner: str = OWNER) -> Entries:
        """Do the same from a coroutine."""
        return (await self._aread(owner, id, {"last": count})).entries

    def since(self, id: str, version: int, *, owner: str = OWNER) -> Transcript:
        """Give the messages behind a version; all, with ``reset``, if some were removed."""
        return self._read(owner, id, {"since": version})

    async def asince(self, id: str, version: int, *, owner: str = OWNER) -> Transcript:
        """Do the same from a coroutine."""
        return await self._aread(owner, id, {"since": version})

    def read(self, id: str, place: int, limit: int, *, owner: str = OWNER) -> Transcript:
        """Give messages from a place on."""
        return self._read(owner, id, {"from": {"place": place, "limit": limit}})

    async def aread(self, id: str, place: int, limit: int, *, owner: str = OWNER) -> Transcript:
        """Do the same from a coroutine."""
        return await self._aread(owner, id, {"from": {"place": place, "limit": limit}})

    def find_turn(self, id: str, name: str, *, owner: str = OWNER) -> Transcript:
        """Give the turn that was added with that ``key``, wherever it is, or no messages.

        A session knows its last 32 turns that have one.
        """
        return _transcript(self._ask("find_turn", key=_key(owner, id), name=name))

    async def afind_turn(self, id: str, name: str, *, owner: str = OWNER) -> Transcript:
        """Do the same from a coroutine."""
        return _transcript(await self._aask("find_turn", key=_key(owner, id), name=name))

    def pop(
        self,
        id: str,
        *,
        owner: str = OWNER,
        **guard: Unpack[Guard],
    ) -> Session:
        """Remove the last turn, if there is one."""
        return _written(self._ask("pop", **_guarded(owner, id, guard)))

    async def apop(
        self,
        id: str,
        *,
        owner: str = OWNER,
        **guard: Unpack[Guard],
    ) -> Session:
        """Do the same from a coroutine."""
        return _written(await self._aask("pop", **_guarded(owner, id, guard)))

    def clear(
        self,
        id: str,
        *,
        owner: str = OWNER,
        **guard: Unpack[Guard],
    ) -> Session:
        """Remove all messages."""
        return _written(self._ask("clear", **_guarded(owner, id, guard)))

    async def aclear(
        self,
        id: str,
        *,
        owner: str = OWNER,
        **guard: Unpack[Guard],
    ) -> Session:
        """Do the same from a coroutine."""
        return _written(await self._aask("clear", **_guarded(owner, id, guard)))

    def change(
        self,
        id: str,
        /,
        *,
        name: str | None = None,
        tags: Names | None = None,
        settings: Mapping[str, Any] | None = None,
        owner: str = OWNER,
        **guard: Unpack[Guard],
    ) -> Session:
        """Set ``name`` (empty for none), ``tags`` or ``settings``, each as a whole."""
        change = {"name": name, "tags": tags, "settings": settings}
        return _written(self._ask("change", change=change, **_guarded(owner, id, guard)))

    async def achange(
        self,
        id: str,
        /,
        *,
        name: str | None = None,
        tags: Names | None = None,
        settings: Mapping[str, Any] | None = None,
        owner: str = OWNER,
        **guard: Unpack[Guard],
    ) -> Session:
        """Do the same from a coroutine."""
        change = {"name": name, "tags": tags, "settings": settings}
        return _written(await self._aask("change", change=change, **_guarded(owner, id, guard)))

    def attach(
        self, id: str, fence: tuple[str, int], *, owner: str = OWNER, seconds: float = 3600.0
    ) -> Session:
        """Say that a job's attempt works on it: until then, or so long, it is not cleaned up."""
        words = _guarded(owner, id, {"fence": fence})
        return _written(self._ask("attach", for_ms=int(seconds * 1000), **words))

    async def aattach(
        self, id: str, fence: tuple[str, int], *, owner: str = OWNER, seconds: float = 3600.0
    ) -> Session:
        """Do the same from a coroutine."""
        words = _guarded(owner, id, {"fence": fence})
        return _written(await self._aask("attach", for_ms=int(seconds * 1000), **words))

    def detach(self, id: str, fence: tuple[str, int], *, owner: str = OWNER) -> Session:
        """Say that the attempt works on it no more."""
        return _written(self._ask("detach", **_guarded(owner, id, {"fence": fence})))

    async def adetach(self, id: str, fence: tuple[str, int], *, owner: str = OWNER) -> Session:
        """Do the same from a coroutine."""
        return _written(await self._aask("detach", **_guarded(owner, id, {"fence": fence})))

    def touch(self, id: str, *, owner: str = OWNER, **guard: Unpack[Guard]) -> Session:
        """Say that it is in use."""
        return _written(self._ask("touch", **_guarded(owner, id, guard)))

    async def atouch(self, id: str, *, owner: str = OWNER, **guard: Unpack[Guard]) -> Session:
        """Do the same from a coroutine."""
        return _written(await self._aask("touch", **_guarded(owner, id, guard)))

    def fork(self, id: str, to: str | None = None, *, owner: str = OWNER) -> Session:
        """Make a session that begins with another's messages."""
        return _session(self._ask("fork", key=_key(owner, id), id=to))

    async def afork(self, id: str, to: str | None = None, *, owner: str = OWNER) -> Session:
        """Do the same from a coroutine."""
        return _session(await self._aask("fork", key=_key(owner, id), id=to))

    def delete(self, id: str, *, owner: str = OWNER, **guard: Unpack[Guard]) -> None:
        """Remove a session with all that is kept with it."""
        self._ask("delete", **_guarded(owner, id, guard))

    async def adelete(self, id: str, *, owner: str = OWNER, **guard: Unpack[Guard]) -> None:
        """Do the same from a coroutine."""
        await self._aask("delete", **_guarded(owner, id, guard))

    def clean_up(self, idle: float) -> int:
        """Remove sessions unused for so many seconds, none with a job at work; tell how many."""
        return int(self._ask("clean_up", idle_ms=int(idle * 1000)))

    async def aclean_up(self, idle: float) -> int:
        """Do the same from a coroutine."""
        return int(await self._aask("clean_up", idle_ms=int(idle * 1000)))

    def export(self, id: str, *, owner: str = OWNER) -> str:
        """Write a session as JSON lines."""
        return str(self._ask("export", key=_key(owner, id)))

    async def aexport(self, id: str, *, owner: str = OWNER) -> str:
        """Do the same from a coroutine."""
        return str(await self._aask("export", key=_key(owner, id)))

    def import_(self, lines: str, *, owner: str = OWNER, id: str | None = None) -> Session:
        """Make a session of an export; the name is Python's, as ``import`` is taken."""
        return _session(self._ask("import", owner=owner, id=id, lines=lines))

    async def aimport(self, lines: str, *, owner: str = OWNER, id: str | None = None) -> Session:
        """Do the same from a coroutine."""
        return _session(await self._aask("import", owner=owner, id=id, lines=lines))

    def put_file(
        self, id: str, name: str, body: bytes, *, owner: str = OWNER, **guard: Unpack[Guard]
    ) -> None:
        """Keep a file with a session: up to 64 MiB, at most 16."""
        self._core.put_file(json.dumps({"name": name, **_guarded(owner, id, guard)}), body)

    async def aput_file(
        self, id: str, name: str, body: bytes, *, owner: str = OWNER, **guard: Unpack[Guard]
    ) -> None:
        """Do the same from a coroutine."""
        await asyncio.to_thread(self.put_file, id, name, body, owner=owner, **guard)

    def file(self, id: str, name: str, *, owner: str = OWNER) -> bytes:
        """Read a file."""
        return self._core.file(owner, id, name)

    async def afile(self, id: str, name: str, *, owner: str = OWNER) -> bytes:
        """Do the same from a coroutine."""
        return await asyncio.to_thread(self.file, id, name, owner=owner)

    def files(self, id: str, *, owner: str = OWNER) -> Names:
        """Give the names of a session's files, sorted."""
        return list(self._ask("files", key=_key(owner, id)))

    async def afiles(self, id: str, *, owner: str = OWNER) -> Names:
        """Do the same from a coroutine."""
        return list(await self._aask("files", key=_key(owner, id)))

    def drop_file(self, id: str, name: str, *, owner: str = OWNER, **guard: Unpack[Guard]) -> bool:
        """Drop a file; tells whether it was there."""
        return bool(self._ask("drop_file", name=name, **_guarded(owner, id, guard)))

    async def adrop_file(
        self, id: str, name: str, *, owner: str = OWNER, **guard: Unpack[Guard]
    ) -> bool:
        """Do the same from a coroutine."""
        return bool(await self._aask("drop_file", name=name, **_guarded(owner, id, guard)))

    def _read(self, owner: str, id: str, which: dict[str, Any]) -> Transcript:
        return _transcript(self._ask("read", key=_key(owner, id), range=which))

    async def _aread(self, owner: str, id: str, which: dict[str, Any]) -> Transcript:
        return _transcript(await self._aask("read", key=_key(owner, id), range=which))

    def _ask(self, verb: str, **words: Any) -> Any:
        return json.loads(self._core.ask(_wish(verb, words)))

    async def _aask(self, verb: str, **words: Any) -> Any:
        answer = await _desk.current().result(self._core.aask, _wish(verb, words))
        return json.loads(answer)


def session_of(told: dict[str, Any]) -> Session:
    """Read a session as the core tells it."""
    return Session(**told)


_session = session_of


def _wish(verb: str, words: dict[str, Any]) -> str:
    return json.dumps({"verb": verb, **words}, ensure_ascii=False, separators=(",", ":"))


def _key(owner: str, id: str) -> dict[str, str]:
    return {"owner": owner, "id": id}


def _guarded(owner: str, id: str, guard: Guard) -> dict[str, Any]:
    words: dict[str, Any] = {**guard}
    fence = words.get("fence")
    # What is no pair is left to the core, whose error names it.
    if isinstance(fence, tuple) and len(fence) == 2:
        words["fence"] = {"job": fence[0], "epoch": fence[1]}
    return {"key": _key(owner, id), "guard": words}


def _turn(
    owner: str, id: str, messages: Iterable[Message], key: str | None, guard: Guard
) -> dict[str, Any]:
    turn = {"messages": list(map(dict, messages)), "key": key}
    return {"turn": turn, **_guarded(owner, id, guard)}


def _written(told: dict[str, Any]) -> Session:
    return _session(told["session"])


def _transcript(told: dict[str, Any]) -> Transcript:
    entries = [Entry(**entry) for entry in told["entries"]]
    return Transcript(_session(told["session"]), entries, told["reset"])


def _page(told: dict[str, Any]) -> SessionPage:
    return SessionPage([_session(session) for session in told["sessions"]], told["next"])
