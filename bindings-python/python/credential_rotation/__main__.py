"""The shell programs: `account-qwen` and `credential-rotation`."""

import signal
import sys

from credential_rotation import _native


def account_qwen() -> int:
    """Runs `account-qwen` with the words of the command line."""
    return _run("account-qwen")


def credential_rotation() -> int:
    """Runs `credential-rotation` with the words of the command line."""
    return _run("credential-rotation")


def _run(name: str) -> int:
    # Python's own handler would turn the Ctrl-C that the program has dealt with
    # into a traceback at the end.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    begun = _native.run_cli([name, *sys.argv[1:]])
    if isinstance(begun, int):
        return begun
    from credential_rotation import _app

    return _app.run(begun)


if __name__ == "__main__":
    sys.exit(credential_rotation())
