"""What a binding must not do to its process: fork, signals, exit."""

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import httpx
import pytest
from conftest import Make
from credential_rotation import Wrapper
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


def ask(wrapper: Wrapper, answers: "multiprocessing.Queue[str]") -> None:
    import asyncio

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
    socket = tmp_path / "s"
    command = [sys.executable, "-m", "gunicorn", "--preload", "--workers", "2"]
    process = subprocess.Popen(
        [*command, "--bind", f"unix:{socket}", "app:app"], cwd=tmp_path, stderr=subprocess.PIPE
    )
    try:
        give_up = time.monotonic() + 20
        while not socket.exists():
            assert time.monotonic() < give_up
            assert process.poll() is None
            time.sleep(0.05)
        transport = httpx.HTTPTransport(uds=str(socket), retries=3)
        with httpx.Client(transport=transport, timeout=10) as client:
            for _ in range(10):
                assert client.get("http://gunicorn/").text == "answer to hello"
    finally:
        process.terminate()
        process.communicate(timeout=20)


def test_the_interpreter_is_free_while_a_call_waits(make: Make) -> None:
    code = """
    import sys, threading, time
    from credential_rotation import Credential, Wrapper
    """
    del code
    import threading

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
