"""Calls a second at 64 in flight: ours with four keys of which one is bad, and the peers.

Usage: calls.py URL NAME. Prints one JSON object.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable

IN_FLIGHT = 64
BODY = {"model": "sim-1", "messages": [{"role": "user", "content": "hello"}]}

Call = Callable[[], Awaitable[object]]


async def run(call: Call, calls: int) -> None:
    """That many calls, as many in flight as there shall be."""
    left = iter(range(calls))

    async def worker() -> None:
        for _ in left:
            await call()

    await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))


async def rate(call: Call, calls: int) -> float:
    """Calls a second. A tenth more go before, uncounted: they make the connections."""
    await run(call, calls // 10)
    started = time.perf_counter()
    await run(call, calls)
    return calls / (time.perf_counter() - started)


def ours(url: str) -> Call:
    """Our wrapper."""
    from credential_rotation import Credential, Wrapper

    keys = ["good-1", "bad", "good-2", "good-3"]
    wrapper = Wrapper(
        base_url=f"{url}/v1",
        model="sim-1",
        credentials=[Credential(key, f"sk-secret-{key}") for key in keys],
    )

    async def call() -> None:
        outcome = await wrapper.acall("hello")
        assert outcome.output

    return call


def aiohttp_peer(url: str) -> Call:
    """Bare aiohttp: post, read JSON."""
    import aiohttp

    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
    headers = {"authorization": "Bearer sk-secret-good-1"}

    async def call() -> None:
        async with session.post(f"{url}/v1/chat/completions", json=BODY, headers=headers) as answer:
            assert (await answer.json())["choices"][0]["message"]["content"]

    return call


def openai_peer(url: str) -> Call:
    """The openai package."""
    import openai

    client = openai.AsyncOpenAI(api_key="sk-secret-good-1", base_url=f"{url}/v1", max_retries=0)

    async def call() -> None:
        answer = await client.chat.completions.create(**BODY)  # type: ignore[call-overload]
        assert answer.choices[0].message.content

    return call


def litellm_peer(url: str) -> Call:
    """LiteLLM's Router over four keys."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    import litellm

    litellm.suppress_debug_info = True
    router = litellm.Router(
        model_list=[
            {
                "model_name": "sim-1",
                "litellm_params": {
                    "model": "openai/sim-1",
                    "api_key": f"sk-secret-good-{number}",
                    "api_base": f"{url}/v1",
                },
            }
            for number in range(4)
        ]
    )

    async def call() -> None:
        answer = await router.acompletion(model="sim-1", messages=BODY["messages"])
        assert answer.choices[0].message.content

    return call


CONTENDERS: dict[str, tuple[Callable[[str], Call], int]] = {
    "acall": (ours, 20_000),
    "aiohttp": (aiohttp_peer, 10_000),
    "openai": (openai_peer, 1_000),
    "LiteLLM Router": (litellm_peer, 500),
}


async def main(url: str, name: str) -> None:
    """Measure one contender: each has a process of its own, so that none slows another."""
    make, calls = CONTENDERS[name]
    call = make(url)
    value = await rate(call, calls)
    print(json.dumps({"name": f"python {name}", "value": value, "unit": "calls/s"}), flush=True)
    # Clients are not closed: what that costs and says is not measured.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
