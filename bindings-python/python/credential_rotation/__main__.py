"""The shell programs: `account-qwen` and `credential-rotation`."""

import sys

from credential_rotation import _native


def account_qwen() -> int:
    """Runs `account-qwen` with the words of the command line."""
    return _native.run_cli(["account-qwen", *sys.argv[1:]])


def credential_rotation() -> int:
    """Runs `credential-rotation` with the words of the command line."""
    return _native.run_cli(["credential-rotation", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(credential_rotation())
