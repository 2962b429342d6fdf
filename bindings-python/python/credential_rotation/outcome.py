"""The parts of an outcome."""

import json
from typing import Any, NamedTuple

from credential_rotation._native import Outcome

__all__ = ["Attempt", "Fault", "Outcome", "Usage"]


class Usage(NamedTuple):
    """Tokens, as the endpoint counts them."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int

    @property
    def total_tokens(self) -> int:
        """Tokens read and written."""
        return self.input_tokens + self.output_tokens


class Fault(NamedTuple):
    """Why an attempt failed."""

    reason: str
    message: str
    status: int | None = None
    body: str | None = None


class Attempt(NamedTuple):
    """One attempt of a call. ``fault`` is ``None`` for success."""

    credential: str
    provider: str
    model: str | None
    fault: Fault | None
    duration_ms: int


def trail_from_wire(text: str) -> list[Attempt]:
    """Build attempts from the core's JSON."""
    return [attempt_from_wire(row) for row in json.loads(text)]


def attempt_from_wire(row: dict[str, Any]) -> Attempt:
    """Build an attempt from what the core tells of it."""
    fault = row.get("fault")
    return Attempt(
        row["credential"],
        row["provider"],
        row.get("model"),
        None if fault is None else Fault(**fault),
        row["duration_ms"],
    )
