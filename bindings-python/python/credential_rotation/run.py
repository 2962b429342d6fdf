"""Rotation around client code of the user's own, on the user's own thread or loop."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from credential_rotation import _desk, _native
from credential_rotation.credential import Credential
from credential_rotation.errors import CredentialRotationError
from credential_rotation.faults import Classifier, report_of

T = TypeVar("T")


def run(
    rotation: _native.Rotation, work: Callable[[Credential], T], classify: Classifier | None
) -> T:
    """Call ``work`` with a credential, and with the next one while that can help."""
    theirs: Exception | None = None
    try:
        while True:
            try:
                credential, _ = _credential(rotation.next(), rotation)
            except CredentialRotationError as ours:
                raise ours from theirs
            try:
                value = work(credential)
            except Exception as error:
                report = report_of(error, classify)
                if report is None or not rotation.fail(report):
                    raise
                theirs = error
            else:
                rotation.succeed()
                return value
    finally:
        rotation.close()


async def arun(
    rotation: _native.Rotation,
    work: Callable[[Credential], Awaitable[T]],
    classify: Classifier | None,
) -> T:
    """Do the same with a coroutine function; each attempt ends at the attempt timeout."""
    from asyncio import wait_for

    desk = _desk.current()
    theirs: Exception | None = None
    try:
        while True:
            try:
                turn = await desk.result(rotation.anext)
            except CredentialRotationError as ours:
                raise ours from theirs
            credential, timeout_ms = _credential(turn, rotation)
            try:
                value = await wait_for(work(credential), timeout_ms / 1000)
            except Exception as error:
                report = report_of(error, classify)
                if report is None or await desk.result(rotation.afail, report) != "true":
                    raise
                theirs = error
            else:
                await desk.result(rotation.asucceed)
                return value
    finally:
        rotation.release()


def _credential(turn: str, rotation: _native.Rotation) -> tuple[Credential, int]:
    told: dict[str, Any] = json.loads(turn)
    secret = rotation.secret or ""
    credential = Credential(told["id"], secret, base_url=told["base_url"], model=told["model"])
    return credential, told["attempt_timeout_ms"]
