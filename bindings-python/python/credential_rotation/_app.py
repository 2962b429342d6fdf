"""``credential-rotation worker --app MODULE``: a module's handlers, for the core's program."""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import sys
import traceback
from typing import TYPE_CHECKING

from credential_rotation import _desk
from credential_rotation._attempts import Attempts
from credential_rotation.worker import Handlers

if TYPE_CHECKING:
    from credential_rotation import _native


def run(worker: _native.AppWorker) -> int:
    """Load the module and run the worker with its handlers; give the exit code."""
    try:
        found = _handlers(worker)
    except Exception as problem:  # noqa: BLE001 - whatever a module raises as it is loaded
        return worker.refuse(*_told(problem, worker.module))
    if len(found) != 1:
        return worker.refuse_count(len(found))
    return asyncio.run(_serve(worker, found[0]))


async def _serve(worker: _native.AppWorker, handlers: Handlers) -> int:
    attempts = Attempts(handlers._handlers, worker)
    try:
        return int(await attempts.until(_desk.current().future(worker.run, attempts.deliver)))
    finally:
        # The core has heard them so far. What does not end now can be ended by them.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)


def _handlers(worker: _native.AppWorker) -> list[Handlers]:
    """Find what may be meant; modules of the working folder come first."""
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    module = importlib.import_module(worker.module)
    if worker.name is not None:
        values = [getattr(module, worker.name, None)]
    else:
        values = list(vars(module).values())
    # A module may have one under two names.
    return list({id(value): value for value in values if isinstance(value, Handlers)}.values())


def _told(problem: Exception, module: str) -> tuple[str, str | None]:
    """Give the words for a problem, and of one within the module the place."""
    words = traceback.format_exception_only(problem)[-1].strip()
    missing = problem.name if isinstance(problem, ModuleNotFoundError) else None
    if missing is not None and f"{module}.".startswith(f"{missing}."):
        return words, None
    return words, "".join(traceback.format_exception(problem))
