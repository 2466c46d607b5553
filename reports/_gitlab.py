"""`-o gitlab`: the problems of a run as a code quality report on standard output.

The format is that of GitLab's documentation, "Code Quality, report format".
"""

from __future__ import annotations

from pathlib import Path

from meshproof.base.output import encode_json
from meshproof.run.record import Run

from . import _terminal
from ._at_end import WriterAtEnd
from ._problems import Level, Problem, list_problems

_SEVERITIES = {Level.ERROR: "critical", Level.WARNING: "minor"}


class Writer(WriterAtEnd):
    """Prints a JSON list with an entry for each problem; for what has no place, in `.`."""

    def __init__(self, folder: Path) -> None:
        self._stdout = _terminal.open_stdout()

    def ended(self, run: Run) -> None:
        """Print the list, empty where all is well."""
        entries = [_build_entry(problem) for problem in list_problems(run)]
        self._stdout.write(f"{encode_json(entries)}\n")
        self._stdout.close()


def _build_entry(problem: Problem) -> dict[str, object]:
    """Return the entry of one problem."""
    return {
        "description": problem.title,
        "check_name": f"meshproof {problem.name}",
        "fingerprint": problem.fingerprint,
        "severity": _SEVERITIES[problem.level],
        "location": {"path": problem.file or ".", "lines": {"begin": problem.line or 1}},
    }
