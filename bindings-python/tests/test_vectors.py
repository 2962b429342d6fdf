"""The scenarios that all languages share, from Python."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from credential_rotation import Credential, CredentialRotationError, Wrapper
from credential_rotation.testing import SimulatedEndpoint

VECTORS = json.loads((Path(__file__).parents[2] / "core" / "vectors" / "rotation.json").read_text())
THEIRS = {"request_rejected", "attempts_exhausted"}


def cases(drive: str) -> list[Any]:
    chosen = [case for case in VECTORS["cases"] if drive in case["drives"]]
    assert len(chosen) > 15
    return [pytest.param(case, id=case["name"]) for case in chosen]


def wrapper_of(case: dict[str, Any], endpoint: SimulatedEndpoint) -> Wrapper:
    options = dict(case["options"])
    base = {"base_url": f"{endpoint.url}/v1"}
    if "fallbacks" in options:
        options["fallbacks"] = [{**fallback, **base} for fallback in options["fallbacks"]]
    return Wrapper(**options, **base, model="sim-1")


def check(
    expect: dict[str, Any], output: str | None, code: str | None, trail: list[Any] | None
) -> None:
    assert output == expect["output"]
    if output is None:
        assert code == expect["code"]
    if trail is not None:
        seen = [[a.credential, a.fault.reason if a.fault else None] for a in trail]
        assert seen == expect["trail"]


@pytest.mark.parametrize("case", cases("call"))
async def test_the_shared_scenarios_hold_by_call(case: dict[str, Any]) -> None:
    for asynchronous in (False, True):
        with SimulatedEndpoint(case["scenario"]) as endpoint:
            wrapper = wrapper_of(case, endpoint)
            for call in case["calls"]:
                prompt = call["prompt"]
                outcome = await wrapper.acall(prompt) if asynchronous else wrapper.call(prompt)
                code = outcome.error.code if outcome.error else None
                check(call["expect"], outcome.output, code, outcome.trail)


@pytest.mark.parametrize("case", cases("stream"))
def test_the_shared_scenarios_hold_by_stream(case: dict[str, Any]) -> None:
    with SimulatedEndpoint(case["scenario"]) as endpoint:
        wrapper = wrapper_of(case, endpoint)
        for call in case["calls"]:
            output, code, answer = None, None, wrapper.stream(call["prompt"])
            try:
                output = "".join(chunk.get("text", "") for chunk in answer)
            except CredentialRotationError as error:
                code = error.code
            check(call["expect"], output, code, answer.trail)


@pytest.mark.parametrize("case", cases("run"))
async def test_the_shared_scenarios_hold_by_run(case: dict[str, Any]) -> None:
    anthropic = case["options"].get("provider") == "anthropic"
    for asynchronous in (False, True):
        with SimulatedEndpoint(case["scenario"]) as endpoint, httpx.Client() as client:

            def ask(
                credential: Credential,
                prompt: str,
                url: str = endpoint.url,
                client: httpx.Client = client,
            ) -> str:
                return post(client, url, anthropic, credential, prompt)

            wrapper = wrapper_of(case, endpoint)
            for call in case["calls"]:
                output, code = await drive(wrapper, ask, call["prompt"], asynchronous)
                expect = dict(call["expect"])
                if expect["code"] in THEIRS:
                    expect["code"] = "theirs"
                check(expect, output, code, None)


async def drive(
    wrapper: Wrapper, ask: Any, prompt: str, asynchronous: bool
) -> tuple[str | None, str | None]:
    async def work(credential: Credential) -> str:
        return str(ask(credential, prompt))

    try:
        if asynchronous:
            return await wrapper.arun(work), None
        return wrapper.run(lambda credential: str(ask(credential, prompt))), None
    except CredentialRotationError as error:
        return None, error.code
    except httpx.HTTPError:
        return None, "theirs"


def post(
    client: httpx.Client, url: str, anthropic: bool, credential: Credential, prompt: str
) -> str:
    body = {"model": "sim-1", "max_tokens": 50, "messages": [{"role": "user", "content": prompt}]}
    path = "messages" if anthropic else "chat/completions"
    bearer = {"authorization": f"Bearer {credential.secret}"}
    headers = {"x-api-key": credential.secret} if anthropic else bearer
    answer = client.post(f"{url}/v1/{path}", json=body, headers=headers)
    answer.raise_for_status()
    value = answer.json()
    text = value["content"][0]["text"] if anthropic else value["choices"][0]["message"]["content"]
    return str(text)
