"""Write a file as a whole, so that nobody ever reads a part of it, and follow no link."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
from pathlib import Path

#: What any file system takes as a name; no `..`, and room for an ending within its 255 bytes.
_SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")
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


def name_file(name: str) -> str:
    """Return the file name for an object: its name, where that is one.

    In any other name (`../x`, `/etc/x`, one of 300 characters) every other character is replaced;
    the hash at its end keeps two objects apart.
    """
    if _SAFE_NAME.fullmatch(name):
        return name
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:12]
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:100]
    return f"{readable or 'unnamed'}-{digest}"
