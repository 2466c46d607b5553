"""`-o jsonl`: an event in each line of standard output, as it happens."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from meshproof.base.output import encode_json
from meshproof.run.record import Result, Run

from . import _phrases, _terminal


class Writer:
    """Prints `started`, then `progress` and `result` as they come, and `ended`.

    `result` has the fields of a result in run.json, `started` and `ended` those of the run without
    its results.
    """

    def __init__(self, folder: Path) -> None:
        self._stdout = _terminal.open_stdout()
        self._run: Run | None = None

    def started(self, run: Run) -> None:
        """Print what is known before the first request."""
        self._run = run
        self._print("started", {"version": run.version, "mesh": run.mesh, "command": run.command})

    def progress(self, text: str) -> None:
        """Print what is going on, and how many of the tests have ended."""
        ended, planned = (len(self._run.results), self._run.planned) if self._run else (0, 0)
        self._print("progress", {"text": text, "ended": ended, "planned": planned})

    def finished(self, result: Result) -> None:
        """Print a result with all of its answers."""
        if self._run:
            (values,) = _to_values(replace(self._run, results=[result]))["results"]
            self._print("result", values)

    def ended(self, run: Run) -> None:
        """Print the outcome of the run, last of all."""
        values = _to_values(replace(run, results=[]))
        del values["results"]
        values |= {"outcome": run.outcome, "exit_code": run.exit_code}
        self._print("ended", {"headline": _phrases.render_headline(run), **values})
        self._stdout.close()

    def _print(self, event: str, values: dict[str, Any]) -> None:
        """Print one event in one line."""
        self._stdout.write(f"{encode_json({'event': event, **values}, indent=None)}\n")


def _to_values(run: Run) -> dict[str, Any]:
    """Return the record as plain values."""
    values: dict[str, Any] = json.loads(run.to_json())
    return values
