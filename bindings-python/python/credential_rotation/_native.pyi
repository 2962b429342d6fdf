"""What the native module offers; users import it from `credential_rotation`."""

__all__ = ["run_cli", "version"]

def version() -> str:
    """The version of the core."""

def run_cli(argv: list[str]) -> int:
    """Runs the program named by `argv[0]` and gives its exit code."""
