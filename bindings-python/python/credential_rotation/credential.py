"""A credential: a key or account under a name that is safe to show."""

from __future__ import annotations

from typing import Any

__all__ = ["Credential"]


class Credential:
    """A key under a name that is safe to show. ``repr`` never shows the key."""

    __slots__ = ("_options", "_secret", "id")

    def __init__(
        self,
        id: str,
        secret: str,
        *,
        base_url: str | None = None,
        model: str | None = None,
        weight: int | None = None,
        quota_group: str | None = None,
        concurrency: int | None = None,
        rpm: int | None = None,
        tpm: int | None = None,
    ) -> None:
        self.id = id
        self._secret = secret
        options: dict[str, Any] = {
            "base_url": base_url,
            "model": model,
            "weight": weight,
            "quota_group": quota_group,
            "concurrency": concurrency,
            "rpm": rpm,
            "tpm": tpm,
        }
        self._options = {name: value for name, value in options.items() if value is not None}

    @property
    def secret(self) -> str:
        """The bare key or token. Hand it to the client, and to nothing else."""
        return self._secret

    @property
    def base_url(self) -> str | None:
        """Where to send calls, when it is not the provider's usual address."""
        return self._options.get("base_url")

    @property
    def model(self) -> str | None:
        """The model to ask for."""
        return self._options.get("model")

    def _to_wire(self) -> dict[str, Any]:
        return {"id": self.id, "secret": self._secret, **self._options}

    def __repr__(self) -> str:
        return f"<Credential {self.id!r}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """Refuse: pickled keys end up in files and queues."""
        raise TypeError("a Credential cannot be pickled: its secret would go with it")
