"""What the exceptions of the usual clients mean, told from real ones."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import aiohttp
import anthropic
import httpx
import openai
import pytest
import requests  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.session import get_session  # type: ignore[import-untyped]
from credential_rotation import Credential, Wrapper
from credential_rotation.testing import SimulatedEndpoint

BODY: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
PATH = "/v1/chat/completions"
PATIENCE = 0.3

Client = Callable[[str, str], object]


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def by_requests(url: str, key: str) -> object:
    answer = requests.post(url + PATH, json=BODY, headers=bearer(key), timeout=PATIENCE)
    answer.raise_for_status()
    return answer.json()


def by_httpx(url: str, key: str) -> object:
    answer = httpx.post(url + PATH, json=BODY, headers=bearer(key), timeout=PATIENCE)
    return answer.raise_for_status().json()


def by_aiohttp(url: str, key: str) -> object:
    async def ask() -> object:
        timeout = aiohttp.ClientTimeout(sock_read=PATIENCE)
        async with (
            aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as session,
            session.post(url + PATH, json=BODY, headers=bearer(key)) as answer,
        ):
            return await answer.json()

    return asyncio.run(ask())


def by_openai(url: str, key: str) -> object:
    with openai.OpenAI(
        api_key=key, base_url=f"{url}/v1", max_retries=0, timeout=PATIENCE
    ) as client:
        return client.chat.completions.create(**BODY)


def by_anthropic(url: str, key: str) -> object:
    with anthropic.Anthropic(api_key=key, base_url=url, max_retries=0, timeout=PATIENCE) as client:
        return client.messages.create(max_tokens=5, **BODY)


CLIENTS = [by_requests, by_httpx, by_aiohttp, by_openai, by_anthropic]


def rotate(wrapper: Wrapper, first: Callable[[], object]) -> "tuple[object, str | None]":
    """Run with a first credential that does this, and tell how it stands afterwards."""

    def work(credential: Credential) -> object:
        return first() if credential.id == "first" else "moved on"

    value = wrapper.run(work)
    return value, wrapper.pool.list()[0].get("reason")


def two() -> Wrapper:
    keys = [Credential(name, f"sk-secret-{name}") for name in ("first", "second")]
    return Wrapper(credentials=keys, policy={"backoff_ms": 1})


@pytest.mark.parametrize("ask", CLIENTS)
def test_what_is_the_credentials_fault_puts_it_out(
    ask: Client, endpoint: SimulatedEndpoint
) -> None:
    for key, reasons in {
        # aiohttp's exception does not have the body, which alone tells the two apart.
        "spent": {"rate_limited"} if ask is by_aiohttp else {"quota_exhausted", "billing"},
        "refused": {"unauthorized"},
        "throttled": {"rate_limited"},
    }.items():
        value, reason = rotate(two(), lambda key=key: ask(endpoint.url, f"sk-secret-{key}"))
        assert (value, reason in reasons) == ("moved on", True), (key, reason)


@pytest.mark.parametrize("ask", CLIENTS)
def test_a_wait_that_the_endpoint_names_is_kept(ask: Client, endpoint: SimulatedEndpoint) -> None:
    wrapper = two()
    rotate(wrapper, lambda: ask(endpoint.url, "sk-secret-throttled"))
    row = wrapper.pool.list()[0]
    assert row["state"] == "cooling"
    assert 50_000 < row["until"] - endpoint.requests()[-1]["at"] < 70_000


@pytest.mark.parametrize("ask", CLIENTS)
@pytest.mark.parametrize("trouble", ["stall", "reset", "refused connection", "unknown host"])
def test_what_is_the_providers_fault_blames_no_credential(
    ask: Client, trouble: str, endpoint: SimulatedEndpoint
) -> None:
    endpoint.script("sk-secret-reset", [{"fault": "reset"}])
    hosts = {"refused connection": "http://127.0.0.1:1", "unknown host": "http://host.invalid"}
    url = hosts.get(trouble, endpoint.url)
    assert rotate(two(), lambda: ask(url, f"sk-secret-{trouble}".split()[0])) == ("moved on", None)


@pytest.mark.parametrize("ask", CLIENTS)
def test_what_is_the_requests_fault_comes_out(ask: Client, endpoint: SimulatedEndpoint) -> None:
    wrapper = two()
    with pytest.raises(Exception, match=r"400|[Bb]ad"):
        rotate(wrapper, lambda: ask(endpoint.url, "sk-secret-bad"))
    assert {row["state"] for row in wrapper.pool.list()} == {"ready"}


class Bedrock(BaseHTTPRequestHandler):
    """Fails with the AWS error that the model's name says."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        named = self.path.split("/")[2]
        status = {"ThrottlingException": 429, "AccessDeniedException": 403}.get(named, 400)
        body = json.dumps({"message": "in words"}).encode()
        self.send_response(status)
        self.send_header("x-amzn-errortype", named)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def bedrock() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Bedrock)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def by_botocore(url: str, model: str) -> object:
    client = get_session().create_client(
        "bedrock-runtime",
        region_name="us-east-1",
        aws_access_key_id="id",
        aws_secret_access_key="tok-secret-aws",
        endpoint_url=url,
        config=Config(retries={"total_max_attempts": 1}),
    )
    return client.invoke_model(modelId=model, body=b"{}")


def test_the_errors_of_aws_are_told_apart(bedrock: str) -> None:
    for named, reason in {
        "ThrottlingException": "rate_limited",
        "AccessDeniedException": "forbidden",
    }.items():
        assert rotate(two(), lambda named=named: by_botocore(bedrock, named)) == (
            "moved on",
            reason,
        )
    with pytest.raises(Exception, match="ValidationException"):
        rotate(two(), lambda: by_botocore(bedrock, "ValidationException"))


def test_a_bug_in_the_handling_of_a_clients_error_is_not_retried() -> None:
    def bug() -> object:
        try:
            raise TimeoutError("slow")
        except TimeoutError:
            return {}["answer"]

    with pytest.raises(KeyError):
        rotate(two(), bug)

    def hidden() -> object:
        try:
            raise TimeoutError("slow")
        except TimeoutError:
            raise RuntimeError("ours") from None

    with pytest.raises(RuntimeError):
        rotate(two(), hidden)
