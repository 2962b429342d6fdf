"""Providers written in Python."""

import asyncio
import contextvars
import threading
from typing import Any

import pytest
from credential_rotation import Credential, CredentialRotationError, Wrapper

KEYS = [Credential(name, f"sk-secret-{name}", model="m") for name in ("a", "b")]

tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant", default="nobody")


class ThrottledError(Exception):
    status_code = 429


class Plain:
    name = "plain"

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    def send(self, request: dict[str, Any], credential: Credential) -> str:
        self.seen.append(request)
        if credential.id == "a":
            raise ThrottledError("slow down")
        return f"{credential.id} {credential.secret[-1]}: {request['messages'][0]['content']}"


def test_a_plain_provider_plugs_into_the_pool() -> None:
    provider = Plain()
    wrapper = Wrapper(provider=provider, credentials=KEYS)
    outcome = wrapper.call("hi")
    assert outcome.output == "b b: hi"
    trail = [(a.provider, a.credential, a.fault and a.fault.reason) for a in outcome.trail]
    assert trail == [("plain", "a", "rate_limited"), ("plain", "b", None)]
    assert provider.seen[0]["model"] == "m"
    assert "".join(c.get("text", "") for c in wrapper.stream("hi")) == "b b: hi"


async def test_a_coroutine_runs_on_the_loop_that_asked() -> None:
    loops: list[object] = []

    class Asynchronous:
        async def send(self, request: dict[str, Any], credential: Credential) -> dict[str, Any]:
            loops.append(asyncio.get_running_loop())
            await asyncio.sleep(0)
            return {"text": credential.id, "usage": {"input_tokens": 3, "output_tokens": 4}}

    wrapper = Wrapper(provider=Asynchronous(), credentials=KEYS)
    outcome = await wrapper.acall("hi")
    assert outcome.output == "a"
    assert outcome.usage is not None
    assert outcome.usage.total_tokens == 7
    assert loops == [asyncio.get_running_loop()]


class Told:
    """Tells what it sees of its caller: a context variable, and the loop it runs on."""

    def send(self, request: dict[str, Any], credential: Credential) -> str:
        return tenant.get()


class ToldLater:
    async def send(self, request: dict[str, Any], credential: Credential) -> str:
        await asyncio.sleep(0)
        return f"{tenant.get()} {id(asyncio.get_running_loop())}"


async def test_the_callers_context_variables_are_seen() -> None:
    plain, later = (Wrapper(provider=one, credentials=KEYS) for one in (Told(), ToldLater()))
    tenant.set("a")
    assert plain.call("x").output == (await plain.acall("x")).output == "a"
    here = id(asyncio.get_running_loop())
    assert (await later.acall("x")).output == f"a {here}"
    assert await anext(later.astream("x")) == {"type": "text", "text": f"a {here}"}
    tenant.set("b")
    assert plain.call("x").output == (await plain.acall("x")).output == "b"
    assert next(plain.stream("x"))["text"] == "b"


async def test_each_call_runs_on_its_own_loop_however_many_share_the_wrapper() -> None:
    wrapper = Wrapper(provider=ToldLater(), credentials=KEYS)

    async def seen() -> "tuple[bool, ...]":
        mine = str(id(asyncio.get_running_loop()))
        outcomes = await asyncio.gather(*(wrapper.acall("x") for _ in range(20)))
        return tuple(mine in o.unwrap() for o in outcomes)

    both = await asyncio.gather(seen(), asyncio.to_thread(lambda: asyncio.run(seen())))
    assert all(all(row) for row in both)


async def test_a_plain_call_from_a_coroutine_does_not_wait_for_its_own_loop() -> None:
    wrapper = Wrapper(provider=ToldLater(), credentials=KEYS, deadline_ms=5_000)
    assert (await wrapper.acall("x")).success
    assert wrapper.call("x").success


def test_a_coroutine_on_a_loop_of_its_own_ends_at_the_attempt_timeout() -> None:
    ended = threading.Event()

    class Slow:
        async def send(self, request: dict[str, Any], credential: Credential) -> str:
            try:
                await asyncio.sleep(60)
            finally:
                ended.set()
            return ""

    wrapper = Wrapper(provider=Slow(), credentials=KEYS, attempt_timeout_ms=50, max_retries=0)
    assert not wrapper.call("x").success
    assert ended.wait(5)


async def test_cancelling_reaches_the_provider() -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    class Slow:
        async def send(self, request: dict[str, Any], credential: Credential) -> str:
            started.set()
            try:
                await asyncio.sleep(60)
            finally:
                ended.set()
            return ""

    call = asyncio.create_task(Wrapper(provider=Slow(), credentials=KEYS).acall("hi"))
    await started.wait()
    call.cancel()
    await asyncio.wait_for(ended.wait(), 5)


def test_a_fault_of_its_code_is_told_and_costs_no_credential() -> None:
    class Broken:
        def send(self, request: dict[str, Any], credential: Credential) -> Any:
            return 5 if request["messages"][0]["content"] == "number" else 1 / 0

    wrapper = Wrapper(provider=Broken(), credentials=KEYS)
    for prompt, named in (("x", "ZeroDivisionError"), ("number", "TypeError")):
        outcome = wrapper.call(prompt)
        assert outcome.attempts == 1
        assert isinstance(outcome.error, CredentialRotationError)
        assert outcome.error.code == "request_rejected"
        assert named in str(outcome.error)
    assert {row["state"] for row in wrapper.pool.list()} == {"ready"}


async def test_its_own_classifier_decides() -> None:
    class Own(Plain):
        def classify(self, error: BaseException) -> str:
            return "quota_exhausted"

    class Broken(Plain):
        def classify(self, error: BaseException) -> str:
            raise ZeroDivisionError

    class Later(Broken):
        async def send(self, request: dict[str, Any], credential: Credential) -> str:  # type: ignore[override]
            return super().send(request, credential)

    fault = Wrapper(provider=Own(), credentials=KEYS).call("x").trail[0].fault
    assert fault is not None
    assert fault.reason == "quota_exhausted"
    for provider in (Broken(), Later()):
        outcome = await Wrapper(provider=provider, credentials=KEYS).acall("x")
        assert "ZeroDivisionError" in str(outcome.error)


def test_many_threads_may_ask_at_once() -> None:
    wrapper = Wrapper(provider=Plain(), credentials=KEYS)
    outputs: list[str | None] = []
    threads = [
        threading.Thread(target=lambda: outputs.append(wrapper.call("x").output)) for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert outputs == ["b b: x"] * 20


@pytest.mark.parametrize("limit", [30])
def test_a_provider_that_hangs_is_given_up(limit: int) -> None:
    release = threading.Event()

    class Hanging:
        def send(self, request: dict[str, Any], credential: Credential) -> str:
            release.wait(30)
            return ""

    wrapper = Wrapper(provider=Hanging(), credentials=KEYS, attempt_timeout_ms=limit, max_retries=0)
    outcome = wrapper.call("x")
    release.set()
    assert outcome.trail[0].fault is not None
    assert outcome.trail[0].fault.reason == "timeout"
