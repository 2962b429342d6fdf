"""The wrapper: one prompt in, one answer out, whichever credential gives it."""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, TypeVar

from credential_rotation import _desk, _native
from credential_rotation import run as _run
from credential_rotation._native import Outcome
from credential_rotation.credential import Credential
from credential_rotation.faults import Classifier
from credential_rotation.pool import CredentialPool, credentials_to_wire
from credential_rotation.provider import Adapter, Provider
from credential_rotation.stream import AnswerStream, AsyncAnswerStream

__all__ = ["Wrapper"]

T = TypeVar("T")

Request = Mapping[str, Any]
"""A request: ``messages``, and where wanted ``model``, ``system``, ``max_tokens``,
``temperature``, ``stop``, ``tools``, ``tool_choice``, ``session``, ``credential``,
``stable_messages``, ``extra``."""


class Wrapper:
    """Calls a model through a pool of credentials.

    Options, with their defaults, in milliseconds and bytes: ``provider`` ("openai";
    "anthropic", "qwen", "gemini", "codex", "claude", or an object with ``send``),
    ``base_url``, ``program``, ``model``, ``credentials``, ``sources``, ``pool`` (a
    ``CredentialPool`` or its options), ``fallbacks``, ``max_retries`` (5),
    ``wait_when_cooling`` (False), ``policy``, ``deadline_ms`` (300000),
    ``attempt_timeout_ms`` (120000), ``idle_timeout_ms`` (60000), ``prompt_limit``
    (8 MiB), ``retry_budget`` (500), ``cache`` (none).
    """

    _core: _native.Wrapper

    def __init__(
        self,
        *,
        provider: str | Provider = "openai",
        credentials: Iterable[Credential | Mapping[str, Any]] = (),
        pool: CredentialPool | Mapping[str, Any] | None = None,
        fallbacks: Iterable[Mapping[str, Any]] = (),
        **options: Any,
    ) -> None:
        wire = {
            **{name: _plain(value) for name, value in options.items() if value is not None},
            "credentials": credentials_to_wire(credentials),
            "fallbacks": [_fallback(fallback) for fallback in fallbacks],
        }
        host = None
        if isinstance(provider, str):
            wire["provider"] = provider
        else:
            name = getattr(provider, "name", None) or type(provider).__name__
            host = _native.HostProvider(str(name), Adapter(provider))
        own_pool = None
        if isinstance(pool, CredentialPool):
            own_pool = pool._core
        elif pool is not None:
            wire["pool"] = {name: _plain(value) for name, value in pool.items()}
        self._core = _native.Wrapper.from_json(json.dumps(wire), host, own_pool)

    @classmethod
    def from_config(cls, path: str | os.PathLike[str] = "credential-rotation.toml") -> Wrapper:
        """Build one from the ``[wrapper]`` table of a file, environment overrides applied."""
        return cls._over(_native.Wrapper.from_config(os.fspath(path)))

    @classmethod
    def _over(cls, native: _native.Wrapper) -> Wrapper:
        wrapper = cls.__new__(cls)
        wrapper._core = native
        return wrapper

    @property
    def pool(self) -> CredentialPool:
        """The pool of the first target."""
        return CredentialPool._over(self._core.pool())

    def call(self, prompt: str, *, deadline_ms: int | None = None) -> Outcome:
        """Ask with one user message. Does not raise when the call fails: see ``Outcome.error``."""
        return self._core.call(prompt, deadline_ms)

    async def acall(self, prompt: str, *, deadline_ms: int | None = None) -> Outcome:
        """Ask from a coroutine; cancelling it ends the call."""
        outcome: Outcome = await _desk.current().result(self._core.acall, prompt, deadline_ms)
        return outcome

    def complete(self, request: Request, *, deadline_ms: int | None = None) -> Outcome:
        """Ask with a whole request."""
        return self._core.complete(json.dumps(request), deadline_ms)

    async def acomplete(self, request: Request, *, deadline_ms: int | None = None) -> Outcome:
        """Ask with a whole request from a coroutine."""
        wire = json.dumps(request)
        outcome: Outcome = await _desk.current().result(self._core.acomplete, wire, deadline_ms)
        return outcome

    def call_with_fallback(self, prompt: str, fallback_message: str) -> str:
        """Give the answer's text, or ``fallback_message`` when there is none."""
        output = self.call(prompt).output
        return fallback_message if output is None else output

    async def acall_with_fallback(self, prompt: str, fallback_message: str) -> str:
        """Do the same from a coroutine."""
        output = (await self.acall(prompt)).output
        return fallback_message if output is None else output

    def stream(self, request: str | Request) -> AnswerStream:
        """Give the answer as it comes. Nothing is sent before the first piece is asked for."""
        return AnswerStream(self._core.stream(_request(request)))

    def astream(self, request: str | Request) -> AsyncAnswerStream:
        """Do the same for ``async for``."""
        return AsyncAnswerStream(self._core.stream(_request(request)))

    def run(
        self,
        work: Callable[[Credential], T],
        *,
        classify: Classifier | None = None,
        model: str | None = None,
        session: str | None = None,
        tokens: int = 0,
    ) -> T:
        """Rotate around client code of your own, on this thread.

        ``work`` is called with a credential, and with the next one while its exception
        is one that another credential or try can mend. Its last exception comes out as
        it is; ours when no credential could be used, with yours as its cause.
        """
        return _run.run(self._rotation(model, session, tokens), work, classify)

    async def arun(
        self,
        work: Callable[[Credential], Awaitable[T]],
        *,
        classify: Classifier | None = None,
        model: str | None = None,
        session: str | None = None,
        tokens: int = 0,
    ) -> T:
        """Do the same with a coroutine function, on this loop."""
        return await _run.arun(self._rotation(model, session, tokens), work, classify)

    def close(self) -> None:
        """Refuse further calls; those in flight end at their next step."""
        self._core.close()

    def __enter__(self) -> Wrapper:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _rotation(self, model: str | None, session: str | None, tokens: int) -> _native.Rotation:
        ask = {"model": model, "session": session, "tokens": tokens}
        return self._core.rotation(json.dumps(ask))


def _request(request: str | Request) -> str:
    if isinstance(request, str):
        request = {"messages": [{"role": "user", "content": request}]}
    return json.dumps(request)


def _fallback(fallback: Mapping[str, Any]) -> dict[str, Any]:
    wire = {name: _plain(value) for name, value in fallback.items()}
    wire["credentials"] = credentials_to_wire(fallback.get("credentials", ()))
    return wire


def _plain(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value
