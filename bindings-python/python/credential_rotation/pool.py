"""The pool: who may be used now."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from typing import Any

from credential_rotation import _native
from credential_rotation.credential import Credential

__all__ = ["CredentialPool"]


def credentials_to_wire(credentials: Iterable[Credential | Mapping[str, Any]]) -> list[Any]:
    """Write credentials as the core reads them."""
    return [c._to_wire() if isinstance(c, Credential) else dict(c) for c in credentials]


class CredentialPool:
    """Credentials that calls borrow.

    ``strategy``: ``round_robin`` (default), ``weighted``, ``least_busy``,
    ``fill_first`` or ``sticky``. ``store``: a file through which the processes of
    this host share cooldowns and per-minute budgets.
    """

    _core: _native.CredentialPool

    def __init__(
        self,
        credentials: Iterable[Credential | Mapping[str, Any]] = (),
        *,
        sources: Iterable[Mapping[str, Any]] = (),
        strategy: str = "round_robin",
        store: str | os.PathLike[str] | None = None,
        max_waiting: int | None = None,
        probe_ms: int | None = None,
    ) -> None:
        options = {
            "strategy": strategy,
            "store": None if store is None else os.fspath(store),
            "max_waiting": max_waiting,
            "probe_ms": probe_ms,
        }
        set_up = {
            "credentials": credentials_to_wire(credentials),
            "sources": list(sources),
            "options": {name: value for name, value in options.items() if value is not None},
        }
        self._core = _native.CredentialPool.from_json(json.dumps(set_up))

    @classmethod
    def _over(cls, native: _native.CredentialPool) -> CredentialPool:
        pool = cls.__new__(cls)
        pool._core = native
        return pool

    def list(self) -> list[dict[str, Any]]:
        """List ``id``, ``state``, ``in_flight``; of one that is out ``reason``, ``until``."""
        rows: list[dict[str, Any]] = self._core.list()
        return rows

    def cool(self, id: str, wait_ms: int, reason: str = "by hand") -> None:
        """Keep a credential out for a while."""
        self._core.cool(id, wait_ms, reason)

    def park(self, id: str, wait_ms: int | None = None, reason: str = "by hand") -> None:
        """Keep a credential out until it is admitted, or for a while."""
        self._core.park(id, wait_ms, reason)

    def disable(self, id: str, reason: str = "by hand") -> None:
        """Switch a credential off until it is admitted."""
        self._core.disable(id, reason)

    def admit(self, id: str) -> None:
        """Take every mark off a credential: its own, its models', its group's."""
        self._core.admit(id)

    def __len__(self) -> int:
        return len(self._core)

    def __repr__(self) -> str:
        return f"<CredentialPool of {len(self)}>"
