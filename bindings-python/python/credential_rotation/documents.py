"""Documents as text: PDF, Markdown and plain text, from files that nobody vouches for."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from credential_rotation import _native

__all__ = ["Document", "Page", "read_document"]

Source = str | os.PathLike[str] | bytes | IO[bytes]
"""A document: its path, its content, or a file that is open."""


@dataclass(frozen=True)
class Page:
    """A page of a document."""

    number: int
    """Its number, from 1."""
    text: str


@dataclass(frozen=True)
class Document:
    """A document as text."""

    kind: str
    """``pdf``, ``markdown`` or ``text``."""
    title: str | None
    page_count: int
    """The pages of the file, those that were not read included."""
    pages: list[Page]
    warnings: list[str]
    """What could not be read, in words."""

    @property
    def text(self) -> str:
        """All of its text, an empty line between pages."""
        return "\n\n".join(page.text for page in self.pages if page.text)


def read_document(
    document: Source, *, name: str | None = None, max_pages: int | None = None
) -> Document:
    """Read a document; ``name`` tells what it ought to be where its own name does not.

    A file costs at most 64 MiB, 5,000 pages and 15 seconds; one that is no document, is
    locked, is a scan or costs more is a ``DocumentError`` of its kind.
    """
    body, found = content_of(document)
    told = json.loads(
        _native.read_document(body, json.dumps({"name": name or found, "max_pages": max_pages}))
    )
    pages = [Page(**page) for page in told.pop("pages")]
    return Document(pages=pages, **told)


def content_of(document: Source) -> tuple[bytes, str | None]:
    """Read a document's bytes, and find its name."""
    if isinstance(document, bytes):
        return document, None
    if isinstance(document, str | os.PathLike):
        path = Path(document)
        if not stat.S_ISREG(path.stat().st_mode):
            raise OSError(f"{path} is no regular file")
        with path.open("rb") as file:
            return _beginning(file), path.name
    name = getattr(document, "name", None)
    return _beginning(document), Path(name).name if isinstance(name, str) else None


def _beginning(file: IO[bytes]) -> bytes:
    """Read a file, or as much of it as shows that it is too large."""
    left = _native.MAX_DOCUMENT_BYTES + 1
    parts: list[bytes] = []
    while left > 0 and (part := file.read(left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
