"""The examples in the documentation run as they are."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from credential_rotation.testing import SimulatedEndpoint

ROOT = Path(__file__).parents[2]
PAGES = [
    "README.md",
    "docs/jobs.md",
    "docs/sessions.md",
    "docs/testing.md",
    "bindings-python/README.md",
]


def examples() -> list[object]:
    found = []
    for page in PAGES:
        blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
        found += [pytest.param(block, id=f"{page}-{n}") for n, block in enumerate(blocks)]
    assert len(found) >= 3
    return found


@pytest.mark.parametrize("code", examples())
def test_an_example_runs(code: str) -> None:
    with SimulatedEndpoint() as endpoint:
        environment = os.environ | {
            "OPENAI_API_KEY": "sk-" + "secret-docs",
            "OPENAI_BASE_URL": endpoint.openai_url,
        }
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
