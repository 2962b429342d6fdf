"""What is known of an exception of any client: neutral facts, which the core classifies.

No rule is here, only where the usual packages keep things: openai, anthropic,
httpx, requests, aiohttp, botocore. None of them is imported.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["Classifier", "facts_of"]

Classifier = Callable[[BaseException], "str | Mapping[str, Any] | None"]
"""Tells what an exception means: a fault's reason, a mapping with ``reason`` (and
``message``, ``status``, ``retry_after_ms``), or ``None`` for one that is none of the
pool's business."""

_HEADERS = ("retry-after", "x-ratelimit-", "anthropic-ratelimit-", "x-should-retry")
_DEEPEST = 5


def facts_of(error: BaseException) -> dict[str, Any]:
    """Find out what is known of an exception."""
    response = _part(error, "response")
    aws = response if isinstance(response, dict) else None
    metadata = (aws or {}).get("ResponseMetadata", {})
    headers = _part(response, "headers") or _part(error, "headers") or metadata.get("HTTPHeaders")
    status = (
        _status(_part(error, "status_code"))
        or _status(_part(error, "status"))
        or _status(_part(response, "status_code"))
        or _status(_part(response, "status"))
        or _status(metadata.get("HTTPStatusCode"))
        or _status(_part(error, "code"))
    )
    facts = {
        "kind": _kind(error),
        "status": status,
        "headers": _limits(headers),
        "body": _body(error, response, aws),
        "type_name": _type_name(error, aws),
        "message": str(error)[:4096],
    }
    return {name: value for name, value in facts.items() if value}


def report_of(error: BaseException, classify: Classifier | None) -> str | None:
    """Say what to report of an exception; ``None``: nothing."""
    if classify is None:
        return json.dumps({"facts": facts_of(error)}, default=str)
    word = classify(error)
    if word is None:
        return None
    fault = {"reason": word} if isinstance(word, str) else dict(word)
    fault.setdefault("message", str(error)[:4096])
    return json.dumps({"fault": fault}, default=str)


def _part(thing: Any, name: str) -> Any:
    try:
        return getattr(thing, name, None)
    except Exception:  # noqa: BLE001 - properties raise: httpx's before a body is read, aiohttp's that are deprecated
        return None


def _status(candidate: Any) -> int | None:
    known = isinstance(candidate, int) and not isinstance(candidate, bool)
    return candidate if known and 100 <= candidate <= 999 else None


def _limits(headers: Any) -> dict[str, str]:
    try:
        pairs = [(str(name).lower(), str(value)) for name, value in headers.items()]
    except (AttributeError, TypeError, ValueError):
        return {}
    return {name: value for name, value in pairs if name.startswith(_HEADERS)}


def _body(error: BaseException, response: Any, aws: dict[str, Any] | None) -> Any:
    if aws is not None:
        return {"error": aws.get("Error", {})}
    body = _part(error, "body")
    if isinstance(body, (dict, str)) and body:
        # The openai package keeps the error object without its envelope.
        wrapped = (
            isinstance(body, dict) and "error" not in body and ("code" in body or "type" in body)
        )
        return {"error": body} if wrapped else body
    text = _part(response, "text")
    return text if isinstance(text, str) else None


def _kind(error: BaseException) -> str | None:
    link: BaseException | None = error
    for _ in range(_DEEPEST):
        if link is None:
            return None
        name = type(link).__name__
        if isinstance(link, TimeoutError) or name.endswith("Timeout") or name == "TimeoutException":
            return "timeout"
        if isinstance(link, ConnectionError) or name in (
            "ConnectError",
            "ReadError",
            "RemoteProtocolError",
        ):
            return "connect"
        link = link.__cause__ or _wrapped(link)
    return None


def _wrapped(error: BaseException) -> BaseException | None:
    """Find what a client's exception stands for; one that a bug interrupted is not it."""
    own_words = type(error).__module__ != "builtins" and not error.__suppress_context__
    return error.__context__ if own_words else None


def _type_name(error: BaseException, aws: dict[str, Any] | None) -> str:
    if aws is not None:
        return f"botocore.{aws.get('Error', {}).get('Code', 'ClientError')}"
    kind = type(error)
    return f"{kind.__module__.partition('.')[0]}.{kind.__qualname__}"
