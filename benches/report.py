"""Runs every measurement in one go and prints one table. `make bench` calls it.

`--readme` also puts the table into README.md, between its bench marks.
"""

import json
import os
import platform
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RELEASE = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
PYTHON = str(ROOT / ".venv-bench/bin/python")

Figures = dict[str, float]

ROUNDS = 3
PYTHON_CONTENDERS = ["acall", "aiohttp", "openai", "LiteLLM Router"]


@contextmanager
def endpoint() -> Iterator[str]:
    """The simulated endpoint in a process of its own."""
    process = subprocess.Popen([RELEASE / "endpoint"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(10)


def measure(what: str, command: list[object]) -> Figures:
    """Run one program and read its lines."""
    if sys.stderr.isatty():
        print(f"measuring {what}…", file=sys.stderr)
    environment = os.environ | {"PYTHONPATH": str(ROOT / "bindings-python/python")}
    words = [str(word) for word in command]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {row["name"]: row["value"] for row in rows}


def all_figures() -> Figures:
    """Measure everything, one after the other: two cores bear no more."""
    here = ROOT / "benches"
    figures: Figures = {}
    with endpoint() as url:
        for what, command in [
            ("the pool", [RELEASE / "pool"]),
            ("Rust", [RELEASE / "calls", url]),
            ("Rust streams", [RELEASE / "stream", url]),
            ("Python imports", [PYTHON, here / "python/imports.py"]),
            ("Python streams", [PYTHON, here / "python/stream.py", url]),
            ("Node", ["node", here / "node/calls.mjs", url]),
        ]:
            figures |= measure(what, command)
        figures |= in_turns(url)
    return figures


def in_turns(url: str) -> Figures:
    """Python's contenders, one process each, in turns: noise of the machine meets all."""
    calls = ROOT / "benches/python/calls.py"
    rounds: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for name in PYTHON_CONTENDERS:
            for row, value in measure(f"Python, {name}", [PYTHON, calls, url, name]).items():
                rounds.setdefault(row, []).append(value)
    return {row: statistics.median(values) for row, values in rounds.items()}


# What is ours, the peer beside it, and how many times as fast it shall be.
ROWS: list[tuple[str, str, str, float]] = [
    ("Rust `Wrapper`, 4 keys, one bad", "rust Wrapper", "rust reqwest", 0.9),
    ("Python `acall`", "python acall", "python aiohttp", 1.0),
    ("Python `acall`", "python acall", "python openai", 20),
    ("Python `acall`", "python acall", "python LiteLLM Router", 30),
    ("Node `call`", "node call", "node undici", 0.8),
    ("Node `call`", "node call", "node openai", 5),
]

LIMITS: list[tuple[str, str, float]] = [
    ("pick + classify + settle, 1,000 credentials, round robin, p99 µs", "pool round_robin", 10),
    ("the same, weighted, p99 µs", "pool weighted", 10),
    ("the same, least busy, p99 µs", "pool least_busy", 10),
    ("the same, fill first, p99 µs", "pool fill_first", 10),
    ("the same, sticky, p99 µs", "pool sticky", 10),
    ("`import credential_rotation`, ms", "python import", 60),
    ("its resident memory, MB", "python import memory", 30),
    ("100 MB streamed, Rust, MB grown", "stream 100 MB", 8),
    ("100 MB streamed, Python, MB grown", "python stream 100 MB", 8),
]


def table(figures: Figures) -> str:
    """Lay the figures out."""
    cores = os.cpu_count()
    python = platform.python_version()
    lines = [
        f"{cores} cores, shared with the simulated endpoint; Python {python}; 64 calls in flight.",
        "",
        "| ours | calls/s | beside | calls/s | ratio | wanted | |",
        "|---|---:|---|---:|---:|---:|---|",
    ]
    for title, mine, peer, wanted in ROWS:
        value = figures[mine] / figures[peer]
        met = "met" if value >= wanted else "**not met**"
        lines.append(
            f"| {title} | {figures[mine]:,.0f} | {peer.split(' ', 1)[1]} | {figures[peer]:,.0f} "
            f"| {value:.2f} | ≥ {wanted:g} | {met} |"
        )
    lines += ["", "| cost | measured | wanted | |", "|---|---:|---:|---|"]
    for title, name, most in LIMITS:
        value = figures[name]
        met = "met" if value <= most else "**not met**"
        lines.append(f"| {title} | {value:.1f} | ≤ {most:g} | {met} |")
    return "\n".join(lines)


def into_readme(text: str) -> None:
    """Put the table between the marks."""
    readme = ROOT / "README.md"
    marked = re.compile(r"(<!-- bench -->\n).*?(<!-- /bench -->)", re.DOTALL)
    content, count = marked.subn(lambda m: f"{m[1]}{text}\n{m[2]}", readme.read_text())
    if count != 1:
        sys.exit("README.md has no <!-- bench --> marks")
    readme.write_text(content)


if __name__ == "__main__":
    printed = table(all_figures())
    print(printed)
    if "--readme" in sys.argv:
        into_readme(printed)
