"""The run record as `run.json`, which `meshproof judge --replay` and other tools read."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from meshproof.run.record import Result, Run

from . import _files

#: The files that it writes into the report folder.
FILES = ("run.json",)
#: The record of a run that goes on is written again after so many seconds: a kill ends it later.
_REWRITE_SECONDS = 5.0


class Writer:
    """Writes `run.json` into `folder`."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "run.json"
        self._run: Run | None = None
        self._written_at = 0.0

    def started(self, run: Run) -> None:
        """Write a record that says that the run is not complete."""
        self._run = run
        self._write_incomplete(run)

    def progress(self, text: str) -> None:
        """Write nothing: progress is no result."""

    def finished(self, result: Result) -> None:
        """Write what is known so far, if the last time is a while ago."""
        if self._run and time.monotonic() - self._written_at >= _REWRITE_SECONDS:
            self._write_incomplete(self._run)

    def _write_incomplete(self, run: Run) -> None:
        """Write the record as that of an interrupted run."""
        self._written_at = time.monotonic()
        _files.write_report(self._path, replace(run, interrupted=True).to_json() + "\n")

    def ended(self, run: Run) -> None:
        """Write the whole record."""
        _files.write_report(self._path, run.to_json() + "\n")
