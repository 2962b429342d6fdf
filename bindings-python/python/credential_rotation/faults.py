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
    response = getattr(error, "response", None)
    aws = response if isinstance(response, dict) else None
    metadata = (aws or {}).get("ResponseMetadata", {})
    status = _first_status(
        getattr(error, "status_code", None),
        getattr(error, "status", None),
        getattr(response, "status_code", None),
        getattr(response, "status", None),
        metadata.get("HTTPStatusCode"),
        getattr(error, "code", None),
    )
    headers = (
        getattr(response, "headers", None)
        or getattr(error, "headers", None)
        or metadata.get("HTTPHeaders")
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


def _first_status(*candidates: Any) -> int | None:
    for candidate in candidates:
        if (
            isinstance(candidate, int)
            and not isinstance(candidate, bool)
            and 100 <= candidate <= 999
        ):
            return candidate
    return None


def _limits(headers: Any) -> dict[str, str]:
    try:
        pairs = [(str(name).lower(), str(value)) for name, value in headers.items()]
    except (AttributeError, TypeError, ValueError):
        return {}
    return {name: value for name, value in pairs if name.startswith(_HEADERS)}


def _body(error: BaseException, response: Any, aws: dict[str, Any] | None) -> Any:
    if aws is not None:
        return {"error": aws.get("Error", {})}
    body = getattr(error, "body", None)
    if isinstance(body, (dict, str)) and body:
        # The openai package keeps the error object without its envelope.
        wrapped = (
            isinstance(body, dict) and "error" not in body and ("code" in body or "type" in body)
        )
        return {"error": body} if wrapped else body
    try:
        text = getattr(response, "text", None)
    except Exception:  # noqa: BLE001 - httpx raises when a stream was not read; then there is no body
        return None
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
        link = link.__cause__ or link.__context__
    return None


def _type_name(error: BaseException, aws: dict[str, Any] | None) -> str:
    if aws is not None:
        return f"botocore.{aws.get('Error', {}).get('Code', 'ClientError')}"
    kind = type(error)
    return f"{kind.__module__.partition('.')[0]}.{kind.__qualname__}"
