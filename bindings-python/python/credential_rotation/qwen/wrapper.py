"""The qwen wrapper under the names of the package that this one replaces."""

from __future__ import annotations

import json
import os
from enum import Enum
from typing import Any

from credential_rotation import _native
from credential_rotation._native import Outcome
from credential_rotation.qwen.manager import AccountManager
from credential_rotation.wrapper import Wrapper

__all__ = ["QUOTA_PATTERNS", "CallResult", "QwenWrapper", "WrapperResult"]

QUOTA_PATTERNS: list[str] = [
    "qwen oauth quota exceeded:",
    "qwen api quota exceeded:",
    "insufficient_quota",
    "allocated quota exceeded",
]
"""Parts of the program's error messages that tell of a spent quota. For reading
only: the core has its own rules, and never looks for these in an answer."""

_QUOTA = {"quota_exhausted", "billing", "rate_limited"}


class CallResult(str, Enum):
    """How a call ended."""

    SUCCESS = "success"
    QUOTA_EXHAUSTED = "quota_exhausted"
    OTHER_ERROR = "other_error"
    ALL_EXHAUSTED = "all_accounts_exhausted"


class WrapperResult:
    """What a call came to."""

    def __init__(
        self,
        success: bool,
        output: str,
        error: str | None = None,
        attempts: int = 1,
        accounts_tried: list[str] | None = None,
    ) -> None:
        self.success = success
        self.output = output
        self.error = error
        self.attempts = attempts
        self.accounts_tried = accounts_tried or []
        self.outcome: Outcome | None = None

    @property
    def result(self) -> CallResult:
        """How the call ended, in one word."""
        if self.success:
            return CallResult.SUCCESS
        error = None if self.outcome is None else self.outcome.error
        if error is not None and error.code == "all_cooling":
            return CallResult.ALL_EXHAUSTED
        last = self.outcome.trail[-1].fault if self.outcome and self.outcome.trail else None
        spent = last is not None and last.reason in _QUOTA
        return CallResult.QUOTA_EXHAUSTED if spent else CallResult.OTHER_ERROR

    def __repr__(self) -> str:
        return f"WrapperResult(success={self.success}, attempts={self.attempts})"


class QwenWrapper:
    """Asks qwen with the accounts and keys of a folder, one after the other.

    Beyond the package that this one replaces: ``provider="openai"`` asks the endpoint
    directly, without the program; ``program``, ``model`` and ``base_url`` are passed on.
    """

    def __init__(
        self,
        max_retries: int = 5,
        account_manager: AccountManager | None = None,
        *,
        provider: str = "qwen",
        program: str | os.PathLike[str] | None = None,
        model: str | None = None,
        base_url: str | None = None,
    ) -> None:
        self.max_retries = max_retries
        self.account_manager = account_manager or AccountManager(os.environ.get("QWEN_DIR"))
        options: dict[str, Any] = {
            "qwen_dir": str(self.account_manager.qwen_dir),
            "max_retries": max_retries,
            "provider": provider,
            "program": None if program is None else os.fspath(program),
            "model": model,
            "base_url": base_url,
        }
        given = {name: value for name, value in options.items() if value is not None}
        self._core = _native.QwenService.open(json.dumps(given))
        self.wrapper = Wrapper._over(self._core.wrapper())

    def call(self, prompt: str, timeout: float = 45) -> WrapperResult:
        """Ask; ``timeout`` is in seconds and for each attempt."""
        outcome = self._core.call(prompt, int(timeout * 1000))
        error = outcome.error
        tried = [attempt.credential for attempt in outcome.trail]
        result = WrapperResult(
            outcome.success,
            outcome.output or "",
            None if error is None else str(error),
            outcome.attempts,
            tried,
        )
        result.outcome = outcome
        return result

    def call_with_fallback(
        self,
        prompt: str,
        fallback_message: str = "AI analysis unavailable",
        timeout: float = 45,
    ) -> str:
        """Give the answer's text, or ``fallback_message`` when there is none."""
        result = self.call(prompt, timeout)
        return result.output if result.success else fallback_message

    def check_quota_status(self) -> dict[str, bool]:
        """Tell of each account whether it can be used now. Asks nobody."""
        return {row["id"]: row["state"] in ("ready", "busy") for row in self.wrapper.pool.list()}
