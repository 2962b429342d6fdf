"""Job queues of others beside ours, and what idle workers, waiting jobs and documents cost.

A peer that cannot be run makes its row say so, and stops nothing else.
"""

import contextlib
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / "benches"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
RELEASE = TARGET / "release"
PEERS = HERE / "peers/target/release"
PYTHON = str(ROOT / ".venv-bench/bin/python")

Run = Callable[[str, list[str]], dict[str, float] | None]

# What runs on which place; ours are measured in the same turns.
CONTENDERS: list[tuple[str, list[str], str]] = [
    ("BullMQ", ["node", str(HERE / "node/bullmq.mjs")], "redis"),
    ("Node's worker", ["node", str(HERE / "node/jobs.mjs")], "redis"),
    ("apalis-redis", [str(PEERS / "apalis_redis")], "redis"),
    ("apalis-sqlite", [str(PEERS / "apalis_sqlite")], "sqlite-peer"),
    ("Python's worker", [PYTHON, str(HERE / "python/jobs.py")], "redis"),
    ("taskiq-redis", [PYTHON, str(HERE / "python/taskiq_peer.py")], "redis"),
    ("huey", [PYTHON, str(HERE / "python/huey_peer.py")], "redis"),
    ("dramatiq", [PYTHON, str(HERE / "python/dramatiq_peer.py")], "redis"),
]

# Ours, the peer, and how many times as fast it shall be.
RATIOS: list[tuple[str, str, str, float]] = [
    ("Rust worker on Redis", "jobs redis drain", "jobs BullMQ drain", 3),
    ("Rust worker on Redis", "jobs redis drain", "jobs apalis-redis drain", 4),
    ("Rust worker on SQLite", "jobs sqlite drain", "jobs apalis-sqlite drain", 1.3),
    ("Python worker", "jobs python drain", "jobs taskiq-redis drain", 4),
    ("Python worker", "jobs python drain", "jobs huey drain", 4),
    ("Python worker", "jobs python drain", "jobs dramatiq drain", 4),
    ("Node worker", "jobs node drain", "jobs BullMQ drain", 2),
    ("Node, added 1,000 at a time", "jobs node bulk add", "jobs BullMQ bulk add", 2),
]

RATES: list[tuple[str, str, float]] = [
    ("Redis, drained by Python's worker", "jobs python drain", 25_000),
    ("Redis, added by Python 1,000 at a time", "jobs python bulk add", 100_000),
    ("Redis, drained by Node's worker", "jobs node drain", 60_000),
    ("sessions on Redis, a turn added and 20 read", "sessions redis append and read", 20_000),
    ("sessions on SQLite, written through, the same", "sessions sqlite append and read", 10_000),
]

LIMITS: list[tuple[str, str, float]] = [
    ("job taken in until its handler starts, p50 ms", "jobs start p50", 0.5),
    ("the same, p99 ms", "jobs start p99", 3),
    ("commands a second of an idle worker", "jobs idle commands", 1),
    ("time of a job with 1,000,000 behind it, of one with 1,000", "jobs behind", 1.25),
    ("Redis memory of a waiting job of 200 bytes, B", "jobs redis bytes", 400),
    ("idle worker in Rust, MB", "jobs rust memory", 12),
    ("idle worker in Python, MB", "jobs python memory", 45),
    ("idle worker in Node, MB", "jobs node memory", 80),
    ("append to a session of 1 MB, of an empty one, Redis", "sessions redis long history", 1.5),
    ("the same, SQLite", "sessions sqlite long history", 1.5),
    ("100,000 idle sessions in memory, MB over their text", "sessions memory idle", 200),
    ("PDF of 500 pages, MB", "documents large memory", 64),
    ("text of {files} PDF files, time of pdftotext's", "documents of pdftotext", 0.6),
    ("the same, time of pypdf's", "documents of pypdf", 1 / 15),
]


def peers() -> str:
    """The versions of what stands beside us with jobs and documents."""

    def version(command: list[str], pattern: str) -> str:
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError:
            return "?"
        found = re.search(pattern, done.stdout + done.stderr)
        return found[1] if found else "?"

    python = "import importlib.metadata as it; print(*map(it.version, {!r}.split()))"
    names = ["taskiq-redis", "huey", "dramatiq", "pypdf"]
    told = version([PYTHON, "-c", python.format(" ".join(names))], "(.*)").split()
    bullmq = json.loads((HERE / "node/node_modules/bullmq/package.json").read_text())["version"]
    lock = (HERE / "peers/Cargo.lock").read_text()
    apalis = re.findall(r'name = "(apalis-(?:redis|sqlite))"\nversion = "(.*)"', lock)
    versions = [
        ("Redis", version(["redis-server", "--version"], r"v=(\S+)")),
        ("BullMQ", bullmq),
        *apalis,
        *zip(names, told, strict=False),
        ("pdftotext", version(["pdftotext", "-v"], r"version (\S+)")),
    ]
    return "Jobs and documents: " + ", ".join(" ".join(one) for one in versions) + "."


def redis(port: int, *words: str) -> str:
    """Ask Redis something; small answers only."""
    with socket.create_connection(("127.0.0.1", port)) as link:
        link.sendall(b"".join([b" ".join(word.encode() for word in words), b"\r\n"]))
        link.settimeout(2)
        head = link.recv(1 << 20)
        if head.startswith(b"$"):
            size = int(head[1 : head.index(b"\r\n")])
            while len(head) < size:
                head += link.recv(1 << 20)
        return head.decode(errors="replace")


def commands(port: int, seconds: float) -> int:
    """How many commands clients send in that time; those of scripts are not theirs."""
    lines = b""
    with socket.create_connection(("127.0.0.1", port)) as link:
        link.sendall(b"MONITOR\r\n")
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            link.settimeout(left)
            with contextlib.suppress(TimeoutError):
                lines += link.recv(1 << 20)
    return sum(1 for line in lines.splitlines()[1:] if b" lua]" not in line)


def number(text: str, name: str) -> float:
    """A number of INFO's answer."""
    found = re.search(rf"^{name}:(\d+)", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def idle(port: int, url: str) -> dict[str, float]:
    """What workers with nothing to do take and ask."""
    programs = {
        "rust": [str(RELEASE / "idle")],
        "python": [PYTHON, str(HERE / "python/idle.py")],
        "node": ["node", str(HERE / "node/idle.mjs")],
    }
    found = {}
    for name, command in programs.items():
        environment = os.environ | {"PYTHONPATH": str(ROOT / "bindings-python/python")}
        worker = subprocess.Popen(
            [*command, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )
        assert worker.stdout is not None
        assert worker.stdin is not None
        worker.stdout.readline()
        time.sleep(3)
        status = Path(f"/proc/{worker.pid}/status")
        if status.exists():
            kilobytes = re.search(r"VmRSS:\s+(\d+)", status.read_text())
            found[f"jobs {name} memory"] = int(kilobytes[1]) / 1000 if kilobytes else 0.0
        if name == "rust":
            found["jobs idle commands"] = commands(port, 60) / 60
        worker.stdin.close()
        try:
            worker.wait(20)
        except subprocess.TimeoutExpired:
            worker.kill()
    return found


def backlog(run: Run, port: int, url: str) -> dict[str, float]:
    """What a job costs with few and with many behind it, and its bytes in Redis."""
    program = str(RELEASE / "backlog")
    found: dict[str, float] = {}
    rates = []
    for behind in (1_000, 1_000_000):
        # A drain is short, and what else the machine does may meet one of them.
        drains = []
        for _ in range(3):
            redis(port, "FLUSHALL")
            before = number(redis(port, "INFO", "memory"), "used_memory")
            run("a backlog", [program, url, "add", str(behind + 20_000)])
            after = number(redis(port, "INFO", "memory"), "used_memory")
            if behind > 1_000:
                found["jobs redis bytes"] = (after - before) / (behind + 20_000)
            rows = run("its drain", [program, url, "drain", "20000", str(behind)]) or {}
            drains.append(rows.get(f"jobs {behind} behind", 0.0))
        rates.append(statistics.median(drains) if all(drains) else 0.0)
    redis(port, "FLUSHALL")
    if all(rates):
        found["jobs behind"] = rates[0] / rates[1]
    return found


def documents(run: Run) -> dict[str, float]:
    """Our reading of PDF files beside others'; `PDFS` names a folder of them."""
    program = str(RELEASE / "documents")
    found = run("a large document", [program, "--large"]) or {}
    if folder := os.environ.get("PDFS"):
        return found | read_folder(run, Path(folder))
    with tempfile.TemporaryDirectory() as made:
        shutil.copy(ROOT / "examples/sample.pdf", made)
        subprocess.run([program, "--make", f"{made}/large.pdf"], check=True)
        return found | read_folder(run, Path(made))


def read_folder(run: Run, folder: Path) -> dict[str, float]:
    """The same for one folder."""
    found = {}
    rows = run("documents", [str(RELEASE / "documents"), str(folder)]) or {}
    ours = rows.get("documents folder", 0.0)
    files = sorted(folder.glob("*.pdf"))
    found["documents files"] = float(len(files))

    def timed(*command: str) -> float | None:
        began = time.monotonic()
        for file in files:
            try:
                words = [str(file) if word == "FILE" else word for word in command]
                subprocess.run(words, capture_output=True, timeout=120, check=False)
            except (OSError, subprocess.SubprocessError):
                return None
        return (time.monotonic() - began) * 1e3

    def ours_as_program() -> float | None:
        return timed(str(RELEASE / "credential-rotation"), "document", "text", "FILE")

    # Programs beside programs; a library beside a library.
    beside = (ours_as_program(), timed("pdftotext", "-q", "FILE", "-"))
    if beside[0] is not None and beside[1] is not None:
        found["documents of pdftotext"] = beside[0] / beside[1]
    code = (
        "import sys, time, logging, pypdf; logging.disable(50); began = time.perf_counter()\n"
        "for path in sys.argv[1:]:\n"
        "    try: [page.extract_text() for page in pypdf.PdfReader(path).pages]\n"
        "    except Exception: pass\n"
        "print((time.perf_counter() - began) * 1e3)"
    )
    try:
        done = subprocess.run(
            [PYTHON, "-c", code, *map(str, files)],
            capture_output=True, text=True, check=True, timeout=600,
        )  # fmt: skip
        found["documents of pypdf"] = ours / float(done.stdout.split()[-1])
    except (OSError, ValueError, IndexError, subprocess.SubprocessError):
        print("pypdf could not be measured", file=sys.stderr)
    return found
