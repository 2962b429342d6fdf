"""Runs every measurement in one go and prints one table. `make bench` calls it.

Each contender runs in a process of its own, all of a language in turns, several
rounds: whatever else the machine does meets all of them. Needs nothing but Python;
builds nothing. How to read the table: docs/benchmarks.md.
"""

import argparse
import json
import os
import platform
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import beside

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / "benches"
RELEASE = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
PYTHON = str(ROOT / ".venv-bench/bin/python")
# LiteLLM holds the openai package back; tests drive the newest, so it is there.
PYTHON_OPENAI = str(ROOT / ".venv/bin/python")
README = ROOT / "README.md"
MARKED = re.compile(r"(<!-- bench -->\n).*?(<!-- /bench -->)", re.DOTALL)
PATIENCE = 180

RUST_CALLS = str(RELEASE / "calls")
PYTHON_CALLS = str(HERE / "python/calls.py")
NODE_CALLS = str(HERE / "node/calls.mjs")

# Measured in turns: the language, its rounds, and each contender's program.
CONTESTS: list[tuple[str, int, dict[str, list[str]]]] = [
    ("rust", 11, {"Wrapper": [RUST_CALLS], "reqwest": [RUST_CALLS]}),
    ("python", 5, {
        "acall": [PYTHON, PYTHON_CALLS],
        "aiohttp": [PYTHON, PYTHON_CALLS],
        "openai": [PYTHON_OPENAI, PYTHON_CALLS],
        "LiteLLM Router": [PYTHON, PYTHON_CALLS],
    }),
    ("node", 5, {name: ["node", NODE_CALLS] for name in ("call", "undici", "openai")}),
]  # fmt: skip

# Measured once: the program, and whether it calls the endpoint.
COSTS: list[tuple[str, list[str], bool]] = [
    ("pool", [str(RELEASE / "pool")], False),
    ("imports", [PYTHON, str(HERE / "python/imports.py")], False),
    ("Rust stream", [str(RELEASE / "stream")], True),
    ("Python stream", [PYTHON, str(HERE / "python/stream.py")], True),
    ("Node stream", ["node", str(HERE / "node/stream.mjs")], True),
]

# What is ours, the peer beside it, and how many times as fast it shall be.
RATIOS: list[tuple[str, str, str, float]] = [
    ("Rust `Wrapper`, 4 keys, one bad", "rust Wrapper", "rust reqwest", 0.9),
    ("Python `acall`, the same", "python acall", "python aiohttp", 1.0),
    ("Python `acall`", "python acall", "python openai", 20),
    ("Python `acall`", "python acall", "python LiteLLM Router", 30),
    ("Node `call`, the same", "node call", "node undici", 0.8),
    ("Node `call`", "node call", "node openai", 5),
]

# What it is, its figure, and how much it may be.
LIMITS: list[tuple[str, str, float]] = [
    ("pick + classify + settle, 1,000 credentials, round robin, p99 µs", "pool round_robin", 10),
    ("the same, weighted, p99 µs", "pool weighted", 10),
    ("the same, least busy, p99 µs", "pool least_busy", 10),
    ("the same, fill first, p99 µs", "pool fill_first", 10),
    ("the same, sticky, p99 µs", "pool sticky", 10),
    ("the same, round robin with 999 cooling, p99 µs", "pool 999 cooling", 10),
    ("`import credential_rotation`, ms", "python import", 60),
    ("Python with it imported, MB", "python memory", 30),
    ("100 MB streamed, Rust, MB grown", "rust stream", 8),
    ("100 MB streamed, Python, MB grown", "python stream", 8),
    ("100 MB streamed, Node, MB grown", "node stream", 16),
]

# Of jobs with 200 bytes: what it is, its figure, and how many a second there shall be.
JOB_ROUNDS = 3
JOBS: list[tuple[str, str, float]] = [
    ("memory, drained by a worker of 100 slots", "jobs memory drain", 1_000_000),
    ("SQLite, written through, the same", "jobs sqlite drain", 40_000),
    ("Redis, the same", "jobs redis drain", 100_000),
    ("Redis, added 1,000 at a time", "jobs redis bulk add", 200_000),
    ("Redis, added one by one by 64 tasks", "jobs redis add one by one", 100_000),
]

# What bounds the rows that follow the machine, and its figure.
BOUNDS: list[tuple[str, str]] = [
    ("a bare Redis list: from LPUSH until BRPOP has it, 50 a second, p50 ms", "bare list p50"),
    ("Redis while jobs are drained, % of a core", "redis busy in drain"),
    ("Redis while jobs are added 1,000 at a time, % of a core", "redis busy in bulk add"),
]


@dataclass
class Figures:
    """What was measured: single values, and of contests each round's."""

    values: dict[str, float] = field(default_factory=dict)
    rounds: dict[str, list[float]] = field(default_factory=dict)

    def rate(self, name: str) -> float:
        """The middle round; nothing for what could not be measured."""
        return statistics.median(self.rounds.get(name, [0.0]))

    def ratio(self, ours: str, peer: str) -> float:
        """The middle of the rounds' ratios: neighbours in time met the same noise."""
        pairs = zip(self.rounds[ours], self.rounds[peer], strict=False)
        return statistics.median(one / other for one, other in pairs)


@dataclass
class Verdict:
    """One row: a figure beside what is wanted of it."""

    title: str
    value: float
    wanted: float
    met: bool
    ours: str = ""
    peer: str = ""
    rate: bool = False


@contextmanager
def endpoint() -> Iterator[str]:
    """The simulated endpoint in a process of its own."""
    process = subprocess.Popen([RELEASE / "endpoint"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def places() -> Iterator[dict[str, str]]:
    """Where jobs are kept, each empty; Redis is one of our own."""
    own = ROOT / "tools/servers/redis-server"
    server = str(own) if own.exists() else shutil.which("redis-server")
    if server is None:
        sys.exit("there is no redis-server: `make servers` installs one")
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        free.close()
        command = [server, "--port", str(port), "--save", "", "--dir", folder]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            yield {
                "memory": "memory:",
                "sqlite": f"sqlite:{folder}/jobs.db",
                "sqlite-peer": f"sqlite:{folder}/peer.db",
                "sessions": f"sqlite:{folder}/sessions.db",
                "redis": f"redis://127.0.0.1:{port}",
            }
        finally:
            process.kill()
            process.wait(10)


def run_if_there(what: str, command: list[str]) -> dict[str, float] | None:
    """Run a program that may not be there; say so and go on if it is not."""
    try:
        return run(what, command)
    except SystemExit as error:
        print(f"\r\033[K{error}", file=sys.stderr)
        return None


def run(what: str, command: list[str]) -> dict[str, float]:
    """Run one program and read its lines."""
    if sys.stderr.isatty():
        print(f"\r\033[Kmeasuring {what}…", end="", file=sys.stderr, flush=True)
    environment = os.environ | {"PYTHONPATH": str(ROOT / "bindings-python/python")}
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, text=True, check=True, env=environment,
            timeout=PATIENCE,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        sys.exit(f"{what} could not be measured: {error}")
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {row["name"]: row["value"] for row in rows}


def measure() -> Figures:
    """Measure everything, one after the other: two cores bear no more."""
    figures = Figures()
    with endpoint() as url:
        for what, command, calls in COSTS:
            figures.values |= run(what, [*command, url] if calls else command)
        for language, rounds, contenders in CONTESTS:
            names = list(contenders)
            for number in range(rounds):
                # Nobody is always first.
                turn = number % len(names)
                for name in names[turn:] + names[:turn]:
                    what = f"{language} {name}, round {number + 1} of {rounds}"
                    for row, value in run(what, [*contenders[name], url, name]).items():
                        figures.rounds.setdefault(row, []).append(value)
    for number in range(JOB_ROUNDS):
        with places() as urls:
            for name in ("memory", "sqlite", "redis"):
                what = f"jobs in {name}, round {number + 1} of {JOB_ROUNDS}"
                for row, value in run(what, [str(RELEASE / "jobs"), urls[name]]).items():
                    figures.rounds.setdefault(row, []).append(value)
            for name, command, place in beside.CONTENDERS:
                what = f"{name}, round {number + 1} of {JOB_ROUNDS}"
                rows = run_if_there(what, [*command, urls[place]]) or {}
                for row, value in rows.items():
                    figures.rounds.setdefault(row, []).append(value)
    with places() as urls:
        port = int(urls["redis"].rsplit(":", 1)[1])
        figures.values |= run("starts", [str(RELEASE / "latency"), urls["redis"]])
        figures.values |= beside.idle(port, urls["redis"])
        figures.values |= beside.backlog(run, port, urls["redis"])
        for name in ("sessions", "redis", "memory"):
            rows = run(f"sessions in {name}", [str(RELEASE / "sessions"), urls[name]])
            rates = {row: value for row, value in rows.items() if row.endswith("append and read")}
            figures.values |= rows
            figures.rounds |= {row: [value] for row, value in rates.items()}
    figures.values |= beside.documents(run_if_there)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)
    return figures


def judge(figures: Figures) -> list[Verdict]:
    """Hold the figures against what is wanted."""
    verdicts = []
    for title, ours, peer, wanted in RATIOS:
        value = figures.ratio(ours, peer)
        verdicts.append(Verdict(title, value, wanted, value >= wanted, ours, peer))
    for title, ours, peer, wanted in beside.RATIOS:
        there = {ours, peer} <= figures.rounds.keys()
        value = figures.ratio(ours, peer) if there else 0.0
        title = title if there else f"{title} (not measured)"
        verdicts.append(Verdict(title, value, wanted, value >= wanted, ours, peer))
    for title, name, wanted in [*LIMITS, *beside.LIMITS]:
        value = figures.values.get(name, float("nan"))
        title = title.replace("{files}", f"{figures.values.get('documents files', 0):.0f}")
        verdicts.append(Verdict(title, value, wanted, value <= wanted, name))
    for title, name, wanted in [*JOBS, *beside.RATES]:
        value = figures.rate(name)
        verdicts.append(Verdict(title, value, wanted, value >= wanted, name, rate=True))
    return verdicts


def installed(python: str, package: str) -> str:
    """The version of a package there."""
    code = f"import importlib.metadata as it; print(it.version({package!r}))"
    return subprocess.check_output([python, "-c", code], text=True).strip()


def machine() -> str:
    """What it was measured on, and which versions stood beside us."""
    aiohttp, litellm = (installed(PYTHON, name) for name in ("aiohttp", "litellm"))
    openai = installed(PYTHON_OPENAI, "openai")
    node = subprocess.check_output(["node", "--version"], text=True).strip().removeprefix("v")
    rustc = subprocess.check_output(["rustc", "--version"], text=True).split()[1]
    reqwest = re.search(r'name = "reqwest"\nversion = "(.*)"', (ROOT / "Cargo.lock").read_text())
    modules = HERE / "node/node_modules"
    undici, node_openai = (
        json.loads((modules / name / "package.json").read_text())["version"]
        for name in ("undici", "openai")
    )
    return (
        f"{os.cpu_count()} cores ({platform.machine()}), which the simulated endpoint shares; "
        f"64 calls in flight. Rust {rustc}: reqwest {reqwest[1] if reqwest else '?'}. "
        f"Python {platform.python_version()}: aiohttp {aiohttp}, openai {openai}, "
        f"LiteLLM {litellm}. Node {node}: undici {undici}, openai {node_openai}. {beside.peers()}"
    )


def table(figures: Figures, verdicts: list[Verdict]) -> str:
    """Lay the figures out."""
    lines = [
        machine(),
        "",
        "| ours | calls/s | beside | calls/s | ratio | wanted | |",
        "|---|---:|---|---:|---:|---:|---|",
    ]
    jobs = ["", "| jobs | a second | wanted | |", "|---|---:|---:|---|"]
    costs = ["", "| cost | measured | wanted | |", "|---|---:|---:|---|"]
    for it in verdicts:
        met = "met" if it.met else "**not met**"
        if it.rate:
            jobs.append(f"| {it.title} | {it.value:,.0f} | ≥ {it.wanted:,.0f} | {met} |")
        elif it.peer:
            lines.append(
                f"| {it.title} | {figures.rate(it.ours):,.0f} | {it.peer.split(' ', 1)[1]} "
                f"| {figures.rate(it.peer):,.0f} | {it.value:.2f} | ≥ {it.wanted:g} | {met} |"
            )
        else:
            costs.append(f"| {it.title} | {it.value:.2f} | ≤ {it.wanted:.3g} | {met} |")
    bounds = ["", "| what bounds them on this machine | measured |", "|---|---:|"]
    for title, name in BOUNDS:
        value = figures.values.get(name) or figures.rate(name)
        bounds.append(f"| {title} | {value:.2f} |")
    return "\n".join(lines + costs + jobs + bounds)


def main() -> None:
    """Measure, print, and keep if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON, with every round")
    parser.add_argument(
        "--update-readme", action="store_true", help="put the table between README.md's marks"
    )
    options = parser.parse_args()
    if options.update_readme and not MARKED.search(README.read_text()):
        sys.exit(f"{README.name} has no <!-- bench --> … <!-- /bench --> marks")
    figures = measure()
    verdicts = judge(figures)
    text = table(figures, verdicts)
    if options.json:
        rows = [asdict(verdict) for verdict in verdicts]
        everything = {"machine": machine(), "verdicts": rows} | asdict(figures)
        print(json.dumps(everything, indent=1, ensure_ascii=False))
    else:
        print(text)
    if options.update_readme:
        README.write_text(MARKED.sub(lambda it: f"{it[1]}{text}\n{it[2]}", README.read_text()))


if __name__ == "__main__":
    main()
