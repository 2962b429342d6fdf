"""What a binding must not do to its process: fork, signals, exit."""

import asyncio
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import httpx
import pytest
from conftest import Make
from credential_rotation import Credential, JobManager, Wrapper
from credential_rotation.testing import SimulatedEndpoint


def python(code: str, *words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


SETUP = """
import sys
from credential_rotation import Credential, Wrapper
key, url = sys.argv[1:3]
wrapper = Wrapper(credentials=[Credential("a", "sk-" + "secret-" + key)], base_url=url, model="m")
"""


def listens(place: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(place) == 0


def wait_until_asked(endpoint: SimulatedEndpoint) -> None:
    give_up = time.monotonic() + 10
    while endpoint.in_flight() == 0:
        assert time.monotonic() < give_up, "nobody asked"
        time.sleep(0.005)


def test_ctrl_c_ends_a_call_that_waits(endpoint: SimulatedEndpoint) -> None:
    process = python(SETUP + "wrapper.call('x')", "stall", endpoint.openai_url)
    wait_until_asked(endpoint)
    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    _, err = process.communicate(timeout=10)
    assert time.monotonic() - started < 2
    assert "KeyboardInterrupt" in err
    assert process.returncode == -signal.SIGINT


def test_ctrl_c_ends_the_program_that_a_call_runs(tmp_path: Path) -> None:
    program = tmp_path / "fake"
    program.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nsleep 600 & sleep 600\n")
    program.chmod(0o755)
    code = """
    import sys
    from credential_rotation import Credential, Wrapper
    Wrapper(provider="qwen", program=sys.argv[1], credentials=[Credential("a", "sk-x")]).call("x")
    """
    process = python(code, str(program))
    give_up = time.monotonic() + 10
    pid = tmp_path / "pid"
    while not (pid.exists() and pid.read_text().endswith("\n")):
        assert time.monotonic() < give_up
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    group = int(pid.read_text())
    while time.monotonic() < give_up:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.02)
    pytest.fail(f"the group {group} lives on")


def test_a_process_may_exit_with_calls_in_flight(endpoint: SimulatedEndpoint) -> None:
    code = SETUP + textwrap.dedent("""
    import asyncio, threading, time
    threading.Thread(target=wrapper.call, args=("x",), daemon=True).start()
    async def main():
        tasks = [asyncio.ensure_future(wrapper.acall("y")) for _ in range(20)]
        await asyncio.sleep(0.3)
        print("leaving", flush=True)
        import os
        sys.stdout.flush()
        raise SystemExit(0)
    asyncio.run(main())
    """)
    process = python(code, "stall", endpoint.openai_url)
    out, err = process.communicate(timeout=15)
    assert (process.returncode, out, err) == (0, "leaving\n", "")


def test_a_forked_child_has_a_runtime_of_its_own(make: Make, endpoint: SimulatedEndpoint) -> None:
    wrapper = make("good")
    assert wrapper.call("parent").success
    for _ in range(3):
        child = os.fork()
        if child == 0:
            done = wrapper.call("child").output == "answer to child"
            os._exit(0 if done else 1)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert wrapper.call("parent").output == "answer to parent"


def test_a_forked_child_is_not_kept_out_by_calls_of_its_parent(
    make: Make, endpoint: SimulatedEndpoint
) -> None:
    endpoint.script("sk-secret-one", [{"fault": "stall", "times": 1}, {"text": "free"}])
    keys = [Credential("one", "sk-secret-one", concurrency=1)]
    wrapper = make(credentials=keys, deadline_ms=10_000)
    answer = wrapper.stream("held by the parent")
    holder = threading.Thread(target=lambda: list(answer))
    holder.start()
    wait_until_asked(endpoint)
    child = os.fork()
    if child == 0:
        os._exit(0 if wrapper.call("x").output == "free" else 1)
    _, status = os.waitpid(child, 0)
    answer.close()
    holder.join(10)
    assert os.waitstatus_to_exitcode(status) == 0


def ask(wrapper: Wrapper, answers: "multiprocessing.Queue[str]") -> None:

    answers.put(wrapper.call("x").unwrap())
    answers.put(asyncio.run(wrapper.acall("y")).unwrap())


def test_multiprocessing_by_fork_works_after_calls(make: Make) -> None:
    wrapper = make("good")
    wrapper.call("parent").unwrap()
    context = multiprocessing.get_context("fork")
    answers: multiprocessing.Queue[str] = context.Queue()
    process = context.Process(target=ask, args=(wrapper, answers))
    process.start()
    assert [answers.get(timeout=10), answers.get(timeout=10)] == ["answer to x", "answer to y"]
    process.join(10)
    assert process.exitcode == 0


def test_gunicorn_with_preload_serves(endpoint: SimulatedEndpoint, tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text(
        textwrap.dedent(f"""
        from credential_rotation import Credential, Wrapper
        wrapper = Wrapper(credentials=[Credential("good", "sk-" + "secret-good")],
                          base_url={endpoint.openai_url!r}, model="m")
        assert wrapper.call("before the fork").success
        def app(environ, start):
            start("200 OK", [])
            return [wrapper.call("hello").output.encode()]
        """)
    )
    place = tmp_path / "s"
    command = [sys.executable, "-m", "gunicorn", "--preload", "--workers", "2"]
    process = subprocess.Popen(
        [*command, "--bind", f"unix:{place}", "app:app"], cwd=tmp_path, stderr=subprocess.PIPE
    )
    try:
        give_up = time.monotonic() + 20
        while not place.exists():
            assert time.monotonic() < give_up
            assert process.poll() is None
            time.sleep(0.05)
        transport = httpx.HTTPTransport(uds=str(place), retries=3)
        with httpx.Client(transport=transport, timeout=10) as client:
            for _ in range(10):
                assert client.get("http://gunicorn/").text == "answer to hello"
    finally:
        process.terminate()
        process.communicate(timeout=20)


JOBS_APP = """
import asyncio, os, threading
from credential_rotation import JobManager, Worker

queue = os.environ["QUEUE"]
jobs = JobManager.connect(os.environ["JOBS_URL"])
jobs.enqueue(queue, id="first")
worker = Worker(jobs, [f"{queue}:2"])

@worker.handler()
async def where(job):
    return os.getpid()

thread = None

def wsgi(environ, start):
    global thread
    if thread is None:
        thread = threading.Thread(target=worker.run, daemon=True)
        thread.start()
    done = jobs.wait(jobs.enqueue(queue), timeout=30)
    start("200 OK", [])
    return [str(done.result).encode()]

async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        running = asyncio.create_task(worker.arun())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        worker.stop()
        await running
        await send({"type": "lifespan.shutdown.complete"})
        return
    done = await jobs.await_(await jobs.aenqueue(queue), timeout=30)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(done.result).encode()})
"""


@pytest.mark.parametrize(
    "command",
    [
        ["gunicorn", "--preload", "--workers", "2", "--bind", "unix:s", "app:wsgi"],
        ["uvicorn", "--workers", "2", "--uds", "s", "app:asgi"],
    ],
    ids=["gunicorn", "uvicorn"],
)
def test_the_processes_of_a_server_have_jobs_and_workers(
    command: list[str], shared_url: str, queue: str, tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text(JOBS_APP)
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=tmp_path,
        env={**os.environ, "JOBS_URL": shared_url, "QUEUE": queue},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    place = str(tmp_path / "s")
    try:
        give_up = time.monotonic() + 60
        while not listens(place):
            assert time.monotonic() < give_up
            assert process.poll() is None
            time.sleep(0.05)
        transport = httpx.HTTPTransport(uds=place)
        with httpx.Client(transport=transport, timeout=60) as client:
            served = {int(client.get("http://server/").text) for _ in range(10)}
        assert process.pid not in served
        assert JobManager.connect(shared_url).wait("first", timeout=30).state == "completed"
    finally:
        process.terminate()
        process.communicate(timeout=60)


def test_the_interpreter_is_free_while_a_call_waits(make: Make) -> None:
    ticks = 0
    stop = threading.Event()

    def tick() -> None:
        nonlocal ticks
        while not stop.is_set():
            ticks += 1
            time.sleep(0.001)

    other = threading.Thread(target=tick)
    other.start()
    make("stall").call("x", deadline_ms=300)
    stop.set()
    other.join()
    assert ticks > 30


async def test_calls_go_on_while_the_interpreter_is_busy(
    make: Make, endpoint: SimulatedEndpoint
) -> None:
    # One call at a time: each is asked only when the one before it has ended.
    keys = [Credential("one", "sk-secret-good", concurrency=1)]
    wrapper = make(credentials=keys)
    calls = [asyncio.ensure_future(wrapper.acall("x")) for _ in range(20)]
    await asyncio.sleep(0)
    switches_after = sys.getswitchinterval()
    sys.setswitchinterval(60)
    try:
        # Nobody else gets the interpreter from here on, nor does the loop turn.
        give_up = time.monotonic() + 10
        while endpoint.hits("sk-secret-good") < 20 and time.monotonic() < give_up:
            pass
    finally:
        sys.setswitchinterval(switches_after)
    assert endpoint.hits("sk-secret-good") == 20
    assert not any(call.done() for call in calls)
    assert all(outcome.success for outcome in await asyncio.gather(*calls))


def test_the_first_use_may_come_from_many_threads(endpoint: SimulatedEndpoint) -> None:
    code = SETUP + textwrap.dedent("""
    import asyncio, threading
    barrier = threading.Barrier(16)
    def use(asynchronous):
        barrier.wait()
        outcome = asyncio.run(wrapper.acall("x")) if asynchronous else wrapper.call("x")
        assert outcome.error.code == "request_rejected", outcome
        assert outcome.trail[0].fault.status == 400
        assert outcome.tool_calls == [] and outcome.to_dict()["attempts"] == 1
    threads = [threading.Thread(target=use, args=(n % 2,)) for n in range(16)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    print("used")
    """)
    out, err = python(code, "bad", endpoint.openai_url).communicate(timeout=20)
    assert (out, err) == ("used\n", "")


def test_a_process_may_exit_while_results_arrive(endpoint: SimulatedEndpoint) -> None:
    code = SETUP + textwrap.dedent("""
    import asyncio, threading
    class Own:
        async def send(self, request, credential): return "x"
    own = Wrapper(provider=Own(), credentials=[Credential("a", "sk-" + "secret-own")])
    def calls():
        while True: wrapper.call("x")
    def streams():
        while True: list(wrapper.stream("x"))
    def plain():
        while True: own.call("x")
    async def coroutines():
        while True:
            asked = [one.acall("x") for one in (wrapper, own) for _ in range(16)]
            await asyncio.gather(*asked)
    for work in (calls, streams, plain, lambda: asyncio.run(coroutines())):
        threading.Thread(target=work, daemon=True).start()
    threading.Event().wait(float(sys.argv[3]))
    """)
    for tenths in range(1, 6):
        process = python(code, "good", endpoint.openai_url, str(tenths / 10))
        _, err = process.communicate(timeout=20)
        assert (process.returncode, err) == (0, "")


def test_a_call_at_exit_is_answered_or_refused(endpoint: SimulatedEndpoint) -> None:
    code = """
    import asyncio, atexit
    def last_words():
        print(wrapper.call("x").success)
        try: asyncio.run(wrapper.acall("x"))
        except RuntimeError as error: print(error)
    atexit.register(last_words)
    """
    code = textwrap.dedent(code) + SETUP + 'wrapper.call("x")'
    out, err = python(code, "good", endpoint.openai_url).communicate(timeout=20)
    words = "the interpreter is shutting down: no call from a coroutine can be made"
    assert (out, err) == (f"True\n{words}\n", "")


@pytest.mark.parametrize(
    "waiting",
    [
        "list(wrapper.stream('x'))",
        "wrapper.run(lambda c: wrapper.call('x'))",
        "import asyncio; asyncio.run(wrapper.acall('x'))",
    ],
)
def test_ctrl_c_ends_whatever_waits(waiting: str, endpoint: SimulatedEndpoint) -> None:
    process = python(SETUP + waiting, "stall", endpoint.openai_url)
    wait_until_asked(endpoint)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=5)
    assert "KeyboardInterrupt" in err
