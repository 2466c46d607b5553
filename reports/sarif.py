"""The problems of a run as SARIF 2.1.0, for code scanning: `results.sarif`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from meshproof.base.errors import EXIT_FAILED, EXIT_INCONCLUSIVE, EXIT_PASSED
from meshproof.base.output import encode_json
from meshproof.base.sarif import build_location, build_log
from meshproof.run.record import Run

from . import _files
from ._at_end import WriterAtEnd
from ._problems import Problem, list_problems

#: The files that it writes into the report folder.
FILES = ("results.sarif",)
#: Exit codes of runs that told what is the case.
_SUCCESSFUL = (EXIT_PASSED, EXIT_FAILED, EXIT_INCONCLUSIVE)


class Writer(WriterAtEnd):
    """Writes `results.sarif` into `folder`."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "results.sarif"

    def ended(self, run: Run) -> None:
        """Write a result for each problem; a rule is a lint code or an outcome."""
        problems = list_problems(run)
        names = list(dict.fromkeys(problem.name for problem in problems))
        rules = [{"id": name, "shortDescription": {"text": name}} for name in names]
        results = [_build_result(problem, names.index(problem.name)) for problem in problems]
        log = build_log(run.version, rules, results, run.exit_code, _SUCCESSFUL)
        _files.write_report(self._path, encode_json(log) + "\n")


def _build_result(problem: Problem, rule_index: int) -> dict[str, Any]:
    """Return the SARIF result of one problem; one without a place has no location."""
    region = {"startLine": problem.line or 1}
    locations = [build_location(problem.file, region)] if problem.file else []
    return {
        "ruleId": problem.name,
        "ruleIndex": rule_index,
        "level": str(problem.level),
        "message": {"text": f"{problem.title}\n{problem.text}"},
        "locations": locations,
        "partialFingerprints": {"problem/v1": problem.fingerprint},
    }
