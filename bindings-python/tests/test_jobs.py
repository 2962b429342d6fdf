"""Jobs from Python: over memory, SQLite, and a real Redis where there is one."""

import asyncio
import os

import pytest
from conftest import free_port
from credential_rotation import (
    BackendUnavailableError,
    InvalidJobError,
    Job,
    JobManager,
    UnknownJobError,
    WaitTimeoutError,
)


def test_a_job_is_taken_in_and_found(jobs: JobManager, queue: str) -> None:
    payload = {"text": "Ciao — 日本", "n": 2**70, "list": [1, None, True]}
    name = jobs.enqueue(queue, payload, priority=5, tags=["a"], session="s", delay_ms=60_000)
    job = jobs.find(name)
    assert isinstance(job, Job)
    assert (job.payload, job.state, job.kind) == (payload, "delayed", queue)
    assert (job.priority, job.tags, job.session, job.finished) == (5, ["a"], "s", False)
    assert jobs.get(name, "never") == [job, None]
    assert [one.id for one in jobs.list(queue=queue, tag="a").jobs] == [name]
    assert jobs.list(queue=queue, tag="b").jobs == []
    assert jobs.counts()[queue]["delayed"] == 1
    assert jobs.cancel(name, "never") == {name: "cancelled", "never": None}
    jobs.retry(name)
    assert jobs.find(name).state == "waiting"
    assert jobs.delete(name, "never") == {name: True, "never": False}
    with pytest.raises(UnknownJobError, match="no job `never`"):
        jobs.find("never")
    with pytest.raises(UnknownJobError):
        jobs.retry("never")


def test_a_batch_crosses_at_once_and_answers_for_each(jobs: JobManager, queue: str) -> None:
    batch = [
        {"queue": queue, "id": "a"},
        {"queue": queue, "id": "a"},
        {"queue": queue, "priority": 501},
    ]
    first, second, third = jobs.enqueue_many(batch)
    assert (first.id, first.added) == ("a", True)
    assert (second.id, second.added) == ("a", False)
    assert (third.id, type(third.error)) == (None, InvalidJobError)
    many = jobs.enqueue_many({"queue": queue, "payload": {"n": n}} for n in range(1_000))
    assert len({one.id for one in many}) == 1_000
    page = jobs.list(queue=queue, limit=600)
    rest = jobs.list(queue=queue, limit=600, after=page.next)
    assert len(page.jobs) + len(rest.jobs) == 1_001
    jobs.purge(queue)
    jobs.delete(*(one.id for one in [*page.jobs, *rest.jobs]))


def test_what_cannot_be_is_told_by_its_class(jobs: JobManager, queue: str) -> None:
    for name, spec in [("a{b}", {}), (queue, {"max_attempts": 0}), (queue, {"nonsense": 1})]:
        with pytest.raises(InvalidJobError):
            jobs.enqueue(name, **spec)
    with pytest.raises(InvalidJobError, match="concurrency"):
        jobs.set_limits(queue, concurrency=0)
    with pytest.raises(InvalidJobError, match="cron"):
        jobs.put_schedule("bad", "61 * * * *", {"queue": queue})
    with pytest.raises(InvalidJobError, match="url"):
        JobManager.connect("nonsense://here")
    with pytest.raises(BackendUnavailableError, match="check that it runs"):
        JobManager.connect(f"redis://:sk-secret-x@127.0.0.1:{free_port()}")
    with pytest.raises(WaitTimeoutError):
        jobs.wait(jobs.enqueue(queue), timeout=0.02)


def test_queues_and_schedules_are_set(jobs: JobManager, queue: str) -> None:
    jobs.set_limits(queue, concurrency=3, rate={"jobs": 1, "per_ms": 10})
    assert jobs.limits(queue)["concurrency"] == 3
    jobs.pause(queue)
    assert jobs.counts()[queue]["paused"] is True
    jobs.resume(queue)
    jobs.put_schedule(queue, "0 7 * * *", {"queue": queue}, time_zone="Europe/Rome")
    assert [one["time_zone"] for one in jobs.schedules() if one["name"] == queue] == ["Europe/Rome"]
    assert jobs.delete_schedule(queue) is True


async def test_events_come_as_they_happen(jobs: JobManager, queue: str) -> None:
    seen = []
    with jobs.events() as events:
        name = await jobs.aenqueue(queue, delay_ms=60_000)
        await jobs.acancel(name)
        async for event in events:
            if event["queue"] == queue:
                seen.append((event["id"], event["event"]))
            if len(seen) == 2:
                break
    assert seen == [(name, "delayed"), (name, "cancelled")]


async def test_a_cancelled_wait_ends(jobs: JobManager, queue: str) -> None:
    name = await jobs.aenqueue(queue)
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(jobs.await_(name), 0.05)
    assert (await jobs.afind(name)).state == "waiting"


def test_a_forked_child_has_a_connection_of_its_own(redis_url: str, queue: str) -> None:
    jobs = JobManager.connect(redis_url)
    jobs.enqueue(queue, id="parent")
    child = os.fork()
    if child == 0:
        try:
            jobs.enqueue(queue, id="child")
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert jobs.find("child").queue == queue
    jobs.delete("parent", "child")


def test_what_is_counted_is_told(jobs: JobManager, queue: str) -> None:
    jobs.enqueue(queue, {"text": "ciao"})
    lines = jobs.metrics().splitlines()
    assert f'jobs_waiting{{queue="{queue}"}} 1' in lines
    assert lines[-1] == "# EOF"
