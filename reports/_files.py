"""Writing a report file: whole or not at all, in a folder that is made for it."""

from __future__ import annotations

from pathlib import Path

from meshproof.base.files import write_whole


def write(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8, replacing a file that is there in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text.encode(errors="backslashreplace"))
