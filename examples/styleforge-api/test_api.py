"""StyleForge as its users meet it: over HTTP, on SQLite and on Redis, Python's and Node's."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from credential_rotation.testing import SimulatedEndpoint

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ANN, BOB = {"X-API-Key": "key-ann"}, {"X-API-Key": "key-bob"}
BRIEF = {"topic": "ovens", "words": 60, "audience": "bakers"}


def pdf(text: str) -> bytes:
    """Make the smallest PDF that shows a text."""
    content = f"BT /F 12 Tf 72 700 Td ({text}) Tj ET".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 5 0 R"
        b" /Resources << /Font << /F 4 0 R >> >> >>",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
    ]
    file, places = b"%PDF-1.7\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(file))
        file += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    head = b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    end = b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n"
    return file + head + table + end % (len(objects) + 1, len(file))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: str, found: Callable[[], Any], seconds: float = 40) -> Any:
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        if value := found():
            return value
        time.sleep(0.05)
    pytest.fail(f"{what} did not come")


@pytest.fixture(params=["sqlite", "redis", "node"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    if request.param != "redis":
        places = {"JOBS_URL": f"sqlite:{tmp_path}/jobs.db"}
        places["SESSIONS_URL"] = f"sqlite:{tmp_path}/sessions.db"
        # Node has one process, which nobody survives.
        yield places | ({"NODE": "1"} if request.param == "node" else {})
        return
    own = ROOT / "tools/servers/redis-server"
    program = str(own) if own.exists() else shutil.which("redis-server")
    if program is None:
        pytest.skip("no redis-server: `make test` installs one")
    port = free_port()
    options = ["--port", str(port), "--save", "", "--bind", "127.0.0.1"]
    server = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)
    url = f"redis://127.0.0.1:{port}"
    yield {"JOBS_URL": url, "SESSIONS_URL": url}
    server.kill()
    server.wait()


@pytest.fixture
def endpoint() -> Iterator[SimulatedEndpoint]:
    with SimulatedEndpoint({"keys": {"sk-secret-a": [{"text": "answer {hit}"}]}}) as simulated:
        yield simulated


def command(request: pytest.FixtureRequest, port: int) -> list[str]:
    """Four processes of Python's, or one of Node's."""
    if "node" in request.node.callspec.params.values():
        return [shutil.which("node") or "node", "server.mjs"]
    return [sys.executable, "-m", "uvicorn", "app:app", "--workers", "4", "--port", str(port)]


@pytest.fixture
def api(
    request: pytest.FixtureRequest,
    storage: dict[str, str],
    endpoint: SimulatedEndpoint,
    tmp_path: Path,
) -> Iterator[httpx.Client]:
    config = tmp_path / "credential-rotation.toml"
    config.write_text(
        f'[wrapper]\nprovider = "anthropic"\nmodel = "sim-1"\nbase_url = "{endpoint.url}"\n'
        '[[wrapper.credentials]]\nid = "a"\nsecret = "sk-secret-a"\n'
        f'[wrapper.pool]\nstore = "{tmp_path}/pool.db"\n'
    )
    config.chmod(0o600)
    port = free_port()
    log = tmp_path / "service.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            command(request, port),
            stdout=output,
            cwd=HERE,
            env=os.environ
            | storage
            | {"API_KEYS": "key-ann=ann,key-bob=bob", "CONFIG": str(config), "LEASE": "2"}
            | {"PORT": str(port)},
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"

    def up() -> bool:
        assert process.poll() is None, "the service ended"
        try:
            return httpx.get(f"{url}/health").status_code == 200
        except httpx.TransportError:
            return False

    try:
        wait_for("the service", up)
        # A connection a request: each may reach another process.
        limits = httpx.Limits(max_keepalive_connections=0)
        with httpx.Client(base_url=url, headers=ANN, limits=limits, timeout=20) as client:
            yield client
    finally:
        # As Ctrl-C and as a service manager do.
        end = signal.SIGTERM if "sqlite" in str(storage["JOBS_URL"]) else signal.SIGINT
        process.send_signal(end)
        code = process.wait(60)
    assert code in (0, -end, 128 + end), f"the service ended with {code}"
    assert "stopping: jobs that run end first" in log.read_text()


def train(api: httpx.Client, session: str, body: bytes, name: str = "style.pdf") -> httpx.Response:
    files = {"document": (name, body, "application/pdf")}
    return api.post("/train", data={"session": session}, files=files)


def ended(api: httpx.Client, job: str) -> dict[str, Any]:
    def look() -> Any:
        told = api.get(f"/jobs/{job}").json()
        return told if told["state"] in ("completed", "failed", "cancelled") else None

    found: dict[str, Any] = wait_for(f"the end of {job}", look)
    return found


def test_a_session_learns_and_writes(api: httpx.Client, endpoint: SimulatedEndpoint) -> None:
    made = api.post("/sessions", json={"id": "s", "name": "Bread"})
    assert (made.status_code, made.json()["owner"]) == (201, "ann")
    asked = train(api, "s", pdf("Bread is patient. It waits for nobody."))
    assert (asked.status_code, asked.json()["state"]) == (202, "pending")
    assert ended(api, asked.json()["job"])["state"] == "completed"
    asked = api.post("/generate", json={"session": "s", **BRIEF})
    job = asked.json()["job"]
    done = ended(api, job)
    assert (done["state"], done["progress"]["percent"]) == ("completed", 100)
    result = api.get(f"/results/{job}").json()
    assert (result["text"], result["topic"]) == ("answer 2", "ovens")
    # Which credential answered is for nobody to see.
    changed = api.patch("/sessions/s", json={"name": "Loaves"})
    for told in (changed, api.get("/sessions"), api.get("/sessions/s")):
        assert '"training"' in told.text
        assert "credential" not in told.text
    assert "credential" not in asked.text + api.get(f"/jobs/{job}").text + str(result)
    seen = [request["body"] for request in endpoint.requests()]
    assert "Bread is patient" in str(seen[1]["messages"][0])
    # Every process knows the session, its turns and the jobs.
    for _ in range(12):
        assert api.get("/sessions/s").json()["turns"] == 2
        assert len(api.get("/jobs").json()["jobs"]) == 2
    health = api.get("/health").json()
    assert (health["sessions"], health["jobs"]["conversations"]["completed"]) == (1, 2)
    assert api.patch("/sessions/s", json={"name": "Salt"}).json()["name"] == "Salt"
    assert [one["id"] for one in api.get("/sessions").json()["sessions"]] == ["s"]
    assert api.delete("/sessions/s").status_code == 204
    assert api.get("/sessions/s").status_code == 404


def test_what_cannot_be_is_refused(api: httpx.Client) -> None:
    api.post("/sessions", json={"id": "s"})
    assert api.post("/sessions", json={"id": "s"}).status_code == 409
    assert api.get("/sessions", headers={"X-API-Key": "guess"}).status_code == 401
    # Who says no key is refused before a byte of the body is read.
    head = b"POST /train HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
    with socket.create_connection((api.base_url.host, api.base_url.port or 0), 20) as plain:
        plain.sendall(head)
        assert b" 401 " in plain.recv(200)
    assert train(api, "never", pdf("x")).json()["error"]["code"] == "unknown_session"
    wrong = train(api, "s", b"PK\x03\x04 no PDF")
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (415, "document_not_supported")
    early = api.post("/generate", json={"session": "s", **BRIEF}).json()["job"]
    failed = ended(api, early)
    assert (failed["state"], failed["error"]["kind"]) == ("failed", "not_trained")
    assert api.get(f"/results/{early}").status_code == 409
    none = api.post("/generate", json={"session": "s", **BRIEF, "words": 0})
    assert none.status_code in (400, 422)
    for bad in ({"nonsense": 1}, {"self": 1}, {"id": 5}, {"name": 5}, {"fence": 5}, [1]):
        refused = (api.post("/sessions", json=bad), api.patch("/sessions/s", json=bad))
        assert all(400 <= one.status_code < 500 for one in refused), (bad, refused)
    assert 400 <= api.patch("/sessions/s", json={"id": "t"}).status_code < 500
    assert 400 <= train(api, "s", b"").status_code < 500
    no_file = api.post("/train", data={"session": "s"}, files={"other": (None, "x")})
    assert 400 <= no_file.status_code < 500
    assert [one["id"] for one in api.get("/sessions").json()["sessions"]] == ["s"]
    assert api.get("/sessions/s").json()["messages"] == 0


def test_an_owner_neither_sees_nor_guesses_what_another_has(api: httpx.Client) -> None:
    api.post("/sessions", json={"id": "of-ann"})
    job = api.post("/generate", json={"session": "of-ann", **BRIEF}).json()["job"]

    def told(method: str, path: str, name: str, **more: Any) -> tuple[int, str]:
        answer = api.request(method, path.format(name), headers=BOB, **more)
        return answer.status_code, answer.text.replace(name, "NAME")

    for method, path in [
        *(("GET", "/sessions/{}"), ("PATCH", "/sessions/{}"), ("DELETE", "/sessions/{}")),
        *(("GET", "/jobs/{}"), ("DELETE", "/jobs/{}"), ("GET", "/results/{}")),
    ]:
        name, never = (job, "0" * 32) if "sessions" not in path else ("of-ann", "of-none")
        more = {"json": {"name": "x"}} if method == "PATCH" else {}
        foreign = told(method, path, name, **more)
        assert foreign == told(method, path, never, **more), (method, path)
        assert foreign[0] == 404
    for name in ("of-ann", "of-none"):
        assert api.post("/generate", json={"session": name, **BRIEF}, headers=BOB).is_error
        assert api.post(
            "/train", data={"session": name}, files={"document": ("a.txt", b"a")}, headers=BOB
        ).is_error
    assert api.get("/sessions", headers=BOB).json()["sessions"] == []
    assert api.get("/jobs", headers=BOB).json()["jobs"] == []
    assert ended(api, job)["state"] == "failed"
    assert api.get("/sessions/of-ann").json()["messages"] == 0


def test_the_order_of_a_form_s_fields_does_not_matter(api: httpx.Client) -> None:
    api.post("/sessions", json={"id": "s"})
    parts = [("document", ("a.txt", b"Bread is patient.")), ("session", (None, b"s"))]
    asked = api.post("/train", files=parts)
    assert asked.status_code == 202
    assert ended(api, asked.json()["job"])["state"] == "completed"


def test_the_service_is_one_short_file() -> None:
    assert len((HERE / "app.py").read_text().splitlines()) <= 150


def test_a_generation_outlives_its_process_and_can_be_called_off(
    api: httpx.Client, endpoint: SimulatedEndpoint, storage: dict[str, str]
) -> None:
    slow = {"pieces": ["word "] * 200, "piece_ms": 50}
    api.post("/sessions", json={"id": "s"})
    ended(api, train(api, "s", pdf("Bread is patient.")).json()["job"])
    endpoint.script("sk-secret-a", [slow])

    def running(job: str) -> Any:
        told = api.get(f"/jobs/{job}").json()
        return told if told["state"] == "generating" and told["progress"] else None

    off = api.post("/generate", json={"session": "s", **BRIEF}).json()["job"]
    wait_for("the first words", lambda: running(off))
    api.delete(f"/jobs/{off}")
    assert ended(api, off)["state"] == "cancelled"
    if "NODE" in storage:
        return
    killed = api.post("/generate", json={"session": "s", **BRIEF}).json()["job"]
    worker = wait_for("the first words", lambda: running(killed))["worker"]
    endpoint.script("sk-secret-a", [{"text": "at last"}])
    os.kill(int(worker.rsplit("-", 2)[1]), signal.SIGKILL)
    assert ended(api, killed)["state"] == "completed"
    assert api.get(f"/results/{killed}").json()["text"] == "at last"
    session = api.get("/sessions/s").json()
    assert (session["turns"], session["jobs"]) == (2, [])
