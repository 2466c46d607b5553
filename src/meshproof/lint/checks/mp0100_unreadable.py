"""Document that cannot be read."""

from __future__ import annotations

import re
from collections.abc import Iterable

from meshproof.base.errors import BadRules
from meshproof.documents.manifest import At
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project

CODE = "MP0100"

_LOCATED_ERROR = re.compile(
    r"(?P<file>.+?):(?P<line>\d+)(?::(?P<column>\d+))?: (?P<message>.+)", re.S
)


def check(project: Project) -> Iterable[Hit]:
    """Report what the reader of the files could not read."""
    return project.unreadable


def build_unreadable_hit(error: BadRules, file: str) -> Hit:
    """Return the hit for an error that the strict reader raised on a part of `file`."""
    match = _LOCATED_ERROR.fullmatch(str(error))
    if match is None:
        return Hit(At(file, 1), str(error).removeprefix(f"{file}: "))
    at = At(match["file"], int(match["line"]), int(match["column"] or 1))
    return Hit(at, match["message"])
