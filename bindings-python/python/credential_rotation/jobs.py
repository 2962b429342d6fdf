"""Jobs: taken in once, run at least once, with one recorded outcome.

What a job and a queue can be told, and where they are kept, is in ``docs/jobs.md``.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, overload

from credential_rotation import _desk, _native
from credential_rotation.errors import CredentialRotationError, from_details

__all__ = ["Enqueued", "Job", "JobEvents", "JobManager", "JobPage"]

JobSpec = Mapping[str, Any]
"""A job as it is asked for: ``queue`` and any of ``id``, ``kind``, ``payload``, ``priority``,
``delay_ms``, ``run_at``, ``max_attempts``, ``max_stalls``, ``retry``, ``timeout_ms``, ``deadline``,
``unique_key``, ``unique_for_ms``, ``group``, ``session``, ``webhook``, ``tags``,
``result_ttl_ms``."""

Rows = list[dict[str, Any]]
Refusals = list[CredentialRotationError | None]

_CENTURY = 3.2e9


@dataclass(frozen=True)
class Enqueued:
    """What became of a job that was to be enqueued."""

    id: str | None
    """The job that is there now; ``None`` if it was refused."""
    added: bool
    """Whether it was taken in; if not, one of its id or unique key was there."""
    error: CredentialRotationError | None = None
    """Why it was refused."""

    @property
    def duplicate(self) -> bool:
        """Whether it, or one of its unique key, was there before."""
        return self.error is None and not self.added


@dataclass(frozen=True)
class Job:
    """A job as it is at one moment. Times are in epoch milliseconds."""

    id: str
    queue: str
    kind: str
    state: str
    """``waiting``, ``delayed``, ``running``, ``completed``, ``failed`` or ``cancelled``."""
    payload: Any
    result: Any
    error: dict[str, Any] | None
    """``kind``, ``message`` and ``trace`` of the last failure."""
    progress: dict[str, Any] | None
    """``percent`` and ``message``."""
    attempt: int
    max_attempts: int
    stalls: int
    epoch: int
    priority: int
    group: str | None
    session: str | None
    tags: list[str]
    unique_key: str | None
    webhook: str | None
    worker: str | None
    cancel_requested: bool
    created_at: int
    run_at: int
    started_at: int | None
    finished_at: int | None
    deadline: int | None
    timeout_ms: int | None
    result_ttl_ms: int

    @property
    def finished(self) -> bool:
        """Whether it has come to an end."""
        return self.state in ("completed", "failed", "cancelled")


@dataclass(frozen=True)
class JobPage:
    """A page of a list."""

    jobs: list[Job]
    next: str | None
    """What to give as ``after`` for the next page."""


class JobManager:
    """Jobs at a URL: ``memory:``, ``sqlite:PATH``, ``redis://…`` and more.

    Each verb has a form for coroutines, with an ``a`` before its name; that of ``wait`` is
    ``await_``.
    """

    def __init__(self, native: _native.JobManager) -> None:
        self._core = native

    @classmethod
    def connect(cls, url: str) -> JobManager:
        """Open the jobs at a URL."""
        return cls(_native.JobManager.connect(url))

    @classmethod
    async def aconnect(cls, url: str) -> JobManager:
        """Do the same from a coroutine."""
        return await asyncio.to_thread(cls.connect, url)

    @property
    def backend(self) -> str:
        """Where the jobs are, without user and password."""
        return str(self._ask("backend"))

    def enqueue(self, queue: str, payload: Any = None, **spec: Any) -> str:
        """Take a job in; give the id of the job that is there now."""
        return _id(_enqueued(self._ask("enqueue", [_spec(queue, payload, spec)]))[0])

    async def aenqueue(self, queue: str, payload: Any = None, **spec: Any) -> str:
        """Do the same from a coroutine."""
        answers = await self._aask("enqueue", [_spec(queue, payload, spec)])
        return _id(_enqueued(answers)[0])

    def enqueue_many(self, jobs: Iterable[JobSpec]) -> list[Enqueued]:
        """Take jobs in, each by itself: the answers are in the order of the jobs."""
        return _enqueued(self._ask("enqueue", list(map(dict, jobs))))

    async def aenqueue_many(self, jobs: Iterable[JobSpec]) -> list[Enqueued]:
        """Do the same from a coroutine."""
        return _enqueued(await self._aask("enqueue", list(map(dict, jobs))))

    def get(self, *ids: str) -> list[Job | None]:
        """Look jobs up; ``None`` for one that is not there."""
        return [_job(job) if job else None for job in self._ask("get", ids)]

    async def aget(self, *ids: str) -> list[Job | None]:
        """Do the same from a coroutine."""
        return [_job(job) if job else None for job in await self._aask("get", ids)]

    def find(self, id: str) -> Job:
        """Look one job up; one that is not there is an ``UnknownJobError``."""
        return _job(self._ask("find", id))

    async def afind(self, id: str) -> Job:
        """Do the same from a coroutine."""
        return _job(await self._aask("find", id))

    def list(self, **wanted: Any) -> JobPage:
        """List jobs by ``queue``, ``state``, ``kind``, ``group``, ``session``, ``tag``.

        A page has ``limit`` jobs (100) and begins behind the mark ``after``.
        """
        return _page(self._ask("list", wanted))

    async def alist(self, **wanted: Any) -> JobPage:
        """Do the same from a coroutine."""
        return _page(await self._aask("list", wanted))

    def counts(self) -> dict[str, dict[str, Any]]:
        """Count the jobs of all queues, by name."""
        return _by_queue(self._ask("counts"))

    async def acounts(self) -> dict[str, dict[str, Any]]:
        """Do the same from a coroutine."""
        return _by_queue(await self._aask("counts"))

    def cancel(self, *ids: str) -> dict[str, str | None]:
        """Call jobs off: gives each one's state, ``None`` if it is not there.

        A running one is told, and is ``cancelled`` when its handler gives way.
        """
        return dict(zip(ids, self._ask("cancel", ids), strict=True))

    async def acancel(self, *ids: str) -> dict[str, str | None]:
        """Do the same from a coroutine."""
        return dict(zip(ids, await self._aask("cancel", ids), strict=True))

    def delete(self, *ids: str) -> dict[str, bool]:
        """Remove jobs with all that is known of them; tells which were there."""
        return dict(zip(ids, self._ask("delete", ids), strict=True))

    async def adelete(self, *ids: str) -> dict[str, bool]:
        """Do the same from a coroutine."""
        return dict(zip(ids, await self._aask("delete", ids), strict=True))

    @overload
    def retry(self, id: str, /) -> None: ...
    @overload
    def retry(self, *ids: str) -> Refusals: ...
    def retry(self, *ids: str) -> Refusals | None:
        """Let jobs that have ended wait again, with all their attempts.

        Raises if one job cannot; of many, gives each one's error or ``None``.
        """
        return _refusals(self._ask("retry", ids))

    @overload
    async def aretry(self, id: str, /) -> None: ...
    @overload
    async def aretry(self, *ids: str) -> Refusals: ...
    async def aretry(self, *ids: str) -> Refusals | None:
        """Do the same from a coroutine."""
        return _refusals(await self._aask("retry", ids))

    def wait(self, id: str, *, timeout: float = 3600.0) -> Job:
        """Wait for a job's end, at most so many seconds; then a ``WaitTimeoutError``."""
        return _job(self._ask("wait", _wait(id, timeout)))

    async def await_(self, id: str, *, timeout: float = 3600.0) -> Job:
        """Do the same from a coroutine; the name has no ``a`` before it, as that is taken."""
        return _job(await self._aask("wait", _wait(id, timeout)))

    def log(self, id: str) -> Rows:
        """Give the last lines of a job's log, oldest first: ``at`` and ``text``."""
        return _rows(self._ask("log", id))

    async def alog(self, id: str) -> Rows:
        """Do the same from a coroutine."""
        return _rows(await self._aask("log", id))

    def pause(self, queue: str) -> None:
        """Stop claims of a queue; running jobs go on."""
        self._ask("pause", {"queue": queue, "paused": True})

    async def apause(self, queue: str) -> None:
        """Do the same from a coroutine."""
        await self._aask("pause", {"queue": queue, "paused": True})

    def resume(self, queue: str) -> None:
        """Allow claims again."""
        self._ask("pause", {"queue": queue, "paused": False})

    async def aresume(self, queue: str) -> None:
        """Do the same from a coroutine."""
        await self._aask("pause", {"queue": queue, "paused": False})

    def set_limits(self, queue: str, **limits: Any) -> None:
        """Set a queue's limits, for all workers; what is left out has its default."""
        self._ask("set_limits", {"queue": queue, "limits": limits})

    async def aset_limits(self, queue: str, **limits: Any) -> None:
        """Do the same from a coroutine."""
        await self._aask("set_limits", {"queue": queue, "limits": limits})

    def limits(self, queue: str) -> dict[str, Any]:
        """Give a queue's limits."""
        return dict(self._ask("limits", queue))

    async def alimits(self, queue: str) -> dict[str, Any]:
        """Do the same from a coroutine."""
        return dict(await self._aask("limits", queue))

    def sweep(self) -> int:
        """Promote, take back and drop what is due in queues without workers."""
        return int(self._ask("sweep"))

    async def asweep(self) -> int:
        """Do the same from a coroutine."""
        return int(await self._aask("sweep"))

    def purge(self, queue: str, *states: str, older_than: float = 0.0) -> int:
        """Drop jobs that ended in these states so many seconds ago; tells how many."""
        return int(self._ask("purge", _purge(queue, states, older_than)))

    async def apurge(self, queue: str, *states: str, older_than: float = 0.0) -> int:
        """Do the same from a coroutine."""
        return int(await self._aask("purge", _purge(queue, states, older_than)))

    def put_schedule(self, name: str, cron: str, job: JobSpec, **more: Any) -> None:
        """Set, or replace, a schedule.

        ``time_zone`` is an IANA name (UTC), ``misfire`` ``once`` (the default) or ``skip``.
        """
        self._ask("put_schedule", {"name": name, "cron": cron, "job": dict(job), **more})

    async def aput_schedule(self, name: str, cron: str, job: JobSpec, **more: Any) -> None:
        """Do the same from a coroutine."""
        await self._aask("put_schedule", {"name": name, "cron": cron, "job": dict(job), **more})

    def delete_schedule(self, name: str) -> bool:
        """Remove a schedule; tells whether it was there."""
        return bool(self._ask("delete_schedule", name))

    async def adelete_schedule(self, name: str) -> bool:
        """Do the same from a coroutine."""
        return bool(await self._aask("delete_schedule", name))

    def schedules(self) -> Rows:
        """Give all schedules, by name."""
        return _rows(self._ask("schedules"))

    async def aschedules(self) -> Rows:
        """Do the same from a coroutine."""
        return _rows(await self._aask("schedules"))

    def workers(self) -> Rows:
        """Give the workers that were there lately."""
        return _rows(self._ask("workers"))

    async def aworkers(self) -> Rows:
        """Do the same from a coroutine."""
        return _rows(await self._aask("workers"))

    def metrics(self) -> str:
        """Give what is counted, in Prometheus' text form; the names are in ``docs/jobs.md``."""
        return str(self._ask("metrics"))

    async def ametrics(self) -> str:
        """Do the same from a coroutine."""
        return str(await self._aask("metrics"))

    def events(self) -> JobEvents:
        """Follow what happens from now on, in this and other processes."""
        return JobEvents(self._core.events())

    async def aevents(self) -> JobEvents:
        """Do the same from a coroutine."""
        return await asyncio.to_thread(self.events)

    def close(self) -> None:
        """End waits and events. What was taken in stays."""
        self._ask("close")

    async def aclose(self) -> None:
        """Do the same from a coroutine."""
        await self._aask("close")

    async def __aenter__(self) -> JobManager:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __enter__(self) -> JobManager:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _ask(self, verb: str, words: Any = None) -> Any:
        return json.loads(self._core.ask(verb, _json(words)))

    async def _aask(self, verb: str, words: Any = None) -> Any:
        return json.loads(await _desk.current().result(self._core.aask, verb, _json(words)))


class JobEvents:
    """What happens to jobs, for ``for`` and ``async for``.

    Each is a dictionary: ``at``, ``queue``, ``id`` and ``event``: ``waiting``, ``delayed``,
    ``running``, ``progress``, ``log``, ``completed``, ``failed``, ``cancelled``,
    ``cancel_requested``, ``stalled``, ``deleted``, ``drained``, or ``gap`` when some were lost.
    """

    def __init__(self, native: _native.JobEvents) -> None:
        self._core = native

    def close(self) -> None:
        """Follow no longer; whoever waits is told that it is the end."""
        self._core.close()

    def __iter__(self) -> JobEvents:
        return self

    def __next__(self) -> dict[str, Any]:
        event = self._core.next()
        if event is None:
            raise StopIteration
        told: dict[str, Any] = json.loads(event)
        return told

    def __aiter__(self) -> JobEvents:
        return self

    async def __anext__(self) -> dict[str, Any]:
        event = await _desk.current().result(self._core.anext)
        if event is None:
            raise StopAsyncIteration
        told: dict[str, Any] = json.loads(event)
        return told

    def __enter__(self) -> JobEvents:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _json(words: Any) -> str:
    return json.dumps(words, ensure_ascii=False, separators=(",", ":"))


def _spec(queue: str, payload: Any, more: dict[str, Any]) -> dict[str, Any]:
    return {"queue": queue, "payload": payload, **more}


def _wait(id: str, timeout: float) -> dict[str, Any]:
    return {"id": id, "at_most_ms": _ms(timeout)}


def _purge(queue: str, states: Iterable[str], older_than: float) -> dict[str, Any]:
    ended = [*states] or ["completed", "failed", "cancelled"]
    return {"queue": queue, "states": ended, "older_than_ms": _ms(older_than)}


def _ms(seconds: float) -> int:
    return int(min(max(0.0, seconds), _CENTURY) * 1000)


def _job(told: dict[str, Any]) -> Job:
    return Job(**told)


def _page(told: tuple[list[dict[str, Any]], str | None]) -> JobPage:
    jobs, mark = told
    return JobPage([_job(job) for job in jobs], mark)


def _by_queue(told: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {counts.pop("queue"): counts for counts in told}


def _enqueued(answers: list[Any]) -> list[Enqueued]:
    def one(answer: Any) -> Enqueued:
        if isinstance(answer, dict):
            return Enqueued(None, False, from_details(answer))
        return Enqueued(answer[0], answer[1])

    return [one(answer) for answer in answers]


def _id(answer: Enqueued) -> str:
    if answer.error is not None:
        raise answer.error
    return str(answer.id)


def _refusals(told: list[dict[str, Any] | None]) -> Refusals | None:
    errors = [from_details(error) if error else None for error in told]
    if len(errors) != 1:
        return errors
    if errors[0] is not None:
        raise errors[0]
    return None


def _rows(told: Any) -> Rows:
    rows: Rows = told
    return rows
