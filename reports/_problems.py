"""What keeps a run from being green, and what stands beside its rules: each once, with its place.

The lists of CI servers (annotations, code quality, SARIF) are made from this.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from meshproof.base.place import Place
from meshproof.run.broken import group_by_cause, has_cause
from meshproof.run.record import Outcome, Result, Run

from . import _phrases

_NOT_GREEN = (
    Outcome.FAILED,
    Outcome.INCONCLUSIVE,
    Outcome.MESH_NOT_READY,
    Outcome.INTERNAL_ERROR,
)


class Level(StrEnum):
    """How bad a problem is: an error keeps the run from being green, a warning does not."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True)
class Problem:
    """One problem of a run.

    `title` says in one line what is wrong, `text` all that is known of it, in several lines.
    `name` is that of its kind: the code of a lint finding, else the outcome. `file` and `line` are
    the place in the rules ("" and 0: not known); below the current folder, the file is relative.
    """

    level: Level
    name: str
    title: str
    text: str
    file: str = ""
    line: int = 0

    @property
    def fingerprint(self) -> str:
        """A name that stays the same from run to run, also where its line moves."""
        identity = "\n".join((self.name, self.file, self.title))
        return hashlib.sha256(identity.encode("utf-8", "backslashreplace")).hexdigest()[:32]


def list_problems(run: Run) -> list[Problem]:
    """Return the problems of a run: its causes, what has none, its routes, what lint says."""
    problems = [*_list_causes(run), *_list_unsuccessful(run), *_list_unreached(run)]
    if run.error:
        problems.append(Problem(Level.ERROR, "error", "the run was ended by an error", run.error))
    if not problems and run.outcome is not Outcome.PASSED:
        headline = _phrases.render_headline(run)
        problems.append(Problem(Level.ERROR, run.outcome, headline, headline))
    warnings = dict.fromkeys(remark for result in run.results for remark in result.warnings)
    return problems + [
        _place(Level.WARNING, remark.code, remark.text, str(remark), remark.place)
        for remark in warnings
    ]


def _list_causes(run: Run) -> Iterator[Problem]:
    """Yield a problem for each cause that is known, at its place."""
    for group in group_by_cause(run):
        text = "\n".join(f"{label}: {part}" for label, part in _phrases.list_cause_parts(group))
        name = group.cause.code or str(Outcome.FAILED)
        yield _place(Level.ERROR, name, group.cause.what, text, group.cause.place)


def _list_unsuccessful(run: Run) -> Iterator[Problem]:
    """Yield a problem for each result that keeps the run from being green and has no cause."""
    for result in run.results:
        is_lacking = result.is_needed and result.outcome is Outcome.NOT_SUPPORTED
        if is_lacking or (result.outcome in _NOT_GREEN and not has_cause(result)):
            title = f"{result.name}: {_summarize(result)}"
            text = _phrases.render_failure(result) or title
            yield _place(Level.ERROR, result.code or result.outcome, title, text, result.rule)


def _summarize(result: Result) -> str:
    """Return what became of a result, in one line."""
    return result.summary if result.summary else str(result.outcome)


def _list_unreached(run: Run) -> Iterator[Problem]:
    """Yield a problem for each route that no request reaches."""
    for remark in run.unreached:
        yield _place(Level.ERROR, "unreached", remark.text, str(remark), remark.place)


def _place(level: Level, name: str, title: str, text: str, place: Place | None) -> Problem:
    """Return a problem at `place`; of no place without it."""
    if place is None:
        return Problem(level, name, title, text)
    return Problem(level, name, title, text, _make_relative(place.file), place.line)


def _make_relative(file: str) -> str:
    """Return a file as CI servers name it: relative to the current folder where it lies below."""
    if not os.path.isabs(file):
        return file
    path, folder = Path(file), Path.cwd()
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else file
