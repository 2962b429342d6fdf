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
                value = await _within(timeout_ms, work(credential))
            except _Late as late:
                # Not for the classifier: it is no error of the client's.
                theirs = None
                await desk.result(rotation.afail, late.report)
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


class _Late(Exception):  # noqa: N818 - caught above, never seen
    """Our own time limit, told from any time limit of the client's."""

    def __init__(self, timeout_ms: int) -> None:
        fault = {"reason": "timeout", "message": f"no answer within {timeout_ms} ms"}
        self.report = json.dumps({"fault": fault})


async def _within(timeout_ms: int, work: Awaitable[T]) -> T:
    from asyncio import ensure_future, wait

    task = ensure_future(work)
    try:
        await wait({task}, timeout=timeout_ms / 1000)
    finally:
        in_time = task.done()
        if not in_time:
            task.cancel()
            await wait({task})
    if in_time or not (task.cancelled() or task.exception()):
        return task.result()
    raise _Late(timeout_ms)


def _credential(turn: str, rotation: _native.Rotation) -> tuple[Credential, int]:
    told: dict[str, Any] = json.loads(turn)
    secret = rotation.secret or ""
    credential = Credential(told["id"], secret, base_url=told["base_url"], model=told["model"])
    return credential, told["attempt_timeout_ms"]
