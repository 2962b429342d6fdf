"""What the service is tested against: a simulated endpoint and a configuration."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from credential_rotation.testing import SimulatedEndpoint

SCENARIO = {
    "keys": {
        "sk-secret-spent": [{"fault": "insufficient_quota"}],
        "sk-secret-slow": [{"fault": "rate_limited", "retry_after": 60}],
        "sk-secret-good": [{"text": "answer to {prompt}"}],
    },
    "unknown": "401",
}


@pytest.fixture
def endpoint() -> Iterator[SimulatedEndpoint]:
    with SimulatedEndpoint(SCENARIO) as simulated:
        yield simulated


@pytest.fixture
def config(endpoint: SimulatedEndpoint, tmp_path: Path) -> Path:
    keys = "\n".join(
        f'[[wrapper.credentials]]\nid = "{name}"\nsecret = "sk-secret-{name}"'
        for name in ("spent", "slow", "good")
    )
    path = tmp_path / "credential-rotation.toml"
    path.write_text(
        f'[wrapper]\nmodel = "sim-1"\nbase_url = "{endpoint.url}/v1"\n{keys}\n'
        f'[wrapper.pool]\nstore = "{tmp_path}/pool.db"\n'
    )
    path.chmod(0o600)
    return path
