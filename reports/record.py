"""The run record as `run.json`, which `meshproof judge --replay` and other tools read."""

from __future__ import annotations

from pathlib import Path

from meshproof.run.record import Result, Run

from . import _files


class Writer:
    """Writes `run.json` into `folder`."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "run.json"

    def started(self, run: Run) -> None:
        """Write nothing yet."""

    def progress(self, text: str) -> None:
        """Write nothing: progress is no result."""

    def finished(self, result: Result) -> None:
        """Write nothing yet."""

    def ended(self, run: Run) -> None:
        """Write the whole record."""
        _files.write_report(self._path, run.to_json() + "\n")
