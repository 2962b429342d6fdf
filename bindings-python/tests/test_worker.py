"""Workers whose handlers are Python's."""

import asyncio
import base64
import hmac
import json
import os
import queue as queue_of
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, ClassVar

import pytest
from credential_rotation import (
    InvalidJobError,
    JobContext,
    JobManager,
    Lane,
    Snooze,
    Unrecoverable,
    Worker,
)

SOON = 20.0


async def working(worker: Worker) -> "asyncio.Task[dict[str, int]]":
    return asyncio.create_task(worker.arun())


async def test_functions_and_coroutines_do_jobs(jobs: JobManager, queue: str) -> None:
    worker = Worker(jobs, [f"{queue}:4"])
    loop_thread = threading.get_ident()

    @worker.handler("sync")
    def shout(job: JobContext) -> dict[str, Any]:
        assert threading.get_ident() != loop_thread
        return {"text": job.payload["text"].upper(), "n": 2**70}

    @worker.handler()
    async def other(job: JobContext) -> list[Any]:
        assert threading.get_ident() == loop_thread
        job.log("began")
        job.progress(50, "half")
        await asyncio.sleep(0)
        return [job.kind, job.attempt, job.queue]

    running = await working(worker)
    first = await jobs.aenqueue(queue, {"text": "ciao"}, kind="sync")
    second = await jobs.aenqueue(queue, kind="else")
    done = await jobs.await_(first, timeout=SOON)
    assert (done.state, done.result) == ("completed", {"text": "CIAO", "n": 2**70})
    assert (await jobs.await_(second, timeout=SOON)).result == ["else", 1, queue]
    assert jobs.find(second).progress == {"percent": 50.0, "message": "half"}
    assert [line["text"] for line in jobs.log(second)] == ["began"]
    worker.stop()
    assert (await running)["completed"] == 2


async def test_exceptions_become_failures_and_say_what_follows(
    jobs: JobManager, queue: str
) -> None:
    worker = Worker(jobs, [f"{queue}:4"])
    tries: list[str] = []

    @worker.handler()
    async def handle(job: JobContext) -> str:
        tries.append(job.kind)
        if job.kind == "never":
            raise Unrecoverable from ValueError("wrong for good")
        if job.kind == "later" and tries.count("later") == 1:
            raise Snooze(0.01)
        if job.kind == "again" and job.attempt == 1:
            raise KeyError("missing")
        if job.kind == "unwritable":
            return object()  # type: ignore[return-value]
        return job.kind

    running = await working(worker)
    retry = {"kind": "fixed", "delay_ms": 10}
    names = {
        kind: await jobs.aenqueue(queue, kind=kind, retry=retry, max_attempts=2)
        for kind in ("never", "later", "again", "unwritable")
    }
    ended = {kind: await jobs.await_(name, timeout=SOON) for kind, name in names.items()}
    assert [job.state for job in ended.values()] == ["failed", "completed", "completed", "failed"]
    error = ended["never"].error
    assert error is not None
    assert (error["kind"], error["message"]) == ("ValueError", "wrong for good")
    assert "Traceback" not in error["message"]
    assert (ended["never"].attempt, ended["later"].attempt, ended["again"].attempt) == (1, 1, 2)
    assert (ended["unwritable"].error or {})["kind"] == "TypeError"
    worker.stop()
    report = await running
    assert (report["snoozed"], report["failed"]) == (1, 2)


async def test_cancelling_reaches_coroutines_and_functions(jobs: JobManager, queue: str) -> None:
    worker = Worker(jobs, [f"{queue}:2"])
    begun = asyncio.Semaphore(0)
    ended: list[str] = []
    loop = asyncio.get_running_loop()

    @worker.handler("sync")
    def wait(job: JobContext) -> None:
        loop.call_soon_threadsafe(begun.release)
        while not job.cancelled:
            time.sleep(0.005)
        ended.append("sync")

    @worker.handler("async")
    async def sleep(job: JobContext) -> None:
        begun.release()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append("async")
            raise

    running = await working(worker)
    names = [await jobs.aenqueue(queue, kind=kind) for kind in ("sync", "async")]
    for _ in names:
        await begun.acquire()
    await jobs.acancel(*names)
    sync, coroutine = [await jobs.await_(name, timeout=SOON) for name in names]
    # A function that gives way by returning has succeeded in what it did.
    assert (sync.state, coroutine.state) == ("completed", "cancelled")
    worker.stop()
    await running
    assert sorted(ended) == ["async", "sync"]


async def test_a_stop_before_it_runs_is_remembered(jobs: JobManager, queue: str) -> None:
    worker = Worker(jobs, [queue])
    worker.handler()(lambda _: None)
    name = await jobs.aenqueue(queue)
    worker.stop()
    report = await asyncio.wait_for(worker.arun(), SOON)
    assert sum(report.values()) == 0
    # Not for ever: it was told to this run.
    running = await working(worker)
    assert (await jobs.await_(name, timeout=SOON)).state == "completed"
    with pytest.raises(RuntimeError, match="runs already"):
        await worker.arun()
    worker.stop()
    await running


async def test_lanes_have_weights_and_their_slots_can_be_changed(
    jobs: JobManager, queue: str
) -> None:
    lane: Lane = {"queues": [queue, f"{queue}-b"], "concurrency": 1, "weights": [2, 1]}
    worker = Worker(jobs, [lane], id=f"w-{queue}")
    here = 0
    both = asyncio.Event()

    @worker.handler()
    async def meet(job: JobContext) -> list[Any]:
        nonlocal here
        here += 1
        if here == 2:
            both.set()
        await both.wait()
        return [job.tags, job.priority, job.max_attempts]

    assert worker.id is None
    worker.set_concurrency(f"{queue},{queue}-b", 2)
    running = await working(worker)
    more = {"tags": ["a"], "priority": 7, "max_attempts": 2, "timeout_ms": 10_000}
    names = [await jobs.aenqueue(name, **more) for name in (queue, f"{queue}-b")]
    for name in names:
        job = await jobs.await_(name, timeout=SOON)
        assert (job.result, job.worker) == ([["a"], 7, 2], f"w-{queue}")
    assert worker.id == f"w-{queue}"
    with pytest.raises(InvalidJobError, match="no lane `other`"):
        worker.set_concurrency("other", 1)
    with pytest.raises(InvalidJobError, match="concurrency"):
        worker.set_concurrency(f"{queue},{queue}-b", 0)
    worker.stop()
    await running
    worker.set_concurrency("other", 1)
    with pytest.raises(InvalidJobError, match="no lane `other`"):
        await worker.arun()


async def test_ending_the_task_gives_jobs_back(jobs: JobManager, queue: str) -> None:
    worker = Worker(jobs, [f"{queue}:1"])
    begun = asyncio.Event()

    @worker.handler()
    async def sleep(job: JobContext) -> None:
        begun.set()
        await asyncio.sleep(60)

    running = await working(worker)
    name = await jobs.aenqueue(queue)
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    job = await jobs.afind(name)
    assert (job.state, job.attempt, job.stalls) == ("waiting", 0, 0)


def test_what_cannot_be_is_told(redis_url: str) -> None:
    jobs = JobManager.connect(redis_url)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"queues": ["a:0"]}, "concurrency"),
        ({"queues": [{"queues": ["a"], "concurrency": 1, "weights": [1, 2]}]}, "weights"),
        ({"queues": [{"queues": ["a"]}]}, "options"),
        ({"queues": ["a"], "webhooks": {"bogus": 1}}, "bogus"),
        ({"queues": ["a"], "timeout": float("inf")}, "options"),
        ({"queues": ["a"], "lease": float("nan")}, "options"),
    ]
    for options, words in wrong:
        with pytest.raises(InvalidJobError, match=words):
            Worker(jobs, **options)
    for span in (1e300, 10**30):
        Worker(jobs, ["a"], timeout=span, grace=span)
    worker = Worker(jobs, [])
    with pytest.raises(InvalidJobError, match="lane"):
        asyncio.run(worker.arun())


PROGRAM = """
import sys, time
from credential_rotation import JobManager, Worker

jobs = JobManager.connect(sys.argv[1])
worker = Worker(jobs, [f"{sys.argv[2]}:1"])

@worker.handler()
def slow(job):
    print("began", flush=True)
    time.sleep(0.5)
    return "done"

print(worker.run(), flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_drains_and_says_so(redis_url: str, queue: str, number: int) -> None:
    jobs = JobManager.connect(redis_url)
    name = jobs.enqueue(queue)
    worker = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, redis_url, queue],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert worker.stdout is not None
    assert worker.stdout.readline() == "began\n"
    os.kill(worker.pid, number)
    out, err = worker.communicate(timeout=SOON)
    assert "stopping: waiting for the jobs that run" in err
    assert "'completed': 1" in out
    assert worker.returncode == 0
    assert jobs.find(name).result == "done"


class Receiver(BaseHTTPRequestHandler):
    """Keeps what it is told."""

    told: ClassVar["queue_of.Queue[tuple[dict[str, str], bytes]]"]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.told.put((headers, body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


async def test_a_webhook_is_told_of_an_end(jobs: JobManager, queue: str) -> None:
    Receiver.told = queue_of.Queue()
    server = HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/hooks"
    key = b"0123456789abcdef0123456789abcdef"
    secret = "whsec_" + base64.b64encode(key).decode()
    for allow_private, state in [(False, "failed"), (True, "completed")]:
        worker = Worker(jobs, [queue], webhooks={"secret": secret, "allow_private": allow_private})

        @worker.handler()
        async def shout(job: JobContext) -> str:
            assert job.kind == queue
            return str(job.payload).upper()

        running = await working(worker)
        name = await jobs.aenqueue(queue, "ciao", webhook=url)
        await jobs.await_(name, timeout=SOON)
        delivery = await jobs.await_(f"webhook:{name}", timeout=SOON)
        assert delivery.state == state
        worker.stop()
        await running
    server.shutdown()
    server.server_close()
    headers, body = Receiver.told.get_nowait()
    assert Receiver.told.empty()
    signed = f"{name}.{headers['webhook-timestamp']}.".encode() + body
    signature = base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    assert headers["webhook-signature"] == f"v1,{signature}"
    assert headers["webhook-id"] == name
    told = json.loads(body)
    assert (told["type"], told["data"]["result"]) == ("job.completed", "CIAO")
    with pytest.raises(InvalidJobError, match="whsec_") as refused:
        await Worker(jobs, [queue], webhooks={"secret": "hunter2"}).arun()
    assert "hunter2" not in str(refused.value)
