"""The history of the report folder, `history.jsonl`: a line for each run."""

from __future__ import annotations

from pathlib import Path

from meshproof.run.history import add_run
from meshproof.run.record import Run

from ._at_end import WriterAtEnd


class Writer(WriterAtEnd):
    """Adds the run to `history.jsonl` in `folder`. The file is none of FILES: it stays."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def ended(self, run: Run) -> None:
        """Add a line."""
        add_run(self._folder, run)
