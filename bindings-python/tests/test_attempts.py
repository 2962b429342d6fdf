"""How attempts of Python's handlers end: each once, whatever interrupts it, as what it was."""

import asyncio
import contextvars
import ctypes
import functools
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import MachineWatch
from credential_rotation import (
    Cancelled,
    JobContext,
    JobManager,
    Snooze,
    Unrecoverable,
    Worker,
)

SOON = 20.0
# Called by `PyDLL`, it keeps the GIL.
USLEEP = ctypes.PyDLL(None).usleep

Interrupt = Callable[[Worker, "asyncio.Task[dict[str, int]]"], None]


def time_out(_: Worker, __: "asyncio.Task[dict[str, int]]") -> None:
    """Wait: the job's timeout is short."""


def stop_now(worker: Worker, _: "asyncio.Task[dict[str, int]]") -> None:
    worker.stop(now=True)


def stop(worker: Worker, _: "asyncio.Task[dict[str, int]]") -> None:
    worker.stop()


@pytest.mark.parametrize(
    ("interrupt", "spec", "state", "attempt"),
    [
        (time_out, {"timeout_ms": 200, "max_attempts": 1}, "failed", 1),
        (stop_now, {}, "waiting", 0),
        (stop, {}, "waiting", 0),
    ],
)
async def test_what_is_given_up_is_interrupted(
    jobs: JobManager,
    queue: str,
    interrupt: Interrupt,
    spec: dict[str, Any],
    state: str,
    attempt: int,
) -> None:
    worker = Worker(jobs, [f"{queue}:2"], grace=0.05)
    begun = asyncio.Semaphore(0)
    interrupted = asyncio.Event()
    told: list[str] = []
    loop = asyncio.get_running_loop()
    seen = asyncio.Event()

    @worker.handler("sync")
    def look(job: JobContext) -> None:
        loop.call_soon_threadsafe(begun.release)
        while not job.cancelled:
            time.sleep(0.005)
        loop.call_soon_threadsafe(seen.set)

    @worker.handler("async")
    async def sleep(job: JobContext) -> None:
        begun.release()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            told.append("cancelled" if job.cancelled else "interrupted")
            interrupted.set()
            raise

    running = asyncio.create_task(worker.arun())
    names = [await jobs.aenqueue(queue, kind=kind, **spec) for kind in ("sync", "async")]
    for _ in names:
        await begun.acquire()
    interrupt(worker, running)
    await asyncio.wait_for(interrupted.wait(), SOON)
    await asyncio.wait_for(seen.wait(), SOON)
    worker.stop()
    report = await running
    assert told == ["cancelled"]
    for job in await jobs.aget(*names):
        assert job is not None
        assert (job.state, job.attempt, job.stalls) == (state, attempt, 0)
        assert (job.error or {}).get("kind") == ("timeout" if state == "failed" else None)
    assert report["failed" if state == "failed" else "released"] == 2


async def test_a_function_keeps_its_slot_behind_its_timeout(jobs: JobManager, queue: str) -> None:
    worker = Worker(jobs, [f"{queue}:1"])
    let_go, gone = threading.Event(), threading.Event()

    @worker.handler("stuck")
    def hang(_: JobContext) -> None:
        let_go.wait(SOON)
        gone.set()

    @worker.handler("next")
    def look(_: JobContext) -> bool:
        return gone.is_set()

    running = asyncio.create_task(worker.arun())
    stuck = await jobs.aenqueue(queue, kind="stuck", timeout_ms=50, max_attempts=1)
    behind = await jobs.aenqueue(queue, kind="next")
    assert (await jobs.await_(stuck, timeout=SOON)).state == "failed"
    let_go.set()
    assert (await jobs.await_(behind, timeout=SOON)).result is True
    worker.stop()
    await running


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even this")


class Bare(Snooze):
    def __init__(self) -> None:
        """Leave out what a snooze needs."""


HOSTILE: dict[str, Callable[[], BaseException]] = {
    "UnicodeError": lambda: UnicodeError("lone \ud800"),
    "ValueError": lambda: Snooze(float("nan")),
    "OverflowError": lambda: Snooze(10**400),
    "TypeError": lambda: Snooze("5"),  # type: ignore[arg-type]
    "AttributeError": Bare,
    "UnprintableError": UnprintableError,
    "SystemExit": lambda: SystemExit(3),
    "CancelledError": asyncio.CancelledError,
    "RuntimeError": StopIteration,
}


@pytest.mark.parametrize("form", ["sync", "async"])
async def test_whatever_is_raised_is_a_failure_of_its_job(
    jobs: JobManager, queue: str, form: str
) -> None:
    worker = Worker(jobs, [f"{queue}:2"])

    @worker.handler("sync")
    def fail(job: JobContext) -> None:
        job.log("lone \ud800")
        job.progress(1, "lone \ud800")
        raise HOSTILE[job.payload]()

    @worker.handler("async")
    async def fail_too(job: JobContext) -> None:
        fail(job)

    running = asyncio.create_task(worker.arun())
    names = {kind: await jobs.aenqueue(queue, kind, kind=form, max_attempts=1) for kind in HOSTILE}
    for kind, name in names.items():
        job = await jobs.await_(name, timeout=SOON)
        error = job.error or {}
        assert (job.state, error.get("kind")) == ("failed", kind)
        assert error["message"]
        assert [line["text"] for line in jobs.log(name)] == ["lone \ufffd"]
    told = (await jobs.afind(names["UnicodeError"])).error or {}
    assert told["message"] == "lone \ufffd"
    told = (await jobs.afind(names["UnprintableError"])).error or {}
    assert told["message"] == "an error that cannot be read"
    worker.stop()
    assert (await running)["failed"] == len(HOSTILE)


async def test_an_inner_task_that_others_cancel_is_a_failure(jobs: JobManager, queue: str) -> None:
    worker = Worker(jobs, [queue])

    @worker.handler()
    async def wait(job: JobContext) -> None:
        inner = asyncio.create_task(asyncio.sleep(60))
        asyncio.get_running_loop().call_soon(inner.cancel)
        await inner

    running = asyncio.create_task(worker.arun())
    name = await jobs.aenqueue(queue, max_attempts=2, retry={"kind": "fixed", "delay_ms": 1})
    job = await jobs.await_(name, timeout=SOON)
    assert (job.state, job.attempt) == ("failed", 2)
    assert (job.error or {})["message"] == "it was interrupted, but not by its worker"
    worker.stop()
    assert (await running)["retried"] == 1


async def test_a_handler_calls_its_job_off(jobs: JobManager, queue: str) -> None:
    worker = Worker(jobs, [queue])

    @worker.handler("sync")
    def leave(job: JobContext) -> None:
        raise Cancelled

    @worker.handler("async")
    async def leave_too(job: JobContext) -> None:
        raise Cancelled

    running = asyncio.create_task(worker.arun())
    for kind in ("sync", "async"):
        job = await jobs.await_(await jobs.aenqueue(queue, kind=kind), timeout=SOON)
        assert (job.state, job.attempt) == ("cancelled", 1)
    worker.stop()
    assert (await running)["cancelled"] == 2


async def test_a_keyboard_interrupt_stops_the_worker_and_costs_its_job_nothing(
    jobs: JobManager, queue: str
) -> None:
    worker = Worker(jobs, [f"{queue}:2"])
    begun = asyncio.Event()

    @worker.handler("slow")
    async def wait(job: JobContext) -> str:
        begun.set()
        await asyncio.sleep(0.05)
        return "in time"

    @worker.handler("interrupted")
    async def interrupt(job: JobContext) -> None:
        await begun.wait()
        raise KeyboardInterrupt

    names = [await jobs.aenqueue(queue, kind=kind) for kind in ("slow", "interrupted")]
    report = await asyncio.wait_for(worker.arun(), SOON)
    assert report["completed"] == 1
    slow, interrupted = await jobs.aget(*names)
    assert slow is not None
    assert interrupted is not None
    assert slow.result == "in time"
    assert (interrupted.attempt, interrupted.stalls, interrupted.error) == (0, 0, None)
    assert interrupted.state in ("waiting", "delayed")


def test_a_loop_that_ends_gives_its_jobs_back(jobs: JobManager, queue: str) -> None:
    worker = Worker(jobs, [f"{queue}:2"])
    names = [jobs.enqueue(queue, kind=kind) for kind in ("sync", "async")]
    begun = threading.Semaphore(0)
    over = threading.Event()

    @worker.handler("sync")
    def wait(job: JobContext) -> None:
        begun.release()
        over.wait()

    @worker.handler("async")
    async def sleep(job: JobContext) -> None:
        begun.release()
        await asyncio.sleep(60)

    async def main() -> "asyncio.Task[dict[str, int]]":
        running = asyncio.create_task(worker.arun())
        for _ in names:
            await asyncio.to_thread(begun.acquire)
        return running

    # Its end cancels all tasks, the worker's and those of its attempts.
    running = asyncio.run(main())
    assert running.cancelled()
    over.set()
    for job in jobs.get(*names):
        assert job is not None
        assert (job.state, job.attempt, job.stalls) == ("waiting", 0, 0)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_loop_that_is_closed_under_its_worker_gives_its_jobs_back(
    jobs: JobManager, queue: str
) -> None:
    worker = Worker(jobs, [f"{queue}:1"])
    name = jobs.enqueue(queue)
    held: list[Any] = []

    @worker.handler()
    async def sleep(job: JobContext) -> None:
        held.append(asyncio.current_task())
        begun.set()
        await asyncio.sleep(60)

    async def main() -> None:
        held.append(asyncio.create_task(worker.arun()))
        await begun.wait()

    begun = asyncio.Event()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    loop.close()
    until = time.monotonic() + SOON
    while (job := jobs.find(name)).state != "waiting":
        assert time.monotonic() < until, job
        time.sleep(0.02)
    assert (job.attempt, job.stalls) == (0, 0)


STUCK = """
import sys, threading
from credential_rotation import JobManager, Worker

worker = Worker(JobManager.connect("memory:"), ["q:1"])

@worker.handler()
def stuck(job):
    threading.Timer(0, worker.stop, kwargs={"now": True}).start()
    threading.Event().wait()

worker._jobs.enqueue("q")
print(worker.run()["released"])
"""


def test_a_function_that_never_ends_does_not_keep_its_process() -> None:
    process = subprocess.run(
        [sys.executable, "-c", STUCK], capture_output=True, text=True, timeout=SOON, check=False
    )
    assert (process.stdout, process.stderr, process.returncode) == ("1\n", "", 0)


async def test_a_lane_has_a_thread_for_each_of_its_jobs(jobs: JobManager, queue: str) -> None:
    count = 1_200
    worker = Worker(jobs, [f"{queue}:{count}"])
    all_here = threading.Barrier(count, timeout=SOON)

    @worker.handler()
    def meet(job: JobContext) -> None:
        all_here.wait()

    running = asyncio.create_task(worker.arun())
    await jobs.aenqueue_many([{"queue": queue, "max_attempts": 1}] * count)
    while (await jobs.acounts())[queue]["waiting"] + (await jobs.acounts())[queue]["running"]:
        await asyncio.sleep(0.02)
    worker.stop()
    assert (await running)["completed"] == count


class Called:
    async def __call__(self, job: JobContext) -> str:
        return f"{job.kind} {WHO.get()} {threading.get_ident() == LOOP_THREAD.get()}"


def plain(job: JobContext) -> Awaitable[str]:
    assert threading.get_ident() != LOOP_THREAD.get()
    return Called()(job)


def function(job: JobContext) -> str:
    return f"{job.kind} {WHO.get()} {threading.get_ident() == LOOP_THREAD.get()}"


WHO: contextvars.ContextVar[str] = contextvars.ContextVar("WHO")
LOOP_THREAD: contextvars.ContextVar[int] = contextvars.ContextVar("LOOP_THREAD")


async def test_what_is_awaitable_is_awaited_and_all_see_the_callers_variables(
    jobs: JobManager, queue: str
) -> None:
    WHO.set("caller")
    LOOP_THREAD.set(threading.get_ident())
    worker = Worker(jobs, [f"{queue}:4"])
    worker.handler("object")(Called())
    worker.handler("partial")(functools.partial(Called.__call__, Called()))
    worker.handler("wrapper")(plain)
    worker.handler("function")(function)
    running = asyncio.create_task(worker.arun())
    for kind in ("object", "partial", "wrapper", "function"):
        job = await jobs.await_(await jobs.aenqueue(queue, kind=kind), timeout=SOON)
        assert job.result == f"{kind} caller {kind != 'function'}"
    worker.stop()
    await running


async def test_a_handler_that_holds_the_interpreter_for_ten_leases_loses_nothing(
    tmp_path: Path, redis_url: str, queue: str
) -> None:
    lease = 2
    while True:
        watch = MachineWatch(tmp_path)
        urls = ["memory:", f"sqlite:{tmp_path}/jobs-{lease}.db", redis_url]
        told = await hold_the_interpreter(urls, f"{queue}-{lease}", lease)
        still = watch.end()
        # No worker keeps a lease that its machine sleeps through: then it has to be longer.
        if still < lease / 8 or lease == 8:
            break
        print(f"with a lease of {lease} s the machine stood still for {still} s: {told}")
        lease *= 2
    ended = [(url, kind, "completed", 0, 1, kind) for kind in ("sync", "async") for url in urls]
    lost = [(url, "lost", 0) for url in urls]
    runs = ("runs", {"sync": 3, "async": 3, "held": 1})
    assert told == [*ended, *lost, runs], f"it stood still for {still} s"


async def hold_the_interpreter(urls: list[str], queue: str, lease: int) -> list[tuple[Any, ...]]:
    """Have one handler hold it for ten leases, with another of each backend. Tells their ends."""
    managers = [JobManager.connect(url) for url in urls]
    workers = [Worker(manager, [f"{queue}:2"], lease=lease) for manager in managers]
    all_functions = threading.Barrier(len(workers))
    runs: Counter[str] = Counter()

    def hold() -> None:
        USLEEP(10 * lease * 1_000_000)

    # While one holds the interpreter, each backend has a lease that is to be kept.
    def function(job: JobContext) -> str:
        runs[job.kind] += 1
        if all_functions.wait(SOON) == 0:
            hold()
        return job.kind

    async def coroutine(job: JobContext) -> str:
        runs[job.kind] += 1
        while runs[job.kind] < len(workers):
            await asyncio.sleep(0)
        if "held" not in runs:
            runs["held"] += 1
            hold()
        return job.kind

    for worker in workers:
        worker.handler("sync")(function)
        worker.handler("async")(coroutine)
    running = [asyncio.create_task(worker.arun()) for worker in workers]
    told: list[tuple[Any, ...]] = []
    for kind in ("sync", "async"):
        names = [await manager.aenqueue(queue, kind=kind) for manager in managers]
        for url, manager, name in zip(urls, managers, names, strict=True):
            job = await manager.await_(name, timeout=20 * lease)
            told.append((url, kind, job.state, job.stalls, job.attempt, job.result))
    for url, manager, worker, end in zip(urls, managers, workers, running, strict=True):
        worker.stop()
        told.append((url, "lost", (await end)["lost"]))
        manager.close()
    return [*told, ("runs", dict(runs))]


async def test_an_unrecoverable_cause_is_told(jobs: JobManager, queue: str) -> None:
    worker = Worker(jobs, [queue])

    @worker.handler()
    async def refuse(job: JobContext) -> None:
        raise Unrecoverable from UnprintableError()

    running = asyncio.create_task(worker.arun())
    job = await jobs.await_(await jobs.aenqueue(queue), timeout=SOON)
    assert (job.state, job.attempt, (job.error or {})["kind"]) == ("failed", 1, "UnprintableError")
    worker.stop()
    await running
