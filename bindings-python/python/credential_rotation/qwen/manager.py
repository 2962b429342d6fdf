"""Accounts of a qwen folder under the names of the package that this one replaces."""

from __future__ import annotations

import os
from enum import Enum
from typing import TYPE_CHECKING, Any

from credential_rotation import _native
from credential_rotation.errors import (
    CredentialFileUnreadableError,
    InvalidAccountIndexError,
    LockTimeoutError,
)

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "AccountManager",
    "AccountNotFoundError",
    "AccountStats",
    "LockError",
    "RotationState",
    "SwitchReason",
    "create_initial_state",
]

AccountNotFoundError = CredentialFileUnreadableError
"""An account without a token file."""

LockError = LockTimeoutError
"""Another process holds the folder's lock for too long."""


class SwitchReason(str, Enum):
    """Why the account is changed."""

    AUTO_QUOTA = "auto_quota"
    MANUAL = "manual"
    TEST = "test"


class AccountStats:
    """How often an account was switched to, and when last."""

    def __init__(self, switches_count: int = 0, last_used: str | None = None) -> None:
        self.switches_count = switches_count
        self.last_used = last_used

    def to_dict(self) -> dict[str, Any]:
        """Write it as ``state.yaml`` has it."""
        return {"switches_count": self.switches_count, "last_used": self.last_used}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> AccountStats:
        """Read it as ``state.yaml`` has it."""
        return cls(int(data.get("switches_count", 0)), data.get("last_used"))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AccountStats) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((self.switches_count, self.last_used))

    def __repr__(self) -> str:
        return f"AccountStats({self.switches_count}, {self.last_used!r})"


class RotationState:
    """What ``state.yaml`` says."""

    def __init__(
        self,
        current_index: int = 1,
        total_accounts: int = 5,
        last_switch: str | None = None,
        switches_total: int = 0,
        accounts: dict[str, AccountStats] | None = None,
    ) -> None:
        self.current_index = current_index
        self.total_accounts = total_accounts
        self.last_switch = last_switch
        self.switches_total = switches_total
        self.accounts = accounts or {}

    def to_dict(self) -> dict[str, Any]:
        """Write it as ``state.yaml`` has it."""
        return {
            "current_index": self.current_index,
            "total_accounts": self.total_accounts,
            "last_switch": self.last_switch,
            "switches_total": self.switches_total,
            "accounts": {name: stats.to_dict() for name, stats in self.accounts.items()},
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> RotationState:
        """Read it as ``state.yaml`` has it."""
        accounts = data.get("accounts") or {}
        return cls(
            int(data.get("current_index", 1)),
            int(data.get("total_accounts", 5)),
            data.get("last_switch"),
            int(data.get("switches_total", 0)),
            {name: AccountStats.from_dict(stats) for name, stats in accounts.items()},
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RotationState) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((self.current_index, self.switches_total))

    def __repr__(self) -> str:
        return f"RotationState({self.to_dict()!r})"


class AccountManager:
    """The numbered accounts of a folder, one of them active.

    Safe with other processes: every change is made under a lock that dies with
    its holder, and a token that the program refreshed through the link goes back
    to the account it belongs to before the link moves.
    """

    def __init__(
        self, qwen_dir: str | os.PathLike[str] | None = None, total_accounts: int | None = 5
    ) -> None:
        from pathlib import Path  # late: a third of what importing this package costs

        folder = None if qwen_dir is None else os.fspath(qwen_dir)
        self._core = _native.AccountsFolder(folder, total_accounts)
        paths = {name: Path(path) for name, path in self._core.paths().items()}
        self.qwen_dir: Path = paths["qwen_dir"]
        self.state_file: Path = paths["state_file"]
        self.lock_file: Path = paths["lock_file"]
        self.accounts_dir: Path = paths["accounts_dir"]
        self.creds_link: Path = paths["creds_link"]
        self.log_file: Path = paths["log_file"]

    @property
    def total_accounts(self) -> int:
        """How many accounts there may be."""
        return self.get_state().total_accounts

    def get_state(self) -> RotationState:
        """Read the state."""
        return RotationState.from_dict(self._core.state())

    def switch_to(
        self, index: int, reason: SwitchReason | str = SwitchReason.MANUAL
    ) -> RotationState:
        """Make an account the active one; numbers begin with 1."""
        try:
            state = self._core.switch_to(max(index, 0), SwitchReason(reason).value)
        except InvalidAccountIndexError as error:
            # Callers of 0.1 look for "Invalid account index", with this capital.
            words = str(error)
            raise InvalidAccountIndexError(words[:1].upper() + words[1:], error.details) from None
        return RotationState.from_dict(state)

    def switch_next(self, reason: SwitchReason | str = SwitchReason.MANUAL) -> tuple[bool, int]:
        """Make the next account the active one; ``(False, 1)`` when it wraps around."""
        switched, index = self._core.switch_next(SwitchReason(reason).value)
        return switched, index

    def list_accounts(self) -> dict[str, dict[str, Any]]:
        """List the accounts by name."""
        accounts: dict[str, dict[str, Any]] = self._core.list_accounts()
        return accounts

    def get_stats(self) -> dict[str, Any]:
        """Tell how often each account was switched to."""
        stats: dict[str, Any] = self._core.stats()
        return stats

    def setup(self) -> dict[str, dict[str, Any]]:
        """Make the folder ready; what is there stays."""
        accounts: dict[str, dict[str, Any]] = self._core.setup()
        return accounts

    def add(self, file: str | os.PathLike[str] | None = None) -> int:
        """Add an account from a token file, or from the one in use; gives its number."""
        number: int = self._core.add(None if file is None else os.fspath(file))
        return number

    def remove(self, index: int) -> RotationState:
        """Remove an account."""
        return RotationState.from_dict(self._core.remove(index))


def create_initial_state(
    qwen_dir: str | os.PathLike[str] | None = None, total_accounts: int = 5
) -> RotationState:
    """Write a state without any switch."""
    folder = None if qwen_dir is None else os.fspath(qwen_dir)
    return RotationState.from_dict(_native.AccountsFolder(folder, total_accounts).reset_state())
