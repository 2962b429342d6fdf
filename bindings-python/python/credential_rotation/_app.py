"""``credential-rotation worker --app MODULE``: a worker whose handlers are a module's."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from collections.abc import Sequence

from credential_rotation.errors import CredentialRotationError
from credential_rotation.jobs import JobManager
from credential_rotation.worker import Handlers, Worker

USAGE, BAD_INPUT, STATE = 2, 4, 5


def is_meant(words: Sequence[str]) -> bool:
    """Whether a command line is for this program and not for the core's."""
    app = any(word == "--app" or word.startswith("--app=") for word in words)
    return "worker" in words[:2] and app and "--help" not in words


def run(words: Sequence[str]) -> int:
    """Run the worker that the words after ``worker`` describe; give the exit code."""
    parser = argparse.ArgumentParser(prog="credential-rotation worker")
    parser.add_argument("--url", default=os.environ.get("CREDENTIAL_ROTATION_URL"))
    parser.add_argument("--queues", action="append", required=True)
    parser.add_argument("--app", required=True)
    parser.add_argument("--id")
    parser.add_argument("--lease", type=float)
    parser.add_argument("--timeout", type=float)
    parser.add_argument("--grace", type=float)
    parser.add_argument("--allow-private-webhooks", action="store_true")
    parser.add_argument("--json", action="store_true")
    # The first one is this program's name; others may be a queue's, or a module's.
    nth = words.index("worker")
    given = parser.parse_args([*words[:nth], *words[nth + 1 :]])
    if given.url is None:
        return _complain(
            "say where the jobs are by --url, or set CREDENTIAL_ROTATION_URL", BAD_INPUT
        )
    try:
        handlers = _handlers(given.app)
    except (ImportError, LookupError) as problem:
        return _complain(f"--app {given.app}: {problem}", BAD_INPUT)
    try:
        worker = Worker(
            JobManager.connect(given.url),
            given.queues,
            handlers=handlers,
            id=given.id,
            lease=given.lease,
            timeout=given.timeout,
            grace=given.grace,
            webhooks={"allow_private": given.allow_private_webhooks},
        )
        report = worker.run()
    except CredentialRotationError as error:
        trouble = error.code in ("backend_unavailable", "backend_unsuitable")
        return _complain(str(error), STATE if trouble else BAD_INPUT)
    if given.json:
        print(json.dumps({"success": True, "report": report}))
    else:
        done, failed, back = report["completed"], report["failed"], report["released"]
        print(f"stopped: {done} completed, {failed} failed, {back} given back")
    return 0


def _handlers(app: str) -> Handlers:
    """Find the handlers of ``MODULE`` or ``MODULE:NAME``, in the working folder first."""
    name, _, attribute = app.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    module = importlib.import_module(name)
    found = [value for value in vars(module).values() if isinstance(value, Handlers)]
    if attribute:
        found = [
            value for value in [getattr(module, attribute, None)] if isinstance(value, Handlers)
        ]
    if len(found) != 1:
        raise LookupError(f"it has {len(found)} `Handlers`: make one, or name one as MODULE:NAME")
    return found[0]


def _complain(message: str, code: int) -> int:
    print(f"error: {message}", file=sys.stderr)
    return code
