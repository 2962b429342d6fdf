"""Jobs from Python: over memory, SQLite, and a real Redis where there is one."""

import asyncio
import os
import signal
import time

import pytest
from conftest import RedisServer, free_port
from credential_rotation import (
    BackendUnavailableError,
    IllegalMoveError,
    InvalidJobError,
    Job,
    JobManager,
    ManagerClosedError,
    UnknownJobError,
    WaitTimeoutError,
    Worker,
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
        {"queue": queue, "nonsense": 1},
        {"queue": queue, "id": "b"},
    ]
    first, second, third, fourth, fifth = jobs.enqueue_many(batch)
    assert (type(fourth.error), fifth.id, fifth.added) == (InvalidJobError, "b", True)
    jobs.delete("b")
    assert (first.id, first.added) == ("a", True)
    assert (second.id, second.added) == ("a", False)
    assert [one.duplicate for one in (first, second, third)] == [False, True, False]
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


def test_a_forked_child_has_a_connection_of_its_own(shared_url: str, queue: str) -> None:
    jobs = JobManager.connect(shared_url)
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


def test_forked_children_make_ids_of_their_own(shared_url: str, queue: str) -> None:
    jobs = JobManager.connect(shared_url)
    made = {jobs.enqueue(queue)}
    pipes = []
    for _ in range(8):
        read, write = os.pipe()
        if os.fork() == 0:
            try:
                os.close(read)
                batch = jobs.enqueue_many([{"queue": queue}] * 200)
                with os.fdopen(write, "w") as words:
                    words.write("\n".join(str(one.id) for one in batch if one.added))
            finally:
                os._exit(0)
        os.close(write)
        pipes.append(read)
    for read in pipes:
        with os.fdopen(read) as words:
            made.update(words.read().split())
        os.wait()
    assert len(made) == 1 + 8 * 200
    assert jobs.counts()[queue]["waiting"] == len(made)
    jobs.purge(queue)


def test_a_child_that_cannot_reconnect_does_not_block_its_loop(
    own_redis: RedisServer, queue: str
) -> None:
    jobs = JobManager.connect(own_redis.url)
    worker = Worker(jobs, [queue])
    worker.handler()(lambda _: None)

    async def turns() -> int:
        running = asyncio.ensure_future(worker.arun())
        begun = time.monotonic()
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert not running.done()
        return int(time.monotonic() - begun)

    # It takes connections, and never answers.
    own_redis.process.send_signal(signal.SIGSTOP)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = asyncio.new_event_loop().run_until_complete(turns())
        finally:
            os._exit(code)
    code_of_child = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    own_redis.process.send_signal(signal.SIGCONT)
    assert code_of_child == 0


async def test_every_verb_has_a_form_for_coroutines(jobs: JobManager, queue: str) -> None:
    verbs = [name for name in dir(JobManager) if not name.startswith("_")]
    other = {"wait": "await_", "backend": "backend", "aclose": "aclose"}
    plain = [name for name in verbs if f"a{name}" in verbs or name in other]
    assert [name for name in verbs if name not in plain and name[1:] not in plain] == ["await_"]

    name = await jobs.aenqueue(queue, delay_ms=60_000)
    await jobs.apause(queue)
    assert (await jobs.acounts())[queue]["paused"] is True
    await jobs.aresume(queue)
    await jobs.aset_limits(queue, concurrency=3)
    assert (await jobs.alimits(queue))["concurrency"] == 3
    await jobs.aput_schedule(queue, "0 7 * * *", {"queue": queue})
    assert queue in [one["name"] for one in await jobs.aschedules()]
    assert await jobs.adelete_schedule(queue) is True
    assert await jobs.alog(name) == []
    assert isinstance(await jobs.aworkers(), list)
    assert isinstance(await jobs.asweep(), int)
    assert f'jobs_delayed{{queue="{queue}"}} 1' in (await jobs.ametrics()).splitlines()
    with await jobs.aevents() as events:
        await jobs.acancel(name)
        async for event in events:
            if event["id"] == name:
                assert event["event"] == "cancelled"
                break
    assert await jobs.apurge(queue) == 1


async def test_of_one_job_a_refusal_is_raised_and_of_many_each_is_told(
    jobs: JobManager, queue: str
) -> None:
    ended, waiting = await jobs.aenqueue(queue), await jobs.aenqueue(queue)
    await jobs.acancel(ended)
    for refusals in (
        jobs.retry(ended, waiting, "never"),
        await jobs.aretry(ended, waiting, "never"),
    ):
        assert [type(error) for error in refusals[1:]] == [IllegalMoveError, UnknownJobError]
    assert (await jobs.afind(ended)).state == "waiting"
    with pytest.raises(IllegalMoveError):
        jobs.retry(ended)
    await jobs.adelete(ended, waiting)


async def test_a_span_without_end_is_as_long_as_it_takes(jobs: JobManager, queue: str) -> None:
    name = await jobs.aenqueue(queue)
    waiting = asyncio.ensure_future(jobs.await_(name, timeout=float("inf")))
    await asyncio.sleep(0.01)
    await jobs.acancel(name)
    assert (await waiting).state == "cancelled"
    assert jobs.purge(queue, older_than=float("inf")) == 0


async def test_a_manager_closes_at_the_end_of_its_block(queue: str) -> None:
    async with await JobManager.aconnect("memory:") as jobs:
        waiting = asyncio.ensure_future(jobs.await_(await jobs.aenqueue(queue)))
        await asyncio.sleep(0)
    with pytest.raises(ManagerClosedError):
        await waiting


def test_what_is_counted_is_told(jobs: JobManager, queue: str) -> None:
    jobs.enqueue(queue, {"text": "ciao"})
    lines = jobs.metrics().splitlines()
    assert f'jobs_waiting{{queue="{queue}"}} 1' in lines
    assert lines[-1] == "# EOF"
