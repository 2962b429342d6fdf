"""The service as its users meet it: two uvicorn workers, Node, and docker exec's form."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from credential_rotation.testing import SimulatedEndpoint

HERE = Path(__file__).parent
KEY = {"X-API-Key": "tests"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def commands(port: int) -> dict[str, list[str]]:
    uvicorn = [sys.executable, "-m", "uvicorn", "app:app", "--workers", "2", "--port", str(port)]
    return {"uvicorn": uvicorn, "node": [shutil.which("node") or "node", "server.mjs"]}


@pytest.fixture(params=["uvicorn", "node"])
def service(request: pytest.FixtureRequest, config: Path) -> Iterator[str]:
    port = free_port()
    environment = os.environ | {
        "SERVICE_API_KEY": KEY["X-API-Key"],
        "CREDENTIAL_ROTATION_CONFIG": str(config),
        "PORT": str(port),
    }
    process = subprocess.Popen(
        commands(port)[request.param], cwd=HERE, env=environment, start_new_session=True
    )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until_up(url, process)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(20)
    assert code in (0, -signal.SIGTERM), f"the service ended with {code}"


def wait_until_up(url: str, process: "subprocess.Popen[bytes]") -> None:
    give_up = time.monotonic() + 30
    while time.monotonic() < give_up:
        assert process.poll() is None, "the service ended"
        try:
            httpx.get(f"{url}/health").raise_for_status()
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    pytest.fail("the service did not come up")


def test_it_answers_although_two_accounts_cannot(service: str, endpoint: SimulatedEndpoint) -> None:
    with httpx.Client(base_url=service, headers=KEY) as client:
        answers = [client.post("/generate", json={"prompt": f"p{n}"}) for n in range(20)]
    assert [answer.status_code for answer in answers] == [200] * 20
    assert answers[0].json() == {"text": "answer to p0", "success": True, "attempts": 3}
    # Both workers know what one of them was told.
    assert endpoint.hits("sk-secret-spent") <= 2
    accounts = {row["id"]: row for row in httpx.get(f"{service}/health").json()["accounts"]}
    assert accounts["good"]["state"] == "ready"
    assert {accounts["spent"]["state"], accounts["slow"]["state"]} <= {"parked", "cooling", "ready"}


def test_what_is_missing_is_said(service: str) -> None:
    with httpx.Client(base_url=service, headers=KEY) as client:
        for body in ({}, {"prompt": ""}, {"prompt": 5}, []):
            answer = client.post("/generate", json=body)
            assert (answer.status_code, answer.json()) == (400, {"error": "Missing prompt"})
    for headers in ({}, {"X-API-Key": "guess"}):
        answer = httpx.post(f"{service}/generate", json={"prompt": "x"}, headers=headers)
        assert answer.status_code == 401


def test_when_no_account_can_answer_it_says_why(service: str, endpoint: SimulatedEndpoint) -> None:
    endpoint.script("sk-secret-good", [{"fault": "insufficient_quota"}])
    answer = httpx.post(f"{service}/generate", json={"prompt": "x"}, headers=KEY)
    assert answer.status_code == 503
    assert answer.json()["success"] is False
    assert answer.json()["error"]["code"] == "all_cooling"
    assert "sk-secret" not in answer.text


def test_the_program_answers_as_docker_exec_calls_it(
    endpoint: SimulatedEndpoint, tmp_path: Path
) -> None:
    folder = tmp_path / ".qwen"
    folder.mkdir()
    keys = folder / "credentials.toml"
    keys.write_text('[[credentials]]\nid = "good"\nsecret = "sk-secret-good"\n')
    keys.chmod(0o600)
    program = Path(sys.executable).with_name("account-qwen")
    done = subprocess.run(
        [
            program,
            *("--provider", "openai", "--model", "sim-1", "--base-url", f"{endpoint.url}/v1"),
            *("--wrapper", "hello"),
        ],
        env=os.environ | {"QWEN_DIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "answer to hello\n"), done.stderr
