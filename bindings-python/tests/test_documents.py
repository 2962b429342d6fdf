"""Documents: no more of one is read than shows that it is too large."""

import io
import os
from pathlib import Path

import pytest
from credential_rotation import DocumentTooLargeError, read_document

LIMIT = 64 << 20


class Endless(io.BytesIO):
    """A file that goes on for ever, a part at a time."""

    given = 0

    def read(self, size: int | None = -1) -> bytes:
        assert size is not None
        assert 0 < size <= LIMIT + 1
        part = b"x" * min(size, 16 << 20)
        self.given += len(part)
        return part


def test_a_file_without_an_end_is_left_at_the_limit() -> None:
    endless = Endless()
    with pytest.raises(DocumentTooLargeError):
        read_document(endless)
    assert endless.given == LIMIT + 1


def test_a_file_on_disk_is_left_at_the_limit(tmp_path: Path) -> None:
    large = tmp_path / "large.pdf"
    large.write_bytes(b"%PDF-1.7")
    os.truncate(large, 1 << 30)
    with pytest.raises(DocumentTooLargeError):
        read_document(large)


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.pdf"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path):
        with pytest.raises(OSError, match="no regular file"):
            read_document(path)
