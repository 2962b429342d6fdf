"""For tests: a simulated LLM endpoint that fails as it is told to.

The JSON form of scenarios is in ``docs/testing.md``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any

from credential_rotation import _native

__all__ = ["SimulatedEndpoint"]


class SimulatedEndpoint:
    """An HTTP server on loopback that speaks OpenAI's and Anthropic's wire formats."""

    def __init__(self, scenario: Mapping[str, Any] | None = None) -> None:
        self._core = _native.SimulatedEndpoint.start(json.dumps(scenario or {}))
        self.url: str = self._core.url

    @property
    def openai_url(self) -> str:
        """The base URL for OpenAI-compatible clients."""
        return f"{self.url}/v1"

    def script(self, key: str, script: Iterable[Mapping[str, Any]]) -> None:
        """Give a key another script."""
        self._core.script(key, json.dumps(list(script)))

    def hits(self, key: str) -> int:
        """Count the requests with a key."""
        return self._core.hits(key)

    def hits_total(self) -> int:
        """Count all requests."""
        return self._core.hits_total()

    def closed_early(self, key: str) -> int:
        """Count the answers whose client went away."""
        return self._core.closed_early(key)

    def in_flight(self) -> int:
        """Count the requests that are being answered."""
        return self._core.in_flight()

    def requests(self) -> list[dict[str, Any]]:
        """List the last requests: ``path``, ``body``, ``at``; never a key."""
        requests: list[dict[str, Any]] = self._core.requests()
        return requests

    def stop(self) -> None:
        """Stop the server."""
        self._core.stop()

    def __enter__(self) -> SimulatedEndpoint:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
