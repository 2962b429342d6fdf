"""What the tests share: a simulated endpoint and wrappers over it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from credential_rotation import Credential, Wrapper
from credential_rotation.testing import SimulatedEndpoint

SCENARIO = {
    "keys": {
        "sk-secret-spent": [{"fault": "insufficient_quota"}],
        "sk-secret-refused": [{"fault": "unauthorized", "echo_key": True}],
        "sk-secret-throttled": [{"fault": "rate_limited", "retry_after": 60}],
        "sk-secret-bad": [{"fault": "bad_request"}],
        "sk-secret-down": [{"fault": "server_error"}],
        "sk-secret-stall": [{"fault": "stall"}],
        "sk-secret-cut": [{"fault": "truncated", "after": 1, "pieces": ["one ", "two"]}],
        "sk-secret-slow": [{"piece_ms": 50, "bytes": 1_000_000}],
        "sk-secret-good": [{"text": "answer to {prompt}"}],
    },
    "unknown": "401",
}

Make = Callable[..., Wrapper]


@pytest.fixture
def endpoint() -> Iterator[SimulatedEndpoint]:
    with SimulatedEndpoint(SCENARIO) as simulated:
        yield simulated


@pytest.fixture
def make(endpoint: SimulatedEndpoint) -> Make:
    """Build a wrapper over keys of the scenario, named as they are."""

    def wrapper(*names: str, **options: Any) -> Wrapper:
        credentials = [Credential(name, f"sk-secret-{name}") for name in names]
        usual = {"base_url": endpoint.openai_url, "model": "sim-1", "credentials": credentials}
        return Wrapper(**{**usual, **options})

    return wrapper
