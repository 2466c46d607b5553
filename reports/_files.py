"""Writes a report file whole or not at all, and creates its folder."""

from __future__ import annotations

from pathlib import Path

from meshproof.base.files import write_atomically


def write_report(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8; an old file is replaced in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text.encode(errors="backslashreplace"))
