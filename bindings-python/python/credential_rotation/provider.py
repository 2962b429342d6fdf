"""Providers written in Python: ``send(request, credential)``, plain or a coroutine.

A plain one runs on a worker thread. A coroutine runs on the loop of the call that
asked; where that was a plain call, on a loop of its own.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from credential_rotation.credential import Credential
from credential_rotation.faults import report_of

if TYPE_CHECKING:
    import asyncio
    import concurrent.futures

__all__ = ["Provider"]


class Provider(Protocol):
    """One way to ask a model. It sends one request once, and never retries.

    It may have a ``name``, and a ``classify(error)`` that tells what its
    exceptions mean; else they are told by the rules for the usual packages.
    """

    def send(self, request: dict[str, Any], credential: Credential) -> Any:
        """Give text, or a mapping with ``text``, ``model``, ``usage``, or a coroutine of one."""


class Adapter:
    """What the core asks in the provider's place."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._classify = getattr(provider, "classify", None)
        self._running: dict[int, concurrent.futures.Future[Any]] = {}
        self.loop: asyncio.AbstractEventLoop | None = None

    def ask(self, number: int, question: str, secret: str) -> tuple[bool, str]:
        """Answer one question: whether it succeeded, and the answer or report as JSON."""
        told = json.loads(question)
        given = told["credential"]
        credential = Credential(
            given["id"], secret, base_url=given["base_url"], model=given["model"]
        )
        try:
            answer = self._provider.send(told["request"], credential)
            if inspect.isawaitable(answer):
                answer = self._wait(number, answer)
            return True, _to_wire(answer)
        except Exception as error:  # noqa: BLE001 - every exception of the user's is told
            report = report_of(error, self._classify)
            if report is None:
                report = report_of(error, None)
            return False, report or "{}"

    def cancel(self, number: int) -> None:
        """Stop a coroutine whose answer nobody waits for."""
        running = self._running.pop(number, None)
        if running is not None:
            running.cancel()

    def _wait(self, number: int, answer: Any) -> Any:
        import asyncio

        loop = self.loop
        if loop is None or not loop.is_running():
            return asyncio.run(_await(answer))
        running = asyncio.run_coroutine_threadsafe(_await(answer), loop)
        self._running[number] = running
        try:
            return running.result()
        finally:
            self._running.pop(number, None)


async def _await(answer: Any) -> Any:
    return await answer


def _to_wire(answer: Any) -> str:
    if isinstance(answer, Mapping):
        return json.dumps({"text": "", **answer})
    if not isinstance(answer, str):
        raise TypeError(f"a provider gives text or a mapping, not {type(answer).__name__}")
    return json.dumps({"text": answer})
