"""Rotation around client code of the user's own: the real openai and anthropic packages."""

import asyncio

import anthropic
import httpx
import openai
import pytest
from conftest import Make
from credential_rotation import AllCoolingError, AttemptsExhaustedError, Credential
from credential_rotation.testing import SimulatedEndpoint

MESSAGES = [{"role": "user", "content": "hello"}]


def ask_openai(endpoint: SimulatedEndpoint, credential: Credential) -> str:
    client = openai.OpenAI(
        api_key=credential.secret, base_url=endpoint.openai_url, max_retries=0, timeout=5
    )
    with client:
        answer = client.chat.completions.create(model="sim-1", messages=MESSAGES)  # type: ignore[arg-type]
    return str(answer.choices[0].message.content)


def ask_anthropic(endpoint: SimulatedEndpoint, credential: Credential) -> str:
    client = anthropic.Anthropic(
        api_key=credential.secret, base_url=endpoint.url, max_retries=0, timeout=5
    )
    with client:
        answer = client.messages.create(model="sim-1", max_tokens=50, messages=MESSAGES)  # type: ignore[arg-type]
    return str(answer.content[0].text)  # type: ignore[union-attr]


@pytest.mark.parametrize("ask", [ask_openai, ask_anthropic])
def test_the_real_packages_rotate(make: Make, endpoint: SimulatedEndpoint, ask: object) -> None:
    wrapper = make("spent", "refused", "throttled", "good")
    answer = wrapper.run(lambda credential: ask(endpoint, credential))  # type: ignore[operator]
    assert answer == "answer to hello"
    for key in ("spent", "refused", "throttled", "good"):
        assert endpoint.hits(f"sk-secret-{key}") == 1, key
    reasons = {row["id"]: row.get("reason") for row in wrapper.pool.list()}
    spent = {"quota_exhausted", "billing"}
    assert reasons["spent"] in spent
    assert (reasons["refused"], reasons["throttled"]) == ("unauthorized", "rate_limited")


@pytest.mark.parametrize(
    ("ask", "error"),
    [(ask_openai, openai.BadRequestError), (ask_anthropic, anthropic.BadRequestError)],
)
def test_their_errors_come_out_as_they_are(
    make: Make, endpoint: SimulatedEndpoint, ask: object, error: type[Exception]
) -> None:
    with pytest.raises(error):
        make("bad", "good").run(lambda credential: ask(endpoint, credential))  # type: ignore[operator]
    assert endpoint.hits("sk-secret-good") == 0


async def test_asynchronous_clients_rotate(make: Make, endpoint: SimulatedEndpoint) -> None:
    async def ask(credential: Credential) -> str:
        async with openai.AsyncOpenAI(
            api_key=credential.secret, base_url=endpoint.openai_url, max_retries=0
        ) as client:
            answer = await client.chat.completions.create(model="sim-1", messages=MESSAGES)  # type: ignore[arg-type]
        return str(answer.choices[0].message.content)

    assert await make("spent", "throttled", "good").arun(ask) == "answer to hello"
    with pytest.raises(openai.BadRequestError):
        await make("bad").arun(ask)


def test_lost_connections_and_timeouts_of_clients_are_told_from_bugs(
    make: Make, endpoint: SimulatedEndpoint
) -> None:
    tried: list[str] = []

    def ask(credential: Credential) -> str:
        tried.append(credential.id)
        if len(tried) == 1:
            httpx.get("http://127.0.0.1:1/")
        if len(tried) == 2:
            raise TimeoutError("slow")
        return credential.id

    assert make("good", policy={"backoff_ms": 1}).run(ask) == "good"
    assert len(tried) == 3

    def bug(_: Credential) -> str:
        tried.append("bug")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        make("good").run(bug)
    assert tried.count("bug") == 1


def test_when_none_can_be_used_ours_comes_with_theirs_as_its_cause(make: Make) -> None:
    class SlowDownError(Exception):
        status_code = 429

    def ask(_: Credential) -> str:
        raise SlowDownError

    wrapper = make("good", "spent")
    with pytest.raises(AllCoolingError) as ended:
        wrapper.run(ask)
    assert isinstance(ended.value.__cause__, SlowDownError)
    with pytest.raises(AllCoolingError) as ended:
        wrapper.run(ask)
    assert ended.value.__cause__ is None


async def test_a_classifier_of_the_users_has_the_last_word(make: Make) -> None:
    def classify(error: BaseException) -> "dict[str, object] | str | None":
        if isinstance(error, KeyError):
            return {"reason": "rate_limited", "retry_after_ms": 90_000}
        return "quota_exhausted" if isinstance(error, IndexError) else None

    tried: list[str] = []

    async def ask(credential: Credential) -> str:
        tried.append(credential.id)
        if credential.id == "good":
            raise KeyError
        if credential.id == "spent":
            raise IndexError
        return credential.id

    wrapper = make("good", "spent", "slow")
    assert await wrapper.arun(ask, classify=classify) == "slow"
    assert [row.get("reason") for row in wrapper.pool.list()][:2] == [
        "rate_limited",
        "quota_exhausted",
    ]


async def test_an_attempt_that_takes_too_long_gives_way(make: Make) -> None:
    ended: list[str] = []

    async def ask(credential: Credential) -> str:
        if not ended:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                ended.append(credential.id)
                raise
        return credential.id

    wrapper = make("good", "slow", attempt_timeout_ms=50, policy={"backoff_ms": 1})
    assert await wrapper.arun(ask) in ("good", "slow")
    assert len(ended) == 1


async def test_our_own_time_limit_is_no_matter_for_the_users_classifier(make: Make) -> None:
    seen: list[BaseException] = []
    wrapper = make("good", attempt_timeout_ms=30, max_retries=1, policy={"backoff_ms": 1})
    with pytest.raises(AttemptsExhaustedError) as ended:
        await wrapper.arun(lambda _: asyncio.sleep(60), classify=lambda e: seen.append(e))
    assert (seen, ended.value.fault["reason"] if ended.value.fault else None) == ([], "timeout")
    # A time limit of the client's own is theirs.
    with pytest.raises(asyncio.TimeoutError):
        await wrapper.arun(
            lambda _: asyncio.wait_for(asyncio.sleep(60), 0.001), classify=lambda e: None
        )


async def test_cancelling_a_run_ends_the_work_and_gives_the_credential_back(make: Make) -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def work(_: Credential) -> None:
        started.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    wrapper = make("good")
    run = asyncio.create_task(wrapper.arun(work))
    await started.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert ended.is_set()
    assert wrapper.pool.list()[0]["in_flight"] == 0


def test_a_run_that_ends_in_any_way_gives_its_credential_back(make: Make) -> None:
    wrapper = make("good")
    with pytest.raises(KeyboardInterrupt):
        wrapper.run(lambda _: (_ for _ in ()).throw(KeyboardInterrupt()))
    assert wrapper.pool.list()[0]["in_flight"] == 0
