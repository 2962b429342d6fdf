"""Calls, plain and from coroutines, and streams."""

import asyncio
import contextvars
import gc
import threading
import time
import weakref

import pytest
from conftest import Make
from credential_rotation import (
    ClosedError,
    Credential,
    CredentialPool,
    StreamInterruptedError,
    Usage,
    Wrapper,
)
from credential_rotation.testing import SimulatedEndpoint


def wait_until(true: "asyncio.Future[bool] | object", seconds: float = 5) -> None:
    give_up = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        assert time.monotonic() < give_up, "it did not come true"
        time.sleep(0.005)


def test_an_outcome_tells_the_answer_and_the_way_to_it(make: Make) -> None:
    outcome = make("spent", "refused", "good").call("hello")
    assert (outcome.success, outcome.output, outcome.attempts) == (True, "answer to hello", 3)
    trail = [(a.credential, a.fault.reason if a.fault else None) for a in outcome.trail]
    assert trail == [("spent", "quota_exhausted"), ("refused", "unauthorized"), ("good", None)]
    assert isinstance(outcome.usage, Usage)
    assert outcome.model == "sim-1"
    assert outcome.error is None
    assert outcome.unwrap() == "answer to hello"
    assert outcome.to_dict()["finish_reason"] == outcome.finish_reason == "stop"
    assert (outcome.cached, outcome.tool_calls) == (False, [])


async def test_coroutines_get_the_same(make: Make) -> None:
    wrapper = make("spent", "good")
    outcome = await wrapper.acall("hello")
    assert (outcome.output, outcome.attempts) == ("answer to hello", 2)
    whole = {"messages": [{"role": "user", "content": "whole"}], "max_tokens": 5}
    assert (await wrapper.acomplete(whole)).output == "answer to whole"
    assert wrapper.complete(whole).output == "answer to whole"
    assert await wrapper.acall_with_fallback("x", "no") == "answer to x"
    assert await make("bad").acall_with_fallback("x", "no") == "no"
    assert make("bad").call_with_fallback("x", "no") == "no"


async def test_of_fifty_concurrent_calls_none_fails_and_the_bad_key_is_hit_once(
    make: Make, endpoint: SimulatedEndpoint
) -> None:
    wrapper = make("good", "refused")
    outcomes = await asyncio.gather(*(wrapper.acall(f"p{n}") for n in range(50)))
    assert [o.output for o in outcomes] == [f"answer to p{n}" for n in range(50)]
    assert endpoint.hits("sk-secret-refused") == 1


def test_a_stream_comes_in_pieces(make: Make) -> None:
    with make("spent", "good").stream("hello") as answer:
        chunks = list(answer)
    assert "".join(c["text"] for c in chunks if c["type"] == "text") == "answer to hello"
    assert chunks[-1]["type"] == "done"
    assert [a.credential for a in answer.trail] == ["spent", "good"]


async def test_a_stream_comes_to_coroutines(make: Make) -> None:
    async with make("spent", "good").astream("hello") as answer:
        chunks = [chunk async for chunk in answer]
    assert "".join(c["text"] for c in chunks if c["type"] == "text") == "answer to hello"
    assert len(answer.trail) == 2


async def test_the_text_of_a_stream_comes_alone(make: Make, endpoint: SimulatedEndpoint) -> None:
    wrapper = make("good")
    assert "".join(wrapper.stream("hello").text()) == "answer to hello"
    pieces = [piece async for piece in wrapper.astream("hello").text()]
    assert "".join(pieces) == "answer to hello"
    for _ in make("slow").stream("x").text():
        break
    wait_until(lambda: endpoint.closed_early("sk-secret-slow") == 1)
    async for _ in make("slow").astream("x").text():
        break
    wait_until(lambda: endpoint.closed_early("sk-secret-slow") == 2)


async def test_a_call_that_is_never_awaited_asks_nobody(
    make: Make, endpoint: SimulatedEndpoint
) -> None:
    make("good").acall("x").close()
    task = asyncio.ensure_future(make("good").acall("kept"))
    del task
    gc.collect()
    while endpoint.hits("sk-secret-good") == 0:
        await asyncio.sleep(0.005)
    assert endpoint.hits("sk-secret-good") == 1


async def test_a_broken_stream_raises_with_the_partial_text(make: Make) -> None:
    for read in (list, None):
        pieces = []
        with pytest.raises(StreamInterruptedError) as broken:
            if read:
                pieces.extend(make("cut").stream("x"))
            else:
                async for chunk in make("cut").astream("x"):
                    pieces.append(chunk)
        assert broken.value.partial == "one "
        assert broken.value.fault is not None
        assert broken.value.fault["reason"] == "truncated"


async def test_leaving_a_stream_closes_upstream(make: Make, endpoint: SimulatedEndpoint) -> None:
    with make("slow").stream("x") as answer:
        next(iter(answer))
    wait_until(lambda: endpoint.closed_early("sk-secret-slow") == 1)
    async with make("slow").astream("x") as pieces:
        async for _ in pieces:
            break
    wait_until(lambda: endpoint.closed_early("sk-secret-slow") == 2)


async def test_cancelling_ends_the_call_upstream(make: Make, endpoint: SimulatedEndpoint) -> None:
    wrapper = make("stall")
    call = asyncio.create_task(wrapper.acall("x"))
    while endpoint.in_flight() == 0:
        await asyncio.sleep(0.005)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    wait_until(lambda: endpoint.in_flight() == 0)
    wait_until(lambda: wrapper.pool.list()[0]["in_flight"] == 0)


async def test_a_timeout_of_asyncio_ends_the_call(make: Make, endpoint: SimulatedEndpoint) -> None:
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(make("stall").acall("x"), 0.2)
    wait_until(lambda: endpoint.in_flight() == 0)


def test_a_closed_loop_is_left_alone(
    make: Make, endpoint: SimulatedEndpoint, capfd: pytest.CaptureFixture[str]
) -> None:
    wrapper = make("stall", deadline_ms=300)
    loop = asyncio.new_event_loop()
    pending = wrapper.acall("x")

    async def start() -> "asyncio.Task[object]":
        return asyncio.ensure_future(pending)

    task = loop.run_until_complete(start())
    while endpoint.in_flight() == 0:
        loop.run_until_complete(asyncio.sleep(0.005))
    # The loop closes under a call in flight, whose result comes afterwards.
    task.cancel = lambda *_: False  # type: ignore[method-assign, assignment]
    loop.close()
    wait_until(lambda: endpoint.in_flight() == 0)
    wait_until(lambda: wrapper.pool.list()[0]["in_flight"] == 0)
    del task
    assert "Event loop is closed" not in capfd.readouterr().err


def test_closing_a_stream_ends_the_wait_of_another_thread(
    make: Make, endpoint: SimulatedEndpoint
) -> None:
    answer = make("stall").stream("x")
    pieces: list[object] = []
    reader = threading.Thread(target=lambda: pieces.extend(answer))
    reader.start()
    wait_until(lambda: endpoint.in_flight() == 1)
    answer.close()
    reader.join(5)
    assert (reader.is_alive(), pieces) == (False, [])
    wait_until(lambda: endpoint.in_flight() == 0)


def test_a_stream_that_is_let_go_closes_upstream(make: Make, endpoint: SimulatedEndpoint) -> None:
    for _ in make("slow").stream("x"):
        break
    wait_until(lambda: endpoint.closed_early("sk-secret-slow") == 1)


def test_loops_that_are_closed_are_let_go(make: Make) -> None:
    wrapper = make("good")
    loops: list[weakref.ref[object]] = []

    async def call() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        assert (await wrapper.acall("x")).success

    for _ in range(10):
        asyncio.run(call())
    gc.collect()
    assert sum(loop() is not None for loop in loops) <= 1


async def test_several_loops_have_a_desk_each(make: Make) -> None:
    wrapper = make("good")

    def elsewhere() -> str:
        return asyncio.run(wrapper.acall("elsewhere")).unwrap()

    here, there = await asyncio.gather(wrapper.acall("here"), asyncio.to_thread(elsewhere))
    assert (here.output, there) == ("answer to here", "answer to elsewhere")


async def test_context_variables_are_kept_by_code_that_runs_in_the_loop(make: Make) -> None:
    tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant")
    tenant.set("a")

    async def work(credential: Credential) -> str:
        return tenant.get()

    assert await make("good").arun(work) == "a"
    assert make("good").run(lambda _: tenant.get()) == "a"


def test_the_pool_is_seen_and_changed_by_hand(make: Make) -> None:
    wrapper = make("spent", "good")
    wrapper.call("x")
    rows = {row["id"]: row for row in wrapper.pool.list()}
    assert (rows["spent"]["state"], rows["spent"]["reason"]) == ("parked", "quota_exhausted")
    wrapper.pool.admit("spent")
    wrapper.pool.cool("good", 60_000)
    wrapper.pool.park("spent")
    assert [row["state"] for row in wrapper.pool.list()] == ["parked", "cooling"]
    wrapper.pool.disable("good")
    assert wrapper.pool.list()[1]["state"] == "disabled"
    assert len(wrapper.pool) == 2


def test_a_pool_is_shared_by_wrappers(endpoint: SimulatedEndpoint) -> None:
    pool = CredentialPool([Credential("good", "sk-secret-good")], strategy="fill_first")
    options = {"base_url": endpoint.openai_url, "model": "sim-1", "pool": pool}
    one, other = Wrapper(**options), Wrapper(**options)
    pool.disable("good")
    for wrapper in (one, other):
        assert wrapper.call("x").error.code == "all_cooling"  # type: ignore[union-attr]


def test_a_closed_wrapper_refuses(make: Make) -> None:
    with make("good") as wrapper:
        assert wrapper.call("x").success
    assert isinstance(wrapper.call("x").error, ClosedError)
