"""Write a file as a whole, so that nobody ever reads a part of it, and follow no link."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file; replace an old one, or a link of that name, in one step.

    Raises OSError if that fails; then an old file stays as it was.
    """
    draft = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}")
    try:
        write_new(draft, content)
        draft.replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()


def write_new(path: Path, content: bytes) -> None:
    """Write a file that is not there yet. Raises FileExistsError for a file or a link there."""
    with os.fdopen(os.open(path, _NEW, 0o666), "wb") as file:
        file.write(content)
