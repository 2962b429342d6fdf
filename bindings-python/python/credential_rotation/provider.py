"""Providers written in Python: ``send(request, credential)``, plain or a coroutine.

A plain one runs on a thread of its own. A coroutine runs on the loop of the call that
asked; where that was a plain call, on a loop of its own. Both see the call's context
variables. One that is not waited for any more is cancelled; a plain one cannot be.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Protocol

from credential_rotation import _native
from credential_rotation.credential import Credential
from credential_rotation.faults import report_of

if TYPE_CHECKING:
    import asyncio

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
        import inspect

        from credential_rotation import _hands

        self._on_the_loop = inspect.iscoroutinefunction(provider.send)
        self._run = _hands.run

    def put(self, question: _native.Question) -> None:
        """Take a question; it is answered on a loop or thread where it may take its time.

        The provider sees the context variables of the call, as a task would: a copy.
        """
        context = question.context
        context = copy_context() if context is None else context.copy()
        loop = question.event_loop
        if self._on_the_loop and loop is not None and loop.is_running():
            with suppress(RuntimeError):  # it closed in between, and its calls with it
                loop.call_soon_threadsafe(self._begin, question, loop, context=context)
        else:
            self._run(context, self._ask, question)

    def _begin(self, question: _native.Question, loop: asyncio.AbstractEventLoop) -> None:
        task = loop.create_task(self._answer(question))
        # This keeps the task, too: a loop does not.
        question.when_given_up(lambda: _cancel(loop, task))

    async def _answer(self, question: _native.Question) -> None:
        try:
            answer = await self._send(question)
            wire = _to_wire(answer)
        except Exception as error:  # noqa: BLE001 - every exception of the user's is told
            self._fail(question, error)
        else:
            question.answer(True, wire)

    def _ask(self, question: _native.Question) -> None:
        try:
            answer = self._send(question)
            if isinstance(answer, Awaitable):
                answer = _wait(question, answer)
            wire = _to_wire(answer)
        except BaseException as error:  # noqa: BLE001 - told in full, and no end of our thread
            self._fail(question, error)
        else:
            question.answer(True, wire)

    def _send(self, question: _native.Question) -> Any:
        told = json.loads(question.told)
        given = told["credential"]
        credential = Credential(
            given["id"], question.secret, base_url=given["base_url"], model=given["model"]
        )
        return self._provider.send(told["request"], credential)

    def _fail(self, question: _native.Question, error: BaseException) -> None:
        try:
            report = report_of(error, self._classify)
        except Exception as broken:  # noqa: BLE001 - a classifier's bug is told like any other
            error, report = broken, None
        question.answer(False, report or report_of(error, None) or "{}")


def _wait(question: _native.Question, answer: Awaitable[Any]) -> Any:
    """Wait for a coroutine on the loop that asked, or on one of its own."""
    import asyncio

    async def here() -> Any:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        if task is not None:
            question.when_given_up(lambda: _cancel(loop, task))
        return await answer

    loop = question.event_loop
    if loop is not None and loop.is_running():
        return asyncio.run_coroutine_threadsafe(here(), loop).result()
    return asyncio.run(here())


def _cancel(loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]) -> None:
    # A loop that is closed has cancelled its tasks itself.
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(task.cancel)


def _to_wire(answer: Any) -> str:
    if isinstance(answer, Mapping):
        return json.dumps({"text": "", **answer})
    if not isinstance(answer, str):
        raise TypeError(f"a provider gives text or a mapping, not {type(answer).__name__}")
    return json.dumps({"text": answer})
