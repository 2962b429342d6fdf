"""Call LLMs through a rotating pool of credentials."""

from credential_rotation._native import version

__all__ = ["__version__", "version"]

__version__: str = version()
